"""A question that another program changed: its form wins; our fields have what the form has no place for."""

import csv
import io
import re

import pytest

import lora_lab.quantities  # noqa: F401 - registers what a `check:` may name
from quizzes.bank.bank import load_bank
from quizzes.interchange.entry import QuestionEntry, to_entries
from quizzes.interchange.moodle_xml import KEPT, read_moodle_xml, write_moodle_xml
from quizzes.interchange.table import read_table, write_table
from study.content.concepts import ConceptMap
from study.io.exchange import File
from tests.quizzes.interchange.test_interchange import WAYS, question

NUMERIC = QuestionEntry(
    topic="T",
    fields={
        "id": "mine",
        "kind": "numeric",
        "concepts": ["nf4"],
        "level": "beginner",
        "stem": "How much do the weights take?",
        "value": 150.994944,
        "unit": "MB",
        "tolerance": 0.6,
        "feedback": "4.5 bits each.",
        "slips": [
            {"value": 134.217728, "misconception": "no-constants: forgets them", "feedback": "Add them."}
        ],
        "keep": "Constants count.",
        "source": "a book",
    },
)


@pytest.mark.parametrize("way", WAYS)
def test_a_changed_word_of_a_numeric_question_changes_nothing_else(way: str) -> None:
    write, read, name = WAYS[way]
    text = changed_elsewhere(write([NUMERIC]).text, "How much do", "How many MB do")
    [back] = read(File(name=name, content=text.encode())).entries
    assert back.fields == {**NUMERIC.fields, "stem": "How many MB do the weights take?"}


@pytest.mark.parametrize("way", WAYS)
def test_a_changed_number_keeps_its_unit_and_forgets_the_slips_of_the_old_one(way: str) -> None:
    write, read, name = WAYS[way]
    text = changed_elsewhere(write([NUMERIC]).text, "150.994944", "160")
    [back] = read(File(name=name, content=text.encode())).entries
    assert (back.fields["value"], back.text("unit"), back.fields["tolerance"]) == (160, "MB", 0.6)
    assert back.text("stem") == NUMERIC.text("stem")
    assert "slips" not in back.fields


@pytest.mark.parametrize("way", WAYS)
def test_a_changed_feedback_leaves_the_misconceptions_their_names(way: str) -> None:
    write, read, name = WAYS[way]
    entry = question("a", "b", "c", "d", "e", several=False)
    options = [{**o, **({} if "correct" in o else {"misconception": f"m-{n}: why"})}
               for n, o in enumerate(entry.children("options"))]  # fmt: skip
    whole = QuestionEntry(topic="T", fields={**entry.fields, "options": options})
    text = changed_elsewhere(write([whole]).text, "g d", "another")
    [back] = read(File(name=name, content=text.encode())).entries
    assert back.fields == {
        **whole.fields,
        "options": [options[0], {**options[1], "feedback": "another"}, options[2]],
    }


def changed_elsewhere(text: str, old: str, new: str) -> str:
    """The file with a word changed in the form alone, as another program would."""
    assert old in text
    kept = rf"<{KEPT}>.*?</{KEPT}>|^// lora-study [^\n]*\n|\"\{{.*?\}}\"$"
    pieces = re.split(rf"({kept})", text, flags=re.DOTALL | re.MULTILINE)
    return "".join(piece if place % 2 else piece.replace(old, new) for place, piece in enumerate(pieces))


def test_a_changed_stem_in_a_table_keeps_everything_else_of_every_kind(concepts: ConceptMap) -> None:
    entries = to_entries(load_bank(concepts))
    rows = list(csv.DictReader(io.StringIO(write_table(entries).text.removeprefix("\ufeff"))))
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows({**row, "stem": f"{row['stem']} Anew"} for row in rows)
    reading = read_table(File(name="t.csv", content=text.getvalue().encode()))
    assert reading.rejected == ()
    assert {entry.kind for entry in entries} >= {
        "matching",
        "ordering",
        "cloze",
        "true-false",
        "find-the-error",
    }
    for entry, back in zip(entries, reading.entries, strict=True):
        expected = {name: value for name, value in entry.fields.items() if name != "check"}
        assert back.fields == {**expected, "stem": f"{entry.text('stem')} Anew"}


def test_seven_options_have_cells_in_a_table() -> None:
    entry = question("a", "b", "c", "d", "e", several=True)
    wrong = [{"text": f"w{number}", "feedback": "f"} for number in range(6)]
    options = [{"text": "r", "correct": True, "id": "r", "feedback": "f"}, *wrong]
    text = write_table([QuestionEntry(topic="T", fields={**entry.fields, "options": options})]).text
    [back] = read_table(File(name="t.csv", content=text.replace(",r,f,w0", ",other,f,w0").encode())).entries
    assert [option["text"] for option in back.children("options")] == ["other", *(w["text"] for w in wrong)]


def test_what_was_changed_in_moodle_wins_and_keeps_its_id_and_source() -> None:
    entry = question("a", "b", "c", "d", "e", several=False)
    entry = QuestionEntry(topic="T", fields={**entry.fields, "source": "a book", "hint": "think"})
    text = write_moodle_xml([entry]).text.replace("<text>s a</text>", "<text>Edited in Moodle</text>")
    [back] = read_moodle_xml(File(name="m.xml", content=text.encode())).entries
    assert (back.id, back.text("stem"), back.text("source"), back.text("hint")) == (
        "q",
        "Edited in Moodle",
        "a book",
        "think",
    )
