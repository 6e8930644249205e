"""The Lab page's handlers as the plain functions they are: what each press changes, and what it says."""

import base64
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from html.parser import HTMLParser
from threading import Barrier
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from starlette.datastructures import QueryParams

from lora_lab.data.batches import Length
from lora_lab.data.datasets import MAX_FILE_BYTES, load_saved, own_dataset
from lora_lab.data.lab_folder import ReadExample
from lora_lab.data.machine import NumberType
from lora_lab.engine.local import LocalEngine
from lora_lab.lab import Lab
from lora_lab.memory.ledger import bits_per_param
from lora_lab.pages.train import LabPage
from lora_lab.parameters.counts import count_parameters
from lora_lab.parameters.shapes import find_shape
from lora_lab.runs import export_script, separate_files
from lora_lab.runs.merged_model import Merged
from lora_lab.runs.run_file import run_file
from lora_lab.settings.run_form import address_of, read_presets, spec_of_form
from lora_lab.spec import BITS, OWN_DATA, RANK_LIMITS, Bits, RunSpec
from lora_lab.views import run_panel
from lora_lab.views.run_panel import last_run
from study.base.errors import LearnerError
from study.base.units import as_count, as_percent
from study.ports.context import Context, Visit
from study.text.templates import render
from study.web.frame import Reply
from study.web.middleware import COOKIE
from tests import visits
from tests.lora_lab import run_builders
from tests.lora_lab.data.test_datasets import PAIRS, jsonl
from tests.visits import press, words

LIGHT = RunSpec(model="tiny-random", steps=20)


class Visitor(visits.Visitor[LabPage]):
    """One browser on the page, whose address bar stays as it was opened."""

    def sends(self, act: str, spec: RunSpec | None = None, **values: Any) -> Reply:
        event = {"act": act, "query": self.query, "fields": fields_of(spec or LIGHT)} | values
        return self.page.act(event, self)


def fields_of(spec: RunSpec, **more: str) -> dict[str, list[str]]:
    return {name: [str(value)] for name, value in (asdict(spec) | more).items()}


class Form(HTMLParser):
    """What the form in a page would send."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.values: dict[str, list[str]] = {}
        self._select = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        name, value = given.get("name"), given.get("value") or ""
        if tag == "select":
            self._select = name or ""
        elif tag == "option" and (self._select not in self.values or "selected" in given):
            self.values[self._select] = [value]
        elif (
            tag == "input" and name and (given.get("type") not in ("radio", "checkbox") or "checked" in given)
        ):
            self.values[name] = [value]


@pytest.fixture
def lab(context: Context) -> Lab:
    """A lab whose engine queues and never begins."""
    return Lab(context.settings, LocalEngine(context.settings, warm=False))


def asked(visit: Visit, concepts: tuple[str, ...], *, because: str) -> int:
    """Nobody reviews cards here."""
    return 0


@pytest.fixture
def ana(context: Context, lab: Lab) -> Visitor:
    """A learner's browser."""
    return Visitor(LabPage(context, lab, ask_for_cards=asked))


def part(reply: Reply, name: str) -> str:
    return words(reply["parts"][name])


def costs(reply: Reply) -> str:
    """What a changed control says: numbers, notes, and how they are counted."""
    return " ".join(part(reply, name) for name in ("cost", "notes", "counted"))


def all_parts(reply: Reply) -> str:
    return words(" ".join(reply["parts"].values()))


# ---- opening the page


def test_the_page_opens_with_the_demo_and_its_exact_numbers(ana: Visitor) -> None:
    shown = words(ana.opens("/lab"))
    assert "2,442,240" in shown
    assert "136,957,248" in shown
    assert "1.78 %" in shown
    assert "No runs yet" in shown


SHOWN_SPECS = [
    *(preset.spec for preset in read_presets()),
    RunSpec(model="llama-3.2-3b", bits="fp4", targets="attention", rank=3, alpha=0.5, compute_dtype="fp32"),
    RunSpec(variant="dora", optimizer="paged_adamw8bit", checkpointing=True, bits="hqq3"),
    RunSpec(learning_rate=0.00123456789, alpha=1234567.25, seed=2**32 - 1, seq_len_tokens=17, batch=64),
]


