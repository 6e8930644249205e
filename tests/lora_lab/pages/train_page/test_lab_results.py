"""The run in the form's place on the Lab page: what it means, what it leads to, and earlier runs."""

import json
import os
import re
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest
from starlette.datastructures import QueryParams

from lora_lab.lab import Lab
from lora_lab.memory.frameworks.forecast import CONTEXT_BYTES, RESERVED_SHARE
from lora_lab.parameters.counts import count_parameters
from lora_lab.parameters.shapes import find_shape
from lora_lab.runs.merged_model import Merged
from lora_lab.spec import RunSpec
from lora_lab.views import run_panel
from study.base.errors import LearnerError
from study.base.units import as_bytes, as_count
from study.ports.context import Context
from tests.lora_lab import run_builders
from tests.lora_lab.pages.lab_visits import LIGHT, Form, Visitor, fields_of
from tests.visits import build_event, primary, words

GPU_FIGURES = {"requested": 1_080_000, "allocated": 1_090_000, "reserved": 2_000_000, "device": 402_000_000}


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


def test_a_run_in_the_forms_place_is_drawn_for_a_phone_before_the_charts_below(
    ana: Visitor, lab: Lab
) -> None:
    run = run_builders.finished(lab.settings.runs_dir)
    wide = ana.opens(f"/lab?run={run.run_id}")
    for rank in ("4", ""):  # the run doesn't wait for a form that is right
        drawn = ana.sends("draw", fields=fields_of(LIGHT, narrow="yes", rank=rank))["parts"]["run-curves"]
        assert 'viewBox="0 0 358 ' in drawn
        assert 'viewBox="0 0 358 ' not in wide
    ana.opens("/lab")
    assert "run-curves" not in ana.sends("draw")["parts"], "the slider's answer is as short as it can be"


def test_starting_swaps_form_and_run(ana: Visitor) -> None:
    assert stage_of(ana.sends("start")["parts"]["stage"]) == "run"


def test_above_the_form_a_run_that_goes_on_elsewhere_can_be_watched(ana: Visitor, lab: Lab) -> None:
    run = run_builders.training(lab.settings.runs_dir)
    html = ana.opens("/lab?preset=instant")
    assert "step 3 of 20. Watch it" in words(html)
    assert f"run={run.run_id}" in html


def test_above_the_form_a_run_that_is_measured_is_said_to_have_trained(ana: Visitor, lab: Lab) -> None:
    run = run_builders.training(lab.settings.runs_dir)
    run.emit("status", text="Measuring the held-out loss without the adapter: 8 of 56 examples")
    said = words(ana.opens("/lab?preset=instant"))
    assert "has trained 3 of its 20 steps and is now measuring the held-out loss without the" in said
    assert "step 3 of 20" not in said
    for number in range(4, 21):
        run_builders.emit_step(run, number, live_bytes=700_000, peak_bytes=990_000)
    run.emit("status", text="Saving")
    assert "has trained its 20 steps and is now saving. Watch it" in words(ana.opens("/lab?preset=instant"))


def test_a_finished_run_says_what_it_means_and_sets_up_the_next_one(ana: Visitor, lab: Lab) -> None:
    spec = replace(LIGHT, model="smollm2-135m", steps=3)
    run = run_builders.finished(lab.settings.runs_dir, spec)
    html = ana.opens(f"/lab?run={run.run_id}")
    said = words(html)
    assert "After 3 steps it predicts the next word of the answers on the app's cards much better" in said
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
    assert f'href="/compare?runs={run.run_id}#ask">Ask this model</a>' in html
    assert "This run as a Python script This run as JSON" in words(html)


def test_a_run_started_from_a_concept_marks_its_mode_try_as_done(ana: Visitor, context: Context) -> None:
    ana.opens("/lab?from=lora-rank")
    ana.sends("change", RunSpec(rank=3))
    profile = context.store.profiles.open_for_browser("browser-of-ana", now=context.clock()).id
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


@pytest.mark.parametrize(("tokens", "said"), [(39, "had not come"), (40, "may not have come")])
def test_a_run_that_ended_early_says_that_the_computed_peak_is_for_a_batch_to_come(
    ana: Visitor, lab: Lab, tokens: int, said: str
) -> None:
    run = run_builders.queued(lab.settings.runs_dir)
    run_builders.emit_started(run, predicted_bytes=1_005_000)
    run_builders.emit_step(run, 1, tokens=tokens, live_bytes=700_000, peak_bytes=990_000)
    run.emit("stopped", step=1)
    assert (
        "measured 990 kB, computed 1.00 MB for the heaviest of its 20 planned batches, "
        f"which {said} when the run ended after step 1." in words(ana.opens(f"/lab?run={run.run_id}"))
    )


@pytest.mark.parametrize("ending", ["finished", "stopped"])
def test_a_peak_without_moments_says_that_the_heaviest_batch_came_first(
    ana: Visitor, lab: Lab, ending: str
) -> None:
    run = run_builders.queued(lab.settings.runs_dir)
    predicted = run_builders.PREDICTED | {"optimizer": 1_000_000}
    run_builders.emit_started(run, predicted_bytes=1_990_000, predicted=predicted)
    run_builders.emit_step(run, 1, tokens=40, live_bytes=700_000, peak_bytes=990_000)
    run_builders.emit_step(run, 2, tokens=39, live_bytes=700_000, peak_bytes=990_000)
    run.emit(ending, step=2)
    assert (
        "measured 990 kB, computed 1.99 MB: 1.00 MB less, because the heaviest batch came first, "
        "before the optimizer had its moments." in words(ana.opens(f"/lab?run={run.run_id}"))
    )


