"""A run that keeps to a time: it does what the time allows, never too little, and says what it left out."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lora_lab.data.datasets import build_own_dataset
from lora_lab.data.lab_folder import LabHome
from lora_lab.runs.folder import RunFolder, create_run
from lora_lab.worker.training.loop import never_stop
from lora_lab.worker.training.model_cache import ModelCache
from lora_lab.worker.training.run import execute_group
from lora_lab.worker.training.time_limit import LEAST_EXAMPLES, LEAST_STEPS, TimeLimit, read_limit
from tests.lora_lab import run_builders

STEPS = 12
NO_TIME, ALL_THE_TIME = 0.001, 10_000.0


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def test_training_has_half_of_the_time_and_measuring_the_rest() -> None:
    clock = Clock()
    limit = TimeLimit(seconds=20, clock=clock)
    clock.now += 9.9
    assert not limit.ends_training(50)
    clock.now += 0.2
    assert limit.ends_training(LEAST_STEPS)
    assert not limit.ends_training(LEAST_STEPS - 1)
    assert not limit.ends_measuring(50)
    clock.now += 10
    assert limit.is_over
    assert limit.ends_measuring(LEAST_EXAMPLES)
    assert not limit.ends_measuring(LEAST_EXAMPLES - 1)


def do(
    folder: Path, models_dir: Path, cache: ModelCache | None = None, *, within_seconds: float = 0
) -> RunFolder:
    """Do a run of a tiny model on the app's own cards."""
    spec = replace(run_builders.TINY, steps=STEPS)
    made = create_run(
        folder / "runs", spec, build_own_dataset(), now=run_builders.NOW, within_seconds=within_seconds
    )
    assert execute_group([made], LabHome(folder), models_dir, cache=cache, app_is_gone=never_stop)
    return made


def test_without_time_it_does_the_least_and_says_so(tmp_path: Path, models_dir: Path) -> None:
    run = do(tmp_path, models_dir, within_seconds=NO_TIME)
    state = run.state()
    assert state.status == "stopped"
    assert len(state.steps) == state.saved_step == LEAST_STEPS
    assert state.held_out_examples == LEAST_EXAMPLES
    assert state.loss_before is not None
    assert state.loss_after is not None
    assert run.samples() == []
    said = re.fullmatch(
        rf"To end within about 0\.001 seconds, it trained {LEAST_STEPS} of {STEPS} steps, measured the loss"
        rf" on {LEAST_EXAMPLES} of (\d+) unseen examples and asked no sample questions\.",
        state.note,
    )
    assert said, state.note
    assert LEAST_EXAMPLES < int(said[1]) <= len(build_own_dataset().held_out)


def test_with_all_the_time_it_is_a_run_like_any_other(tmp_path: Path, models_dir: Path) -> None:
    cache = ModelCache(models_dir, home=LabHome(tmp_path))
    plain, limited, again = (
        do(tmp_path, models_dir, cache, within_seconds=seconds) for seconds in (0, ALL_THE_TIME, ALL_THE_TIME)
    )
    for run in (limited, again):
        state, wanted = run.state(), plain.state()
        assert (state.status, state.note) == ("finished", "")
        assert [step["loss"] for step in state.steps] == [step["loss"] for step in wanted.steps]
        assert state.held_out_examples == wanted.held_out_examples
        assert state.loss_before == pytest.approx(wanted.loss_before, abs=1e-3)
        assert state.loss_after == pytest.approx(wanted.loss_after, abs=1e-3)
        assert run.samples() == plain.samples()


def test_a_run_without_a_limit_or_with_a_damaged_one_takes_its_time(tmp_path: Path) -> None:
    run = create_run(tmp_path, run_builders.TINY, build_own_dataset(), now=run_builders.NOW)
    assert read_limit(run) is None
    for damaged in ("soon", "-3", ""):
        (run.path / "within-seconds").write_text(damaged, "utf-8")
        assert read_limit(run) is None
