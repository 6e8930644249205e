"""A command line ends without a trace when it is interrupted, or when nobody reads on what it prints."""

import signal
import subprocess
import sys

import pytest

from study.base.settings import ROOT

COUNT = ["lora_lab", "count", "--model", "smollm2-135m", "--rank", "8", "--targets", "all-linear"]


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background shell ignores it
    )


@pytest.mark.parametrize("arguments", [COUNT, ["flashcards", "list"], ["quizzes", "list"]])
def test_a_reader_that_is_gone_ends_a_command_in_silence(arguments: list[str]) -> None:
    process = start(*arguments)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait() == 141


def test_ctrl_c_ends_a_command_that_reads_lines_in_silence() -> None:
    process = start("lora_lab", "count", "--jsonl")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("{}\n")
    process.stdin.flush()
    assert "error" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.communicate()[1] == ""
    assert process.returncode == 130


FULL = """
import errno, sys
from study.base.command_line import run_program
def main(): raise OSError(errno.{name}, "No space left on device")
sys.exit(run_program(main))
"""


def test_a_full_disk_is_said_in_words_and_another_error_stays_an_error() -> None:
    full, other = (
        subprocess.run(
            [sys.executable, "-c", FULL.format(name=name)], cwd=ROOT, capture_output=True, text=True
        )
        for name in ("ENOSPC", "ENOENT")
    )
    assert full.returncode == 1
    assert full.stderr.startswith("The disk is full, so this was not saved.")
    assert "Traceback" not in full.stderr
    assert "Traceback" in other.stderr
