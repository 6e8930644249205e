"""The memory plots in words: titles, footnotes and descriptions, all derived from the numbers drawn."""

from collections.abc import Mapping, Sequence

from lora_lab.memory.ledger import COMPONENTS, Ledger
from lora_lab.runs.predicted_vs_measured import MeasuredPeak, list_devices, percent_above
from lora_lab.spec import Bits
from study.base.units import as_bytes

BARELY_PERCENT = 10.0  # growth over rank 1 that a title calls "barely"
NAMES = {**dict(COMPONENTS), "logits": "logits"}


def describe_memory_by_rank(by_rank: Mapping[int, Ledger], rank: int) -> str:
    """Return the title of memory by rank: whether the chosen rank costs a notable amount."""
    here, first = by_rank[rank], by_rank[min(by_rank)]
    total = as_bytes(here.total_bytes)
    growth = {each: percent_above(ledger.total_bytes, first.total_bytes) for each, ledger in by_rank.items()}
    flat_up_to = max(each for each in by_rank if growth[each] <= BARELY_PERCENT)
    if rank <= flat_up_to:
        largest, percent = _name_two_largest(here)
        if flat_up_to == min(by_rank):
            return f"Rank {rank} takes {total}: {largest} are {percent} of it"
        return (
            f"Rank barely adds memory up to {flat_up_to} (+{growth[flat_up_to]:.0f} %): "
            f"{largest} are {percent} of {total}"
        )
    trained = format_share(here.adapters + here.gradients + here.optimizer, here.total_bytes)
    return (
        f"Rank {rank} takes {total}, {_format_more(here.total_bytes, first.total_bytes)} rank 1: "
        f"adapters, gradients and optimizer are {trained} of it"
    )


def describe_memory_by_bits(by_bits: Mapping[Bits, Ledger], bits: Bits) -> str:
    """Return the title of memory by bit width: what fewer bits save, and what they can't."""
    here, sixteen = by_bits[bits], by_bits["bf16"]
    total, stored = here.total_bytes, here.weights + here.constants
    if bits in ("fp32", "bf16"):
        smallest = min(by_bits, key=lambda each: by_bits[each].total_bytes)
        could_save = total - by_bits[smallest].total_bytes
        offer = (
            f"{smallest} would save {as_bytes(could_save)}" if could_save else "fewer bits save nothing here"
        )
        return f"In {bits}, weights are {format_share(stored, total)} of {as_bytes(total)}: {offer}"
    saved = sixteen.total_bytes - total
    if saved <= 0:
        return (
            f"{bits} saves nothing here: {as_bytes(total)}, against {as_bytes(sixteen.total_bytes)} in bf16"
        )
    claim = f"{bits} saves {as_bytes(saved)} of the {as_bytes(sixteen.total_bytes)} that bf16 takes"
    if 2 * stored > total:
        return f"{claim}; weights are still {format_share(stored, total)} of the {as_bytes(total)} left"
    return f"{claim}; {format_share(total - stored, total)} of the {as_bytes(total)} left is not weights"


def _name_two_largest(ledger: Ledger) -> tuple[str, str]:
    """Name the two largest components, larger first, and their share of the total."""
    sizes = {field: int(getattr(ledger, field)) for field in NAMES}
    first, second = sorted(sizes, key=sizes.__getitem__, reverse=True)[:2]
    return f"{NAMES[first]} and {NAMES[second]}", format_share(
        sizes[first] + sizes[second], ledger.total_bytes
    )


def _format_more(total: int, first: int) -> str:
    if total >= 2 * first:
        return f"{total / first:.1f} times as much as"
    return f"{as_bytes(total - first)} more than"


def format_share(part: float, whole: float) -> str:
    """Return `75 %`; never round a part to 0 % or 100 %."""
    percent = 100 * part / whole
    if 99.5 <= percent < 100:
        return "over 99 %"
    return "under 1 %" if 0 < percent < 0.5 else f"{percent:.0f} %"


def format_gap(percent: float) -> str:
    """Return the relative gap between a measured value and the computed one."""
    if abs(percent) < 0.05:
        return "exactly as computed" if percent == 0 else "within 0.1 % of computed"
    return f"{abs(percent):.1f} % {'above' if percent > 0 else 'below'} computed"


def write_footnote(runs: Sequence[MeasuredPeak], computed: Sequence[int], chosen: Sequence[int]) -> str:
    """Return the footnote that explains the diamonds.

    `computed` holds the total bytes of each run's bar, `chosen` the positions of the runs on the chosen bar.
    """
    if not runs:
        return "Computed. No run with these settings has been measured yet."
    gaps = [percent_above(run.peak_bytes, total) for run, total in zip(runs, computed, strict=True)]
    where = f"measured on {', '.join(list_devices(runs))}, {_format_steps(runs)}"
    if len(chosen) == 1:
        only = chosen[0]
        return f"{where}: {as_bytes(runs[only].peak_bytes)}, {format_gap(gaps[only])}"
    return f"{where}: {_format_gaps(gaps)}"


def _format_gaps(gaps: Sequence[float]) -> str:
    """Return one run's gap, or the range of several: `2 runs, 0.4 % below to 1.0 % above computed`."""
    low, high = format_gap(min(gaps)), format_gap(max(gaps))
    runs = f"{len(gaps)} runs, " if len(gaps) > 1 else ""
    return runs + (low if low == high else f"{low.removesuffix(' computed')} to {high}")


def _format_steps(runs: Sequence[MeasuredPeak]) -> str:
    fewest, most = min(run.steps for run in runs), max(run.steps for run in runs)
    if fewest < most:
        return f"{fewest} to {most} steps"
    return "1 step" if most == 1 else f"{most} steps"


def list_largest(ledger: Ledger) -> str:
    """Return the three largest components of a bar, largest first."""
    sizes = {name: int(getattr(ledger, field)) for field, name in NAMES.items()}
    ordered = sorted(sizes, key=sizes.__getitem__, reverse=True)
    return ", ".join(f"{name} {as_bytes(sizes[name])}" for name in ordered[:3])
