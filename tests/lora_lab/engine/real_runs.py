"""Runs in real worker processes: what is trained, waiting for it, and whether a process is gone."""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psutil

from lora_lab.data.datasets import Dataset, Example, split_examples
from lora_lab.engine.fork_server import READ_LATE
from lora_lab.runs.folder import RunFolder
from lora_lab.runs.state import RunState, fold_events
from lora_lab.spec import TINY_MODEL, RunSpec
from study.base.settings import Settings

ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
SHORT = RunSpec(model=TINY_MODEL, bits="nf4", steps=3, compute_dtype="fp32")
ENDLESS = replace(SHORT, steps=2000, batch=1)
"""Takes longer than any test looks at it."""

DEADLINE_SECONDS = 180
LOOK_AGAIN_SECONDS = 0.05

READ_LATE_IN_TESTS = (*READ_LATE, "PYTEST_")
"""pytest keeps the name of the current test in a variable."""


def sums() -> Dataset:
    return split_examples(
        [Example(prompt=f"What is {n} + {n}?", answer=f"It is {2 * n}.") for n in range(16)], label="sums"
    )


def settings_in(folder: Path, models_dir: Path) -> Settings:
    return Settings(home=folder, database_url=f"sqlite:///{folder / 'study.sqlite3'}", models_dir=models_dir)


def wait_until(run: RunFolder, reached: Callable[[RunState], bool]) -> RunState:
    """The run's state once it is as asked. Fails when it ends otherwise."""
    pause, deadline = threading.Event(), time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        state = fold_events(run.events())
        if reached(state):
            return state
        assert not state.ended, f"it ended as {state.status}: {state.failure}"
        pause.wait(LOOK_AGAIN_SECONDS)
    raise AssertionError(f"still {state.status} after {DEADLINE_SECONDS} s: {log_tail(run)}")


def log_tail(run: RunFolder) -> str:
    log = run.path / "stdout.log"
    return log.read_text("utf-8", "replace")[-2000:] if log.exists() else "no log"


def ended(state: RunState) -> bool:
    return state.ended


def two_steps_done(state: RunState) -> bool:
    return len(state.steps) >= 2


def is_gone(pid: int) -> bool:
    """No such process any more, or one that only waits to be collected; a busy machine takes a moment."""
    pause, deadline = threading.Event(), time.monotonic() + DEADLINE_SECONDS
    try:
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
            pause.wait(LOOK_AGAIN_SECONDS)
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def kinds(run: RunFolder) -> list[str]:
    return [event["kind"] for event in run.events()]


def environment(models_dir: Path) -> dict[str, str]:
    return os.environ | {"LORA_STUDY_MODELS": str(models_dir)}
