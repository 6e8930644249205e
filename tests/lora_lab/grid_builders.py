"""Cells of grids as they would be after training, for tests of findings, plots, pages and reports."""

import random
from collections.abc import Sequence

from lora_lab.grids.results import CellStatus, GridCell, GridSetting, group_by_setting
from lora_lab.spec import Bits, RunSpec

STORED_BYTES: dict[Bits, int] = {"bf16": 780_000_000, "int8": 610_000_000, "nf4": 480_000_000}


def cell(
    loss: float | None, *, status: CellStatus | None = None, shared_by: int = 1, **setting: object
) -> GridCell:
    """A cell that ended on this loss; without one, a failed one. `shared_by` were trained side by side."""
    spec = RunSpec(**setting)  # type: ignore[arg-type]
    state = status or ("failed" if loss is None else "finished")
    done = state == "finished"
    peak = STORED_BYTES.get(spec.bits, 500_000_000) + spec.rank * 1_400_000
    return GridCell(
        spec=spec,
        run_id=f"r{spec.rank}-{spec.bits}-{spec.learning_rate}-{spec.seed}",
        status=state,
        loss_after=loss,
        peak_bytes=peak if done and shared_by == 1 else None,
        predicted_bytes=peak + 5_000_000 if done else None,
        shared_by=shared_by,
        group_peak_bytes=2 * peak if shared_by > 1 else None,
        seconds_a_step=1.2 + spec.rank / 1000 if done else None,
        device="CPU, 2 threads" if done else "",
        compute="fp32" if done else "",
    )


def grid(
    *,
    ranks: Sequence[int] = (2, 8, 64),
    bits: Sequence[Bits] = ("bf16", "int8", "nf4"),
    seeds: Sequence[int] = (0, 1, 2),
    noise: float = 0.03,
    failed: Sequence[tuple[Bits, int]] = (),
) -> list[GridSetting]:
    """Losses that fall with the rank, and vary with the seed."""
    rng = random.Random(1)
    return group_by_setting(
        cell(
            None if (each, rank) in failed else 2 + 0.8 / rank**0.5 + rng.gauss(0, noise),
            rank=rank,
            bits=each,
            seed=seed,
        )
        for each in bits
        for rank in ranks
        for seed in seeds
    )
