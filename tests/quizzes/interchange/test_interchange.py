"""Questions to and from Moodle XML, GIFT and tables, and to jupyterquiz."""

import csv
import io
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lora_lab.quantities  # noqa: F401 - registers what a `check:` may name
from quizzes.bank.bank import load_bank
from quizzes.interchange.entry import QuestionEntry, QuestionReading, WrittenFile, to_entries
from quizzes.interchange.exchange import QuestionExchange, build_question_exchange
from quizzes.interchange.gift import read_gift, write_gift
from quizzes.interchange.jupyterquiz import write_jupyterquiz
from quizzes.interchange.moodle_xml import KEPT, read_moodle_xml, write_moodle_xml
from quizzes.interchange.table import read_table, write_table
from study.base.errors import LearnerError
from study.content.concepts import ConceptMap
from study.io.exchange import File
from study.text.html_import import to_html

Way = tuple[Callable[..., WrittenFile], Callable[[File], QuestionReading], str]
WAYS: dict[str, Way] = {
    "gift": (write_gift, read_gift, "mine.gift"),
    "moodle-xml": (write_moodle_xml, read_moodle_xml, "mine.xml"),
    "csv": (write_table, read_table, "mine.csv"),
}

# What makes the formats stumble: their own signs, LaTeX that looks like an escape, formulas of spreadsheets.
PIECES = st.sampled_from(
    ["~", "=", "#", "{", "}", ":", "\\", "\\n", "\\nabla", "$\\frac{a}{b} \\neq 1$", "`a=1`", "<b>",
     "]]>", "&amp;", "->", "//", "%50%", "::", "[html]", "T", "=1+1", "'", "-2", '"', ",", "é", "word", " "]
)  # fmt: skip
TEXTS = st.lists(PIECES, min_size=1, max_size=6).map("".join).map(str.strip).filter(bool)


def question(stem: str, right: str, wrong: str, feedback: str, keep: str, *, several: bool) -> QuestionEntry:
    options: list[dict[str, Any]] = [
        {"text": f"r {right}", "correct": True, "feedback": f"f {feedback}"},
        {"text": f"w {wrong}", "feedback": f"g {feedback}"},
        {"text": "third"},
    ]
    if several:
        options[2]["correct"] = True
    fields: dict[str, Any] = {
        "id": "q",
        "kind": "multiple" if several else "single",
        "stem": f"s {stem}",
        "options": options,
    }
    return QuestionEntry(
        topic="A/B: C", fields={**fields, "keep": f"k {keep}", "concepts": [], "level": "beginner"}
    )


@pytest.mark.parametrize("way", WAYS)
def test_every_question_of_the_app_comes_back_as_it_was(way: str, concepts: ConceptMap) -> None:
    write, read, name = WAYS[way]
    entries = to_entries(load_bank(concepts))
    written = write(entries)
    reading = read(File(name=name, content=written.text.encode()))
    expected = [entry for entry in entries if entry not in written.left_out]
    assert list(reading.entries) == expected
    assert len(written.left_out) < 10
    assert reading.rejected == ()


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=40)
@given(stem=TEXTS, right=TEXTS, wrong=TEXTS, feedback=TEXTS, keep=TEXTS, several=st.booleans())
def test_any_text_survives_in_our_own_file(
    way: str, stem: str, right: str, wrong: str, feedback: str, keep: str, several: bool
) -> None:
    write, read, name = WAYS[way]
    entry = question(stem, right, wrong, feedback, keep, several=several)
    [back] = read(File(name=name, content=write([entry]).text.encode())).entries
    assert back == entry


@pytest.mark.parametrize("way", ["gift", "moodle-xml"])
@settings(max_examples=60)
@given(stem=TEXTS, right=TEXTS, wrong=TEXTS, feedback=TEXTS, keep=TEXTS, several=st.booleans())
def test_any_text_survives_the_form_that_other_programs_see(
    way: str, stem: str, right: str, wrong: str, feedback: str, keep: str, several: bool
) -> None:
    write, read, name = WAYS[way]
    entry = question(stem, right, wrong, feedback, keep, several=several)
    [back] = read(File(name=name, content=without_ours(write([entry]).text).encode())).entries
    assert shown(back) == shown(entry)
    assert (back.topic, back.id, back.kind) == (entry.topic, "q", entry.kind)


def test_gift_escapes_what_moodle_would_take_for_signs() -> None:
    entry = question("$\\nabla = {x}$", "50% ~ a:b", "c#d", "e", "f", several=False)
    text = without_ours(write_gift([entry]).text)
    assert "\\\\(\\\\nabla \\= \\{x\\}\\\\)" in text
    assert "=r 50% \\~ a\\:b#f e " in text
    assert "\n\n" not in text.strip().partition("\n\n")[2]


