"""The question bank: every option has its reason, every wrong one its misconception, all problems at once."""

from pathlib import Path

import pytest

from quizzes.bank.bank import load_bank
from quizzes.kinds.choices import RIGHT
from study.content.concepts import ConceptMap
from study.content.yaml_reader import ContentError, Problem

GOOD = """topic: Ranks
questions:
  - id: q1
    concepts: [matrix-rank]
    level: beginner
    stem: Which is right?
    options:
      - {text: one, correct: true, feedback: yes it is}
      - {text: two, feedback: no, misconception: "two-slip: thinks of two"}
      - {text: three, feedback: no, misconception: "three-slip: thinks of three"}
    keep: It is one.
    source: a book
"""


def problems_of(tmp_path: Path, concepts: ConceptMap, content: str) -> tuple[Problem, ...]:
    (tmp_path / "ranks.yaml").write_text(content)
    with pytest.raises(ContentError) as raised:
        load_bank(concepts, folder=tmp_path)
    return raised.value.problems


def test_a_wrong_option_is_known_by_its_misconception(tmp_path: Path, concepts: ConceptMap) -> None:
    (tmp_path / "ranks.yaml").write_text(GOOD.replace("feedback: no", "feedback: it is not"))
    question = load_bank(concepts, folder=tmp_path).by_id["q1"]
    assert [option.id for option in question.options] == [RIGHT, "two-slip", "three-slip"]
    assert question.options[1].misconception == "thinks of two"
    assert question.options[0].text == "one"


@pytest.mark.parametrize(
    ("written", "instead", "problem"),
    [
        (', misconception: "two-slip: thinks of two"', "", 'needs `misconception: "slug: thinks that ..."`'),
        ("two-slip: thinks", "Two slip: thinks", 'needs `misconception: "slug: thinks that ..."`'),
        ("three-slip: thinks of three", "two-slip: again", "two options share a misconception"),
        ("text: three", "text: two", "two options read the same"),
        ("correct: true, ", 'misconception: "a-b: c", ', "needs exactly one right option, got 0"),
        ("text: two, ", "text: two, correct: true, ", "needs exactly one right option, got 2"),
        (", feedback: it is not", "", "`feedback` must be a text"),
        ("    source: a book\n", "", "no source and no check"),
    ],
)
def test_a_question_that_could_not_teach_is_refused(
    tmp_path: Path, concepts: ConceptMap, written: str, instead: str, problem: str
) -> None:
    good = GOOD.replace("feedback: no", "feedback: it is not")
    assert written in good
    found = problems_of(tmp_path, concepts, good.replace(written, instead))
    assert any(problem in each.text for each in found), found
    assert {each.file for each in found} == {"ranks.yaml"}


def test_two_options_are_too_few(tmp_path: Path, concepts: ConceptMap) -> None:
    lines = GOOD.replace("feedback: no", "feedback: it is not").splitlines(keepends=True)
    shorter = "".join(line for line in lines if "three-slip" not in line)
    assert problems_of(tmp_path, concepts, shorter)[0].text == "needs 3 or 4 options, got 2"


HEAD = """topic: Kinds
questions:
  - id: k1
    kind: {kind}
    concepts: [matrix-rank]
    level: beginner
    stem: "{stem}"
    keep: It is one.
    source: a book
"""
OPTION = '      - {text: one, misconception: "a-slip: thinks one", feedback: no it is not}\n'


@pytest.mark.parametrize(
    ("kind", "stem", "rest", "problem"),
    [
        ("guess", "What?", "", "`kind` must be one of single, multiple"),
        (
            "multiple",
            "What?",
            f"    options:\n{OPTION * 3}",
            "needs right and wrong options, got 0 right ones",
        ),
        (
            "true-false",
            "Is it?",
            "    answer: maybe\n    feedback: so\n    reasons: []\n",
            "must be true or false",
        ),
        ("numeric", "How many?", "    feedback: so\n", "its number is the right answer"),
        (
            "numeric",
            "How many?",
            "    feedback: so\n    unit: furlongs\n",
            "the unit 'furlongs' is not known",
        ),
        ("short-text", "Who?", "    feedback: so\n", "`accept` must be a list of texts"),
        ("cloze", "No blank", "    feedback: []\n", "a cloze needs a blank such as {{answer}}"),
        ("cloze", "One {{blank}}", "    feedback: []\n", "needs one feedback per blank, got 0 for 1"),
        ("matching", "Which?", "    pairs: []\n", "needs 2 to 8 pairs, got 0"),
        ("ordering", "In order?", "    items: []\n", "needs 3 to 8 items, got 0"),
        ("find-the-error", "Where?", "    lines: []\n", "needs exactly one line with a `fix`"),
        ("read-the-chart", "What?", "    options: []\n", "`chart` must be a mapping"),
        (
            "single",
            "What?",
            "    options: []\n    shape: {d_in: 0}\n",
            "needs whole numbers d_in, d_out and rank",
        ),
    ],
)
def test_a_question_of_any_kind_that_does_not_fit_is_refused_with_its_line(
    tmp_path: Path, concepts: ConceptMap, kind: str, stem: str, rest: str, problem: str
) -> None:
    found = problems_of(tmp_path, concepts, HEAD.format(kind=kind, stem=stem) + rest)
    assert any(problem in each.text for each in found), found
    assert all(each.line >= 3 for each in found)


def test_a_question_about_a_shape_is_drawn_from_its_numbers(tmp_path: Path, concepts: ConceptMap) -> None:
    written = GOOD.replace("feedback: no", "feedback: it is not")
    (tmp_path / "ranks.yaml").write_text(written + "    shape: {d_in: 4096, d_out: 1024, rank: 8}\n")
    shape = load_bank(concepts, folder=tmp_path).by_id["q1"].shape
    assert shape is not None
    assert shape.width == 4 * shape.height > 10 * shape.thickness > 0
    assert shape.alt.startswith("W has 1,024 rows and 4,096 columns and is frozen.")
