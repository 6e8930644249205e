"""The GPU report's code path on a CPU; on a GPU it is run by `make gpu-check`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu_check import LIMIT_PERCENT, RANKS, WIDTHS, main
from lora_lab.spec import BITS_LABELS, TINY_MODEL

ROOT = Path(__file__).parents[3]


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
    assert sentence.startswith("No CUDA device was found")


def test_the_report_names_device_and_versions_and_has_a_row_for_every_run(
    tmp_path: Path, models_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "docs" / "report.md"
    assert main(["--allow-cpu", "--model", TINY_MODEL, "--steps", "3", "--out", str(out)]) == 0

    text = out.read_text("utf-8")
    table = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(table) == len(WIDTHS) + len(RANKS) - 1
    assert all(any(BITS_LABELS[bits] in line for line in table) for bits in WIDTHS)
    assert f"(limit {LIMIT_PERCENT} %)" in text
    assert f"torch {torch.__version__}" in text
    assert "computing in" in text
    assert capsys.readouterr().out.splitlines()[:-1] == table


def test_a_run_that_fails_ends_the_check_with_its_own_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--allow-cpu", "--model", "/no/such/folder"]) == 1
    assert "There is no folder /no/such/folder. Check the path." in capsys.readouterr().out
