"""The GPU check on other cards than the one at hand: its number type, and a device that doesn't work."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks import gpu_checks
from benchmarks.gpu_check import main
from benchmarks.gpu_checks import LARGE, CheckMachine, beside_trainer
from benchmarks.trainer import choose_precision
from lora_lab.data.machine import COMPUTE_TYPES
from lora_lab.spec import TINY_MODEL, Compute, RunSpec
from lora_lab.worker.device.machine import DEVICE_VARIABLE, Machine, find_device
from lora_lab.worker.device.number_type import DTYPES


@pytest.mark.parametrize("compute", DTYPES)
def test_trainer_is_asked_for_the_number_type_of_the_card(
    compute: Compute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A T4 computes in fp16; beside it Trainer in emulated bf16 would look many times slower than it is."""
    asked: list[str] = []

    def note(command: list[str], *, folder: Path) -> str:
        asked.extend(command)
        return '{"wall_seconds": 2.0}'

    def run(place: CheckMachine, spec: RunSpec) -> Any:
        return SimpleNamespace(state=SimpleNamespace(stepping_seconds=1.0))

    monkeypatch.setattr(gpu_checks, "_run_command", note)
    monkeypatch.setattr(gpu_checks, "run_once", run)
    place = CheckMachine(
        machine=Machine(device=torch.device("cpu"), compute_dtype=DTYPES[compute]),
        models_dir=tmp_path,
        folder=tmp_path,
        spec=replace(RunSpec(), model=TINY_MODEL),
        large=LARGE,
    )
    assert beside_trainer(place).endswith("2.00 x")
    assert asked[asked.index("--compute") + 1] == compute
    assert compute in COMPUTE_TYPES


def test_trainer_computes_in_the_type_that_it_is_asked_for() -> None:
    assert choose_precision("bf16") == {"bf16": True, "fp16": False}
    assert choose_precision("fp16") == {"bf16": False, "fp16": True}
    assert choose_precision("fp32") == {"bf16": False, "fp16": False}


def test_a_named_device_that_fails_ends_the_check_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "cuda:9")
    find_device.cache_clear()
    assert main(["--out", str(tmp_path / "report.md")]) == 1
    find_device.cache_clear()
    said = capsys.readouterr().out
    assert said.startswith("No GPU was found, so there is nothing to check. LORA_STUDY_DEVICE names cuda:9")
    assert len(said.splitlines()) == 1
