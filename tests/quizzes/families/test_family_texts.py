"""Texts of families: what a template writes, and that each problem of a file is found, with its line."""

import json
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

import lora_lab.quantities  # noqa: F401 - families compute their numbers
from quizzes.bank.bank import load_bank
from quizzes.families import SUBJECTS, TEXTS_DIR, build_variants, format_question_id, name_texts
from quizzes.families.drawn import DrawnNumbers
from quizzes.families.family import QuestionFamily
from quizzes.families.family_reader import read_file
from quizzes.families.template import encode_shape, parse_template
from study.content.concepts import load_concepts
from study.content.yaml_reader import ContentError, Problem

FAMILIES = load_bank(load_concepts()).families
EACH = pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.id)
DIGESTS = Path(__file__).with_name("drawn_numbers.json")


def digest(family: QuestionFamily) -> str:
    """The right number and the kept slips of 40 draws, to nine digits."""
    drawn = [family.draw(Random(format_question_id(family.id, seed))) for seed in range(40)]
    numbers = [
        (f"{question.right.value:.9g}", [(slip.id, f"{slip.value:.9g}") for slip in question.wrong])
        for question in drawn
    ]
    return sha256(json.dumps(numbers).encode()).hexdigest()[:16]


# ---- templates


@pytest.mark.parametrize(
    ("text", "value", "written"),
    [
        ("rank {x}", 8, "rank 8"),
        ("{x:,.0f} weights", 1_179_648.0, "1,179,648 weights"),
        ("{x:digits}", 0.00012, "0.00012"),
        ("{x:digits}", [-0.5, 2.0], "−0.5, 2"),
        ("{x:.4f}", -0.25, "−0.2500"),
        ("{x:size}", 13.5e9, "13.5 GB"),
        ("{x:gigabytes}", 13.5, "13.5 GB"),
        ("{x:factor}", -2, "(−2)"),
        ("{x:factor}", 2, "2"),
        ("{x:shape}", encode_shape(768, 8), "768 × 8"),
        ("{x:example|examples} in {{a}}", 1, "1 example in {a}"),
        ("{x:example|examples}", 2, "2 examples"),
        ("{x}", "Qwen2.5-7B", "Qwen2.5-7B"),
    ],
)
def test_a_template_writes_numbers_as_a_learner_reads_them(text: str, value: object, written: str) -> None:
    assert parse_template(text).fill({"x": value}) == written


@pytest.mark.parametrize("text", ["{model.id}", "{0}", "{}", "{x!r}", "{x:wide}", "{x:>9}", "{x", "x}"])
def test_a_template_takes_plain_names_and_known_formats_only(text: str) -> None:
    with pytest.raises(ValueError, match=r"\{|\}"):
        parse_template(text)


# ---- the app's own texts


@EACH
def test_every_drawn_value_is_named_and_every_text_is_shown(family: QuestionFamily) -> None:
    rng = [Random(format_question_id(family.id, seed)) for seed in range(400)]
    assert {slip.id for each in rng for slip in family.draw(each).wrong} == set(family.slips)
    drawn = [family.draw_numbers(Random(format_question_id(family.id, seed))) for seed in range(400)]
    assert {name for numbers in drawn for name in numbers.values} == family.names
    for name, texts in family.phrases.items():
        assert {str(numbers.values[name]) for numbers in drawn} == set(texts)


@EACH
def test_a_logged_id_draws_the_numbers_that_it_drew(family: QuestionFamily) -> None:
    """Learners' logs refer to these ids; a family with other numbers needs another id."""
    known, found = json.loads(DIGESTS.read_text("utf-8")).get(family.id), digest(family)
    assert known is not None, f'A new family. Add to {DIGESTS.name}: "{family.id}": "{found}"'
    moved = "Other numbers belong to a family with another id. For a better wrong option, this is the digest"
    assert known == found, f'{moved}: "{family.id}": "{found}"'


def test_every_file_has_a_module_and_every_module_a_file() -> None:
    assert {path.stem for path in TEXTS_DIR.glob("*.yaml")} == {name_texts(subject) for subject in SUBJECTS}


# ---- files with problems

