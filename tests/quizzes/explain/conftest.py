"""An Explain page whose grader goes by rules, and the cards that it asks for."""

import pytest

from quizzes.explain.presenter import explain_exercise
from quizzes.pages.explain import ExplainPage
from study.ports.context import Context
from tests.quizzes.explain.explaining import Cards
from tests.quizzes.rule_grader import RuleGrader


@pytest.fixture
def grader() -> RuleGrader:
    return RuleGrader()


@pytest.fixture
def cards() -> Cards:
    return Cards()


@pytest.fixture
def page(context: Context, grader: RuleGrader, cards: Cards) -> ExplainPage:
    exercise = explain_exercise(context, ask_for_cards=cards, grader=grader)
    return ExplainPage(context=context, exercise=exercise)
