"""The Lab page's handlers as the plain functions they are: what each press changes, and what it says."""

import base64
import re
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from lora_lab.data.batches import Length
from lora_lab.data.datasets import MAX_FILE_BYTES, MAX_PAIRS, build_own_dataset, load_saved
from lora_lab.data.lab_folder import ReadExample
from lora_lab.lab import Lab
from lora_lab.memory.ledger import bits_per_param
from lora_lab.pages import form_fields
from lora_lab.parameters.counts import count_parameters
from lora_lab.parameters.shapes import find_shape
from lora_lab.runs import folder
from lora_lab.runs.run_file import MAX_RUN_FILE_BYTES, run_file
from lora_lab.settings.run_form import build_address, parse_spec_form, read_presets
from lora_lab.spec import BITS, OWN_DATA, RANK_LIMITS, Bits, RunSpec
from lora_lab.views import run_panel
from study.base.units import as_count, as_percent
from study.text.templates import render
from tests.lora_lab import run_builders
from tests.lora_lab.data.pairs import PAIRS, jsonl
from tests.lora_lab.pages.lab_visits import LIGHT, Form, Visitor, all_parts, costs, fields_of, part, uploads
from tests.visits import words

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


@pytest.mark.parametrize("spec", SHOWN_SPECS, ids=[build_address(spec) for spec in SHOWN_SPECS])
def test_what_the_form_shows_is_what_the_address_says(ana: Visitor, spec: RunSpec) -> None:
    assert parse_spec_form(Form(ana.opens(build_address(spec))).values) == spec


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


@pytest.mark.parametrize(
    ("name", "wanted"), [("model", "hub id of a model"), ("targets", "names of modules")]
)
def test_a_text_field_that_was_just_opened_asks_for_its_text_and_blames_nobody(
    ana: Visitor, name: str, wanted: str
) -> None:
    opened = fields_of(LIGHT, **{name: "other", f"{name}_other": " "})
    reply = ana.sends("change", fields=opened)
    assert wanted in part(reply, "cost")
    assert "is empty" not in part(reply, "cost")
    assert "url" not in reply


def test_a_value_out_of_its_limits_is_said_where_the_cost_stands(ana: Visitor) -> None:
    form = fields_of(LIGHT, rank="999", steps="")
    assert "“Steps” is empty. Enter a value." in part(ana.sends("change", fields=form), "cost")
    form = fields_of(LIGHT, rank="", steps="", seq_len_tokens="")
    said = part(ana.sends("change", fields=form), "cost")
    assert "“Rank r”, “Steps” and “length, tokens” are empty. Enter a value for each." in said
    reply = ana.sends("change", fields=fields_of(LIGHT, rank="999"))
    said = part(reply, "cost")
    assert "“Rank r” must be 1 to 256, got 999. Set “Rank r” to a whole number from 1 to 256" in said
    assert "url" not in reply
    assert "then" not in reply
    far = ana.sends("change", fields=fields_of(LIGHT, seq_len_tokens="5000"))
    assert "“length, tokens” must be 16 to 4,096, got 5,000." in part(far, "cost")


def test_a_message_names_a_setting_as_the_form_does(ana: Visitor) -> None:
    """Its words are those of the label or legend that stands right before its control."""
    page = ana.opens("/lab")
    for name, label in form_fields.LABELS.items():
        before, _, after = page.partition(f' name="{name}"')
        words_of = rf'<(?:label|legend)[^<]*>\s*{re.escape(label)}\b|aria-label="{re.escape(label)}"'
        assert re.search(words_of, before[-1200:] + after.partition(">")[0]), name


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


def test_an_uploaded_file_is_chosen_and_counted(ana: Visitor, lab: Lab) -> None:
    reply = uploads(ana, jsonl(PAIRS))
    [(digest, label)] = lab.uploads.with_damaged()[0]
    dataset = lab.uploads.find(digest)
    assert reply["say"] == (
        f"{label}: {len(dataset.train)} examples to train on, {len(dataset.held_out)} held out."
    )
    assert Form(reply["parts"]["data"]).values["data"] == [digest]
    assert reply["then"] == "change"
    assert f"data={digest}" in ana.sends("change", replace(LIGHT, data=digest))["url"]


