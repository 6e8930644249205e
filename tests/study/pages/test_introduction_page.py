"""The introduction's address: how the figure was set stays with the answer, and goes with the step."""

from collections.abc import Mapping
from typing import Any

import pytest

import lora_lab.quantities  # noqa: F401 - registers what the texts compute
from lora_lab.figures import FIGURES
from study.base.errors import LearnerError
from study.base.html import NO_HTML
from study.lessons.lesson_text import collect_terms
from study.pages.start import StartPage
from study.ports.context import Context, find_visit
from study.ports.introduction import FirstRunView
from tests.visits import opened, words


class OneRun:
    """Stands for the lab: it keeps the guess and never trains."""

    guess: Mapping[str, str] | None = None
    ended = True
    stopped = ""
    missed_peak = ""
    keeps_to = 0

    def start(self, visit: Any, *, anew: bool, guess: Mapping[str, str]) -> str:
        self.guess = guess
        return "20260304-one"

    def has(self, run_id: str) -> bool:
        return self.guess is not None and run_id == "20260304-one"

    def show(self, visit: Any, run_id: str) -> FirstRunView:
        if self.guess is None or not self.has(run_id):
            raise LearnerError("That run is gone.", do_next="Start another.")
        return FirstRunView(
            html=NO_HTML,
            ended=self.ended,
            loss_before=4.4,
            loss_after=3.5,
            outcome="falls",
            steps=7,
            pairs=24,
            guessed=self.guess["course"],
            peak="513 MB",
            guessed_peak="400 MB",
            missed_peak=self.missed_peak,
            again="/lab?rank=1",
        )

    def stop(self, run_id: str) -> None:
        self.stopped = run_id

    def describe_duration(self) -> str:
        return "20 s"


@pytest.fixture
def page(context: Context) -> StartPage:
    return StartPage(
        context=context, figures=FIGURES, terms=collect_terms(context.concepts), first_run=OneRun()
    )


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


def test_steps_that_were_missed_decide_which_card_comes_first(page: StartPage) -> None:
    reply = page.act({"act": "answer", "fields": {"choice": ["1"]}, "query": "?step=3"}, opened("b1"))
    assert reply["step"] == "/start?step=3&answer=1&missed=3"
    reply = page.act({"act": "go", "step": "6", "query": "?step=3&answer=1&missed=3"}, opened("b1"))
    assert reply["step"] == "/start?step=6&missed=3"
    fields = {"choice": ["1"], "guess_mb": [""]}
    html = page.act({"act": "answer", "fields": fields, "query": "?step=6&missed=3"}, opened("b1"))["html"]
    kept = "rank-doubles,memory-adam,frozen-what-trains,init-values,qlora-what"
    assert f'href="/cards?ids={kept}">Keep it: 5 cards</a>' in html


def test_a_setting_that_the_figure_does_not_have_is_named(page: StartPage) -> None:
    assert "must be a whole number, got 'many'" in words(page.load(opened("b1", "step=2&rank=many")))


def test_the_run_of_the_last_step_is_there_again_with_the_guess_until_it_is_run_anew(page: StartPage) -> None:
    assert "Start the run" in words(page.load(opened("b1", "step=6")))
    fields = {"choice": ["2"], "guess_mb": ["400"]}
    reply = page.act({"act": "answer", "fields": fields, "query": "?step=6"}, opened("b1"))
    assert reply["step"] == "/start?step=6&answer=2&run=20260304-one"
    assert isinstance(page.first_run, OneRun)
    assert page.first_run.guess == {"course": "stays", "guess_mb": "400"}
    again = words(page.load(opened("b1", "step=6")))
    assert "You said that the loss on unseen pairs stays within 0.01 , with a peak of 400 MB ." in again
    assert "It went from 4.40 to 3.50." in again
    assert "as you said" not in again
    assert "The peak memory of a step was 513 MB; you said 400 MB." in again
    assert "had not come" not in again
    page.first_run.missed_peak = "520 MB"
    assert "computed at 520 MB, had not come when the run ended." in words(page.load(opened("b1", "step=6")))
    assert "Start the run" not in again
    assert "Start the run" in words(page.act({"act": "anew", "query": "?step=6"}, opened("b1"))["html"])
    assert "Start the run" in words(page.load(opened("b1", "step=6")))


def test_the_result_is_said_once_it_is_measured_while_the_run_still_asks_for_answers(page: StartPage) -> None:
    run = page.first_run
    assert isinstance(run, OneRun)
    run.ended = False
    fields = {"choice": ["1"], "guess_mb": [""]}
    reply = page.act({"act": "answer", "fields": fields, "query": "?step=6"}, opened("b1"))
    parts = page.act({"act": "poll", "query": reply["step"][len("/start") :]}, opened("b1"))["parts"]
    assert "It went from 4.40 to 3.50, as you said." in words(parts["outcome"])
    assert "Keep it: 5 cards" in words(parts["next"])
    run.ended = True
    reply = page.act({"act": "poll", "query": reply["step"][len("/start") :]}, opened("b1"))
    assert reply["say"] == "The run has ended. The peak memory of a step was 513 MB."
    assert "Skip to Today" not in words(reply["html"])


def test_the_run_can_be_stopped_and_its_time_includes_the_measuring(page: StartPage) -> None:
    run = page.first_run
    assert isinstance(run, OneRun)
    said = words(page.load(opened("b1", "step=6")))
    assert "The steps take about 20 s here, and measuring the loss on unseen pairs" in said
    fields = {"choice": ["1"], "guess_mb": [""]}
    page.act({"act": "answer", "fields": fields, "query": "?step=6"}, opened("b1"))
    page.act({"act": "stop", "query": "?step=6"}, opened("b1"))
    assert run.stopped == "20260304-one"


def test_a_run_that_was_deleted_is_asked_for_anew(page: StartPage) -> None:
    visit = find_visit(page.context, browser_id="b1", query={})
    page.context.store.preferences.change(visit.profile.id, first_run="20250101-gone")
    assert "Start the run" in words(page.load(opened("b1", "step=6")))


def test_the_address_of_a_run_that_was_deleted_leads_to_the_question_before_it(page: StartPage) -> None:
    assert "Start the run" in words(page.load(opened("b1", "step=6&answer=2&run=20260101-gone")))


def test_the_last_step_says_how_long_the_run_takes_and_its_result_of_how_many_pairs(page: StartPage) -> None:
    assert "The steps take about 20 s here" in words(page.load(opened("b1", "step=6")))
    page.first_run.keeps_to = 20  # type: ignore[misc]
    said = words(page.load(opened("b1", "step=6")))
    assert "It takes about 20 seconds once the training process is ready." in said
    fields = {"choice": ["2"], "guess_mb": [""]}
    html = page.act({"act": "answer", "fields": fields, "query": "?step=6"}, opened("b1"))["html"]
    assert "Both losses are of 24 pairs." in words(html)
