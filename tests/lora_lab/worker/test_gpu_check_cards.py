"""The GPU check on other cards than the one at hand: its number type, and a device that doesn't work."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks import gpu_checks, trainer
from benchmarks.gpu_check import CheckOutcome, CheckReport, main
from benchmarks.gpu_checks import LARGE, CheckMachine, beside_trainer
from benchmarks.trainer import choose_precision
from lora_lab.data.machine import COMPUTE_TYPES
from lora_lab.spec import TINY_MODEL, Compute, RunSpec
from lora_lab.worker.device.machine import DEVICE_VARIABLE, Machine, find_device
from lora_lab.worker.device.number_type import DTYPES


def place_in(folder: Path, compute: Compute) -> CheckMachine:
    return CheckMachine(
        machine=Machine(device=torch.device("cpu"), compute_dtype=DTYPES[compute]),
        models_dir=folder,
        folder=folder,
        spec=replace(RunSpec(), model=TINY_MODEL),
        large=LARGE,
    )


@pytest.mark.parametrize("compute", DTYPES)
def test_trainer_is_asked_for_the_number_type_of_the_card(
    compute: Compute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A T4 computes in fp16; beside it Trainer in emulated bf16 would look many times slower than it is."""
    asked: list[str] = []

    def note(command: list[str], *, folder: Path, device: torch.device) -> str:
        asked.extend(command)
        return '{"seconds_per_step": 2.0}'

    def run(place: CheckMachine, spec: RunSpec) -> Any:
        return SimpleNamespace(state=SimpleNamespace(seconds_per_step=1.0))

    monkeypatch.setattr(gpu_checks, "_run_command", note)
    monkeypatch.setattr(gpu_checks, "run_once", run)
    place = place_in(tmp_path, compute)
    assert beside_trainer(place).endswith("2.00 x")
    assert asked[asked.index("--compute") + 1] == compute
    assert compute in COMPUTE_TYPES


def test_an_exported_script_is_compared_in_fp32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bf16 a loss of the embedded model was 0.026 off within 20 steps, from rounding alone."""
    asked: list[RunSpec] = []
    state = SimpleNamespace(steps=[{"loss": 2.5}])
    monkeypatch.setattr(gpu_checks, "execute_group", lambda runs, *_others: asked.append(runs[0].spec))
    monkeypatch.setattr(gpu_checks, "require_end", lambda _run: state)
    monkeypatch.setattr(gpu_checks, "build_script", lambda *_run: "")
    monkeypatch.setattr(gpu_checks, "_run_command", lambda *_command, **_options: "step 1   loss 2.5")
    assert gpu_checks.exported_script(place_in(tmp_path, "bf16")).startswith("1 losses")
    assert [spec.compute_dtype for spec in asked] == ["fp32"]


def test_a_report_that_was_cut_short_does_not_say_that_all_passed(tmp_path: Path) -> None:
    """It is written after each check: a job's time may end before the last one."""
    place = place_in(tmp_path, "fp32")
    report = CheckReport(place.machine, place.spec, tmp_path / "report.md")
    report.add(CheckOutcome(name="first", says="right", failed=False, seconds=1))
    text = report.path.read_text("utf-8")
    assert "1 checks passed so far" in text
    assert "Cut short" in text
    report.end()
    text = report.path.read_text("utf-8")
    assert "All 1 checks passed." in text
    assert "Cut short" not in text


def test_trainer_computes_in_the_type_that_it_is_asked_for() -> None:
    assert choose_precision("bf16") == {"bf16": True, "fp16": False}
    assert choose_precision("fp16") == {"bf16": False, "fp16": True}
    assert choose_precision("fp32") == {"bf16": False, "fp16": False}


def test_trainers_first_step_is_not_in_its_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """It loads the GPU's kernels, which the lab's process has long loaded by then."""
    moments = iter([0.0, 9.0, 10.0, 11.0, 13.0, 14.0])
    monkeypatch.setattr(trainer, "time", SimpleNamespace(perf_counter=moments.__next__, process_time=float))
    clock = trainer.Clock()
    clock.on_train_begin()
    for _ in range(4):
        clock.on_step_end()
    clock.on_train_end()
    assert clock.seconds_per_step == 1
    assert clock.wall_seconds == 14


@pytest.mark.parametrize(
    ("device", "shown", "expected"),
    [("cuda:1", "", "1"), ("cuda:1", "2,5", "5"), ("cuda", "3", "3"), ("cuda:0", "", "0"), ("cpu", "", "")],
)
def test_another_process_sees_the_checked_gpu_only(
    device: str, shown: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two, Trainer takes both, with a batch for each, and an exported script takes the first."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    monkeypatch.setenv(DEVICE_VARIABLE, device)
    names = ", ".join(f"os.environ[{name!r}]" for name in ("CUDA_VISIBLE_DEVICES", DEVICE_VARIABLE))
    command = [sys.executable, "-c", f"import os; print({names})"]
    found = gpu_checks._run_command(command, folder=tmp_path, device=torch.device(device))
    assert found.split() == ([expected] if expected else [device])


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
