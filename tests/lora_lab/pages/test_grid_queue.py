"""The Grid page: starting a sweep, and the queue of its cells."""

from datetime import UTC, datetime

import pytest

from lora_lab.data.datasets import build_own_dataset
from lora_lab.engine.queue import count_ahead
from lora_lab.lab import Lab
from lora_lab.pages.grid import GridPage
from lora_lab.settings.grid_form import normalize_grid, parse_grid_form, read_grid_presets
from study.base.errors import LearnerError
from study.ports.context import Context
from tests.lora_lab.pages.grid_visits import TickForm, Visitor, ids
from tests.lora_lab.pages.lab_visits import part
from tests.lora_lab.run_builders import TINY
from tests.lora_lab.sweep_builders import begin, fail, finish, finished_sweep, runs_of, sweep_of, tiny_grid
from tests.visits import words

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)


@pytest.fixture
def ana(context: Context, lab: Lab) -> Visitor:
    """A learner's browser."""
    return Visitor(GridPage(context, lab))


def test_starting_queues_every_cell_in_the_order_of_the_grid(ana: Visitor, lab: Lab) -> None:
    ana.opens("/grid")
    reply = ana.sends("start")
    sweep = lab.sweep(ana.asked["sweep"])
    assert lab.engine.list_waiting() == list(sweep.run_ids)
    assert "0 of 8 cells done" in part(reply, "sweep-head")
    assert reply["say"] == "8 cells queued."
    assert reply["focus"] == "#sweep"


def test_a_grid_says_what_it_waits_for(ana: Visitor) -> None:
    ana.opens("/grid")
    assert "waits for" not in part(ana.sends("start"), "sweep-head")
    assert "waits for 8 other runs" in part(ana.sends("start"), "sweep-head")


def test_the_run_in_progress_counts_among_those_that_a_grid_waits_for(context: Context) -> None:
    sweep = sweep_of(context.settings, tiny_grid())
    waiting = list(sweep.run_ids)
    assert count_ahead(sweep.run_ids, waiting, "another") == 1
    assert count_ahead(sweep.run_ids, ["queued", *waiting], "another") == 2
    assert count_ahead(sweep.run_ids, waiting[1:], waiting[0]) == 0
    assert count_ahead(sweep.run_ids, waiting, None) == 0


def test_a_refresh_shows_the_same_grid_and_sweep(ana: Visitor, lab: Lab) -> None:
    ana.opens("/grid")
    ana.sends("start")
    html = ana.opens(f"/grid{ana.query}")
    assert parse_grid_form(TickForm(html).values) == normalize_grid(tiny_grid())
    assert "0 of 8 cells done" in words(html)


def test_a_sweep_opens_by_its_address_with_its_own_grid_in_the_form(ana: Visitor, context: Context) -> None:
    first = finished_sweep(context.settings)
    sweep_of(context.settings, tiny_grid(ranks=[4]), after_seconds=60)
    html = ana.opens(f"/grid?sweep={first.sweep_id}")
    assert parse_grid_form(TickForm(html).values) == normalize_grid(tiny_grid())
    assert "8 of 8 cells have ended" in words(html)
    assert "Held-out loss, mean over seeds: lighter is lower" in words(html)
    assert "so far" not in words(html)


def test_changing_the_form_keeps_the_sweep_that_is_shown(ana: Visitor, context: Context) -> None:
    first = finished_sweep(context.settings)
    ana.opens(f"/grid?sweep={first.sweep_id}")
    ana.sends("change", read_grid_presets()[0].grid)
    assert ana.asked["sweep"] == first.sweep_id
    assert parse_grid_form(TickForm(ana.opens(f"/grid{ana.query}")).values) == read_grid_presets()[0].grid


def test_cells_move_up_and_down_the_queue(ana: Visitor, lab: Lab) -> None:
    ana.sends("start")
    first, second, *_, last = lab.engine.list_waiting()
    reply = ana.sends("move", run=second, by="up")
    assert lab.engine.list_waiting()[:2] == [second, first]
    assert reply["say"] == "Now number 1 in the queue."
    assert ids(reply["parts"]["sweep-table"], "move")[0] == second
    ana.sends("move", run=second, by="up")
    ana.sends("move", run=last, by="down")
    assert lab.engine.list_waiting()[0] == second
    assert lab.engine.list_waiting()[-1] == last


def test_moving_a_cell_that_has_begun_says_so(ana: Visitor) -> None:
    with pytest.raises(LearnerError, match="is no longer waiting"):
        ana.sends("move", run="20260304-100000000-tiny-random-r2-nf4-abcdef", by="up")


def test_the_queue_pauses_and_goes_on(ana: Visitor, lab: Lab) -> None:
    ana.sends("start")
    reply = ana.sends("pause")
    assert lab.engine.is_paused
    assert "Paused: 0 of 8 cells done" in part(reply, "sweep-head")
    assert "Go on" in part(reply, "sweep-head")
    assert "Pause the queue" in part(ana.sends("resume"), "sweep-head")
    assert not lab.engine.is_paused


