"""The Memory page: what it shows, what moving a control changes, and the files it offers."""

import csv
import html
import io
import json
import re
import shlex
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from lora_lab.cli.contracts import answer_memory
from lora_lab.engine.shape_reader import ShapeReader
from lora_lab.lab import Lab
from lora_lab.pages.downloads import register
from lora_lab.pages.memory import MemoryPage
from lora_lab.papers.published_memory import read_published_memory
from lora_lab.parameters.shapes import find_shape
from lora_lab.spec import TINY_MODEL
from lora_lab.views import search_entries
from lora_lab.views.memory_form import CHOICES, DEFAULTS, build_contract_record, group_models, list_models
from study.base.errors import LearnerError
from study.base.units import as_bytes
from tests.lora_lab import run_builders
from tests.lora_lab.memory_fields import complete
from tests.visits import opened, words


def changed(lab: Lab, *, act: str = "change", **fields: str) -> dict[str, Any]:
    event = {"act": act, "fields": {name: [value] for name, value in (DEFAULTS | fields).items()}}
    return dict(MemoryPage(lab).act(event, opened("ana")))


def shown(lab: Lab, query: dict[str, str] | None = None) -> str:
    request = opened("ana")
    request.query_params = query or {}
    return str(MemoryPage(lab).load(request))


def test_the_page_shows_a_ledger_what_fits_and_every_published_row(lab: Lab) -> None:
    text = words(shown(lab))
    for heading in (
        "Fits in 24 GB with",
        "Where the memory goes",
        "What fits",
        "others measured",
        "machine measured",
    ):
        assert heading in text
    for row in read_published_memory():
        assert row.id in text
        assert f"{row.error_percent:+.1f} %" in text


def test_a_share_below_a_tenth_of_a_percent_has_no_digits(lab: Lab) -> None:
    text = words(shown(lab))
    assert re.search(r"scratch 10\.5 MB under 0\.1 %", text)


def test_what_is_shown_is_what_the_command_line_answers(lab: Lab) -> None:
    fields = complete({"model": "llama-2-7b", "bits": "nf4", "seq_len": "777", "framework": "litgpt"})
    answer = answer_memory(build_contract_record(fields), ShapeReader())
    part = changed(lab, **fields)["parts"]["ledger"]
    assert as_bytes(answer["bytes"]) in words(part)
    assert all(as_bytes(size) in words(part) for size in answer["components"].values() if size)


def test_the_address_keeps_the_setting(lab: Lab) -> None:
    reply = changed(lab, model="gpt2", rank="4")
    assert reply["url"] == "/memory?model=gpt2&rank=4"
    again = shown(lab, {"model": "gpt2", "rank": "4"})
    assert '<option value="gpt2" selected>' in again
    assert 'name="rank" min="1" max="1024" step="1" value="4"' in again
    assert changed(lab)["then"] == "draw"
    assert changed(lab, act="draw")["then"] == "table"


@pytest.mark.parametrize("name", CHOICES)
def test_every_choice_has_a_ledger_or_says_why_not(lab: Lab, name: str) -> None:
    for value, _ in CHOICES[name]:
        parts = changed(lab, model="smollm2-135m", **{name: value})["parts"]
        part = words(parts["verdict"] + parts["ledger"])
        assert "at the peak of a step" in part or "can't be trained" in part


def test_a_larger_gpu_fits_a_larger_batch(lab: Lab) -> None:
    small, large = (changed(lab, act="table", gpu=size)["parts"]["fits"] for size in ("8", "80"))
    assert "in one step on 8 GB" in words(small)
    assert small.count("<td>no</td>") > large.count("<td>no</td>")


