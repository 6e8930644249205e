"""Pages as functions on an empty store: the cards, the five-minute review and Today."""

import pytest

import lora_lab.quantities  # noqa: F401 - cards show the numbers they were checked against
from flashcards.review.presenter import CardExercise
from lora_lab.figures.adapters import whole_model
from quizzes.explain.presenter import explain_exercise
from study.pages.review import ReviewPage
from study.pages.today import GLANCE, TodayPage
from study.ports.context import Context
from study.ports.ports import Ports
from study.ports.subjects import Subjects
from tests.exercises import build_card_exercise, build_quiz_exercise


@pytest.fixture
def cards(context: Context) -> CardExercise:
    return build_card_exercise(context)


@pytest.fixture
def review(context: Context, cards: CardExercise) -> ReviewPage:
    quiz = build_quiz_exercise(context, ask_for_cards=cards.ask_for)
    explain = explain_exercise(context, ask_for_cards=cards.ask_for)
    return ReviewPage(context=context, cards=cards, quiz=quiz, explain=explain)


@pytest.fixture
def subjects(review: ReviewPage, cards: CardExercise) -> Subjects:
    bank = build_quiz_exercise(review.context, ask_for_cards=cards.ask_for)
    return Subjects(of_card=cards.subjects, of_question=bank.subjects, of_prompt={})


@pytest.fixture
def today(context: Context, review: ReviewPage, cards: CardExercise, subjects: Subjects) -> TodayPage:
    ports = Ports(subjects=subjects, figures={GLANCE: whole_model.build_glance_figure()})
    ports.cards_due = cards.count_due
    return TodayPage(context=context, review=review, ports=ports)