@pytest.mark.parametrize("ending", ["finished", "stopped"])
def test_a_peak_as_computed_is_the_same_to_the_byte(ana: Visitor, lab: Lab, ending: str) -> None:
    run = run_builders.queued(lab.settings.runs_dir)
    run_builders.emit_started(run, predicted_bytes=990_000)
    run_builders.emit_step(run, 1, live_bytes=700_000, peak_bytes=990_000)
    run.emit(ending, step=1)
    shown = words(ana.opens(f"/lab?run={run.run_id}"))
    assert "measured 990 kB, computed 990 kB: the same to the byte." in shown


def test_a_failed_run_says_what_happened_and_what_to_try(ana: Visitor, lab: Lab) -> None:
    run = run_builders.failed(lab.settings.runs_dir)
    shown = words(ana.opens(f"/lab?run={run.run_id}"))
    assert "The process was killed. Start again." in shown
    assert f"/lab/runs/{run.run_id}/adapter.zip" not in shown


def test_a_failed_run_that_may_go_well_is_started_again_by_a_button(ana: Visitor, lab: Lab) -> None:
    run = run_builders.failed(lab.settings.runs_dir)
    html = str(ana.sends("poll", query=f"?run={run.run_id}")["parts"]["run-outcome"])
    assert primary(html) == ["Start the same settings again"]
    reply = ana.page.act(build_event(html, "again"), ana)
    (fresh,) = lab.engine.list_waiting()
    assert lab.run(fresh).spec == run.spec
    assert f"run={fresh}" in reply["goto"]


def test_a_failed_run_that_would_fail_again_has_no_such_button(ana: Visitor, lab: Lab) -> None:
    run = run_builders.training(lab.settings.runs_dir)
    run.emit("failed", step=3, cause="non-finite", what="Not a number.", do_next="Lower the learning rate.")
    assert 'data-act="again"' not in ana.opens(f"/lab?run={run.run_id}")


def test_a_run_that_may_not_fit_is_not_started_again_before_it_is_confirmed(ana: Visitor, lab: Lab) -> None:
    run = run_builders.failed(lab.settings.runs_dir)
    device = {**run_builders.DEVICE, "memory_bytes": 1000}
    lab.home.write_worker_state(state="ready", device=device)
    assert ana.sends("again", run=run.run_id)["goto"] == "/lab?model=tiny-random&steps=20"
    assert lab.engine.list_waiting() == []


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


def test_deleting_another_run_keeps_the_one_that_is_shown(ana: Visitor, lab: Lab) -> None:
    shown, other, _ = (run_builders.finished(lab.settings.runs_dir, after_seconds=at) for at in (0, 1, 2))
    ana.opens(f"/lab?run={shown.run_id}")
    assert f"run={shown.run_id}" in ana.sends("delete", run=other.run_id)["url"]


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


def test_each_figure_of_a_gpus_memory_stands_beside_what_is_computed_for_it(ana: Visitor, lab: Lab) -> None:
    """Workspaces, the allocator's rest and the context have rows of their own."""
    run = run_builders.training(lab.settings.runs_dir)
    run.emit("gpu_memory", **GPU_FIGURES, workspaces=80_000, predicted_workspaces=90_000)
    run.emit("finished", step=3)
    tensors = sum(run_builders.PREDICTED.values())
    reserved = tensors + 90_000 + round(RESERVED_SHARE * (tensors + 90_000))
    assert run_panel.list_gpu_rows(run.state()) == [
        ("asked for by tensors", tensors, 1_000_000),
        ("workspaces of the matrix products", 90_000, 80_000),
        ("both, in blocks of 512 bytes", tensors + 90_000, 1_090_000),
        ("reserved by PyTorch", reserved, 2_000_000),
        ("CUDA’s context and libraries, and other programs", CONTEXT_BYTES, 400_000_000),
        ("in use on the device, by every program", reserved + CONTEXT_BYTES, 402_000_000),
    ]
    html = ana.opens(f"/lab?run={run.run_id}")
    assert "Memory of the GPU at that peak: 402 MB in use" in html
    assert f"<td>{as_bytes(90_000)}</td><td>{as_bytes(80_000)}</td>" in html


def test_without_a_prediction_of_its_workspaces_a_gpus_memory_is_computed_with_the_measured_ones(
    lab: Lab,
) -> None:
    """On a GPU whose products aren't cuBLAS', and in the runs of earlier versions."""
    run = run_builders.training(lab.settings.runs_dir)
    run.emit("gpu_memory", **GPU_FIGURES, workspaces=80_000)
    tensors = sum(run_builders.PREDICTED.values())
    rows = {name: computed for name, computed, _ in run_panel.list_gpu_rows(run.state())}
    assert rows["workspaces of the matrix products"] is None
    assert rows["both, in blocks of 512 bytes"] == tensors + 80_000