def test_every_wrong_field_has_its_own_sentence_beside_it_until_it_is_corrected(lab: Lab) -> None:
    parts = changed(lab, rank="0", batch="x")["parts"]
    assert "“Rank r” must be a whole number from 1 to 1,024, got '0'." in words(parts["rank-problem"])
    assert "“Batch, sequences” must be a whole number from 1 to 1,024, got 'x'." in words(
        parts["batch-problem"]
    )
    assert (parts["seq_len-problem"], parts["model-problem"]) == ("", "")
    said = "“Rank r” and “Batch, sequences” need corrections. What is wrong stands beside each marked field."
    assert words(parts["verdict"]) == said
    parts = changed(lab, rank="", seq_len="1e9")["parts"]
    assert "“Rank r” must be a whole number from 1 to 1,024, and it is empty." in words(parts["rank-problem"])
    assert "“Context, tokens” must be a whole number from 1 to 131,072, got '1e9'." in words(
        parts["seq_len-problem"]
    )
    assert parts["batch-problem"] == ""
    parts = changed(lab)["parts"]
    assert {parts[f"{name}-problem"] for name in ("model", "rank", "seq_len", "batch")} == {""}


def test_the_place_for_what_is_wrong_with_a_field_describes_that_field(lab: Lab) -> None:
    page = shown(lab)
    for name in ("model", "rank", "seq_len", "batch"):
        assert f'id="{name}-problem" data-part="{name}-problem" data-problem-of="{name}"></span>' in page
        [control] = re.findall(rf'<(?:input|select)[^>]* id="{name}"[^>]*>', page)
        assert f'aria-describedby="{name}-problem"' in control


def test_an_address_that_asks_for_the_impossible_still_opens(lab: Lab) -> None:
    page = shown(lab, {"rank": "-3", "model": "../../etc", "gpu": "9", "seq_len": "77"})
    assert "Where the memory goes" in page
    assert "The model '../../etc' is not known here; the page Models adds one." in words(page)
    assert "“Rank r” must be a whole number from 1 to 1,024, got '-3'." in words(page)
    assert 'name="seq_len" min="1" max="131072" step="1" value="77"' in page
    assert "is not known here" not in words(shown(lab))
    assert "“Rank r” must be a whole number from 1 to 1,024" in words(shown(lab, {"rank": "9" * 5000}))


def test_a_model_of_the_catalogue_that_the_list_lacks_is_refused_by_name(lab: Lab) -> None:
    page = shown(lab, {"model": "bert-base", "rank": "8"})
    assert "This page does not compute the memory of the model 'bert-base'." in words(page)
    assert f'<option value="{DEFAULTS["model"]}" selected>' in page
    assert "'bert-base'" in words(changed(lab, model="bert-base")["parts"]["model-problem"])


def test_a_search_leads_only_to_models_that_the_page_offers() -> None:
    offered = {shape.name for shape in list_models()}
    addresses = [entry.address for entry in search_entries.list_models()]
    assert len(addresses) == len(offered)
    assert {parse_qs(urlsplit(address).query)["model"][0] for address in addresses} == offered


def test_the_learners_own_models_come_first_and_are_computed(lab: Lab) -> None:
    lab.home.save_shape(replace(find_shape("llama-3.2-1b"), name="me/mine", hub_id="me/mine"))
    page = shown(lab, {"model": "me/mine"})
    assert '<optgroup label="yours"><option value="me/mine" selected>' in page
    assert words(page).count("1,247,086,592") == words(shown(lab, {"model": "llama-3.2-1b"})).count(
        "1,247,086,592"
    )
    (mine, catalogue) = (
        words(changed(lab, model=each)["parts"]["verdict"]) for each in ("me/mine", "llama-3.2-1b")
    )
    assert mine == catalogue
    assert "tokens per sequence" in words(changed(lab, act="draw", model="me/mine")["parts"]["advice"])


def test_the_command_line_of_a_model_with_an_apostrophe_is_quoted_for_the_shell(lab: Lab) -> None:
    lab.home.save_shape(replace(find_shape("llama-3.2-1b"), name="me/it's", hub_id="me/it's"))
    page = shown(lab, {"model": "me/it's"})
    [command] = re.findall(r"<code>(echo .*?)</code>", page)
    written, _, _ = shlex.split(html.unescape(command))[1:4]
    assert json.loads(written)["model"] == "me/it's"


