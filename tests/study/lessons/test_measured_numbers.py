"""A lesson that repeats a measured number reads it from the measurement, or its document has the number."""

import json
import re
from pathlib import Path

import pytest

import lora_lab.quantities  # noqa: F401 - registers what lessons read
from lora_lab import measurements
from lora_lab.spec import BITS_LABELS, Bits
from study.base.yaml_loader import load_yaml
from study.content.concepts import load_concepts
from study.lessons.lesson_text import LessonText, collect_terms
from study.text.computed_text import PLACEHOLDER, fill_numbers

ROOT = Path(__file__).parents[3]
LESSONS = sorted((ROOT / "study" / "lessons").glob("*.yaml"))
MEASURED = ("rank_", "bits_loss", "bits_cpu")
DOCUMENT = re.compile(r"docs/[\w/-]+\.(?:md|json)")
REFERENCE = re.compile(r"arXiv:\S+|docs/traps\.md \d+(?: and \d+)?")
NUMBER = re.compile(r"(?<![\w.,])\d[\d,]*(?:\.\d+)?(?:e-?\d+)?(?!\w)")
ELSEWHERE = {
    "svd-truncation": {"61.95", "6.91", "3.57", "0.32"},  # table 7 of the LoRA paper
    "double-quantization": {"1,000"},  # litgpt's iterations
    "quantization-landscape": {"3.25"},  # the speed-up that arXiv:2210.17323 measures on an A100
}


def run_of(lesson: Path) -> str:
    """Return the paragraph about a real run, without references."""
    metrics = load_yaml(lesson.read_text("utf-8"))["metrics"]
    return " ".join(str(metrics.get("run", "")).split())


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_numbers_repeated_from_a_document_stand_in_it(lesson: Path) -> None:
    run = run_of(lesson)
    documents = set(DOCUMENT.findall(run))
    said = " ".join((ROOT / name).read_text("utf-8") for name in sorted(documents))
    written = NUMBER.findall(PLACEHOLDER.sub("", REFERENCE.sub("", run))) if documents else []
    exact = {number for number in written if len(re.sub(r"\D", "", number)) >= 3}
    assert {number for number in exact if number not in said} <= ELSEWHERE.get(lesson.stem, set())


def test_no_lesson_writes_a_loss_or_peak_of_the_kept_runs_by_hand() -> None:
    kept = set()
    for rank in (1, 8, 64):
        kept |= {f"{measurements.rank_loss(rank, of):.3f}" for of in ("mean", "lowest", "highest")}
        kept |= {f"{measurements.rank_peak_bytes(rank) / 1e6:.0f} MB"}
    kept.add(f"{measurements.rank_loss_before():.3f}")
    found = {
        (lesson.stem, number)
        for lesson in LESSONS
        for number in kept
        if number in PLACEHOLDER.sub("", lesson.read_text("utf-8"))
    }
    assert found == set()


def test_a_reader_is_told_that_a_number_was_measured() -> None:
    text = LessonText(collect_terms(load_concepts()), "lora-rank")
    assert "measured: held-out loss of the kept runs at this rank" in text.render_prose(
        "[[rank_loss rank=8|3]]"
    )
    assert "computed here: α / r" in text.render_prose("[[lora_scaling alpha=16 rank=8|0]]")


def test_the_lesson_about_the_rank_names_the_setting_of_its_runs() -> None:
    kept = json.loads(measurements.RANKS.read_text("utf-8"))
    [setting] = {
        (cell["spec"]["batch"], cell["spec"]["alpha"], cell["spec"]["bits"]) for cell in kept["cells"]
    }
    assert setting == (measurements.rank_setting("batch"), measurements.rank_setting("alpha"), "nf4-dq")
    run = fill_numbers(run_of(ROOT / "study" / "lessons" / "lora-rank.yaml"))
    assert f"alpha {setting[1]:.0f}, batch {setting[0]} and a base in NF4 with double quantization" in run


def test_fifteen_lessons_and_more_read_their_numbers_from_a_measurement() -> None:
    reading = {
        lesson.stem
        for lesson in LESSONS
        for call in PLACEHOLDER.finditer(lesson.read_text("utf-8"))
        if call["call"].startswith(MEASURED)
    }
    assert len(reading) >= 15


@pytest.mark.parametrize("bits", BITS_LABELS)
def test_the_table_of_bit_widths_has_a_row_for_each(bits: Bits) -> None:
    page = measurements.BIT_WIDTHS.read_text("utf-8")
    [row] = [line for line in page.splitlines() if line.startswith(f"| {BITS_LABELS[bits]} |")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert f"{measurements.bits_cpu_seconds(bits):.2f}" == cells[4]
    assert f"{measurements.bits_loss(bits, 'before'):.3f}" == cells[5]
    assert f"{measurements.bits_loss(bits, 'after'):.3f}" == cells[6]


def test_a_lesson_that_quotes_a_measured_peak_names_the_number_type_of_the_runs() -> None:
    cells = json.loads(measurements.RANKS.read_text("utf-8"))["cells"]
    (compute,) = {cell["compute"] for cell in cells}
    quoting = [run for run in map(run_of, LESSONS) if "[[rank_peak_bytes" in run]
    assert len(quoting) == 5
    assert [run for run in quoting if compute not in run] == []
