"""Learners of one server take turns in the queue, each within a share; the owner is one of them."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.data.datasets import build_own_dataset
from lora_lab.engine.local import LocalEngine
from lora_lab.engine.queue import RUNS_OF_A_LEARNER, RUNS_OF_LEARNERS, RunQueue, take_first
from lora_lab.runs.folder import RunFolder
from lora_lab.settings.grid import parse_grid
from lora_lab.spec import RunSpec
from study.base.errors import LearnerError
from study.base.settings import Settings
from tests.lora_lab.run_builders import NOW

LIGHT = RunSpec(model="tiny-random", steps=3)


@pytest.fixture
def engine(settings: Settings) -> LocalEngine:
    """It queues and does not serve."""
    return LocalEngine(settings, warm=False)


def submit(engine: LocalEngine, learner: str) -> RunFolder:
    return engine.submit(LIGHT, build_own_dataset(), now=NOW, learner=learner)


def named(name: str) -> RunFolder:
    """A run that is nothing but its name."""
    return RunFolder(Path("/runs") / name)


def queue_of(*learners: str) -> RunQueue:
    """A queue in memory, to which these learners have added one run after the other."""
    queue = RunQueue(None)
    for number, learner in enumerate(learners):
        queue.add(named(f"{learner or 'owner'}-{number}"), learner=learner)
    return queue


def names(queue: RunQueue) -> list[str]:
    return [run.run_id for run in queue]


def test_everyones_first_run_comes_before_anyones_second() -> None:
    queue = queue_of("ana", "ana", "ana", "ben", "cem", "ben")
    assert names(queue) == ["ana-0", "ben-3", "cem-4", "ana-1", "ben-5", "ana-2"]


def test_runs_without_learners_keep_the_order_in_which_they_came() -> None:
    queue = queue_of("", "", "", "")
    assert names(queue) == ["owner-0", "owner-1", "owner-2", "owner-3"]


def test_the_owner_of_a_long_grid_takes_turns_too() -> None:
    queue = queue_of("", "", "", "ana")
    assert names(queue) == ["owner-0", "ana-3", "owner-1", "owner-2"]


def test_what_is_being_trained_counts_as_a_turn() -> None:
    queue = queue_of("ana", "ana")
    (training,) = queue.take(take_first)
    assert training.run_id == "ana-0"
    queue.add(named("ben"), learner="ben")
    assert names(queue) == ["ben", "ana-1"]
    queue.end_job()
    queue.add(named("cem"), learner="cem")
    assert names(queue) == ["ben", "ana-1", "cem"]


@given(st.lists(st.sampled_from(["", "ana", "ben", "cem"]), max_size=14))
def test_turns_are_fair_in_whatever_order_learners_come(learners: list[str]) -> None:
    queue = queue_of(*learners)
    order = [run_id.partition("-")[0] for run_id in names(queue)]
    turns = [order[:place].count(name) for place, name in enumerate(order)]
    assert turns == sorted(turns)
    for name in set(order):  # everyone's runs stay in the order in which they came
        own = [int(run_id.partition("-")[2]) for run_id in names(queue) if run_id.startswith(name)]
        assert own == sorted(own)


def test_a_learner_whose_share_is_used_up_is_told_what_to_do(engine: LocalEngine) -> None:
    runs = [submit(engine, "ana") for _ in range(RUNS_OF_A_LEARNER)]
    with pytest.raises(LearnerError, match=r"2 experiments of yours .* take one out of the queue"):
        submit(engine, "ana")
    assert len(list(engine.settings.runs_dir.glob("[!.]*"))) == RUNS_OF_A_LEARNER  # no folder is left behind
    submit(engine, "ben")
    engine.stop(runs[0].run_id)
    submit(engine, "ana")


def test_all_learners_together_have_a_limit_and_the_owner_has_none() -> None:
    queue = queue_of(*(f"learner {number}" for number in range(RUNS_OF_LEARNERS)))
    with pytest.raises(LearnerError, match="40 experiments of learners are waiting"):
        queue.check_share("one more")
    queue.add(named("owner"))
    assert len(queue) == RUNS_OF_LEARNERS + 1


def test_a_share_is_free_again_when_the_run_has_ended() -> None:
    queue = queue_of("ana", "ana")
    queue.take(take_first)
    with pytest.raises(LearnerError):
        queue.check_share("ana")
    queue.end_job()
    queue.check_share("ana")


def test_whose_a_waiting_run_is_stays_known_after_a_restart(settings: Settings, engine: LocalEngine) -> None:
    run, owners = submit(engine, "ana"), submit(engine, "")
    later = LocalEngine(settings, warm=False)
    later.pause()
    later.start()
    later.close()
    assert later.find_learner(run.run_id) == "ana"
    assert later.find_learner(owners.run_id) == ""
    assert "ana" not in run.events_path.read_text("utf-8")


def test_a_grid_of_the_owner_waits_behind_the_first_run_of_each_learner(engine: LocalEngine) -> None:
    first = submit(engine, "ana")
    grid = parse_grid(LIGHT, {"ranks": "1,2,4"})
    sweep = engine.submit_sweep(grid, build_own_dataset(), now=NOW + timedelta(minutes=1))
    second = submit(engine, "ben")
    assert engine.list_waiting() == [first.run_id, sweep.run_ids[0], second.run_id, *sweep.run_ids[1:]]
