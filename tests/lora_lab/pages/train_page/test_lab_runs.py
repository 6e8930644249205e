"""Runs on the Lab page: starting, watching and stopping them, and what they lead to."""

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from urllib.parse import parse_qsl, urlsplit

import pytest
from starlette.datastructures import QueryParams

from lora_lab.lab import Lab
from lora_lab.pages.train import LabPage
from lora_lab.parameters.counts import count_parameters
from lora_lab.parameters.shapes import find_shape
from lora_lab.runs.merged_model import Merged
from lora_lab.settings.run_form import read_presets
from lora_lab.spec import RunSpec
from lora_lab.views.run_panel import last_run
from study.base.errors import LearnerError
from study.base.units import as_count
from study.ports.context import Context
from study.web.frame import Reply
from study.web.security.middleware import COOKIE
from tests.lora_lab import run_builders
from tests.lora_lab.data.pairs import PAIRS, jsonl
from tests.lora_lab.pages.lab_visits import LIGHT, Form, Visitor, all_parts, asked, fields_of, part, uploads
from tests.visits import build_event, words

# ---- starting, watching, stopping


def test_start_puts_the_shown_setting_on_disk(ana: Visitor, lab: Lab) -> None:
    reply = ana.sends("start", replace(LIGHT, rank=3))
    [run] = lab.runs()
    assert run.spec == replace(LIGHT, rank=3)
    assert reply["say"] == "Run started."
    assert f"run={run.run_id}" in reply["url"]
    assert 'data-act="stop"' in " ".join(reply["parts"].values())


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
    assert len(lab.engine.waiting()) == 2
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
    [(digest, _)] = lab.uploads.labels()
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
    assert "rank must be 1 to 256, got 0" in part(reply, "cost")
    assert lab.runs() == []


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
    ana.sends("stop", run=build_event(html, "stop")["run"])
    assert lab.engine.waiting() == []
    assert "Stopped" in words(ana.opens(start["url"]))


def test_a_running_run_shows_its_figures(ana: Visitor, lab: Lab) -> None:
    run = run_builders.training(lab.settings.runs_dir)
    ana.opens(f"/lab?run={run.run_id}")
    shown = all_parts(ana.sends("poll"))
    for figure in ("3 / 20", "3.625", "2.0e-03", "80", "700 kB", "990 kB", "Training"):
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


# ---- the run in the form's place, and what it leads to


def stage_of(html: str) -> str:
    found = re.search(r'data-stage="([a-z]+)"', html)
    assert found
    return found[1]


def test_a_run_in_the_address_takes_the_forms_place_and_a_failed_one_stands_above_it(
    ana: Visitor, lab: Lab
) -> None:
    assert stage_of(ana.opens("/lab")) == "setup"
    run = run_builders.training(lab.settings.runs_dir)
    html = ana.opens(f"/lab?run={run.run_id}")
    assert stage_of(html) == "run"
    assert 'href="/lab?model=tiny-random&amp;steps=20">Set up another</a>' in html
    ended = run_builders.finished(lab.settings.runs_dir, after_seconds=1)
    assert stage_of(ana.opens(f"/lab?run={ended.run_id}")) == "run"
    failed = run_builders.failed(lab.settings.runs_dir, after_seconds=2)
    assert stage_of(ana.opens(f"/lab?run={failed.run_id}")) == "failed"


def test_starting_swaps_form_and_run(ana: Visitor) -> None:
    assert stage_of(ana.sends("start")["parts"]["stage"]) == "run"


def test_above_the_form_a_run_that_goes_on_elsewhere_can_be_watched(ana: Visitor, lab: Lab) -> None:
    run = run_builders.training(lab.settings.runs_dir)
    html = ana.opens("/lab?preset=instant")
    assert "step 3 of 20. Watch it" in words(html)
    assert f"run={run.run_id}" in html


def test_a_finished_run_says_what_it_means_and_sets_up_the_next_one(ana: Visitor, lab: Lab) -> None:
    spec = replace(LIGHT, model="smollm2-135m", steps=3)
    run = run_builders.finished(lab.settings.runs_dir, spec)
    html = ana.opens(f"/lab?run={run.run_id}")
    assert "After 3 steps it predicts the next word of your cards' answers much better" in words(html)
    assert "Now rank 1, same seed: what do you expect?" in words(html)
    [address] = re.findall(r'id="next-experiment" href="([^"]+)"', html)
    following = ana.opens(address.replace("&amp;", "&"))
    values = Form(following).values
    assert (values["rank"], values["alpha"], values["rival"]) == (["1"], ["2"], [run.run_id])
    assert values["predicting"] == ["yes"]
    exact = count_parameters(find_shape("smollm2-135m"), rank=1, targets="all-linear")
    assert as_count(exact.trainable) not in words(following)  # hidden until it is guessed


