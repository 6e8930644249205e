"""Progress as functions: what it says, what each press does, and its charts as files."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

import lora_lab.quantities  # noqa: F401 - content is checked against it
from flashcards.pages.progress_section import CardSection
from flashcards.review.presenter import CardExercise
from flashcards.scheduling.scheduler import Scheduling
from flashcards.scheduling.simulation import StudyPlan, Workload
from quizzes.pages.progress_section import QuizSection
from study.base.errors import LearnerError
from study.pages.progress import ProgressPage, register_chart_files
from study.ports.context import Context, find_visit
from study.ports.progress import Section
from study.ports.subjects import Subjects
from study.store.logs.fits import ParameterFit
from study.store.logs.quizzes import QuizAnswer
from study.text.templates import render
from study.web.security.middleware import COOKIE
from tests.exercises import build_card_exercise, build_quiz_exercise
from tests.seeded import keep, simulated
from tests.visits import opened, words

ANA = "browser-of-ana"
DRAW = {"act": "draw", "query": "", "fields": {"narrow": ["no"]}}


@pytest.fixture
def cards(context: Context) -> Iterator[CardExercise]:
    made = build_card_exercise(context)
    yield made
    made.fitting.close()


@pytest.fixture
def sections(context: Context, cards: CardExercise) -> tuple[Section, ...]:
    quiz = build_quiz_exercise(context, ask_for_cards=cards.ask_for)
    return CardSection(exercise=cards), QuizSection(
        store=context.store, bank=quiz.operations.bank, recurring=lambda _: ()
    )


@pytest.fixture
def page(context: Context, cards: CardExercise, sections: tuple[Section, ...]) -> ProgressPage:
    quiz = build_quiz_exercise(context, ask_for_cards=cards.ask_for)
    subjects = Subjects(of_card=cards.subjects, of_question=quiz.subjects, of_prompt={})
    return ProgressPage(context=context, subjects=subjects, sections=sections)


@pytest.fixture
def studied(context: Context, ana: str, now: datetime) -> str:
    """Ana has studied for three weeks."""
    keep(context.store, ana, simulated(cards=20, days=21, ends=now))
    return ana


def retention(act: str, percent: int) -> dict[str, Any]:
    return {"act": act, "query": "", "fields": {"retention": [str(percent)], "narrow": ["no"]}}


def test_a_newcomer_sees_where_to_begin(page: ProgressPage, ana: str) -> None:
    html = page.load(opened(ANA))
    assert "No reviews yet." in words(html)
    assert 'href="/cards?new=5"' in html
    assert "data-then" not in html
    assert "512 reviews needed, you have 0" in words(html)


def test_a_learner_sees_recall_beside_their_aim_and_what_to_do_next(page: ProgressPage, studied: str) -> None:
    text = words(page.load(opened(ANA)))
    assert "cards recalled in 12 weeks" in text
    assert "You aim at 90 %" in text.replace("\N{NO-BREAK SPACE}", " ")
    assert "What to do next" in text
    assert "512 reviews needed, you have" in text
    assert any(level in text for level in ("Attempted", "Familiar", "Proficient"))


def test_the_slider_says_what_an_aim_costs_and_its_button_keeps_it(
    page: ProgressPage, studied: str, cards: CardExercise
) -> None:
    moved = page.act(retention("retention", 97), opened(ANA))
    low = page.act(retention("retention", 70), opened(ANA))
    assert "ratings per day" in words(moved["parts"]["workload"])
    assert moved["say"] != low["say"]
    assert cards.reviews.read_scheduling(studied).desired_retention == 0.9
    kept = page.act(retention("keep-retention", 85), opened(ANA))
    assert "You aim at 85" in words(kept["parts"]["recall"])
    assert kept["then"] == "draw"
    assert cards.reviews.read_scheduling(studied).desired_retention == 0.85


@pytest.mark.parametrize(
    ("minutes", "said"),
    [(0.3, "under a minute at"), (1.2, "1 minute at"), (2.6, "3 minutes at")],
)
def test_minutes_at_the_learners_pace_are_counted_as_they_are_said(minutes: float, said: str) -> None:
    now = Workload(desired_retention=0.9, reviews=60, busiest_day=4, days=60)
    plan = StudyPlan(cards=1, days=60, new_a_day=1)
    values = {"aim": 0.9, "now": now, "usual": now, "minutes": minutes, "plan": plan, "percent": str}
    html = render("flashcards/stats/workload.html", rated=True, whose="your", **values)
    assert f"1 rating per day , {said} your pace" in words(html)
    assert "with your parameters" in html
    html = render("flashcards/stats/workload.html", rated=False, whose="the usual", **values)
    assert f"1 rating per day , {said} a usual pace" in words(html)
    assert "with the usual parameters" in html


def test_parameters_are_called_yours_only_once_they_are(
    page: ProgressPage, studied: str, cards: CardExercise, now: datetime
) -> None:
    texts = [words(page.load(opened(ANA))), str(page.act(DRAW, opened(ANA)))]
    assert all("with the usual parameters" in text for text in texts)
    assert not any("with your parameters" in text for text in texts)
    usual = Scheduling().parameters
    measures = {"log_loss": 0.3, "rmse_bins": 0.1, "auc": 0.7}
    fit = ParameterFit(
        fitted_at=now,
        reviews=600,
        held_out=120,
        parameters=(*usual[:-1], usual[-1] + 0.01),
        before=measures,
        after=measures,
        kept=True,
    )
    cards.reviews.store.fits.append(studied, fit)
    texts = [words(page.load(opened(ANA))), str(page.act(DRAW, opened(ANA)))]
    assert all("with your parameters" in text for text in texts)
    assert not any("with the usual parameters" in text for text in texts)


@pytest.mark.parametrize(("typed", "kept"), [("12", 0.7), ("100", 0.97), ("x", 0.9)])
def test_an_aim_beyond_the_slider_is_brought_onto_it(
    page: ProgressPage, studied: str, cards: CardExercise, typed: str, kept: float
) -> None:
    page.act({"act": "keep-retention", "query": "", "fields": {"retention": [typed]}}, opened(ANA))
    assert cards.reviews.read_scheduling(studied).desired_retention == kept


def test_a_higher_aim_brings_cards_back_sooner(cards: CardExercise, studied: str, now: datetime) -> None:
    latest = cards.reviews.store.cards.latest(studied)
    card_id = next(name for name, review in latest.items() if review.after["phase"] == "review")
    later = now + timedelta(days=30)
    good = {}
    for aim in (0.95, 0.8):
        cards.reviews.store.preferences.change(studied, desired_retention=aim)
        good[aim] = cards.reviews.compute_outcomes(studied, card_id, latest[card_id], at=later)[2].interval
    assert good[0.95] < good[0.8]


def test_charts_come_afterwards_of_all_cards_or_of_a_part(page: ProgressPage, studied: str) -> None:
    whole = page.act(DRAW, opened(ANA))["parts"]["figures-cards"]
    assert whole.count("<figure") == 14
    shown, folded = whole.split('<details class="more-plots">')
    assert re.findall(r'id="plot-([\w-]+)"', shown) == ["retention", "forecast", "retention-by-concept"]
    assert folded.count("<figure") == 11
    assert whole.count('href="/progress/plots/') == 3 * 14
    part = page.act({**DRAW, "query": "?scope=deck:lora-basics"}, opened(ANA))["parts"]["figures-cards"]
    assert "deck LoRA basics" in part
    assert 'href="/progress/plots/calendar.csv?scope=deck%3Alora-basics"' in part
    assert page.act({"act": "scope", "query": "", "fields": {"scope": ["deck:qlora"]}}, opened(ANA)) == {
        "goto": "/progress?scope=deck:qlora#memory"
    }


def test_the_forecast_counts_the_cards_that_today_counts(
    cards: CardExercise, sections: tuple[Section, ...], context: Context, studied: str, now: datetime
) -> None:
    due_dates = cards.reviews.read_snapshot(studied, now=now).list_due_dates()
    first, second, *_ = sorted(due_dates, key=due_dates.__getitem__)
    cards.reviews.suspend(studied, first, now=now)
    cards.reviews.bury(studied, second, now=now)
    visit = find_visit(context, browser_id=ANA, query={})
    [forecast] = [plot for plot in sections[0].build_charts(visit) if plot.name == "forecast"]
    coming = cards.reviews.count_due(studied, now=now).coming
    assert [count for _, count in forecast.rows[: len(coming)]] == list(coming)


def test_charts_of_cards_come_from_twenty_reviews_on(
    page: ProgressPage, context: Context, ana: str, now: datetime
) -> None:
    log = simulated(cards=20, days=21, ends=now)
    keep(context.store, ana, log[:19])
    assert "appear after 20 reviews; so far you have 19." in words(page.load(opened(ANA)))
    assert "<figure" not in page.act(DRAW, opened(ANA))["parts"]["figures-cards"]


def test_charts_of_questions_come_from_twenty_answers_with_a_confidence(
    page: ProgressPage, context: Context, ana: str, now: datetime, sections: tuple[Section, ...]
) -> None:
    quiz = sections[1]
    assert isinstance(quiz, QuizSection)
    for number in range(20):
        asked = quiz.bank.questions[number].id
        at = now - timedelta(days=8 * (number % 2))
        record = context.store.quizzes.start(
            ana, seed=number, question_ids=(asked,), choice={}, started_at=at
        )
        answer = QuizAnswer(
            question_id=asked, option="x", correct=True, answered_at=at, duration_ms=1, confidence="sure"
        )
        context.store.quizzes.append(record.id, answer)
        html = words(page.load(opened(ANA)))
        said = "questions were" if number else "question was"
        assert f"{number + 1} of {number + 1} {said} right on the first try" in html
        assert ("you have 19" in html) is (number == 18)
        drawn = page.act(DRAW, opened(ANA))["parts"]["figures-questions"]
        assert ("plot-calibration" in drawn) is (number == 19)
    assert "plot-brier" in drawn


def test_a_press_that_belongs_nowhere_is_refused(page: ProgressPage, ana: str) -> None:
    with pytest.raises(LearnerError, match="the action 'fly'"):
        page.act({"act": "fly", "query": ""}, opened(ANA))


def test_authors_see_how_a_question_does_once_it_has_ten_answers(
    page: ProgressPage, context: Context, ana: str, now: datetime, sections: tuple[Section, ...]
) -> None:
    quiz = sections[1]
    assert isinstance(quiz, QuizSection)
    question = quiz.bank.questions[0]
    for number in range(10):
        record = context.store.quizzes.start(
            ana, seed=number, question_ids=(question.id,), choice={}, started_at=now
        )
        answer = QuizAnswer(
            question_id=question.id, option="right", correct=True, answered_at=now, duration_ms=1000
        )
        context.store.quizzes.append(record.id, answer)
        text = words(page.load(opened(ANA)))
        assert ("dead options" in text) is (number == 9)
    assert "easy: nearly everyone gets it right" in text


def test_charts_are_files_of_the_learner_who_asks(
    context: Context, studied: str, sections: tuple[Section, ...]
) -> None:
    site = FastAPI()
    register_chart_files(site, context, sections)
    client = TestClient(site, cookies={COOKIE: ANA})
    table = client.get("/progress/plots/calendar.csv")
    assert table.status_code == 200
    assert table.text.splitlines()[0].endswith("day,ratings")
    assert client.get("/progress/plots/forecast.svg").text.startswith("<svg")
    assert client.get("/progress/plots/time.png").content.startswith(b"\x89PNG")
    assert client.get("/progress/plots/nothing.svg").status_code == 404
    assert client.get("/progress/plots/calendar.gif").status_code == 404
    stranger = TestClient(site, cookies={COOKIE: "someone-else"})
    assert stranger.get("/progress/plots/calendar.csv").status_code == 404
    assert TestClient(site).get("/progress/plots/calendar.csv").status_code == 404
