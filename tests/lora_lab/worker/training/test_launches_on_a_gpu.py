"""Launches, uploads and waits of a step of the embedded model, on a simulated GPU: budgets of the goals."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lora_lab.parameters.shapes import find_shape
from lora_lab.spec import EMBEDDED_MODEL, RunSpec
from lora_lab.worker.training.group import AdapterGroup
from lora_lab.worker.training.group_loop import train_group
from lora_lab.worker.training.loaded_model import open_model
from tests.lora_lab.worker.builders import encode_examples, machine, silent, small_dataset
from tests.simulated_gpu.device import DEVICE, OneDevice

pytestmark = [
    pytest.mark.simulated_gpu,
    pytest.mark.usefixtures("emptied_gpu"),
    pytest.mark.long,
    pytest.mark.embedded,
]

EMBEDDED = RunSpec(model=EMBEDDED_MODEL, bits="nf4-dq", steps=2, compute_dtype="bf16")
GOALS = {"alone": 4500, "four": 2000}
LAUNCHES = {"alone": 4474, "four": 1601}
"""Of a step, and of a step's share per cell: what it takes today is the most it may take."""

RANKS = {"alone": (8,), "four": (4, 8, 16, 32)}
WAITS = 2
"""Losses and gradient norms are read back."""

UPLOADS = {"alone": 4, "four": 4 * 4 + 1}
"""Ids, positions, answers' places and targets of each row, and whose each token of a stack is."""


@pytest.mark.parametrize("path", RANKS)
def test_a_step_stays_within_its_launches_uploads_and_waits(
    path: str, embedded_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second step, because the first one also makes the moments."""
    loaded = open_model(
        EMBEDDED_MODEL, "nf4-dq", machine("bf16", DEVICE), models_dir=embedded_dir, report=silent
    )
    specs = [replace(EMBEDDED, rank=rank, alpha=2.0 * rank) for rank in RANKS[path]]
    group = AdapterGroup(loaded, specs, find_shape(EMBEDDED_MODEL))
    counted: list[tuple[int, int, int]] = []
    with OneDevice() as watch:
        train_group(
            group,
            encode_examples(loaded, small_dataset()),
            on_step=lambda cell, step: counted.append(
                (watch.launches.total(), watch.uploads.total(), watch.waits.total())
            ),
            should_stop=lambda cell: False,
            on_end=lambda cell, error: pytest.fail(f"{cell.name} ended: {error}"),
        )
    cells = len(specs)
    (first, second) = counted[cells - 1], counted[-1]
    launches, uploads, waits = (after - before for before, after in zip(first, second, strict=True))
    with capsys.disabled():
        sys.stdout.write(
            f"\n{path}: {launches / cells:.2f} launches per cell, {uploads} uploads, {waits} waits\n"
        )
    assert launches <= LAUNCHES[path] * cells + cells - 1  # the budget is rounded down
    assert LAUNCHES[path] <= GOALS[path]
    assert uploads == UPLOADS[path]
    assert waits == WAITS
