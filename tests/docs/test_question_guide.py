"""The guide to questions: every kind has an example, and every example is a question."""

import re
from pathlib import Path
from random import Random
from textwrap import indent
from typing import Any

import lora_lab.quantities  # noqa: F401 - registers what a `check:` may name
from quizzes.bank.bank import load_bank
from quizzes.families import build_variants
from quizzes.families.drawn import DrawnNumbers, build_check
from quizzes.families.family_reader import read_file
from quizzes.kinds import KINDS
from study.base.checks import check_holds
from study.content.concepts import ConceptMap
from study.content.yaml_reader import Problem

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "questions.md"


def test_the_guide_has_an_example_of_every_kind_and_each_is_a_true_question(
    tmp_path: Path, concepts: ConceptMap
) -> None:
    examples = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    body = "\n".join(indent(example, "  ") for example in examples)
    (tmp_path / "guide.yaml").write_text(f"topic: Guide\nquestions:\n{body}", "utf-8")
    questions = load_bank(concepts, folder=tmp_path).questions
    assert len(questions) == len(KINDS)
    assert {question.kind for question in questions} == set(KINDS)
    for question in questions:
        assert all(check_holds(check) for check in question.evidence.checks)
        assert question.task.grade(question.task.answer).correct


def test_the_example_of_a_family_draws_true_questions(tmp_path: Path, concepts: ConceptMap) -> None:
    section = GUIDE.read_text("utf-8").partition("## Families")[2]
    (texts,), (code,) = (
        re.findall(rf"```{kind}\n(.*?)```", section, re.DOTALL) for kind in ("text", "python")
    )
    names: dict[str, Any] = {"Random": Random, "DrawnNumbers": DrawnNumbers, "build_check": build_check}
    exec(code, names)
    (tmp_path / "guide.yaml").write_text(texts, "utf-8")
    problems: list[Problem] = []
    draws = {"half-the-rank": names["draw_half_the_rank"]}
    families = read_file(tmp_path / "guide.yaml", draws, concepts, problems)
    assert not problems
    for question in build_variants(families, count=20):
        assert all(check_holds(check) for check in question.evidence.checks)
        assert question.task.grade(question.task.answer).correct
    assert len({question.stem for question in build_variants(families, count=1000)}) >= 20