@pytest.mark.parametrize("spec", SHOWN_SPECS, ids=[address_of(spec) for spec in SHOWN_SPECS])
def test_what_the_form_shows_is_what_the_address_says(ana: Visitor, spec: RunSpec) -> None:
    assert spec_of_form(Form(ana.opens(address_of(spec))).values) == spec


def test_an_address_that_asks_for_the_impossible_still_opens_the_page(ana: Visitor) -> None:
    shown = ana.opens("/lab?rank=9999&bits=1bit&run=../../etc&from=x&to=-1&data=0123456789ab")
    assert "That data set is not on this machine." in words(shown)
    assert 'id="rank"' in shown


def test_every_preset_is_a_link_to_itself(ana: Visitor) -> None:
    html = ana.opens("/lab")
    for preset in read_presets():
        assert f'href="/lab?preset={preset.id}"' in html
        assert preset.name in words(html)


# ---- moving a control


@pytest.mark.parametrize("rank", [1, 8, 64, 256])
@pytest.mark.parametrize("targets", ["q+v", "attention", "all-linear"])
def test_moving_a_control_shows_the_exact_count_at_once(ana: Visitor, rank: int, targets: str) -> None:
    spec = RunSpec(rank=rank, targets=targets)
    exact = count_parameters(find_shape(spec.model), rank=rank, targets=targets)
    reply = ana.sends("change", spec)
    assert as_count(exact.trainable) in part(reply, "cost")
    assert as_percent(exact.percent) in part(reply, "cost")
    assert dict(parse_qsl(urlsplit(reply["url"]).query)).get("rank", "8") == str(rank)
    assert reply["then"] == "draw"


def test_a_value_out_of_its_limits_is_said_where_the_cost_stands(ana: Visitor) -> None:
    form = fields_of(LIGHT, rank="999", steps="")
    assert "steps is empty. Fill it in." in part(ana.sends("change", fields=form), "cost")
    reply = ana.sends("change", fields=fields_of(LIGHT, rank="999"))
    assert "rank must be 1 to 256, got 999." in part(reply, "cost")
    assert "url" not in reply
    assert "then" not in reply


def test_moving_a_control_keeps_the_run_that_is_shown(ana: Visitor, lab: Lab) -> None:
    run = run_builders.finished(lab.settings.runs_dir)
    ana.opens(f"/lab?run={run.run_id}&rank=4")
    assert f"run={run.run_id}" in ana.sends("change")["url"]


def test_what_the_page_knows_and_a_learner_should_is_said(ana: Visitor) -> None:
    assert "This model is untrained" in costs(ana.sends("change", LIGHT))
    assert "rounded to 4 bits once already" in costs(ana.sends("change", RunSpec(bits="bf16")))
    above = costs(ana.sends("change", RunSpec(rank=RANK_LIMITS[1])))
    assert "Rank 256 is above the width 192 of k_proj" in above


@pytest.mark.parametrize("bits", BITS)
def test_the_stored_bits_of_every_scheme_are_shown(ana: Visitor, bits: Bits) -> None:
    said = f"{bits_per_param(bits):.4g} bits each as stored"
    assert said in costs(ana.sends("change", RunSpec(bits=bits)))


def test_doras_magnitudes_are_counted_and_explained(ana: Visitor) -> None:
    spec = RunSpec(variant="dora")
    shown = costs(ana.sends("change", spec))
    shape = find_shape(spec.model)
    counted = count_parameters(shape, rank=spec.rank, targets=spec.targets, variant="dora")
    outputs = sum(linear.count * linear.d_out for linear in shape.linears)
    assert (
        counted.trainable == count_parameters(shape, rank=spec.rank, targets=spec.targets).trainable + outputs
    )
    assert as_count(counted.trainable) in shown
    assert f"30 layers × (8 × 10,176 + {outputs // 30:,})" in shown
    assert "magnitude of each output" in shown


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (RunSpec(optimizer="paged_adamw8bit"), "A CPU has no second memory to page to"),
        (RunSpec(optimizer="adamw8bit", rank=1), "8-bit AdamW saves nothing"),
        (RunSpec(optimizer="adamw8bit", rank=8), "fewer than 4,096 numbers keep their moments in 32 bits"),
        (RunSpec(bits="hqq1"), "With 1 bit a weight is off by about its own size"),
        (RunSpec(variant="rslora", rank=4), "alpha / √r = 8"),
    ],
)
def test_what_a_choice_cannot_do_is_said(ana: Visitor, spec: RunSpec, said: str) -> None:
    assert said in costs(ana.sends("change", spec))