def test_results_lead_to_their_views(ana: Visitor, lab: Lab) -> None:
    run = run_builders.finished(lab.settings.runs_dir)
    html = ana.opens(f"/lab?run={run.run_id}")
    for path in ("/compare?runs=", "/xray?run=", "/microscope?model=tiny-random&amp;run="):
        assert f'href="{path}{run.run_id}"' in html


def test_a_run_started_from_a_concept_marks_its_mode_try_as_done(ana: Visitor, context: Context) -> None:
    ana.opens("/lab?from=lora-rank")
    ana.sends("change", RunSpec(rank=3))
    profile = context.store.profiles.of_browser("browser-of-ana", now=context.clock()).id
    assert context.store.lessons.marks(profile) == []
    ana.sends("start")
    assert [(m.concept_id, m.mode, m.mark) for m in context.store.lessons.marks(profile)] == [
        ("lora-rank", "try", "done")
    ]
    ana.opens("/lab?from=no-concept")
    ana.sends("start")
    assert len(context.store.lessons.marks(profile)) == 1


def test_the_way_back_to_a_concept_stays_in_the_address(ana: Visitor, lab: Lab) -> None:
    html = ana.opens("/lab?from=lora-rank")
    assert "You came from Rank" in words(html)
    assert 'href="/concept?id=lora-rank"' in html
    assert "from=lora-rank" in ana.sends("change", RunSpec(rank=3))["url"]
    assert "from=lora-rank" in ana.sends("start")["url"]


# ---- after a run


def test_a_finished_run_shows_answers_losses_and_downloads(ana: Visitor, lab: Lab) -> None:
    run = run_builders.finished(lab.settings.runs_dir)
    html = ana.opens(f"/lab?run={run.run_id}")
    shown = words(html)
    for text in (
        "Finished",
        "What is W?",
        "Frozen.",
        "The frozen weight.",
        "5.50 → 2.25",
        "3 cut to",
        "peft",
    ):
        assert text in shown
    assert "&lt;b&gt;W&lt;/b&gt;" in html
    for file in ("adapter.zip", "run.json", "run.py", "steps.csv"):
        assert f"/lab/runs/{run.run_id}/{file}" in html


def test_a_run_that_shared_its_steps_shows_the_peak_of_all_as_that(ana: Visitor, lab: Lab) -> None:
    run = run_builders.side_by_side(lab.settings.runs_dir)
    html = ana.opens(f"/lab?run={run.run_id}")
    shown = words(html)
    assert "measured 1.99 MB for 3 runs side by side, computed 2.00 MB; for this one alone, computed" in shown
    assert "Memory of 3 runs side by side" in html


def test_a_failed_run_says_what_happened_and_what_to_try(ana: Visitor, lab: Lab) -> None:
    run = run_builders.failed(lab.settings.runs_dir)
    shown = words(ana.opens(f"/lab?run={run.run_id}"))
    assert "The process was killed. Start again." in shown
    assert f"/lab/runs/{run.run_id}/adapter.zip" not in shown


def test_runs_are_listed_newest_first_and_open_again(ana: Visitor, lab: Lab) -> None:
    old = run_builders.finished(lab.settings.runs_dir, replace(LIGHT, rank=2))
    new = run_builders.failed(lab.settings.runs_dir, replace(LIGHT, rank=3), after_seconds=1)
    html = ana.opens("/lab")
    listed = re.findall(r'id="tick-([^"]+)"', html)
    assert listed == [new.run_id, old.run_id]
    assert "2 nf4-dq on" in words(ana.opens(f"/lab?run={old.run_id}")).partition("Run r=")[2][:40]


def test_without_a_run_in_the_address_the_newest_is_shown(ana: Visitor, lab: Lab) -> None:
    run_builders.finished(lab.settings.runs_dir, replace(LIGHT, rank=2))
    run_builders.finished(lab.settings.runs_dir, replace(LIGHT, rank=5), after_seconds=1)
    assert "5 nf4-dq" in words(ana.opens("/lab")).partition("Run r=")[2][:40]