def test_the_framework_is_in_view_and_what_is_folded_opens_on_a_change(lab: Lab) -> None:
    task = shown(lab, {"framework": "trl SFTTrainer"})
    main, _, folded = task.partition('<details class="more"')
    assert '<option value="trl SFTTrainer" selected>' in main
    assert folded.startswith(">")
    assert (
        shown(lab, {"loss": "chunked cross-entropy"})
        .partition('<details class="more"')[2]
        .startswith(" open>")
    )


def test_the_page_says_what_a_card_counts_as_and_where_cudas_share_comes_from(lab: Lab) -> None:
    said = words(shown(lab, {"gpu": "24"}))
    assert "The 13.4 GB that it needs: what the allocator reserves" in said
    assert "PyTorch sees 25.4 GB of this GPU: 24 GiB = 25.8 GB, less what the driver keeps." in said
    assert "A GPU of 24 GB is counted with the 23.64 GiB that PyTorch reports for the RTX 4090" in said
    assert "calibrated by them on an RTX 5070 Ti" in said


def test_the_table_of_models_follows_the_form(lab: Lab) -> None:
    table = words(changed(lab, act="table", gpu="12", framework="trl SFTTrainer")["parts"]["fits"])
    assert "trl's SFTTrainer up to 0.25, LoRA on all linear layers, r = 16, AdamW" in table
    row = table.partition("llama-3.1-8b")[2].split()
    assert row[1] != "no"
    full = words(changed(lab, act="table", bits="bf16", method="full")["parts"]["fits"])
    assert "full fine-tuning, AdamW" in full
    assert "—" in full.partition("llama-3.1-8b")[2][:40]


def test_the_tables_legend_explains_the_signs_that_it_has(lab: Lab) -> None:
    lora = words(changed(lab, act="table", gpu="24")["parts"]["fits"])
    assert "“no”: not even one sequence fits." in lora
    assert "not computed" not in lora
    assert "—" not in lora
    full = words(changed(lab, act="table", bits="bf16", method="full")["parts"]["fits"])
    assert "“no”: not even one sequence fits. “—”: not computed." in full


def test_models_are_in_order_of_size(lab: Lab) -> None:
    groups = dict(group_models())
    assert list(groups) == ["About 1B to 73B", "Over 73B", "Under 1B"], "the groups are named in the menu"
    assert sum(map(len, groups.values())) == len(list_models()), "every model, once"
    for group in (*groups.values(), list_models()):
        sizes = [shape.total_parameters for shape in group]
        assert sizes == sorted(sizes)
    table = changed(lab, act="table", gpu="24")["parts"]["fits"]
    rows = re.findall(r'<th scope="row"><a href="([^"]+)">([^<]+)</a></th>', table)
    listed = [shape.name for group in groups.values() for shape in group if shape.name != TINY_MODEL]
    assert [name for _, name in rows] == listed, "the table has the groups of the menu"
    assert all(f"model={name}" in address or name == DEFAULTS["model"] for address, name in rows)
    assert re.findall(r'scope="rowgroup"[^>]*>([^<]+)<', table) == [f"{size} parameters" for size in groups]


def test_the_framework_of_ones_own_is_named_plainly(lab: Lab) -> None:
    assert ">your own training loop with PEFT</option>" in shown(lab)


def test_where_nothing_that_was_tried_fits_the_page_says_so(lab: Lab) -> None:
    advice = words(changed(lab, act="draw", model="llama-3.1-70b", gpu="12")["parts"]["advice"])
    assert "None of the changes that were tried makes it fit, alone or together" in advice
    joint = words(changed(lab, act="draw", model="qwen3-14b", gpu="12")["parts"]["advice"])
    assert re.search(r"these do together: Unsloth: frees \d\.\d\d GB the loss in chunks", joint)
    assert re.search(r"then it needs 12\.\d GB, and \d+\.?\d* \w+ are left", joint)


def test_full_fine_tuning_of_quantized_weights_is_refused_with_a_way_out(lab: Lab) -> None:
    assert "Choose LoRA, or 16 or 32 bits" in words(changed(lab, method="full")["parts"]["verdict"])


def test_an_unknown_press_is_answered_in_words(lab: Lab) -> None:
    with pytest.raises(LearnerError, match="Reload the page"):
        MemoryPage(lab).act({"act": "explode"}, opened("ana"))


