"""The content lint of the question bank."""

from collections.abc import Iterable

from quizzes.kinds.question import Question
from study.content.concepts import ConceptMap
from study.lessons.content_lint import LintedItem, LintedOption, LintFinding, lint

LEAST_QUESTIONS = 5  # per concept


def lint_questions(questions: Iterable[Question], concepts: ConceptMap) -> list[LintFinding]:
    """List what is wrong with the questions as a whole."""
    return lint([as_item(question) for question in questions], concepts.by_id, least=LEAST_QUESTIONS)


def as_item(question: Question) -> LintedItem:
    """Convert a question to the fields that the lint rules read."""
    options = question.options
    return LintedItem(
        id=question.id,
        concepts=question.concepts,
        level=question.level,
        asks=question.stem,
        answers=" ".join(option.text for option in options if option.correct),
        explains=(question.keep, *(option.feedback for option in options), *_list_told(question)),
        choices=tuple(
            LintedOption(text=option.text, correct=option.correct, feedback=option.feedback)
            for option in options
        ),
    )


def _list_told(question: Question) -> tuple[str, ...]:
    """Return the texts of a question without options, and the hint."""
    hint = (question.hint,) if question.hint else ()
    return hint if question.options else (*question.task.texts, *hint)
