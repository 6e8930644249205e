"""A sweep whose cells a real worker trains side by side: one is stopped, the rest goes on, one returns."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lora_lab.engine.fork_server import ForkServer
from lora_lab.engine.local import LocalEngine
from lora_lab.runs.folder import RunFolder
from lora_lab.runs.state import RunState, fold_events
from lora_lab.runs.summary import summarize
from lora_lab.settings.grid import parse_grid
from tests.lora_lab.engine.real_runs import NOW, SHORT, ended, settings_in, sums, two_steps_done, wait_until

LONG = replace(SHORT, steps=60, batch=1)


@dataclass
class Story:
    """How every cell ended, and what was seen on the way."""

    states: list[RunState]
    retried: RunState
    summaries: list[dict[str, object]]
    waiting_while_paused: list[str]
    run_ids: tuple[str, ...]


@pytest.fixture(scope="module")
def story(
    tmp_path_factory: pytest.TempPathFactory, models_dir: Path, shared_fork_server: ForkServer
) -> Iterator[Story]:
    """Three ranks in two bit widths: two jobs. Paused in the first, in which the second cell is stopped and
    queued again.
    """
    settings = settings_in(tmp_path_factory.mktemp("side-by-side"), models_dir)
    engine = LocalEngine(settings, warm=False, fork_server=shared_fork_server)
    engine.start()
    sweep = engine.submit_sweep(parse_grid(LONG, {"ranks": "1,4,8", "bits": "nf4,int8"}), sums(), now=NOW)
    runs = [RunFolder(settings.runs_dir / run_id) for run_id in sweep.run_ids]
    wait_until(runs[1], two_steps_done)
    engine.pause()
    engine.stop(runs[1].run_id)
    wait_until(runs[1], ended)
    again = engine.retry(runs[1].run_id, now=NOW)
    wait_until(runs[2], ended)
    waiting = engine.list_waiting()
    engine.resume()
    for run in (*runs, again):
        wait_until(run, ended)
    yield Story(
        [fold_events(run.events()) for run in runs],
        fold_events(again.events()),
        [summarize(run) for run in runs],
        waiting,
        sweep.run_ids,
    )
    engine.close()


def test_cells_of_one_base_take_their_steps_together(story: Story) -> None:
    assert [state.shared_by for state in story.states] == [3] * 6
    assert len({state.worker_pid for state in story.states[:3]}) == 1


def test_a_cell_that_is_stopped_ends_first_and_the_others_finish(story: Story) -> None:
    statuses = [state.status for state in story.states]
    assert statuses == ["finished", "stopped", "finished", "finished", "finished", "finished"]
    stopped, finished = story.states[1], story.states[0]
    assert stopped.loss_after is not None
    assert 2 <= len(stopped.steps) < LONG.steps == len(finished.steps)
    assert stopped.ended_at is not None
    assert stopped.ended_at < finished.steps[-1]["at"]
    assert finished.steps[-1]["shared_by"] == 2


def test_a_pause_holds_the_next_job_back(story: Story) -> None:
    assert set(story.run_ids[3:]) < set(story.waiting_while_paused)


def test_the_cell_that_was_queued_again_finishes(story: Story) -> None:
    assert story.retried.status == "finished"
    assert len(story.retried.steps) == LONG.steps


def test_a_summary_says_with_how_many_a_cell_shared_its_peak(story: Story) -> None:
    for summary, state in zip(story.summaries, story.states, strict=True):
        assert summary["shared_by"] == 3
        assert summary["peak_bytes"] == state.group_peak_bytes > 0
    finished = story.summaries[3]
    assert isinstance(finished["predicted_bytes"], int)
    assert finished["peak_bytes"] == pytest.approx(finished["predicted_bytes"], rel=0.08)