def test_a_pause_that_outlives_its_grid_is_said_and_ended(ana: Visitor, lab: Lab) -> None:
    ana.sends("start")
    ana.sends("pause")
    assert "paused" not in part(ana.sends("poll"), "worker")  # its button stands with the grid
    ana.sends("stop-sweep", sweep=ana.asked["sweep"])
    assert "paused" not in part(ana.sends("poll"), "worker")  # nothing waits
    lab.engine.retry(lab.sweep(ana.asked["sweep"]).run_ids[0], now=NOW)
    assert "paused" not in part(ana.sends("poll"), "worker")  # the grid goes on
    lab.engine.stop(lab.engine.list_waiting()[0])
    lab.engine.submit(TINY, build_own_dataset(), now=NOW)
    reply = ana.sends("poll")
    assert "The queue is paused, and 1 run waits in it." in part(reply, "worker")
    assert ana.sends("go-on")["say"] == "The queue continues."
    assert not lab.engine.is_paused
    assert "paused" not in part(ana.sends("poll"), "worker")


def test_a_cancelled_cell_leaves_the_queue_and_can_be_tried_again(ana: Visitor, lab: Lab) -> None:
    ana.sends("start")
    first = lab.engine.list_waiting()[0]
    table = ana.sends("stop", run=first)["parts"]["sweep-table"]
    assert first not in lab.engine.list_waiting()
    assert "cancelled" in words(table)
    assert ids(table, "retry") == [first]
    ana.sends("retry", run=first)
    assert len(lab.engine.list_waiting()) == 8
    assert lab.engine.list_waiting()[-1] in lab.sweep(ana.asked["sweep"]).run_ids


def test_stopping_the_sweep_cancels_all_that_waits(ana: Visitor, lab: Lab) -> None:
    ana.sends("start")
    reply = ana.sends("stop-sweep", sweep=ana.asked["sweep"])
    assert lab.engine.list_waiting() == []
    assert "8 cancelled" in part(reply, "sweep-head")


def test_a_stopped_grid_says_how_its_cells_ended_and_is_not_shown_as_finished(
    ana: Visitor, context: Context
) -> None:
    sweep = sweep_of(context.settings)
    *finished, stopping, waiting = runs_of(context.settings, sweep)[:4]
    for run in finished:
        finish(run, 2.5)
    for run in runs_of(context.settings, sweep)[4:]:
        run.emit("stopped", step=0)
    for run in (stopping, waiting):
        begin(run)
        run.ask_to_stop()
    shown = words(ana.opens(f"/grid?sweep={sweep.sweep_id}"))
    assert "2 of 8 cells done, 4 cancelled · stops after its step" in shown
    assert " left" not in shown.partition("cells done")[2].partition("Stop the grid")[0]
    for run in (stopping, waiting):
        run.emit("stopped", step=2)
    html = ana.opens(f"/grid?sweep={sweep.sweep_id}")
    assert "2 finished, 2 stopped, 4 cancelled" in words(html)
    assert 'class="push status-finished"' not in html


def test_a_stopped_grid_goes_on_with_the_rest_at_one_press(ana: Visitor, lab: Lab, context: Context) -> None:
    sweep = sweep_of(context.settings)
    finished, failed, *cancelled = runs_of(context.settings, sweep)
    finish(finished, 2.5)
    fail(failed)
    for run in cancelled:
        run.emit("stopped", step=0)
    shown = ana.opens(f"/grid?sweep={sweep.sweep_id}")
    assert "Go on with the rest" in words(shown)
    assert 'aria-label="Retry cell 3">Retry<' in shown
    reply = ana.sends("retry-sweep", sweep=sweep.sweep_id)
    assert (reply["say"], reply["focus"]) == ("7 cells queued again.", "#sweep")
    assert lab.engine.list_waiting() == list(lab.sweep(sweep.sweep_id).run_ids[1:])
    assert "1 of 8 cells done" in part(reply, "sweep-head")
    assert "Go on with the rest" not in part(reply, "sweep-head")
    assert ana.sends("retry-sweep", sweep=sweep.sweep_id)["say"] == "0 cells queued again."


def test_a_finished_grid_has_no_rest(ana: Visitor, context: Context) -> None:
    sweep = finished_sweep(context.settings)
    assert "Go on with the rest" not in words(ana.opens(f"/grid?sweep={sweep.sweep_id}"))


def test_a_sweep_that_goes_on_is_not_deleted_and_one_that_ended_is_with_its_runs(
    ana: Visitor, lab: Lab
) -> None:
    ana.sends("start")
    sweep_id = ana.asked["sweep"]
    with pytest.raises(LearnerError, match="Stop the grid first"):
        ana.sends("delete", sweep=sweep_id)
    ana.sends("stop-sweep", sweep=sweep_id)
    reply = ana.sends("delete", sweep=sweep_id)
    assert lab.sweeps() == []
    assert lab.runs() == []
    assert "No grid has been started yet" in part(reply, "sweep-head")
    assert "sweep" not in ana.asked


def test_a_failed_cell_says_what_happened_and_what_to_do(ana: Visitor, context: Context) -> None:
    sweep = sweep_of(context.settings)
    fail(runs_of(context.settings, sweep)[0])
    shown = words(ana.opens(f"/grid?sweep={sweep.sweep_id}"))
    assert "Ran out of memory. Try a batch of 2." in shown
    assert "1 failed" in shown
