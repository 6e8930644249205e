"""What a page shows of a run, from its events alone."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.runs.events import Event
from lora_lab.runs.state import ENDED, RunState, fold_events
from tests.lora_lab.run_builders import DEVICE, PREDICTED, VERSIONS


def event(kind: str, **values: Any) -> Event:
    return {"kind": kind, "at": 100.0, **values}


def step(number: int, *, seconds: float = 2.0, tokens: int = 300, peak_bytes: int = 900) -> Event:
    return event(
        "step",
        step=number,
        loss=3.0,
        grad_norm=1.0,
        tokens=tokens,
        seconds=seconds,
        peak_bytes=peak_bytes,
        live_bytes=700,
    )


STORY = [
    event("queued"),
    event("status", text="Starting the worker", worker_pid=41),
    event("status", text="Downloading the model", done_bytes=5, total_bytes=9),
    event(
        "started",
        trainable=448,
        total=10_000,
        predicted=PREDICTED,
        predicted_bytes=1000,
        row={"lengths": [10] * 4, "answer_tokens": 12},
        device=DEVICE,
        versions=VERSIONS,
    ),
    step(1, seconds=9.0),
    step(2),
    event("saved", step=2),
    step(3, peak_bytes=950),
    event("status", text="Measuring the held-out loss before and after"),
    event("evaluated", loss_before=3.5, loss_after=2.5, examples=4),
    event("finished", step=3),
]


@pytest.mark.parametrize(
    ("so_far", "status", "doing"),
    [
        (0, "queued", "Waiting"),
        (1, "queued", "Waiting"),
        (2, "starting", "Starting the worker"),
        (3, "starting", "Downloading the model"),
        (4, "training", "Training"),
        (7, "training", "Training"),
        (9, "finishing", "Measuring the held-out loss before and after"),
        (11, "finished", "Done"),
    ],
)
def test_a_run_says_what_it_is_doing(so_far: int, status: str, doing: str) -> None:
    state = fold_events(STORY[:so_far])
    assert (state.status, state.doing) == (status, doing)
    assert state.ended == (status in ENDED)


def test_a_finished_run_knows_everything() -> None:
    state = fold_events(STORY)
    assert [item["step"] for item in state.steps] == [1, 2, 3]
    assert (state.peak_bytes, state.live_bytes, state.saved_step) == (950, 700, 2)
    assert (state.loss_before, state.loss_after) == (3.5, 2.5)
    assert state.started is not None
    assert state.started["trainable"] == 448
    assert (state.queued_at, state.ended_at, state.worker_pid) == (100.0, 100.0, 41)


def test_download_progress_is_shown_and_cleared() -> None:
    assert fold_events(STORY[:3]).total_bytes == 9
    assert fold_events(STORY[:9]).total_bytes == 0


@given(st.integers(0, len(STORY)))
def test_reading_on_gives_what_reading_at_once_gives(cut: int) -> None:
    assert fold_events(STORY[cut:], fold_events(STORY[:cut])) == fold_events(STORY)


def test_a_failed_run_keeps_its_steps_and_its_reason() -> None:
    state = fold_events(
        [*STORY[:7], event("failed", step=2, cause="killed", what="Killed.", do_next="Start again.")]
    )
    assert state.status == "failed"
    assert state.ended
    assert state.failure is not None
    assert state.failure["what"] == "Killed."
    assert state.failure_text == "Killed. Start again."
    assert len(state.steps) == 2


def test_a_run_taken_out_of_the_queue_has_ended() -> None:
    state = fold_events([event("queued"), event("stopped", step=0)])
    assert (state.status, state.ended, state.peak_bytes) == ("stopped", True, 0)


def test_what_a_worker_says_after_the_end_changes_nothing() -> None:
    """The command that started it was lost, and an app has closed the run's books since."""
    closed = [*STORY[:6], event("failed", step=2, cut_off=True, what="The app was closed.", do_next="Again.")]
    assert fold_events([*closed, step(3), event("finished", step=3)]) == fold_events(closed)


def test_the_time_of_a_run_begins_with_its_turn_in_the_job() -> None:
    prepared = event("status", text="Preparing the run", worker_pid=41)
    waiting = fold_events([event("queued"), prepared, event("status", text="Waiting for it", waiting=True)])
    assert (waiting.status, waiting.began_at, waiting.begun) == ("queued", None, True)
    assert fold_events([prepared | {"at": 130.0}], waiting).began_at == 130.0


def test_an_event_of_a_later_version_changes_nothing() -> None:
    assert fold_events([*STORY, event("confetti", colour="red")]) == fold_events(STORY)


@pytest.mark.parametrize(
    "damaged",
    [
        {"seconds": 0},
        {"seconds": -1.0},
        {"seconds": float("inf")},
        {"tokens": 0},
        {"grad_norm": None},
        {"shared_seconds": 0.0},
    ],
    ids=str,
)
def test_a_step_that_no_speed_or_norm_can_be_read_from_is_passed_over(damaged: dict[str, Any]) -> None:
    assert fold_events([step(1) | damaged]).steps == ()
    without_norm = {name: value for name, value in step(1).items() if name != "grad_norm"}
    assert fold_events([without_norm]).steps == ()


def test_speed_leaves_out_the_first_step_which_warms_up() -> None:
    assert fold_events([step(1, seconds=9.0)]).tokens_per_second == pytest.approx(300 / 9)
    assert fold_events([step(1, seconds=9.0), step(2), step(3)]).tokens_per_second == pytest.approx(150)
    assert RunState().tokens_per_second == 0


def test_time_left_comes_from_the_median_step_once_there_are_two() -> None:
    assert fold_events([step(1)]).estimate_seconds_left(10) is None
    steps = [step(1, seconds=9.0), step(2), step(3), step(4, seconds=60.0)]
    assert fold_events(steps).estimate_seconds_left(10) == pytest.approx(2.0 * 6)
    assert fold_events([step(n) for n in range(1, 11)]).estimate_seconds_left(10) == 0


def test_the_pace_is_the_median_step_without_the_first_one() -> None:
    assert RunState().seconds_per_step is None
    assert fold_events([step(1, seconds=9.0)]).seconds_per_step == 9.0
    assert (
        fold_events([step(1, seconds=9.0), step(2), step(3, seconds=60.0), step(4)]).seconds_per_step == 2.0
    )


def test_a_run_knows_its_sweep_its_holder_and_when_somebody_began() -> None:
    waiting = fold_events([event("queued", sweep="a-sweep", held_by="host:7")])
    assert (waiting.sweep, waiting.held_by, waiting.began_at) == ("a-sweep", "host:7", None)
    later = {"kind": "status", "at": 130.0, "text": "Starting"}
    begun = fold_events([later, later | {"at": 140.0}], waiting)
    assert begun.began_at == 130.0
    assert not fold_events([event("queued", sweep="a-sweep")], waiting).held_by, "it was taken over"


@pytest.mark.parametrize("kind", ["stopped", "failed"])
def test_a_run_that_was_cut_off_says_so(kind: str) -> None:
    assert fold_events([event(kind, step=2, cut_off=True, what="It stopped.", do_next="Go on.")]).cut_off
    assert not fold_events([event(kind, step=2)]).cut_off


def test_what_was_stopped_before_its_first_step_is_cancelled() -> None:
    begun = [event("queued"), event("status", text="Starting the worker", worker_pid=41)]
    assert fold_events([*begun, event("stopped", step=0)]).word == "cancelled"
    assert fold_events([*begun, step(1), event("stopped", step=1)]).word == "stopped"
    assert fold_events(begun).word == "starting"
