"""Runs on the Lab page: starting, watching and stopping them."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest

from lora_lab.engine.shape_jobs import ShapeJobs
from lora_lab.lab import Lab
from lora_lab.pages.train import LabPage
from lora_lab.settings.run_form import read_presets
from study.base.errors import LearnerError
from study.ports.context import Context
from study.web.frame import Reply, load_header
from study.web.security.middleware import COOKIE
from tests.lora_lab import run_builders
from tests.lora_lab.data.pairs import PAIRS, jsonl
from tests.lora_lab.pages.lab_visits import (
    LIGHT,
    Visitor,
    all_parts,
    asked,
    fields_of,
    part,
    stacked,
    uploads,
)
from tests.visits import build_event, opened, words


def test_start_puts_the_shown_setting_on_disk(ana: Visitor, lab: Lab) -> None:
    reply = ana.sends("start", replace(LIGHT, rank=3))
    [run] = lab.runs()
    assert run.spec == replace(LIGHT, rank=3)
    assert reply["say"] == "Run started."
    assert f"run={run.run_id}" in reply["url"]
    assert 'data-act="stop"' in " ".join(reply["parts"].values())


def test_who_has_started_a_run_is_not_asked_who_it_is(context: Context, ana: Visitor, lab: Lab) -> None:
    ben = Visitor(LabPage(context, lab, ask_for_cards=asked), cookies={COOKIE: "browser-of-ben"})
    context.store.profiles.add("browser-of-cyd", "Cyd", now=context.clock())
    assert "Who are you?" in load_header(context, opened("browser-of-ben"))[1]
    ben.sends("start")
    assert load_header(context, opened("browser-of-ben"))[1] == ""


def test_equal_runs_in_the_list_are_told_apart_by_their_time(ana: Visitor, lab: Lab) -> None:
    again = [run_builders.finished(lab.settings.runs_dir, after_seconds=seconds) for seconds in (0, 120)]
    listed = ana.opens("/lab").partition('id="runs"')[2]
    for run in again:
        assert f'<small class="soft">{run.started_at} · ' in listed
    assert len({run.started_at for run in again}) == 2


def test_a_run_on_own_data_is_told_from_one_on_the_apps_cards(ana: Visitor, lab: Lab) -> None:
    own = run_builders.finished(lab.settings.runs_dir)
    mine = run_builders.finished(
        lab.settings.runs_dir, replace(own.spec, data="0123456789ab"), after_seconds=60
    )
    (mine.path / "data.json").write_text('{"label": "mine.jsonl", "digest": "0123456789ab"}')
    listed = ana.opens("/lab").partition('id="runs"')[2]
    assert "seed 0 · data mine.jsonl</small>" in listed
    assert listed.count("seed 0</small>") == 1


def test_a_run_that_never_began_is_cancelled_and_not_stopped(ana: Visitor, lab: Lab) -> None:
    run = run_builders.queued(lab.settings.runs_dir)
    run.emit("stopped", step=0)
    html = ana.opens(f"/lab?run={run.run_id}")
    assert "Cancelled before its first step" in words(html)
    assert ">cancelled</td>" in html.partition('id="runs"')[2]
    assert "stopped" not in words(html).casefold()


def test_a_phone_names_every_value_of_the_list(ana: Visitor, lab: Lab) -> None:
    run_builders.finished(lab.settings.runs_dir)
    columns = ["State", "Steps", "Held-out loss", "Peak", "tokens/s"]
    assert (["Run", *columns], columns) in stacked(ana.opens("/lab"))


def test_two_pages_that_start_in_the_same_moment_make_two_runs_in_one_queue(
    context: Context, lab: Lab, ana: Visitor
) -> None:
    ben = Visitor(LabPage(context, lab, ask_for_cards=asked), cookies={COOKIE: "browser-of-ben"})
    both_ready = Barrier(2)

    def start(visitor: Visitor, rank: int) -> Reply:
        both_ready.wait()
        return visitor.sends("start", replace(LIGHT, rank=rank))

    with ThreadPoolExecutor(2) as pages:
        replies = list(pages.map(start, (ana, ben), (2, 4)))
    assert {run.spec.rank for run in lab.runs()} == {2, 4}
    assert len(lab.engine.list_waiting()) == 2
    assert len({reply["url"] for reply in replies}) == 2


def test_a_run_that_may_not_fit_asks_first_and_starts_when_told_to(ana: Visitor, lab: Lab) -> None:
    device = {"type": "cpu", "name": "CPU", "memory_bytes": 10**6, "compute_dtype": "fp32"}
    lab.home.write_worker_state(state="ready", text="", device=device)
    asked = ana.sends("start")
    assert lab.runs() == []
    assert asked["focus"] == "#confirm"
    assert "this machine has 1.00 MB" in part(asked, "confirm")
    assert 'name="sure" value="yes"' in asked["parts"]["confirm"]
    started = ana.sends("start", fields=fields_of(LIGHT, sure="yes"))
    assert [run.spec for run in lab.runs()] == [LIGHT]
    assert started["parts"]["confirm"] == ""


def test_moving_a_control_takes_the_question_back(ana: Visitor) -> None:
    assert ana.sends("change", LIGHT)["parts"]["confirm"] == ""


def test_a_run_that_fits_starts_without_a_question(ana: Visitor, lab: Lab) -> None:
    device = {"type": "cpu", "name": "CPU", "memory_bytes": 8 * 10**9, "compute_dtype": "fp32"}
    lab.home.write_worker_state(state="ready", text="", device=device)
    assert ana.sends("start")["say"] == "Run started."


def test_every_preset_says_in_how_much_memory_it_fits(ana: Visitor) -> None:
    assert words(ana.opens("/lab")).count("fits in") == len(read_presets())


def test_a_second_start_is_queued_and_says_so(ana: Visitor) -> None:
    ana.sends("start")
    reply = ana.sends("start")
    assert reply["say"] == "Run queued."
    assert "Queued: 1 run before it" in all_parts(reply)


def test_a_run_can_be_started_on_an_uploaded_file(ana: Visitor, lab: Lab) -> None:
    uploads(ana, jsonl(PAIRS))
    [(digest, _)] = lab.uploads.with_damaged()[0]
    ana.sends("start", replace(LIGHT, data=digest))
    assert lab.runs()[0].spec.data == digest
    assert (lab.runs()[0].path / "data-train.jsonl").read_text("utf-8").count("\n") == len(
        lab.uploads.find(digest).train
    )


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"model": "owner/unknown"}, "Known models: "),
        ({"data": "0123456789ab"}, "not on this machine"),
    ],
)
def test_a_start_that_cannot_be_leaves_no_run_behind(
    ana: Visitor, lab: Lab, changed: dict[str, str], problem: str
) -> None:
    with pytest.raises(LearnerError, match=problem):
        ana.sends("start", fields=fields_of(LIGHT, **changed))
    assert lab.runs() == []


def test_a_start_out_of_its_limits_is_said_once_where_the_cost_stands(ana: Visitor, lab: Lab) -> None:
    reply = ana.sends("start", fields=fields_of(LIGHT, rank="0"))
    assert "“Rank r” must be 1 to 256, got 0" in part(reply, "cost")
    assert lab.runs() == []


def test_a_start_while_the_model_is_being_read_is_answered(
    ana: Visitor, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ShapeJobs, "is_working", lambda *_, **__: True)
    spec = replace(LIGHT, model="/tmp/nope")
    said = "The configuration of /tmp/nope is still being read. Press Start again once its numbers are here."
    reply = ana.sends("start", fields=fields_of(spec, reading="yes"))
    assert part(reply, "confirm") == said
    assert 'name="reading"' in reply["parts"]["cost"]
    assert lab.runs() == []
    pressed = fields_of(spec, too_early="yes")
    assert part(ana.sends("change", fields=pressed), "confirm") == said  # each poll asks for one meanwhile
    assert part(ana.sends("change", spec), "confirm") == ""

    monkeypatch.setattr(ShapeJobs, "is_working", lambda *_, **__: False)

    reply = ana.sends("change", fields=pressed)
    assert "/tmp/nope could not be read" in part(reply, "cost")
    assert part(reply, "confirm") == ""
    assert part(ana.sends("change", fields=fields_of(LIGHT, too_early="yes")), "confirm") == ""


def test_a_press_without_its_form_is_refused(ana: Visitor) -> None:
    with pytest.raises(LearnerError, match="came without the form's values"):
        ana.sends("start", fields=None)
    with pytest.raises(LearnerError, match=r"the action 'dance'\. Reload the page"):
        ana.sends("dance")


def test_after_a_stop_the_panel_says_what_is_measured_and_shows_no_time_left(ana: Visitor, lab: Lab) -> None:
    run = run_builders.training(lab.settings.runs_dir)
    assert "time left 8 s" in words(ana.opens(f"/lab?run={run.run_id}"))
    run.ask_to_stop()
    said = words(ana.opens(f"/lab?run={run.run_id}"))
    assert "Stopping after this step" in said
    assert "time left –" in said
    run.emit("saved", step=3)
    run.emit("status", text="Measuring the held-out loss with it: 8 of 20 examples")
    said = words(ana.opens(f"/lab?run={run.run_id}"))
    assert "Measuring the held-out loss with it: 8 of 20 examples" in said
    assert "Stopped after step 3, whose adapter is saved. What is left to measure is being measured" in said
    run.emit("stopped", step=3, what="The app ended it.")
    assert "The app ended it." in words(ana.opens(f"/lab?run={run.run_id}"))


def test_a_waiting_run_can_be_taken_out_of_the_queue(ana: Visitor, lab: Lab) -> None:
    start = ana.sends("start")
    ana.opens(start["url"])
    html = " ".join(start["parts"].values())
    run_id = build_event(html, "stop")["run"]
    assert ana.sends("stop", run=run_id)["say"] == "The run was taken out of the queue."
    assert lab.engine.list_waiting() == []
    assert ana.sends("stop", run=run_id)["say"] == "The run has ended already."  # another window
    assert "Cancelled" in words(ana.opens(start["url"]))


def test_a_run_that_a_paused_queue_holds_back_says_so_and_is_let_go(ana: Visitor, lab: Lab) -> None:
    lab.engine.pause()
    ana.opens(ana.sends("start")["url"])
    reply = ana.sends("poll")
    assert "The queue is paused, and 1 run waits in it." in part(reply, "worker")
    assert build_event(reply["parts"]["worker"], "go-on")
    assert "paused" not in part(ana.sends("go-on"), "worker")
    assert not lab.engine.is_paused


def test_only_a_run_with_a_step_promises_an_adapter_when_it_is_stopped(
    ana: Visitor, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_builders.queued(lab.settings.runs_dir)
    monkeypatch.setattr(lab.engine, "stop", lambda _: run.ask_to_stop())  # as where a worker has it
    run_builders.emit_started(run)
    ana.opens(f"/lab?run={run.run_id}")
    reply = ana.sends("stop", run=run.run_id)
    assert reply["say"] == "Stopping the run."
    assert "adapter is kept" not in part(reply, "run-actions")
    run_builders.emit_step(run, 1)
    assert "Stopping after this step. The adapter is kept." in ana.sends("stop", run=run.run_id)["say"]


def test_a_running_run_shows_its_figures(ana: Visitor, lab: Lab) -> None:
    run = run_builders.training(lab.settings.runs_dir)
    ana.opens(f"/lab?run={run.run_id}")
    shown = all_parts(ana.sends("poll"))
    for figure in ("3 / 20", "3.625", "0.002", "80", "700 kB", "990 kB", "Training"):
        assert figure in shown
    html = ana.opens(f"/lab?run={run.run_id}")
    assert 'aria-valuenow="3"' in html


def test_an_open_page_draws_anew_when_a_run_ends(ana: Visitor, lab: Lab) -> None:
    run = run_builders.training(lab.settings.runs_dir)
    assert "then" not in ana.sends("poll", fields=fields_of(LIGHT, drawn="none"))
    run.emit("finished", step=3)
    assert ana.sends("poll", fields=fields_of(LIGHT, drawn="none"))["then"] == "draw"
    assert "then" not in ana.sends("poll", fields=fields_of(LIGHT, drawn=run.run_id))


def test_a_second_browser_sees_the_same_run(context: Context, ana: Visitor, lab: Lab) -> None:
    run = run_builders.training(lab.settings.runs_dir)
    ben = Visitor(
        LabPage(context, Lab(lab.settings, lab.engine), ask_for_cards=asked),
        cookies={COOKIE: "browser-of-ben"},
    )
    for visitor in (ana, ben):
        visitor.opens("/lab")
        assert "3 / 20" in all_parts(visitor.sends("poll"))
    run.emit("failed", step=3, cause="killed", what="Killed.", do_next="Start again.")
    for visitor in (ana, ben):
        assert "Killed. Start again." in all_parts(visitor.sends("poll"))


def test_runs_that_cant_be_read_are_named_and_set_aside(ana: Visitor, lab: Lab) -> None:
    whole, *damaged = (
        run_builders.finished(lab.settings.runs_dir, after_seconds=number) for number in range(3)
    )
    assert "can't be read" not in words(ana.opens("/lab"))
    for run in damaged:
        (run.path / "spec.json").write_text("null")
    shown = part(ana.sends("poll"), "runs")
    assert "2 folders can't be read" in shown
    assert all(run.run_id in shown for run in damaged)
    assert "can't be read" not in part(ana.sends("set-aside"), "runs")
    assert [run.run_id for run in lab.runs()] == [whole.run_id]
    assert all((lab.settings.home / "set-aside" / "runs" / run.run_id).is_dir() for run in damaged)
