"""The question bank as the content rules read it."""

from collections.abc import Iterable

from quizzes.bank.bank import Question
from study.content.concepts import ConceptMap
from study.lessons.content_lint import Choice, Finding, Item, lint

LEAST_QUESTIONS = 5  # of a concept


def lint_questions(questions: Iterable[Question], concepts: ConceptMap) -> list[Finding]:
    """What is wrong with the questions as a whole."""
    return lint([as_item(question) for question in questions], concepts.by_id, least=LEAST_QUESTIONS)


def as_item(question: Question) -> Item:
    """A question, as far as the rules read it."""
    options = question.options
    return Item(
        id=question.id,
        concepts=question.concepts,
        level=question.level,
        asks=question.stem,
        answers=" ".join(option.text for option in options if option.correct),
        explains=(question.keep, *(option.feedback for option in options), *_told(question)),
        choices=tuple(
            Choice(text=option.text, correct=option.correct, feedback=option.feedback) for option in options
        ),
    )


def _told(question: Question) -> tuple[str, ...]:
    """What is said by a question without options, and the hint."""
    hint = (question.hint,) if question.hint else ()
    return hint if question.options else (*question.task.texts, *hint)