def test_a_gift_file_of_another_program_becomes_questions_of_ours() -> None:
    text = """\
// a comment
$CATEGORY: top/Training//memory

// [id:two-rights]
::Which two::[markdown]Which two are small? {
  ~%50%A#yes
  ~%50%B
  ~%-100%C
}

Is the base frozen? {TRUE#no, it is#right####Frozen.}

How many bits has NF4? {#4:0.5#close enough}

NF4 stands for {=4-bit NormalFloat =%50%NormalFloat} in the paper.

Match. {=A -> r x d =B -> d x r = -> d x d}

Write an essay. {}

No braces, a description.

Broken {=a
"""
    reading = read_gift(File(name="other.gift", content=b"\xef\xbb\xbf" + text.encode()))
    two, truth, number, gap, match = [entry.fields for entry in reading.entries]
    assert {entry.topic for entry in reading.entries} == {"Training/memory"}
    assert two["id"] == "two-rights"
    assert [(o["text"], o.get("correct", False)) for o in two["options"]] == [
        ("A", True),
        ("B", True),
        ("C", False),
    ]
    assert [o["text"] for o in truth["options"] if o.get("correct")] == ["True"]
    assert (truth["kind"], truth["keep"]) == ("single", "Frozen.")
    assert (number["kind"], number["value"], number["tolerance"]) == ("numeric", 4, 0.5)
    assert (gap["kind"], gap["stem"]) == (
        "cloze",
        "NF4 stands for {{4-bit NormalFloat|NormalFloat}} in the paper.",
    )
    assert match["pairs"][1] == {"left": "B", "right": "d x r"}
    assert match["others"] == [{"text": "d x d"}]
    assert [entry.why for entry in reading.rejected] == [
        "other.gift:19  this app can't mark an essay",
        "other.gift:21  a description asks nothing",
        "other.gift:23  the answers have no closing brace",
    ]


MOODLE = (Path(__file__).parent / "files" / "course.xml").read_text(encoding="utf-8")


def test_a_moodle_file_of_another_course_becomes_questions_of_ours() -> None:
    reading = read_moodle_xml(File(name="course.xml", content=MOODLE.encode()))
    truth, number, several, gaps = [entry.fields for entry in reading.entries]
    assert {entry.topic for entry in reading.entries} == {"Bits"}
    assert (truth["stem"], truth["options"][0]) == (
        "NF4 has 16 levels.",
        {"text": "True", "correct": True, "feedback": "2^4"},
    )
    assert (number["stem"], number["value"], number["tolerance"]) == ("Bits of $NF4$?", 4, 0.1)
    assert [o.get("correct", False) for o in several["options"]] == [True, True, False]
    assert several["concepts"] == ["rank"]
    assert gaps["stem"] == "NF4 has {{16|sixteen}} levels of {{weights}}."
    assert [entry.why for entry in reading.rejected] == [
        "course.xml, question 6: a question of the type essay can't be marked here",
        "course.xml, question 7: it shows a picture, which this app does not keep",
    ]
    assert reading.notes == ("Parts of a point are not kept: here each right option counts the same.",)


@pytest.mark.parametrize(
    "content",
    [
        b'<!DOCTYPE q [<!ENTITY a "aaaa">]><quiz>&a;</quiz>',
        b'<!DOCTYPE q [<!ENTITY a SYSTEM "file:///etc/hostname">]><quiz>&a;</quiz>',
        b"<quiz><question>",
        b"<html/>",
    ],
)
def test_xml_with_traps_or_without_an_end_is_refused_in_a_sentence(content: bytes) -> None:
    with pytest.raises(LearnerError, match=r"x\.xml"):
        read_moodle_xml(File(name="x.xml", content=content))


def test_a_spreadsheet_finds_no_formula_in_a_table() -> None:
    entry = question("a", "b", "c", "d", "e", several=False)
    entry = QuestionEntry(
        topic="=cmd|' /C calc'!A0", fields={**entry.fields, "stem": "=HYPERLINK(1)", "keep": "'x"}
    )
    written = write_table([entry]).text
    cells = [cell for row in csv.reader(io.StringIO(written)) for cell in row]
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@")]
    [back] = read_table(File(name="t.csv", content=written.encode())).entries
    assert back == entry


def test_a_table_that_a_teacher_typed_is_read_by_its_columns() -> None:
    text = "stem;right;wrong_1;wrong_2;kind\nSmall?;NF4;bf16;fp32;\nBits?;4;;;numeric\nName?;NF4;;;\n;x;;;\n"
    reading = read_table(File(name="typed.csv", content=text.encode()))
    assert [entry.kind for entry in reading.entries] == ["single", "numeric", "short-text"]
    assert [entry.why for entry in reading.rejected] == ["typed.csv:5  needs a `stem` and a `right` answer"]


