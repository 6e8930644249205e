"""Questions of every kind for a live class, as HTML; found by id or by words."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from markupsafe import Markup

from quizzes import families
from quizzes.bank.bank import Bank
from quizzes.kinds.arranging import Matching, Ordering
from quizzes.kinds.charts import ReadChart
from quizzes.kinds.choices import UNSAID, Multiple, Single, TrueFalse
from quizzes.kinds.grade import LETTERS, Offered, assign_letters
from quizzes.kinds.lines import FindTheError
from quizzes.kinds.numeric import Numeric
from quizzes.kinds.question import Question
from quizzes.session.class_answers import (
    FormTask,
    derive_salt,
    describe_answer,
    list_reasons,
    say_by_letters,
    store_task,
)
from study.base.html import NO_HTML
from study.content.search import count_whole_words
from study.ports.classes import ClassOption, ClassQuestion
from study.text.markup import to_html
from study.text.templates import render

MOST_FOUND = 20
MOST_TWINS = 10


def find_class_question(bank: Bank, question_id: str) -> ClassQuestion | None:
    """Find a question; None for an unknown id."""
    question = bank.by_id.get(question_id)
    return None if question is None else _build(bank, question)


def _build(bank: Bank, question: Question) -> ClassQuestion:
    fresh = families.find_fresh_variant(question.id, bank.families)
    return replace(build_class_question(question), fresh=fresh)


def build_class_question(question: Question) -> ClassQuestion:
    """Build what the screens of a class show of a question."""
    task = question.task.asked if isinstance(question.task, ReadChart) else question.task
    basis = ClassQuestion(
        id=question.id,
        html=to_html(question.stem),
        keep=to_html(question.keep),
        text=question.stem,
        keep_text=question.keep,
        concepts=question.concepts,
        kind=task.kind,
        figure=_draw(question),
        level=question.level,
    )
    match task:
        case Single():
            return replace(basis, options=_build_options(task, question.id))
        case FindTheError():
            grade = task.grade(task.answer)
            fixed = {part.id: part.feedback for part in grade.parts}
            lines = tuple(
                _build_option(letter, letter, f"`{line.text}`", fixed[line.id], correct=line.error)
                for letter, line in zip(LETTERS, task.lines, strict=False)
            )
            return replace(basis, options=lines)
    return _with_form(basis, question, task)


def _with_form(basis: ClassQuestion, question: Question, task: FormTask) -> ClassQuestion:
    """Add the form, and the right answer in words."""
    offered = task.offer(derive_salt(question.id))
    answer, by_letters = describe_answer(task, task.answer), say_by_letters(task, task.answer, offered)
    options: tuple[ClassOption, ...] = ()
    if isinstance(task, Multiple | TrueFalse):
        options = _build_verdicts(task) + _build_options(task, question.id, ids=True)
    return replace(
        basis,
        options=options,
        task=store_task(question.id, task),
        fields=render("quizzes/quiz/class_fields.html", task=task, offered=offered, prefix=f"{question.id}-"),
        listed=_list_items(task, offered),
        answer=to_html(answer if by_letters == answer else f"{by_letters} · {answer}"),
        answer_text=answer,
        because=NO_HTML if options else to_html(list_reasons(task.grade(task.answer).parts, ("right",))),
        unit=task.unit if isinstance(task, Numeric) else "",
        value=task.value if isinstance(task, Numeric) else None,
    )


def _list_items(task: FormTask, offered: Offered) -> Markup:
    """What is to be arranged, for the projector."""
    arranged = isinstance(task, Matching | Ordering)
    return render("quizzes/quiz/class_listed.html", task=task, offered=offered) if arranged else NO_HTML


def _draw(question: Question) -> Markup:
    """The chart of a question, or its matrix."""
    if isinstance(question.task, ReadChart):
        return render("quizzes/quiz/chart.html", chart=question.task.chart)
    if question.shape is not None:
        return render("quizzes/quiz/shape.html", question=question, shape=question.shape)
    return NO_HTML


def _build_options(
    task: Single | Multiple | TrueFalse, question_id: str, *, ids: bool = False
) -> tuple[ClassOption, ...]:
    """Build options by their letters; a phone has them, and their ids in the bank say which one is right."""
    return tuple(
        _build_option(
            option.id if ids else letter,
            letter,
            option.text,
            option.feedback,
            correct=option.correct,
            misconception="" if option.misconception == UNSAID else option.misconception,
        )
        for letter, option in assign_letters(task.options, salt=derive_salt(question_id))
    )


def _build_verdicts(task: Multiple | TrueFalse) -> tuple[ClassOption, ...]:
    """Build true and false as options of their own, before the reasons."""
    if isinstance(task, Multiple):
        return ()
    return tuple(
        _build_option(f"verdict-{word.lower()}", word[0], word, task.feedback, correct=task.truth is verdict)
        for word, verdict in (("True", True), ("False", False))
    )


def _build_option(
    option_id: str, letter: str, text: str, feedback: str, *, correct: bool, misconception: str = ""
) -> ClassOption:
    return ClassOption(
        id=option_id,
        html=to_html(text),
        correct=correct,
        feedback=to_html(feedback),
        misconception=misconception,
        text=text,
        feedback_text=feedback,
        letter=letter,
    )


def search_class_questions(bank: Bank, words: str, *, rng: Random) -> list[ClassQuestion]:
    """The best MOST_FOUND questions whose id, kind, stem, answers and concepts have every word.

    First those with most of them as whole words in the stem, then in any text. A family is one question, with
    numbers drawn for this search.
    """
    wanted = words.casefold().split()
    if not wanted:
        return []
    seed = rng.randrange(families.VARIANTS)
    found = [question for question in bank.build_pool(seed=seed) if _has_all(question, wanted)]

    def count_whole(question: Question) -> tuple[int, int]:
        return count_whole_words(words, question.stem), count_whole_words(words, _join_texts(question))

    found.sort(key=count_whole, reverse=True)
    return [_build(bank, question) for question in found[:MOST_FOUND]]


def _has_all(question: Question, wanted: Sequence[str]) -> bool:
    searched = _join_texts(question).casefold()
    return all(word in searched for word in wanted)


def _join_texts(question: Question) -> str:
    drawn = "numbers drawn" if question.topic == families.TOPIC else ""
    texts = (question.id, question.kind, drawn, question.stem, *question.concepts, *question.task.texts)
    return " ".join(texts)


def list_class_twins(bank: Bank, question_id: str) -> list[ClassQuestion]:
    """The same question with other numbers, then those with most concepts in common."""
    asked = find_class_question(bank, question_id)
    if asked is None:
        return []
    fresh = find_class_question(bank, asked.fresh) if asked.fresh else None
    family, about = question_id.partition("@")[0], set(asked.concepts)
    others = [question for question in bank.build_pool(seed=0) if about.intersection(question.concepts)]
    others.sort(key=lambda question: len(about.intersection(question.concepts)), reverse=True)
    apart = [question for question in others if question.id.partition("@")[0] != family]
    return [*filter(None, [fresh]), *(_build(bank, question) for question in apart[:MOST_TWINS])]
