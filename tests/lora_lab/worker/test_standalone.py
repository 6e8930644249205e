"""The exported script, run as a person would run it: plain libraries, the same losses."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from safetensors.torch import load_file

from lora_lab.datasets import Dataset, own_dataset
from lora_lab.home import LabHome
from lora_lab.runs.folder import RunFolder, create_run
from lora_lab.runs.state import fold
from lora_lab.script import script_of
from lora_lab.spec import Bits, RunSpec
from lora_lab.worker.run import execute
from tests.lora_lab.worker.builders import TINY, never, small_dataset

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
TOLERANCE: dict[tuple[Bits, str], float] = {
    ("bf16", "fp32"): 1e-4,
    ("nf4-dq", "fp32"): 1e-4,
    ("nf4-dq", "bf16"): 5e-3,  # the libraries round in other places
    ("int8", "fp32"): 2e-2,  # bitsandbytes rounds activations to 8 bits as well; the lab does not
}
"""Largest difference of a step's loss; losses are about 5."""

RunIt = Callable[..., RunFolder]


@pytest.fixture
def run_it(tmp_path: Path, models_dir: Path) -> RunIt:
    def do(spec: RunSpec, dataset: Dataset | None = None) -> RunFolder:
        run = create_run(tmp_path / "runs", spec, dataset or small_dataset(), now=NOW)
        assert execute(run, LabHome(tmp_path), models_dir, app_is_gone=never)
        return run

    return do


def run_script(text: str, folder: Path) -> str:
    """What it prints, from a folder without the project and with nothing of it on the path."""
    script = folder / "run.py"
    script.write_text(text, "utf-8")
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script.name, "--out", "kept"],
        cwd=folder, env=bare, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("bits", "compute"), TOLERANCE)
def test_the_script_gives_the_losses_of_the_run(
    run_it: RunIt, tmp_path: Path, models_dir: Path, bits: Bits, compute: str
) -> None:
    spec = replace(TINY, bits=bits, compute_dtype=compute, steps=4, seed=3, targets="attention")  # type: ignore[arg-type]
    run = run_it(spec, own_dataset())
    printed = run_script(script_of(run, LabHome(tmp_path), models_dir), tmp_path)
    tolerance = TOLERANCE[bits, compute]
    state = fold(run.events())
    losses = [float(loss) for loss in re.findall(r"^step \d+   loss (\S+)", printed, re.MULTILINE)]
    assert losses == pytest.approx([step["loss"] for step in state.steps], abs=tolerance)
    held_out = re.search(r"held-out loss (\S+) -> (\S+)", printed)
    assert held_out is not None
    assert float(held_out[1]) == pytest.approx(state.loss_before, abs=tolerance)
    assert float(held_out[2]) == pytest.approx(state.loss_after, abs=tolerance)
    kept, ours = (load_file(at / "adapter_model.safetensors") for at in (tmp_path / "kept", run.adapter_path))
    assert kept.keys() == ours.keys()
