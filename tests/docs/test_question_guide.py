"""The guide to questions: every kind has an example, and every example is a question."""

import re
from pathlib import Path
from textwrap import indent

import lora_lab.quantities  # noqa: F401 - registers what a `check:` may name
from quizzes.bank.bank import load_bank
from quizzes.kinds import KINDS
from study.base.checks import check_holds
from study.content.concepts import ConceptMap

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