def test_a_run_is_deleted_once_it_has_ended(ana: Visitor, lab: Lab) -> None:
    going = run_builders.training(lab.settings.runs_dir)
    ended = run_builders.finished(lab.settings.runs_dir, after_seconds=1)
    with pytest.raises(LearnerError, match=r"has not ended\. Stop it first"):
        ana.sends("delete", run=going.run_id)
    ana.opens(f"/lab?run={ended.run_id}")
    reply = ana.sends("delete", run=ended.run_id)
    assert reply["say"] == "Run deleted."
    assert ended.run_id not in reply["url"] + " ".join(reply["parts"].values())
    assert lab.runs() == [going]


@pytest.mark.parametrize("run_id", ["../runs", "", "/etc", "nothing"])
def test_nothing_but_a_run_can_be_deleted_or_stopped(ana: Visitor, run_id: str) -> None:
    for act in ("delete", "stop"):
        with pytest.raises(LearnerError, match="There is no run with that name"):
            ana.sends(act, run=run_id)


def test_a_merged_model_is_offered_shown_at_work_and_kept(ana: Visitor, lab: Lab) -> None:
    run = run_builders.finished(lab.settings.runs_dir)
    address, merged = f"/lab?run={run.run_id}", Merged(run)
    assert 'data-act="merge"' in ana.opens(address)
    merged.state_path.write_text(json.dumps({"state": "working", "text": "Saving", "pid": os.getpid()}))
    assert "Merging base and adapter into one model: Saving" in words(ana.opens(address))
    merged.folder.mkdir()
    merged.state_path.write_text('{"state": "done"}')
    html = ana.opens(address)
    assert str(merged.folder) in html
    assert f"/lab/runs/{run.run_id}/merged.zip" in html
    merged.state_path.write_text('{"state": "failed", "text": "There was not enough memory."}')
    html = ana.opens(address)
    assert "There was not enough memory." in html
    assert 'data-act="merge"' in html


def test_ticked_runs_are_compared_on_their_own_page(ana: Visitor, lab: Lab) -> None:
    ids = [run_builders.finished(lab.settings.runs_dir, after_seconds=at).run_id for at in (0, 1)]
    assert ana.sends("compare", fields={"runs": ids}) == {"goto": f"/compare?runs={ids[0]},{ids[1]}"}


def test_zooming_is_kept_in_the_address_and_comes_back(ana: Visitor, lab: Lab) -> None:
    run = run_builders.finished(lab.settings.runs_dir, steps=20)
    setting = {"run": run.run_id, "preset": "a b&c=d"}
    ana.opens(f"/lab?{QueryParams(setting)}")
    reply = ana.sends("zoom", direction="in")
    query = dict(parse_qsl(urlsplit(reply["url"]).query))
    assert query == setting | {"steps_shown": "10-20"}
    assert "zoom-all" in ana.opens(reply["url"])
    back = ana.sends("zoom", direction="all")
    assert dict(parse_qsl(urlsplit(back["url"]).query)) == setting


@pytest.mark.parametrize(
    "directions", ["in in in in", "in earlier earlier earlier", "in later", "in out out", "out"]
)
def test_no_zoom_leaves_the_run(ana: Visitor, lab: Lab, directions: str) -> None:
    run = run_builders.finished(lab.settings.runs_dir, steps=20)
    address = f"/lab?run={run.run_id}"
    for direction in directions.split():
        ana.opens(address)
        address = ana.sends("zoom", direction=direction)["url"]
        query = dict(parse_qsl(urlsplit(address).query))
        first, last = query.get("steps_shown", "1-20").split("-")
        assert 1 <= int(first) < int(last) <= 20


def test_a_run_kept_by_an_earlier_version_does_not_close_the_page(ana: Visitor, lab: Lab) -> None:
    run = run_builders.finished(lab.settings.runs_dir)
    old = run_builders.finished(lab.settings.runs_dir, after_seconds=1)
    (old.path / "spec.json").write_text('{"epochs": 3}')
    assert re.findall(r'id="tick-([^"]+)"', ana.opens("/lab")) == [run.run_id]


def test_today_shows_the_newest_run_that_was_evaluated(lab: Lab) -> None:
    assert last_run(lab) is None
    run_builders.finished(lab.settings.runs_dir, replace(LIGHT, rank=2))
    run_builders.failed(lab.settings.runs_dir, after_seconds=1)
    line = last_run(lab)
    assert line is not None
    assert "r=2 nf4-dq on" in words(line)
    assert "5.50 → 2.25" in words(line)


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