def test_a_machine_that_is_too_small_is_named_before_the_start(ana: Visitor, lab: Lab) -> None:
    lab.home.write_worker_state(state="ready", device={"memory_bytes": 10**6, "compute_dtype": "fp32"})
    assert "this machine has 1.00 MB. Try a smaller batch" in costs(ana.sends("change", RunSpec()))


def test_drawing_gives_three_plots_and_their_numbers(ana: Visitor) -> None:
    first, more = ana.sends("draw", RunSpec(rank=16)), ana.sends("draw-more", RunSpec(rank=16))
    assert first["then"] == "draw-more"
    assert first["parts"]["plots"].count("<svg") == 2
    html = first["parts"]["plots"] + more["parts"]["plots-more"]
    names = re.findall(r'<figure class="[^"]*" id="plot-([a-z-]+)"', html)
    assert names == ["parameters-by-rank", "memory-by-rank", "memory-by-bits"]
    assert html.count("<svg") == 3
    assert (
        as_count(count_parameters(find_shape("smollm2-135m"), rank=16, targets="all-linear").trainable)
        in html
    )
    for ending in ("png", "svg", "csv"):
        assert (
            html.count(f".{ending}?steps=40&amp;rank=16") + html.count(f".{ending}?rank=16&amp;steps=40") == 3
        )


def test_a_narrow_page_gets_narrow_plots(ana: Visitor) -> None:
    wide = ana.sends("draw")["parts"]["plots"]
    narrow = ana.sends("draw", fields=fields_of(LIGHT, narrow="yes"))["parts"]["plots"]
    assert wide != narrow


def test_plots_stay_as_they_are_while_a_field_is_wrong(ana: Visitor) -> None:
    assert ana.sends("draw", fields=fields_of(LIGHT, rank="")) == {}


# ---- the learner's own data


def uploads(ana: Visitor, content: bytes, name: str = "mine.jsonl") -> Reply:
    return ana.sends("upload", name=name, content=base64.b64encode(content).decode())


def test_an_uploaded_file_is_chosen_and_counted(ana: Visitor, lab: Lab) -> None:
    reply = uploads(ana, jsonl(PAIRS))
    [(digest, label)] = lab.uploads.labels()
    dataset = lab.uploads.find(digest)
    assert reply["say"] == (
        f"{label}: {len(dataset.train)} examples to train on, {len(dataset.held_out)} held out."
    )
    assert Form(reply["parts"]["data"]).values["data"] == [digest]
    assert reply["then"] == "change"
    assert f"data={digest}" in ana.sends("change", replace(LIGHT, data=digest))["url"]


def test_the_command_for_an_uploaded_file_names_it(ana: Visitor, lab: Lab) -> None:
    uploads(ana, jsonl(PAIRS))
    [(digest, _)] = lab.uploads.labels()
    assert "--data mine.jsonl" in costs(ana.sends("change", replace(LIGHT, data=digest)))


def test_a_bad_file_names_its_lines_and_changes_nothing(ana: Visitor, lab: Lab) -> None:
    assert "line 25: not JSON" in part(uploads(ana, jsonl(PAIRS) + b"?"), "data-problem")
    assert lab.uploads.labels() == []


@pytest.mark.parametrize("content", ["eyJ*", "eyJ", "é"])
def test_a_file_that_did_not_arrive_whole_is_said(ana: Visitor, content: str) -> None:
    reply = ana.sends("upload", name="mine.jsonl", content=content)
    assert "mine.jsonl did not arrive whole. Choose it again" in part(reply, "data-problem")


