"""Numbers measured once and kept in `docs/guide`: a text that reads them from there can't go stale.

`four-bit.md` holds the table that `python -m benchmarks.bit_widths` writes; `which-rank.json` holds the
sweep that `python -m benchmarks.which_rank` keeps.
"""

import json
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from lora_lab.spec import BITS_LABELS, Bits

GUIDE = Path(__file__).parents[1] / "docs" / "guide"
BIT_WIDTHS, RANKS = GUIDE / "four-bit.md", GUIDE / "which-rank.json"

When = Literal["before", "after"]
_COLUMNS = ("label", "bits", "weights_mb", "peak_mb", "cpu_seconds_a_step", "before", "after")


def bits_loss(bits: Bits, when: When) -> float:
    """Return the held-out loss of a bit width, before or after its short run."""
    return _number(_read_bit_widths()[bits][when])


def bits_loss_above(bits: Bits, when: When, than: Bits = "bf16") -> float:
    """Return how far the held-out loss of a bit width is above another's."""
    return bits_loss(bits, when) - bits_loss(than, when)


def bits_cpu_seconds(bits: Bits) -> float:
    """Return the CPU-seconds of a training step at a bit width."""
    return _number(_read_bit_widths()[bits]["cpu_seconds_a_step"])


def rank_loss(rank: int, of: Literal["mean", "lowest", "highest"] = "mean") -> float:
    """Return the held-out loss after the runs of a rank: the mean, lowest or highest over the seeds."""
    losses = [cell["loss_after"] for cell in _list_cells(rank)]
    if of == "mean":
        return fmean(losses)
    return float(min(losses) if of == "lowest" else max(losses))


def rank_loss_before() -> float:
    """Return the mean held-out loss of the untrained adapter."""
    return fmean(cell["loss_before"] for cell in _list_cells(8))  # every rank starts with B = 0


def rank_loss_gap() -> float:
    """Return the largest difference between the mean losses of two ranks."""
    means = [rank_loss(rank) for rank in _read_sweep()["grid"]["ranks"]]
    return max(means) - min(means)


def rank_seed_range(rank: int) -> float:
    """Return how far apart the losses of a rank's seeds are."""
    return rank_loss(rank, "highest") - rank_loss(rank, "lowest")


def rank_seed_noise() -> float:
    """Return how far apart seeds alone can put two ranks, as the sweep's findings say."""
    return float(max(finding["noise"] for finding in _read_sweep()["findings"]))


def rank_peak_bytes(rank: int) -> int:
    """Return the highest peak of a rank's runs."""
    return int(max(cell["peak_bytes"] for cell in _list_cells(rank)))


def rank_peak_difference_bytes(rank: int, than: int) -> int:
    """Return how much higher the peak of a rank is than that of another."""
    return rank_peak_bytes(rank) - rank_peak_bytes(than)


def rank_setting(of: Literal["batch", "alpha", "steps"]) -> float:
    """Return a setting that all runs share."""
    (found,) = {cell["spec"][of] for cell in _read_sweep()["cells"]}
    return float(found)


def rank_trained(rank: int) -> int:
    """Return the trained parameters that the runs of a rank reported."""
    (found,) = {cell["trainable"] for cell in _list_cells(rank)}
    return int(found)


@cache
def _read_sweep() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RANKS.read_text("utf-8"))
    return found


def _list_cells(rank: int) -> list[dict[str, Any]]:
    return [cell for cell in _read_sweep()["cells"] if cell["spec"]["rank"] == rank]


@cache
def _read_bit_widths() -> dict[Bits, dict[str, str]]:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in BIT_WIDTHS.read_text("utf-8").splitlines()
        if line.startswith("|")
    ]
    named = {row[0]: dict(zip(_COLUMNS, row, strict=True)) for row in rows if len(row) == len(_COLUMNS)}
    return {bits: named[label] for bits, label in BITS_LABELS.items() if label in named}


def _number(cell: str) -> float:
    return float(cell.split()[0])