def test_the_command_for_an_uploaded_file_names_it(ana: Visitor, lab: Lab) -> None:
    uploads(ana, jsonl(PAIRS))
    [(digest, _)] = lab.uploads.with_damaged()[0]
    assert "--data mine.jsonl" in costs(ana.sends("change", replace(LIGHT, data=digest)))


def test_a_bad_file_names_its_lines_and_changes_nothing(ana: Visitor, lab: Lab) -> None:
    assert "line 25: not JSON" in part(uploads(ana, jsonl(PAIRS) + b"?"), "data-problem")
    assert lab.uploads.with_damaged()[0] == []


@pytest.mark.parametrize("content", ["eyJ*", "eyJ", "é"])
def test_a_file_that_did_not_arrive_whole_is_said(ana: Visitor, content: str) -> None:
    reply = ana.sends("upload", name="mine.jsonl", content=content)
    assert "mine.jsonl did not arrive whole. Choose it again" in part(reply, "data-problem")


def test_a_file_just_over_the_limit_gets_the_sentence_about_the_limit(ana: Visitor) -> None:
    refused = uploads(ana, b" " * (MAX_FILE_BYTES + 1))
    assert "2,000,001 bytes; the limit is 2,000,000" in part(refused, "data-problem")


def test_the_page_states_its_limits_and_sends_every_file_within_them(ana: Visitor) -> None:
    html = ana.opens("/lab")
    sent = dict(re.findall(r'data-upload="(\w+)" data-limit="(\d+)"', html))
    assert sent == {"upload": str(MAX_FILE_BYTES), "import": str(MAX_RUN_FILE_BYTES)}
    shown = words(html)
    assert f"at most {MAX_FILE_BYTES / 1e6:g} MB and {MAX_PAIRS:,} lines" in shown
    assert f"at most {MAX_RUN_FILE_BYTES / 1e6:g} MB: the same run starts here" in shown
    whole = b" " * MAX_RUN_FILE_BYTES
    reply = ana.sends("import", name="run.json", content=base64.b64encode(whole).decode())
    assert "is not JSON" in part(reply, "import-problem")  # it has been read


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
    assert lab.engine.list_waiting() == [again.run_id]
    assert reply["goto"] == build_address(again.spec, run_id=again.run_id)


@pytest.mark.parametrize(("content", "said"), [(b"{}", "There is no run in"), (b"PK", "is not JSON")])
def test_a_file_that_is_no_run_starts_nothing(ana: Visitor, lab: Lab, content: bytes, said: str) -> None:
    reply = ana.sends("import", name="run.json", content=base64.b64encode(content).decode())
    assert said in part(reply, "import-problem")
    assert lab.runs() == []


def test_data_that_was_read_shows_its_tokens_and_what_is_cut(ana: Visitor, lab: Lab) -> None:
    assert "has not been read with the tokenizer of tiny-random" in words(ana.opens("/lab?preset=instant"))
    digest = build_own_dataset().digest
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
    lab.home.save_unreadable("tiny-random", build_own_dataset().digest, "No such model. Check the name.")
    assert "No such model. Check the name." in words(ana.opens("/lab?preset=instant"))


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
    monkeypatch.setattr(folder, "_STATES", folder._States())  # runs of other tests would push these out
    run = run_builders.training(lab.settings.runs_dir)
    for number in range(5):
        run_builders.queued(lab.settings.runs_dir, after_seconds=-number - 1)
    ana.opens(f"/lab?run={run.run_id}")
    first = ana.sends("poll")["parts"]
    assert any("each step trains on different examples" in html for html in first.values())
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


def test_an_address_opens_its_range_of_steps() -> None:
    assert run_panel.parse_window({"steps_shown": "5-9"}) == (5, 9)
    assert run_panel.parse_window({"from": "lora-rank"}) is None
    assert run_panel.parse_window({"steps_shown": f"5-{'9' * 5000}"}) is None