def test_a_file_just_over_the_limit_gets_the_sentence_about_the_limit(ana: Visitor) -> None:
    refused = uploads(ana, b" " * (MAX_FILE_BYTES + 1))
    assert "2,000,001 bytes; the limit is 2,000,000" in part(refused, "data-problem")


def test_names_that_learners_give_are_never_markup(ana: Visitor) -> None:
    shown = uploads(ana, jsonl(PAIRS), name="<b>.jsonl")["parts"]["data"]
    assert "&lt;b&gt;.jsonl" in shown
    assert "<b>" not in shown


def test_an_exported_run_starts_again_when_it_is_imported(ana: Visitor, lab: Lab) -> None:
    first = run_builders.finished(lab.settings.runs_dir, replace(LIGHT, rank=5, seed=7))
    reply = ana.sends("import", name="run.json", content=base64.b64encode(run_file(first).encode()).decode())
    [again] = [run for run in lab.runs() if run != first]
    assert again.spec == first.spec
    assert load_saved(again.path) == load_saved(first.path)
    assert lab.engine.waiting() == [again.run_id]
    assert reply["goto"] == address_of(again.spec, run_id=again.run_id)


@pytest.mark.parametrize(("content", "said"), [(b"{}", "holds no run"), (b"PK", "is not JSON")])
def test_a_file_that_is_no_run_starts_nothing(ana: Visitor, lab: Lab, content: bytes, said: str) -> None:
    reply = ana.sends("import", name="run.json", content=base64.b64encode(content).decode())
    assert said in part(reply, "import-problem")
    assert lab.runs() == []


def test_data_that_was_read_shows_its_tokens_and_what_is_cut(ana: Visitor, lab: Lab) -> None:
    assert "has not been read with the tokenizer of tiny-random" in words(ana.opens("/lab?preset=instant"))
    digest = own_dataset().digest
    lab.home.save_lengths("tiny-random", digest, [Length(tokens=200, answer_tokens=90)] * 3)
    example = ReadExample(pieces=("<b>", "W", "!"), answer_tokens=1)
    lab.home.save_read_examples("tiny-random", digest, [example])
    html = ana.opens("/lab?preset=instant&seq_len_tokens=128")
    assert "3 of 3 examples are cut at 128 tokens" in words(html)
    assert '<span class="token masked">&lt;b&gt;</span>' in html
    assert '<span class="token trained">!</span>' in html
    assert "none of 3 examples is cut" in part(
        ana.sends("draw-more", replace(LIGHT, seq_len_tokens=256)), "seen-title"
    )


def test_a_tokenizer_that_cannot_be_had_is_said(ana: Visitor, lab: Lab) -> None:
    lab.home.save_unreadable("tiny-random", own_dataset().digest, "No such model. Check the name.")
    assert "No such model. Check the name." in words(ana.opens("/lab?preset=instant"))


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
        ({"rank": "0"}, "rank must be 1 to 256, got 0"),
        ({"data": "0123456789ab"}, "not on this machine"),
    ],
)
def test_a_start_that_cannot_be_leaves_no_run_behind(
    ana: Visitor, lab: Lab, changed: dict[str, str], problem: str
) -> None:
    with pytest.raises(LearnerError, match=problem):
        ana.sends("start", fields=fields_of(LIGHT, **changed))
    assert lab.runs() == []


def test_a_press_without_its_form_is_refused(ana: Visitor) -> None:
    with pytest.raises(LearnerError, match="came without the form"):
        ana.sends("start", fields=None)
    with pytest.raises(LearnerError, match=r"no 'dance'\. Reload the page"):
        ana.sends("dance")


def test_a_waiting_run_can_be_taken_out_of_the_queue(ana: Visitor, lab: Lab) -> None:
    start = ana.sends("start")
    ana.opens(start["url"])
    html = " ".join(start["parts"].values())
    ana.sends("stop", run=press(html, "stop")["run"])
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
    run.adapter_path.mkdir(exist_ok=True)
    html = ana.opens(f"/lab?run={run.run_id}")
    for path in ("/compare?runs=", "/xray?run=", "/microscope?model=tiny-random&amp;run="):
        assert f'href="{path}{run.run_id}"' in html


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


