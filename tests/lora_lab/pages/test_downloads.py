"""What can be kept: plots, adapters, runs, steps; by id, never by path; a missing thing is a sentence."""

import ast
import csv
import io
import json
import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from lora_lab.lab import Lab
from lora_lab.pages.downloads import register
from lora_lab.parameters.counts import count_parameters
from lora_lab.parameters.shapes import find_shape
from lora_lab.runs.merged_model import Merged
from lora_lab.settings.grid import Grid, parse_grid
from lora_lab.settings.run_form import build_address
from lora_lab.spec import RunSpec
from study.base.settings import Settings
from tests.lora_lab import run_builders
from tests.lora_lab.data.pairs import PAIRS, jsonl
from tests.lora_lab.sweep_builders import fail, finished_sweep, runs_of, sweep_of, tiny_grid

PLOTS = ("parameters-by-rank", "memory-by-rank", "memory-by-bits")
PNG_START = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def site(lab: Lab) -> TestClient:
    """Only the download routes."""
    app = FastAPI()
    register(app, lab)
    return TestClient(app)


def table(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))


def query_of(spec: RunSpec) -> str:
    return build_address(spec).removeprefix("/lab")


# ---- plots


@pytest.mark.parametrize("name", PLOTS)
def test_each_plot_can_be_kept_as_svg_and_csv(site: TestClient, name: str) -> None:
    query = query_of(RunSpec(rank=16, steps=10, bits="nf4"))
    svg, table_file = (site.get(f"/lab/plots/{name}.{ending}{query}") for ending in ("svg", "csv"))
    assert svg.headers["content-type"] == "image/svg+xml"
    assert ElementTree.fromstring(svg.content).tag == "{http://www.w3.org/2000/svg}svg"
    assert table_file.headers["content-type"] == "text/csv; charset=utf-8"
    assert len(table(table_file.content)) > 4
    for ending, answer in (("svg", svg), ("csv", table_file)):
        assert answer.status_code == 200
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}-r16-nf4.{ending}"'


def test_a_plot_can_be_kept_as_png(site: TestClient) -> None:
    answer = site.get("/lab/plots/parameters-by-rank.png")
    assert answer.headers["content-type"] == "image/png"
    assert answer.content.startswith(PNG_START)


def test_the_csv_holds_the_exact_counts_of_the_setting(site: TestClient) -> None:
    spec = RunSpec(model="llama-3.1-8b", targets="q+v", rank=16, steps=10)
    rows = table(site.get(f"/lab/plots/parameters-by-rank.csv{query_of(spec)}").content)
    exact = count_parameters(find_shape(spec.model), rank=16, targets="q+v").trainable
    assert any(str(exact) in row.values() for row in rows)


def test_an_svg_asks_for_nothing_from_elsewhere(site: TestClient) -> None:
    svg = site.get("/lab/plots/memory-by-rank.svg").text
    assert 'href="http' not in svg
    assert "url(http" not in svg


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("/lab/plots/loss-by-hope.svg", "There is no plot named loss-by-hope."),
        ("/lab/plots/memory-by-rank.pdf", "Plots come as png, svg and csv, not as pdf."),
        ("/lab/plots/memory-by-rank.svg?model=owner/unknown", "'owner/unknown' is not in the catalogue."),
        ("/lab/plots/memory-by-rank.svg?data=0123456789ab", "That data set is not on this machine."),
    ],
)
def test_a_plot_that_cannot_be_is_a_sentence(site: TestClient, address: str, sentence: str) -> None:
    answer = site.get(address)
    assert answer.status_code == 404
    assert answer.text.startswith(sentence)
    assert answer.headers["content-type"].startswith("text/plain")


def test_a_plot_of_the_learners_own_data_is_found(site: TestClient, lab: Lab) -> None:
    spec = RunSpec(data=lab.uploads.add("mine.jsonl", jsonl(PAIRS)).digest)
    assert site.get(f"/lab/plots/memory-by-rank.csv{query_of(spec)}").status_code == 200


# ---- runs