def test_published_rows_download_as_csv(lab: Lab) -> None:
    rows = downloaded(lab, "/lab/memory/published.csv")
    assert [row["id"] for row in rows] == [row.id for row in read_published_memory()]
    assert json.loads(rows[0]["setting"])["model"] == "llama-3.2-3b"


def test_runs_of_this_machine_are_listed_and_download_as_csv(lab: Lab) -> None:
    made = run_builders.finished(lab.settings.runs_dir)
    (measured,) = lab.list_measured_peaks()
    assert as_bytes(measured.peak_bytes) in words(shown(lab))
    (row,) = downloaded(lab, "/lab/memory/measured.csv")
    assert row["run"] == made.run_id
    assert int(row["measured_bytes"]) == measured.peak_bytes


def test_without_runs_there_is_no_file_of_them(lab: Lab) -> None:
    assert client(lab).get("/lab/memory/measured.csv").status_code == 404


def client(lab: Lab) -> TestClient:
    site = FastAPI()
    register(site, lab)
    return TestClient(site)


def downloaded(lab: Lab, address: str) -> list[dict[str, str]]:
    answer = client(lab).get(address)
    assert answer.status_code == 200
    return list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))


def test_a_setting_that_does_not_fit_links_to_forms_that_do(lab: Lab) -> None:
    reply = changed(lab, gpu="12", batch="4")
    assert "Does not fit in 12 GB" in words(reply["parts"]["verdict"])
    advice = changed(lab, act="draw", gpu="12", batch="4")["parts"]["advice"]
    assert "make" in words(advice)
    address = html.unescape(re.findall(r'href="([^"]+)"', advice)[0])
    again = words(shown(lab, dict(parse_qsl(urlsplit(address).query))))
    assert "Fits in 12 GB" in again


def test_a_setting_that_fits_says_how_long_a_text_may_be(lab: Lab) -> None:
    advice = words(changed(lab, act="draw")["parts"]["advice"])
    assert "The longest context that fits here:" in advice
    assert "Longer, with changes that hardly affect the result Unsloth : " in advice


def test_a_gpu_that_was_found_is_chosen_unless_the_address_names_one(lab: Lab) -> None:
    device = {"type": "cuda", "name": "Some GPU", "memory_bytes": 16 * 10**9, "compute_dtype": "bf16"}
    lab.home.write_worker_state(state="ready", device=device)
    assert "Fits in 16 GB" in words(shown(lab))
    assert "Fits in 24 GB" in words(shown(lab, {"gpu": "24"}))


def test_models_begin_at_the_sizes_that_people_ask_for(lab: Lab) -> None:
    page = shown(lab)
    offered = re.findall(
        r'<option value="([^"]+)"', page.partition('id="model"')[2].partition("</select>")[0]
    )
    first = find_shape(offered[0])
    assert first.total_parameters > 0.9e9
    assert {"llama-3.1-8b", "llama-3.1-70b", "tiny-random"} <= set(offered)


def test_the_weights_of_other_recipes_are_explained(lab: Lab) -> None:
    said = words(shown(lab))
    assert "Weights are 7.69 GB in recipes that call prepare_model_for_kbit_training" in said
    assert "hold 5.59 GB, 2.10 GB less" in said


def test_a_new_setting_takes_the_advice_of_the_one_before_away_at_once(lab: Lab) -> None:
    advice = words(changed(lab, gpu="8", batch="4")["parts"]["advice"])
    assert advice.strip() == "Computing the longest context, or what would make it fit …"


def test_the_place_of_the_advice_says_from_the_start_that_it_is_computed(lab: Lab) -> None:
    assert "Computing the longest context, or what would make it fit …" in words(shown(lab))


def test_the_verdict_says_of_which_size_pytorch_sees_what_it_sees(lab: Lab) -> None:
    """24 GB on a box are 24 GiB: more GB than the box says are free otherwise."""
    said = words(changed(lab)["parts"]["verdict"])
    assert "PyTorch sees 25.4 GB of its 25.8 GB (24 GiB)" in said