def test_a_run_that_no_script_covers_says_so(ana: Visitor, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        export_script.COVERED, "variant", ("lora",)
    )  # as before a new variant is in the template
    run = run_builders.finished(lab.settings.runs_dir, replace(LIGHT, variant="dora"))
    html = ana.opens(f"/lab?run={run.run_id}")
    assert "There is no plain script" in words(html)
    assert "it does not cover variant=dora." in words(html)
    assert "run.py" not in html


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


# ---- the worker


WORKER_STATES: list[tuple[dict[str, Any], str]] = [
    ({}, "The training worker starts with the first run."),
    (
        {"state": "preparing", "text": "Downloading", "done_bytes": 4 * 10**7, "total_bytes": 9 * 10**7},
        "Downloading: 40.0 MB of 90.0 MB",
    ),
    (
        {"state": "no-model", "text": "It could not be downloaded.", "do_next": "Connect to the network."},
        "It could not be downloaded. Connect to the network. Try again",
    ),
    (
        {"state": "ready", "device": run_builders.DEVICE},
        "CPU, 2 threads, 8.00 GB · computing in fp32 · no GPU found, none needed",
    ),
]


def test_a_card_that_is_not_used_is_named_with_the_line_that_mends_it(ana: Visitor, lab: Lab) -> None:
    notice = {"what": "The driver of the NVIDIA H100 is too old.", "do_next": "Update the driver."}
    lab.home.write_worker_state(state="ready", device={**run_builders.DEVICE, "notice": notice})
    shown = part(ana.sends("poll"), "worker")
    assert "The driver of the NVIDIA H100 is too old. The lab computes on the processor. Update" in shown
    assert "no GPU found" not in shown


def test_the_learner_changes_the_machines_number_type(ana: Visitor, lab: Lab) -> None:
    device = {**run_builders.DEVICE, "processor": "x86_64", "compute_dtype": "bf16"}
    lab.home.write_worker_state(state="ready", device=device)
    lab.home.save_number_type(NumberType(device="x86_64", decided="bf16", why="it has AMX instructions"))
    assert "computing in bf16, because it has AMX instructions" in part(ana.sends("poll"), "worker")

    reply = ana.sends("number-type", type="fp32")

    assert "computing in fp32, because you chose it for this machine" in part(reply, "worker")
    assert reply["then"] == "change"
    with pytest.raises(LearnerError, match="no number type int8"):
        ana.sends("number-type", type="int8")


def test_fits_uses_what_a_gpu_has_free(ana: Visitor, lab: Lab) -> None:
    device = {**run_builders.DEVICE, "type": "cuda", "memory_bytes": 8 * 10**9, "free_bytes": 10**6}
    lab.home.write_worker_state(state="ready", device=device)
    assert "and this GPU has 1.00 MB free" in all_parts(ana.sends("change"))


@pytest.mark.parametrize(("state", "shown"), WORKER_STATES)
def test_the_worker_says_what_it_is_doing(ana: Visitor, lab: Lab, state: dict[str, Any], shown: str) -> None:
    if state:
        lab.home.write_worker_state(**state)
    assert shown in part(ana.sends("poll"), "worker")


def test_a_form_that_names_no_data_means_the_apps_cards(ana: Visitor, lab: Lab) -> None:
    ana.sends("start", fields=fields_of(LIGHT, data=""))
    assert lab.runs()[0].spec.data == OWN_DATA