def test_an_adapter_is_kept_as_the_folder_that_peft_loads(site: TestClient, settings: Settings) -> None:
    run = run_builders.finished(settings.runs_dir)
    answer = site.get(f"/lab/runs/{run.run_id}/adapter.zip")
    assert answer.headers["content-type"] == "application/zip"
    assert f"adapter-{run.run_id}.zip" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [
            "adapter/README.md",
            "adapter/adapter_config.json",
            "adapter/adapter_model.safetensors",
        ]
        assert archive.read("adapter/adapter_model.safetensors") == b"weights"


def test_an_adapter_names_its_base_by_the_hub_and_says_how_it_was_trained(
    site: TestClient, settings: Settings
) -> None:
    """Also one that was saved with a path of the machine that trained it."""
    run = run_builders.finished(settings.runs_dir, RunSpec(rank=4, alpha=8, bits="nf4", steps=20))
    (run.adapter_path / "adapter_config.json").write_text(
        '{"r": 4, "base_model_name_or_path": "/home/ana/m"}'
    )
    (run.adapter_path / "README.md").write_text("# Model Card for Model ID\n/home/ana/m")
    answer = site.get(f"/lab/runs/{run.run_id}/adapter.zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        config = json.loads(archive.read("adapter/adapter_config.json"))
        card = archive.read("adapter/README.md").decode()
    hub_id = "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert config == {"r": 4, "base_model_name_or_path": hub_id}
    assert card.startswith(f'---\nbase_model: "{hub_id}"\nlibrary_name: peft\n')
    assert f"# LoRA adapter of rank 4 for {hub_id}" in card
    for row in (
        "| weights | 4-bit NF4 |",
        "| rank | 4 |",
        "| alpha | 8 (scale 2) |",
        "| adapted | all linear layers |",
        "| steps | 3 of 20 |",
        "| training loss | 3.8750 at step 1, 3.6250 at step 3 |",
        "| held-out loss | 5.5000 before, 2.2500 after |",
        "| peft | 0.21.2 |",
    ):
        assert row in card.splitlines(), card
    assert "the app's own cards: " in card
    assert "rounded to 4 bits before (Q4_1" in card
    assert "/home/ana" not in card
    assert_card_asks(card, base=hub_id, opened='"adapter"')


def assert_card_asks(card: str, *, base: str, opened: str) -> None:
    """The program on a card opens the model and asks it something; it is only read here, not run."""
    [program] = re.findall(r"```python\n(.+?)```", card, re.DOTALL)
    called = {ast.unparse(node.func) for node in ast.walk(ast.parse(program)) if isinstance(node, ast.Call)}
    assert {"AutoTokenizer.from_pretrained", "tokenizer.apply_chat_template", "model.generate"} <= called
    assert f'base = "{base}"' in program
    assert opened in program


def test_a_run_is_kept_with_its_settings_steps_and_answers(site: TestClient, settings: Settings) -> None:
    run = run_builders.finished(settings.runs_dir, RunSpec(rank=4))
    answer = site.get(f"/lab/runs/{run.run_id}/run.json")
    kept = answer.json()
    assert RunSpec.from_json(json.dumps(kept["spec"])) == RunSpec(rank=4)
    assert [event["step"] for event in kept["events"] if event["kind"] == "step"] == [1, 2, 3]
    assert kept["samples"] == run.samples()
    assert answer.headers["cache-control"] == "no-store"


def test_a_run_whose_loss_is_no_number_is_still_json_for_everyone(
    site: TestClient, settings: Settings
) -> None:
    run = run_builders.training(settings.runs_dir)
    run.emit("step", step=4, loss=float("nan"), grad_norm=float("inf"), tokens=1, seconds=1.0)
    text = site.get(f"/lab/runs/{run.run_id}/run.json").text
    last = json.loads(text, parse_constant=refuse)["events"][-1]
    assert (last["loss"], last["grad_norm"]) == ("nan", "inf")


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def test_steps_are_kept_one_a_line(site: TestClient, settings: Settings) -> None:
    run = run_builders.training(settings.runs_dir, steps=5)
    rows = table(site.get(f"/lab/runs/{run.run_id}/steps.csv").content)
    assert [row["step"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert rows[0]["loss"] == "3.875"
    assert rows[0]["peak_bytes"] == "990000"
    shared = run_builders.side_by_side(settings.runs_dir, shared_by=3)
    row = table(site.get(f"/lab/runs/{shared.run_id}/steps.csv").content)[0]
    assert (row["peak_bytes"], row["group_peak_bytes"], row["shared_by"]) == ("", "1990000", "3")


@pytest.mark.parametrize("file", ["adapter.zip", "merged.zip", "run.json", "run.py", "steps.csv"])
@pytest.mark.parametrize("run_id", ["nothing", "20260304-100000000-m-r8-nf4-dq-abcdef"])
def test_a_run_that_is_not_there_is_a_sentence(site: TestClient, run_id: str, file: str) -> None:
    answer = site.get(f"/lab/runs/{run_id}/{file}")
    assert answer.status_code == 404
    assert answer.text == "There is no run with that name. Choose one from the list of runs."


@pytest.mark.parametrize("detour", ["..", "%2e%2e", "..%2f..", "%2fetc", "x%00"])
def test_a_detour_is_not_found(site: TestClient, settings: Settings, detour: str) -> None:
    (settings.home / "spec.json").write_text(RunSpec().to_json())
    assert site.get(f"/lab/runs/{detour}/run.json").status_code == 404


def test_no_address_leads_out_of_the_runs_folder(
    site: TestClient, settings: Settings, tmp_path: Path
) -> None:
    outside = run_builders.finished(tmp_path / "elsewhere")
    settings.runs_dir.mkdir()
    (settings.runs_dir / outside.run_id).symlink_to(outside.path)
    assert site.get(f"/lab/runs/{outside.run_id}/adapter.zip").status_code == 404


def test_a_run_without_an_adapter_says_so(site: TestClient, settings: Settings) -> None:
    run = run_builders.training(settings.runs_dir)
    answer = site.get(f"/lab/runs/{run.run_id}/adapter.zip")
    assert (answer.status_code, answer.text) == (404, "This run has saved no adapter.")


def test_an_adapter_without_its_configuration_is_none(site: TestClient, settings: Settings) -> None:
    run = run_builders.finished(settings.runs_dir)
    (run.adapter_path / "adapter_config.json").unlink()
    assert not run.has_adapter
    assert site.get(f"/lab/runs/{run.run_id}/adapter.zip").status_code == 404


def test_a_deleted_run_is_gone_from_here_too(site: TestClient, lab: Lab, settings: Settings) -> None:
    run = run_builders.finished(settings.runs_dir)
    assert site.get(f"/lab/runs/{run.run_id}/steps.csv").status_code == 200
    lab.delete_run(run)
    assert site.get(f"/lab/runs/{run.run_id}/steps.csv").status_code == 404


# ---- sweeps


def test_a_sweep_can_be_kept_as_csv_with_one_line_a_cell(site: TestClient, settings: Settings) -> None:
    sweep = finished_sweep(settings)
    rows = table(site.get(f"/lab/sweeps/{sweep.sweep_id}/cells.csv").content)
    assert [row["run_id"] for row in rows] == list(sweep.run_ids)
    assert {(row["bits"], row["rank"], row["seed"]) for row in rows} == {
        (bits, rank, seed) for bits in ("nf4", "bf16") for rank in ("2", "8") for seed in ("0", "1")
    }
    assert float(rows[0]["eval_loss_after"]) == 2.8


def test_a_sweep_can_be_kept_as_json_with_what_its_seeds_support(
    site: TestClient, settings: Settings
) -> None:
    sweep = finished_sweep(settings)
    kept = json.loads(site.get(f"/lab/sweeps/{sweep.sweep_id}/sweep.json").content)
    assert len(kept["cells"]) == 8
    assert kept["cells"][0]["versions"]["torch"] == "2.13.0"
    assert kept["findings"][0]["text"].startswith("r=8 ends 0.600")
    assert Grid.from_json(json.dumps(kept["grid"])) == sweep.grid


def test_the_report_is_one_file_that_needs_nothing_else(site: TestClient, settings: Settings) -> None:
    sweep = finished_sweep(settings, tiny_grid(variants=["lora", "dora"], ranks=[2, 8], seeds=[0, 1]))
    fail(runs_of(settings, sweep)[-1])
    answer = site.get(f"/lab/sweeps/{sweep.sweep_id}/report.html")
    assert answer.headers["content-type"].startswith("text/html")
    html = answer.text
    assert re.findall(r'(?:src|href)="(?!#)[^"]*"', re.sub(r"<use [^>]*>", "", html)) == []
    assert "url(http" not in html
    assert html.count("<figure>") == 4 * 2 + 1  # loss, memory, time and rank lines of each variant; one front
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    for said in (
        "2 ranks × 2 seeds × 2 variants = 8 cells",
        "r=8 ends 0.600",
        "All variants ran at one learning rate",
        "CPU, 2 threads, computing in fp32",
        "transformers</dt><dd>5.24.0",
        "learning rate</dt><dd>0.002",
        "Ran out of memory. Try a batch of 2.",
    ):
        assert said in html, said


def test_a_report_runs_nothing_that_a_name_brings(site: TestClient, settings: Settings) -> None:
    spec = RunSpec(model="<script>alert(1)</script>", steps=3)
    sweep = finished_sweep(settings, parse_grid(spec, {"ranks": [2, 8]}))
    assert "<script" not in site.get(f"/lab/sweeps/{sweep.sweep_id}/report.html").text


@pytest.mark.parametrize("name", ["grid-loss", "grid-memory", "grid-seconds", "grid-front", "grid-ranks"])
def test_each_plot_of_a_sweep_can_be_kept(site: TestClient, settings: Settings, name: str) -> None:
    address = f"/lab/sweeps/{finished_sweep(settings).sweep_id}/plots/{name}"
    assert site.get(f"{address}.png").content.startswith(PNG_START)
    assert ElementTree.fromstring(site.get(f"{address}.svg").content).tag.endswith("svg")
    assert len(table(site.get(f"{address}.csv").content)) >= 4


@pytest.mark.parametrize(
    "path",
    [
        "cells.csv",
        "sweep.json",
        "report.html",
        "plots/grid-loss.png",
    ],
)
def test_a_sweep_that_is_not_there_is_a_sentence(site: TestClient, path: str) -> None:
    answer = site.get(f"/lab/sweeps/20260304-100000000-sweep-abcdef/{path}")
    assert answer.status_code == 404
    assert "There is no sweep with that name." in answer.text


def test_a_plot_of_a_sweep_without_a_finished_cell_is_a_sentence(
    site: TestClient, settings: Settings
) -> None:
    sweep = sweep_of(settings)
    answer = site.get(f"/lab/sweeps/{sweep.sweep_id}/plots/grid-loss.png")
    assert answer.status_code == 404
    assert "no cell has finished yet" in answer.text


def test_a_run_is_kept_as_a_script(site: TestClient, settings: Settings) -> None:
    answer = site.get(f"/lab/runs/{run_builders.finished(settings.runs_dir).run_id}/run.py")
    assert answer.status_code == 200
    assert "MEASURED_LOSSES: list[float] = [\n    3.875,\n" in answer.text
    compile(answer.text, "run.py", "exec")


def test_a_merged_model_is_sent_once_there_is_one(site: TestClient, settings: Settings) -> None:
    run = run_builders.finished(settings.runs_dir)
    missing = site.get(f"/lab/runs/{run.run_id}/merged.zip")
    assert (missing.status_code, "has not been merged yet" in missing.text) == (404, True)
    merged = Merged(run)
    merged.folder.mkdir()
    (merged.folder / "model.safetensors").write_bytes(b"weights" * 1000)
    merged.state_path.write_text('{"state": "done", "text": ""}', "utf-8")
    answer = site.get(f"/lab/runs/{run.run_id}/merged.zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.read("merged/model.safetensors") == b"weights" * 1000
        card = archive.read("merged/README.md").decode()
    assert "library_name: transformers" in card
    assert_card_asks(card, base="tiny-random", opened='from_pretrained("merged")')
    assert "dequantized" in card
