"""Questions for a live class: those with one right option, as HTML; found by id or by words."""

from collections.abc import Mapping

from quizzes.kinds.choices import Single
from quizzes.kinds.grade import letter_choices
from quizzes.kinds.question import Question
from study.ports.classes import ClassOption, ClassQuestion
from study.text.markup import to_html

MOST_FOUND = 20


def class_question(questions: Mapping[str, Question], question_id: str) -> ClassQuestion | None:
    """Find a question; None for an unknown id and for a kind that can't be voted on.

    The options are shuffled the same way every time, so that all phones and both rounds show one order.
    """
    question = questions.get(question_id)
    if question is None or not isinstance(question.task, Single):
        return None
    shuffled = letter_choices(question.task.options, salt=f"class/{question.id}")
    return ClassQuestion(
        id=question.id,
        html=to_html(question.stem),
        options=tuple(
            ClassOption(
                id=option.id,
                html=to_html(option.text),
                correct=option.correct,
                feedback=to_html(option.feedback),
                misconception=option.misconception,
                text=option.text,
                feedback_text=option.feedback,
            )
            for _, option in shuffled
        ),
        keep=to_html(question.keep),
        text=question.stem,
        keep_text=question.keep,
        concepts=question.concepts,
        level=question.level,
    )


def search_class_questions(questions: Mapping[str, Question], words: str) -> list[ClassQuestion]:
    """The first MOST_FOUND questions whose id, stem, options and concepts have every word."""
    wanted = words.casefold().split()
    found: list[ClassQuestion] = []
    for question_id in questions if wanted else ():
        question = questions[question_id]
        if not isinstance(question.task, Single):
            continue
        texts = (question.id, question.stem, *question.concepts, *(o.text for o in question.task.options))
        searched = " ".join(texts).casefold()
        if all(word in searched for word in wanted):
            shown = class_question(questions, question_id)
            assert shown is not None
            found.append(shown)
        if len(found) == MOST_FOUND:
            break
    return found
