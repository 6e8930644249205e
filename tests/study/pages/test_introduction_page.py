"""The introduction's address: how the figure was set stays with the answer, and goes with the step."""

from typing import Any

import pytest

import lora_lab.quantities  # noqa: F401 - registers what the texts compute
from lora_lab.figures import FIGURES
from study.lessons.lesson_text import terms_of
from study.pages.start import StartPage
from study.ports.context import Context
from tests.visits import opened, words


class NoRuns:
    """Stands for the lab, which no test here asks to train."""

    def start(self, visit: Any, *, anew: bool) -> str:
        raise NotImplementedError

    def show(self, run_id: str) -> Any:
        raise NotImplementedError

    def duration(self) -> str:
        return ""


@pytest.fixture
def page(context: Context) -> StartPage:
    return StartPage(context=context, figures=FIGURES, terms=terms_of(context.concepts), first_run=NoRuns())


def answered(page: StartPage, query: str) -> Any:
    return page.act({"act": "answer", "fields": {"choice": ["2"]}, "query": query}, opened("b1"))


def test_an_answer_keeps_the_figures_settings_and_nothing_else_of_the_address(page: StartPage) -> None:
    reply = answered(page, "?step=2&rank=64&else=where")
    assert reply["step"] == "/start?step=2&answer=2&rank=64"
    assert "At rank 64" in words(reply["html"])


def test_the_next_step_starts_with_its_own_settings(page: StartPage) -> None:
    reply = page.act({"act": "go", "step": "3", "query": "?step=2&answer=2&rank=64"}, opened("b1"))
    assert reply["step"] == "/start?step=3"
    assert "At rank 8" in words(reply["html"])


def test_a_setting_that_the_figure_does_not_have_is_named(page: StartPage) -> None:
    assert "must be a whole number, got 'many'" in words(page.load(opened("b1", "step=2&rank=many")))