def test_a_table_with_the_line_ends_of_an_old_mac_is_read() -> None:
    reading = read_table(File(name="old.csv", content=b"stem,right\rWhat has 16 levels?,NF4\r"))
    assert [entry.text("stem") for entry in reading.entries] == ["What has 16 levels?"]


def test_a_notebook_gets_choices_numbers_and_words(concepts: ConceptMap) -> None:
    entries = to_entries(load_bank(concepts))
    written = write_jupyterquiz(entries)
    made = json.loads(written.text)
    assert len(made) + len(written.left_out) == len(entries)
    assert {each["type"] for each in made} == {"multiple_choice", "many_choice", "numeric", "string"}
    for each in made:
        assert any(answer.get("correct") for answer in each["answers"])
    ranges = [a["range"] for each in made for a in each["answers"] if a.get("type") == "range"]
    assert all(low < high for low, high in ranges)


def test_imported_questions_are_asked_beside_the_apps_and_own_ids_are_protected(
    tmp_path: Path, concepts: ConceptMap
) -> None:
    exchange = build_question_exchange(tmp_path, concepts)
    plan = exchange.plan("", File(name="course.xml", content=MOODLE.encode()), now=_never())
    assert plan.groups[0].counts == {"new": 4, "changed": 0, "same": 0, "rejected": 2}
    (tmp_path / "questions").mkdir()
    for name, text in plan.files.items():
        (tmp_path / name).write_text(text)
    asked = exchange.bank.by_id["n"]
    assert (asked.kind, exchange.bank.topics[asked.topic]) == ("numeric", "Bits")
    assert exchange.check_own_files().problems == ()
    again = exchange.plan("", File(name="course.xml", content=MOODLE.encode()), now=_never())
    assert again.groups[0].counts == {"new": 0, "changed": 0, "same": 4, "rejected": 2}
    assert refused_for_an_app_question(exchange).endswith("give yours another id to keep both")


def test_a_question_whose_formula_can_not_be_read_is_left_out_with_its_place(
    tmp_path: Path, concepts: ConceptMap
) -> None:
    options = [{"text": "A", "correct": True}, {"text": r"B $\frac{$"}]
    asked = {"topic": "T", "questions": [{"id": "one", "stem": r"Which $\left($?", "options": options}]}
    plan = build_question_exchange(tmp_path, concepts).plan(
        "", File(name="q.json", content=json.dumps(asked).encode()), now=_never()
    )
    [refused] = plan.groups[0].entries
    assert r"the formula $\left($ at character 7 can't be shown" in refused.why
    assert r"the formula $\frac{$ at character 3 can't be shown" in refused.why


def refused_for_an_app_question(exchange: QuestionExchange) -> str:
    first = to_entries(exchange.bank)[0]
    mine = question("mine", "a", "b", "c", "d", several=False)
    text = write_gift([QuestionEntry(topic="T", fields={**mine.fields, "id": first.id})]).text
    plan = exchange.plan("", File(name="x.gift", content=text.encode()), now=_never())
    [entry] = plan.groups[0].entries
    return entry.why


def test_problems_in_own_question_files_name_file_line_and_field(
    tmp_path: Path, concepts: ConceptMap
) -> None:
    folder = tmp_path / "questions"
    folder.mkdir()
    (folder / "mine.yaml").write_text(
        "topic: Mine\nquestions:\n  - id: one\n    stem: Which?\n    options:\n"
        "      - {text: A, correct: true}\n"
        "  - id: two\n    stem: Which?\n    options:\n      - {text: A, correct: true}\n      - {text: B}\n"
        "    colour: red\n"
    )
    problems = build_question_exchange(tmp_path, concepts).check_own_files().problems
    assert problems == (
        "mine.yaml:3  question one: needs 2 to 7 options, got 1",
        "mine.yaml:7  question two: unknown field `colour`",
    )


def without_ours(text: str) -> str:
    """The file without what only this app reads."""
    return re.sub(rf"<{KEPT}>.*?</{KEPT}>|^// lora-study [^\n]*\n", "", text, flags=re.DOTALL | re.MULTILINE)


def shown(entry: QuestionEntry) -> object:
    options = [
        (to_html(str(o["text"])), bool(o.get("correct")), to_html(str(o.get("feedback", ""))))
        for o in entry.children("options")
    ]
    return to_html(entry.text("stem")), options, to_html(entry.text("keep"))


def _never() -> datetime:
    return datetime(2026, 3, 4, tzinfo=UTC)
