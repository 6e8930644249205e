"""The GPU check on the simulated device: all that it does, and a report whatever fails."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks import gpu_checks
from benchmarks.gpu_check import COLUMNS, main
from benchmarks.gpu_checks import CHECKS, LIMIT_PERCENT, CheckMachine, run_specs
from lora_lab.memory.optimizer_state import compute_pageable_bytes, list_trained_tensors
from lora_lab.parameters.shapes import find_shape
from lora_lab.spec import BITS, BITS_LABELS, EMBEDDED_MODEL, TINY_MODEL, RunSpec
from lora_lab.worker.device import machine as this_machine
from tests.simulated_gpu.device import NAME, load

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[3]
SMALL = ["--model", TINY_MODEL, "--steps", "2"]
SMALL_LARGE = ["hidden_size=64", "intermediate_size=128", "num_hidden_layers=6", "vocab_size=300"]
SMALL_LARGE += ["num_attention_heads=4", "num_key_value_heads=2"]
LEFT_OUT = ["beside Trainer", "tests on the GPU", "exported script", "exported script, int8"]
"""Trainer takes the embedded model, the GPU's tests need CUDA, and test_standalone has the script."""


@pytest.fixture
def on_the_simulated_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The device that a learner with that GPU would have; child processes compute on the CPU."""
    load()
    monkeypatch.setenv(this_machine.DEVICE_VARIABLE, f"{NAME}:0")
    this_machine.find_device.cache_clear()
    assert this_machine.find_device()[0].type == NAME
    monkeypatch.setenv(this_machine.DEVICE_VARIABLE, "cpu")
    yield
    this_machine.find_device.cache_clear()


def test_without_a_gpu_it_says_so_in_one_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu_check"],
        cwd=ROOT,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    (sentence,) = done.stdout.splitlines()
    assert sentence.startswith("No GPU was found")


def test_the_runs_cover_every_width_and_every_setting_that_allocates() -> None:
    specs = list(run_specs(RunSpec(model=EMBEDDED_MODEL)))
    assert {spec.bits for spec in specs} == set(BITS)
    assert {spec.rank for spec in specs} >= {1, 8, 64}
    assert {spec.variant for spec in specs} >= {"lora", "dora"}
    assert {spec.optimizer for spec in specs} == {"adamw", "adamw8bit", "paged_adamw8bit"}
    assert {spec.checkpointing for spec in specs} == {True, False}
    assert {spec.compute_dtype for spec in specs} >= {"auto", "fp32", "fp16"}
    (paged,) = (spec for spec in specs if spec.optimizer == "paged_adamw8bit")
    adapted = find_shape(EMBEDDED_MODEL).select(paged.targets)
    trained = list_trained_tensors(adapted, rank=paged.rank, variant=paged.variant)
    assert compute_pageable_bytes(trained), "bitsandbytes keeps small moments on the GPU"


@pytest.mark.usefixtures("on_the_simulated_gpu")
@pytest.mark.filterwarnings("default")
def test_on_a_gpu_every_check_passes_and_has_its_line(tmp_path: Path, models_dir: Path) -> None:
    out = tmp_path / "docs" / "report.md"
    assert main([*SMALL, "--out", str(out), "--skip", *LEFT_OUT, "--large", *SMALL_LARGE]) == 0

    text = out.read_text("utf-8")
    table = [line for line in text.splitlines() if line.startswith("| ")]
    for bits in BITS:
        assert any(line.startswith(f"| {BITS_LABELS[bits]} |") for line in table)
    for name in set(CHECKS) - set(LEFT_OUT):
        assert any(line.startswith(f"| {name} |") for line in table), name
    assert f"| {' | '.join(COLUMNS)} |" in table
    assert f"(limit {LIMIT_PERCENT} %)" in text
    assert f"torch {torch.__version__}" in text
    assert "# The lab on a GPU: Simulated GPU" in text
    assert "checks passed." in text


@pytest.mark.usefixtures("on_the_simulated_gpu")
@pytest.mark.filterwarnings("default")
def test_a_group_is_checked_on_a_card_that_computes_in_fp16_too(
    tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A T4's runs are alone in their own number type, which is no failure of a group."""
    monkeypatch.setattr(load(), "capability", (7, 5))
    out = tmp_path / "report.md"
    assert main([*SMALL, "--out", str(out), "--only", "a group of four"]) == 0
    assert "| a group of four | in fp32: peak " in out.read_text("utf-8")


def test_a_check_that_fails_is_in_the_report_and_the_others_go_on(
    tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(place: CheckMachine) -> str:
        raise RuntimeError("CUDA error: no kernel image\nand more")

    def fine(place: CheckMachine) -> str:
        return "done"

    for name in CHECKS:
        monkeypatch.setitem(gpu_checks.CHECKS, name, broken if name == "merge" else fine)
    out = tmp_path / "report.md"
    names = ["chat with two adapters", "merge", "a killed worker and the next"]
    assert main(["--allow-cpu", *SMALL, "--out", str(out), "--only", *names]) == 2

    text = out.read_text("utf-8")
    assert "**Failed:** merge (CUDA error: no kernel image)." in text
    assert "| merge | **failed**: CUDA error: no kernel image |" in text
    assert text.count("| done |") == 2
    assert "1 of 3 checks failed" in capsys.readouterr().out


def test_a_run_that_fails_is_reported_with_its_own_words(tmp_path: Path, models_dir: Path) -> None:
    out = tmp_path / "report.md"
    assert main(["--allow-cpu", "--model", "/no/such/folder", "--out", str(out), "--only", "runs"]) == 2
    assert "There is no folder /no/such/folder. Check the path." in out.read_text("utf-8")
