"""Recorded runs: each shows its fault, every text is about the run, and the repair is a run of the lab."""

import json
import re
from pathlib import Path

import pytest

from lora_lab.charts.live_chart import NARROW
from lora_lab.settings.run_form import build_address
from lora_lab.spec import RunSpec
from lora_lab.tasks.reading import read_run_tasks
from lora_lab.tasks.recordings import FOLDER, HEALTHY, read_recording
from lora_lab.tasks.run_charts import render_charts
from quizzes.bank.misconceptions import load_misconceptions
from study.content.concepts import load_concepts
from study.content.yaml_reader import ContentError
from study.plots.sheet import measure_text_width
from study.text.markup import to_html

RUNS = read_run_tasks()
PARAMETERS_R8 = 2_442_240


@pytest.mark.parametrize("task_id", RUNS)
def test_the_recording_shows_the_fault(task_id: str) -> None:
    task = RUNS[task_id]
    for evidence in task.evidence:
        assert evidence.holds(task.run, task.healthy), (
            evidence.fact,
            task.run.facts[evidence.fact],
            task.healthy.facts[evidence.fact],
        )


def test_the_run_without_a_fault_shows_none_of_them() -> None:
    healthy = read_recording(HEALTHY)
    for task in RUNS.values():
        if task.compared == HEALTHY:
            assert not all(evidence.holds(healthy, healthy) for evidence in task.evidence), task.id


def test_every_recording_is_a_whole_run_with_its_provenance() -> None:
    for path in FOLDER.glob("*.json"):
        run = read_recording(path.stem)
        assert [step["step"] for step in run.steps] == list(range(1, run.spec.steps + 1))
        assert run.held_out[0][0] == 0
        assert run.held_out[-1][0] == run.spec.steps
        assert run.values["provenance"]["command"] == f"python -m lora_lab.worker.record.runs {path.stem}"
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", run.values["provenance"]["date"])
        assert path.stat().st_size < 30_000


def test_equal_settings_begin_at_the_same_held_out_loss() -> None:
    healthy = read_recording(HEALTHY)
    assert healthy.facts["trainable"] == PARAMETERS_R8
    for name in ("rate-high", "rate-low", "alpha-tiny"):
        assert read_recording(name).facts["held_out_first"] == healthy.facts["held_out_first"]


def test_concepts_and_misconceptions_exist() -> None:
    concepts, known = load_concepts().by_id, {each.id for each in load_misconceptions()}
    for task in RUNS.values():
        assert set(task.concepts) <= set(concepts), task.id
        assert {option.misconception for option in task.options} <= known | {""}, task.id


def test_texts_are_filled_with_facts_and_the_address_gives_nothing_away() -> None:
    for task in RUNS.values():
        for text in (task.story, task.repair, task.keep, *(option.feedback for option in task.options)):
            filled = task.fill(text)
            assert "{" not in filled
            to_html(filled)
        assert task.recording not in task.id


@pytest.mark.parametrize("task_id", RUNS)
def test_a_chart_ends_at_the_number_that_the_text_calls_the_end(task_id: str) -> None:
    task = RUNS[task_id]
    charts = {title: (wide, narrow) for title, wide, narrow in render_charts(task)}
    for title, fact in (("Training loss", "loss_end"), ("Gradient norm before clipping", "grad_norm_end")):
        for drawn in charts[title]:
            shown = re.search(r"this run ([\d.]+) at step", drawn)
            assert shown, title
            assert float(shown[1]) == pytest.approx(task.run.facts[fact], abs=0.005), title


def test_a_repair_is_a_setting_of_the_lab() -> None:
    for task in RUNS.values():
        assert isinstance(task.spec, RunSpec)
        assert build_address(task.spec).startswith("/lab")


def test_the_log_prints_what_was_recorded() -> None:
    run = read_recording(HEALTHY)
    log = "\n".join(run.log)
    assert f"trainable params: {PARAMETERS_R8:,} || all params: 136,957,248 || trainable%: 1.7832" in log
    assert f"loss {run.steps[-1]['loss']:.3f}" in log
    raw = json.loads((FOLDER / f"{HEALTHY}.json").read_text("utf-8"))
    assert f"{raw['data']['trained_tokens']:,} of {raw['data']['tokens']:,} tokens have a label" in log


def test_all_problems_of_the_file_are_reported_at_once(tmp_path: Path) -> None:
    text = """
- id: broken
  name: Broken
  level: beginner
  concepts: [lora-rank]
  story: s
  recording: nothing
  options:
    - {id: a, text: a, right: true, feedback: f, misconception: leaks}
    - {id: b, text: b, feedback: f}
  repair: r
  lab: {rank: 0}
  evidence: [{fact: loss_end}]
  keep: k
"""
    path = tmp_path / "runs.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(ContentError) as raised:
        read_run_tasks(path)
    for part in (
        "there is no recording 'nothing'",
        "needs 3 to 6 options",
        "names a misconception",
        "`lab`: rank must be 1 to 256",
        "needs `at_least` or `at_most`",
    ):
        assert part in str(raised.value)


def test_every_recording_is_read_by_a_task() -> None:
    used = {name for task in RUNS.values() for name in (task.recording, task.compared)}
    assert used == {path.stem for path in FOLDER.glob("*.json")}
    assert len(RUNS) >= 15


def test_what_a_chart_shows_is_not_cut_off_where_it_is_narrow() -> None:
    for _, _, narrow in render_charts(next(iter(RUNS.values()))):
        [label, *_] = re.findall(r"<text[^>]*>([^<]+)</text>", str(narrow))
        assert measure_text_width(label, size=13) <= NARROW
