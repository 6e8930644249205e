"""Questions for tests, with everything but the point of the test filled in."""

from quizzes.bank.bank import Bank
from quizzes.kinds.choices import RIGHT, Option, Single
from quizzes.kinds.question import Question
from study.content.evidence import Evidence
from study.content.yaml_reader import Level


def question(
    question_id: str,
    *,
    topic: str = "one",
    level: Level = "beginner",
    concepts: tuple[str, ...] = ("rank",),
    wrong: int = 3,
) -> Question:
    slips = tuple(
        Option(id=f"slip-{n}", text=f"wrong {n}", feedback=f"why {n} is wrong", misconception=f"idea {n}")
        for n in range(wrong)
    )
    right = Option(id=RIGHT, text="right", feedback="why it is right", misconception="")
    return Question(
        id=question_id,
        topic=topic,
        concepts=concepts,
        level=level,
        stem=f"stem of {question_id}",
        task=Single(options=(right, *slips)),
        keep="keep this",
        evidence=Evidence(source="a book", checks=()),
    )


def bank(*questions: Question) -> Bank:
    return Bank(questions, {"one": "One", "two": "Two"})