def test_a_poll_renders_again_only_what_changed(
    ana: Visitor, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_builders.training(lab.settings.runs_dir)
    for number in range(5):
        run_builders.queued(lab.settings.runs_dir, after_seconds=-number - 1)
    ana.opens(f"/lab?run={run.run_id}")
    first = ana.sends("poll")["parts"]
    rendered: list[str] = []

    def noted(name: str, **values: object) -> str:
        rendered.append(name)
        return render(name, **values)

    monkeypatch.setattr(run_panel, "render", noted)
    assert ana.sends("poll")["parts"] == first
    assert rendered == []
    run.emit("step", step=4, loss=1.0, learning_rate=1e-4, seconds=1.0, tokens=10, grad_norm=1.0)
    assert ana.sends("poll")["parts"] != first
    assert "lora_lab/lab/run_results.html" not in rendered
    assert "lora_lab/lab/run_curves.html" in rendered


def test_an_address_of_an_earlier_version_still_opens_its_range_of_steps() -> None:
    assert (
        run_panel.window_of({"from": "5", "to": "9"}) == run_panel.window_of({"steps_shown": "5-9"}) == (5, 9)
    )
    assert run_panel.window_of({"from": "lora-rank"}) is None


# ---- a server for learners


@dataclass
class ServerVisitor(Visitor):
    """A learner's browser on a server that other machines can reach."""

    scope: dict[str, Any] = field(default_factory=lambda: {"role": "learner", "open_lab": False})


def learner_on(ana: Visitor, browser: str = "browser-of-ben") -> ServerVisitor:
    return ServerVisitor(ana.page, cookies={COOKIE: browser})


def test_a_learner_starts_ready_experiments_and_no_others(ana: Visitor, lab: Lab) -> None:
    ben = learner_on(ana)
    assert 'id="share"' not in ana.opens("/lab")
    shown = words(ben.opens("/lab"))
    assert "you can start a ready experiment: Quick demo , A real lesson" in shown
    assert "2 may wait or be trained at a time. Learners take turns" in shown
    with pytest.raises(LearnerError, match=r"only the owner trains.*Quick demo"):
        ben.sends("start", replace(LIGHT, rank=9))
    for preset in read_presets()[:2]:
        chosen = Form(ben.opens(f"/lab?preset={preset.id}")).values
        reply = ben.page.act({"act": "start", "query": ben.query, "fields": chosen, "sure": "yes"}, ben)
        assert "run=" in reply["url"], preset.id
    with pytest.raises(LearnerError, match="2 experiments of yours"):
        ben.sends("start", read_presets()[2].spec)
    assert len(lab.engine.waiting()) == 2


def test_a_learner_stops_own_runs_only(ana: Visitor, lab: Lab) -> None:
    ben, cem = learner_on(ana), learner_on(ana, "browser-of-cem")
    ana.sends("start")
    owners = lab.engine.waiting()[0]
    ben.sends("start", read_presets()[0].spec)
    (bens,) = [run_id for run_id in lab.engine.waiting() if run_id != owners]
    for other, run_id in ((ben, owners), (cem, bens)):
        with pytest.raises(LearnerError, match="not yours"):
            other.sends("stop", run=run_id)
    ben.sends("stop", run=bens)
    assert lab.engine.waiting() == [owners]
    ana.sends("stop", run=owners)


def test_learners_take_turns_where_the_lab_is_open_to_all(ana: Visitor, lab: Lab) -> None:
    ben, cem = learner_on(ana), learner_on(ana, "browser-of-cem")
    ben.scope["open_lab"] = cem.scope["open_lab"] = True
    for learner in (ben, ben, cem):
        learner.sends("start", LIGHT)  # any setting
    whose = [lab.engine.learner_of(run_id) for run_id in lab.engine.waiting()]
    assert whose[0] == whose[2] != whose[1]


# ---- files of strangers


@pytest.mark.parametrize("act", ["upload", "import"])
def test_a_file_is_read_in_a_process_of_its_own(
    ana: Visitor, act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(reader: Any, name: str, content: bytes) -> Any:
        raise LearnerError(f"{reader.__name__} of {name}: {len(content)} bytes.", do_next="Nowhere else.")

    monkeypatch.setattr(separate_files, "read_apart", refuse)
    reply = ana.sends(act, name="mine.jsonl", content=base64.b64encode(jsonl(PAIRS)).decode())
    said = words("".join(reply["parts"].values()))
    assert f"of mine.jsonl: {len(jsonl(PAIRS))} bytes" in said


def test_what_a_reading_process_gives_is_checked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(separate_files, "read_apart", lambda *_: {"label": "x", "train": 5})
    with pytest.raises(LearnerError, match="did not come back whole"):
        separate_files.read_upload_apart("mine.jsonl", b"")