ENTRY = """\
- id: halves
  title: Halves
  concepts: [lora-rank]
  level: beginner
  kind: single
  answer: "{answer}"
  phrases:
    side: {left: the left half, right: the right half}
  stem: "What is half of {whole}, {side}?"
  right: "{right} is half."
  slips:
    doubled: {misconception: doubles, feedback: "{wrong} is double."}
    kept: {misconception: keeps, feedback: "It stays {whole}."}
  steps: ["{whole} / 2 = {right}"]
  hint: Divide.
  keep: A half is one of two.
  source: arithmetic
"""


def draw_half(rng: Random) -> DrawnNumbers:
    whole = 2 * rng.randrange(2, 50)
    return DrawnNumbers(
        right=whole // 2,
        slips={"doubled": 2 * whole, "kept": whole},
        values={"whole": whole, "side": rng.choice(("left", "right"))},
    )


def read(tmp_path: Path, text: str) -> tuple[tuple[QuestionFamily, ...], list[Problem]]:
    (tmp_path / "halves.yaml").write_text(text, "utf-8")
    problems: list[Problem] = []
    return read_file(tmp_path / "halves.yaml", {"halves": draw_half}, load_concepts(), problems), problems


def test_a_family_of_texts_and_numbers_is_a_question(tmp_path: Path) -> None:
    (family,), problems = read(tmp_path, ENTRY)
    assert not problems
    for question in build_variants([family], count=20):
        whole = int(question.steps[0].split()[0])
        assert question.stem.startswith(f"What is half of {whole}, the ")
        [right] = [option for option in question.options if option.correct]
        assert right.feedback == f"{whole // 2} is half."
        doubled = next(option for option in question.options if option.id == "doubled")
        assert doubled.feedback == f"{2 * whole} is double."


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"{whole}, {side}": "{model.id}"}, "{model.id} must be the plain name of a value"),
        ({"{whole} / 2": "{whole:wide} / 2"}, "{whole:wide} has an unknown format"),
        ({'"{answer}"': '"{right}"'}, "`answer` must have the placeholder {answer} and no other"),
        ({"[lora-rank]": "[lora-rang]"}, "unknown concept 'lora-rang'"),
        ({"  hint: Divide.\n": ""}, "`hint` must be a text"),
        ({"  hint: Divide.\n": "  hint: Divide.\n  hints: none\n"}, "unknown field `hints`"),
        ({"level: beginner": "level: easy"}, "`level` must be one of"),
        ({"  source: arithmetic": "  source: arithmetic\n  unit: furlongs"}, "unknown unit 'furlongs'"),
        ({"id: halves": "id: quarters"}, "no function draws its numbers"),
        ({"misconception: keeps, ": ""}, "slip kept of slips of family halves: `misconception` must be"),
    ],
)
def test_a_problem_of_a_file_has_its_line(tmp_path: Path, wrong: dict[str, str], problem: str) -> None:
    text = ENTRY
    for old, new in wrong.items():
        text = text.replace(old, new)
    _, problems = read(tmp_path, text)
    assert any(problem in str(found) for found in problems), problems
    assert all(str(found).startswith("halves.yaml:") for found in problems)


def test_a_function_without_texts_is_a_problem(tmp_path: Path) -> None:
    _, problems = read(tmp_path, "[]")
    assert [str(problem) for problem in problems] == ["halves.yaml:1  family halves: has no texts"]


def test_all_that_the_texts_of_a_draw_miss_is_told_at_once_and_once(tmp_path: Path) -> None:
    text = ENTRY.replace("It stays {whole}", "It stays {total}").replace("half of {whole}", "half of {all}")
    text = text.replace("    doubled: {misc", "    tripled: {misc").replace(", right: the right half", "")
    families, problems = read(tmp_path, "# a comment\n" + text)
    assert not problems
    with pytest.raises(ContentError) as caught:
        build_variants(families, count=1)
    missed = {found.text for found in caught.value.problems}
    assert {
        "`slips` has no doubled",
        "`slips.kept`: {total} is not drawn",
        "`stem`: {all} is not drawn",
    } <= missed
    assert {found.line for found in caught.value.problems} == {2}
