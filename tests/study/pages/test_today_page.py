"""Today as functions: what is shown, and what each press does."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from markupsafe import Markup

from flashcards.pages.cards import CardsPage
from flashcards.review.presenter import CardExercise
from quizzes.session.quiz_options import QuizChoice
from study.base.errors import LearnerError
from study.learner.path import read_path_ids
from study.pages.review import ReviewPage
from study.pages.today import TodayPage
from study.ports.context import Context, find_visit
from study.ports.today import LastRun
from study.store import Store
from study.store.logs.quizzes import QuizAnswer
from study.store.logs.tasks import TaskAttempt
from study.web.frame import load_header
from tests.exercises import build_quiz_exercise
from tests.flashcards.card_events import shown
from tests.visits import build_event, opened, query_of, words


def rate_one(cards: CardExercise, profile: str, rating: int, now: datetime) -> str:
    card = cards.reviews.read_snapshot(profile, now=now).compute_session().card
    assert card is not None
    cards.reviews.rate(profile, shown(cards.reviews, profile, card.id, now=now), rating=rating, now=now)
    return card.id


def test_a_newcomer_reads_what_lora_is_and_can_move_the_rank(today: TodayPage) -> None:
    html = today.load(opened("b1"))
    shown = words(html)
    assert "training two thin matrices beside each frozen matrix that it adapts" in shown
    assert "LoRA is short for low-rank adaptation" in shown
    assert "1.78 %" in shown
    assert 'data-setting="rank"' in html
    assert 'class="button primary" href="/start"' in html
    assert "Missed lately" not in shown


def asks(today: TodayPage, browser: str = "b2", **more: str) -> str:
    """What the frame of any page asks of a browser."""
    return words(load_header(today.context, opened(browser, **more))[1])


def test_a_fresh_browser_is_asked_once_who_it_is(
    today: TodayPage, cards: CardExercise, now: datetime
) -> None:
    store = today.context.store
    guest = store.profiles.open_for_browser("b0", now=now)
    rate_one(cards, guest.id, 3, now - timedelta(days=1))
    ana = store.profiles.add("b1", "Ana", now=now)
    store.profiles.open_for_browser("nobody", now=now)
    assert asks(today) == "Who are you? I am new here Not now Guest learner · yesterday · 1 answer Ana"
    assert asks(today, "b1") == ""
    assert today.act({"act": "switch", "profile": ana.id}, opened("b2")) == {"goto": "/"}
    assert store.profiles.open_for_browser("b2", now=now).id == ana.id
    assert asks(today) == ""
    assert "Who are you?" in asks(today, "b3")
    today.act({"act": "new-here"}, opened("b3"))
    assert asks(today, "b3") == ""
    rate_one(cards, store.profiles.open_for_browser("b4", now=now).id, 3, now)
    assert asks(today, "b4") == ""


def test_who_says_not_now_is_not_asked_again(today: TodayPage, now: datetime) -> None:
    today.context.store.profiles.add("b1", "Ana", now=now)
    assert "Not now" in asks(today)
    assert today.act({"act": "not-now"}, opened("b2")) == {}
    assert asks(today) == ""


def test_a_browser_that_has_guessed_or_solved_a_task_is_not_asked_who_it_is(
    today: TodayPage, now: datetime
) -> None:
    store = today.context.store
    store.profiles.add("b1", "Ana", now=now)
    guesses, solves = (store.profiles.open_for_browser(each, now=now).id for each in ("b2", "b3"))
    store.predictions.make(guesses, setting={}, guess={}, at=now)
    attempt = TaskAttempt(task_id="t-any", seed=1, response={}, correct=False, at=now)
    store.tasks.write(solves, attempt)
    assert [asks(today, each) for each in ("b2", "b3")] == ["", ""]
    assert asks(today, "b4") != ""


def test_a_browser_elsewhere_is_not_asked_who_it_is_and_takes_no_profile(
    today: TodayPage, now: datetime
) -> None:
    ana = today.context.store.profiles.add("b1", "Ana", now=now)
    assert asks(today, client="192.168.1.77") == ""
    elsewhere = opened("b2", client="192.168.1.77")
    with pytest.raises(LearnerError):
        today.act({"act": "switch", "profile": ana.id}, elsewhere)
    assert today.context.store.profiles.open_for_browser("b2", now=now).id != ana.id


def test_who_knows_it_sees_today_and_never_the_newcomers_page_again(today: TodayPage) -> None:
    html = today.act(build_event(today.load(opened("b1")), "know"), opened("b1"))["html"]
    for page in (html, today.load(opened("b1"))):
        assert "Start the review" in words(page)
        assert "two thin matrices" not in words(page)


def test_a_learner_sees_what_is_due_and_what_is_weak(
    today: TodayPage, cards: CardExercise, now: datetime
) -> None:
    profile = today.context.store.profiles.add("b1", "Ana", now=now).id
    missed = rate_one(cards, profile, 1, now)
    html = words(today.load(opened("b1")))
    assert html.startswith("Good ")
    assert ", Ana" in html
    assert "1 card is due and 9 new ones are ready." in html
    assert today.context.concepts.name(cards.subjects[missed][0]) in html
    assert "Missed lately" in html
    assert "missed once, last seen today" in html
    assert "Next to learn Fine-tuning · step 1 of the path" in html
    assert "First day" in html


def clock_at(moment: datetime) -> Callable[[], datetime]:
    """A clock that stands."""
    return lambda: moment


def test_a_single_day_is_the_first_one_only_once_and_two_are_in_a_row(
    today: TodayPage, cards: CardExercise, now: datetime
) -> None:
    profile = today.context.store.profiles.add("b1", "Ana", now=now).id
    rate_one(cards, profile, 4, now)
    for days, said in ((1, ""), (2, "3 days in a row"), (9, "")):
        later = now + timedelta(days=days)
        if days == 2:
            rate_one(cards, profile, 4, now + timedelta(days=1))
        if days > 1:
            rate_one(cards, profile, 4, later)
        page = replace(today, context=replace(today.context, clock=clock_at(later)))
        html = words(page.load(opened("b1")))
        assert ("in a row" in html) == bool(said)
        assert said in html
        assert "First day" not in html


@pytest.mark.parametrize(("hour", "said"), [(2, True), (5, False)])
def test_before_the_day_begins_today_says_until_when_it_lasts(
    today: TodayPage, now: datetime, hour: int, said: bool
) -> None:
    today.act({"act": "know"}, opened("b1"))
    [profile] = today.context.store.profiles.all()
    today.context.store.preferences.change(profile.id, time_zone="UTC")
    early = replace(today, context=replace(today.context, clock=clock_at(now.replace(hour=hour))))
    assert ("Today lasts until 04:00." in words(early.load(opened("b1")))) == said


def test_a_week_without_a_due_card_is_told_in_words(
    today: TodayPage, cards: CardExercise, now: datetime
) -> None:
    empty = today.act(build_event(today.load(opened("b1")), "know"), opened("b1"))["html"]
    assert "No card is due in the next seven days. Each card that you rate gets its day here." in words(empty)
    assert '<svg class="forecast"' not in empty
    [profile] = today.context.store.profiles.all()
    rate_one(cards, profile.id, 3, now - timedelta(days=1))
    later = today.load(opened("b1"))
    assert '<svg class="forecast"' in later
    assert "No card is due in the next seven days" not in words(later)


def miss_surely(store: Store, profile: str, question: str, moment: datetime) -> None:
    """A wrong answer to one question, given without a doubt."""
    quiz = store.quizzes.start(profile, seed=1, question_ids=(question,), choice={}, started_at=moment)
    wrong = QuizAnswer(
        question_id=question,
        option="x",
        correct=False,
        answered_at=moment,
        duration_ms=1,
        confidence="sure",
    )
    store.quizzes.append(quiz.id, wrong)


def test_today_says_which_confident_errors_come_back_and_the_review_asks_them_first(
    today: TodayPage, review: ReviewPage, now: datetime
) -> None:
    store = today.context.store
    profile = store.profiles.add("b1", "Ana", now=now).id
    miss_surely(store, profile, "q-dq-what", now - timedelta(days=1))
    html = today.load(opened("b1"))
    assert "1 question comes back today : you were sure and missed it." in words(html)
    assert 'href="/quiz?mode=again"' in html
    goto = today.act(build_event(html, "start"), opened("b1"))["goto"]
    run = store.five_minute_reviews.find(profile, goto.removeprefix("/review?run="))
    assert run is not None
    record = store.quizzes.session(profile, run.quiz_session_id)
    assert record is not None
    assert record.question_ids[0] == "q-dq-what"


def test_cards_that_a_miss_brought_are_not_called_due(
    today: TodayPage, cards: CardExercise, now: datetime
) -> None:
    today.act({"act": "know"}, opened("b1"))
    [profile] = today.context.store.profiles.all()
    assert "No card is due; 10 new ones are ready." in words(today.load(opened("b1")))
    cards.reviews.request_about(profile.id, ("lora-rank",), because="q1", now=now)
    html = today.load(opened("b1"))
    assert "3 cards about what you missed and 7 new ones are ready." in words(html)
    assert 'aria-label="Cards due: Today 3,' in html
    assert "from your ratings so far; today also the 3 about what you missed." in words(html)
    page = CardsPage(context=today.context, exercise=cards)
    assert "Left: 7 new, 0 learning, 0 to review, 3 about what you missed" in words(page.load(opened("b1")))


def test_today_says_that_recall_counts_repeats(today: TodayPage, cards: CardExercise, now: datetime) -> None:
    profile = today.context.store.profiles.add("b1", "Ana", now=now).id
    rate_one(cards, profile, 1, now)
    rate_one(cards, profile, 3, now + timedelta(minutes=2))
    assert "1 of 1 card repeats recalled this week" in words(today.load(opened("b1")))


def test_a_question_that_is_said_to_come_back_tomorrow_is_not_in_todays_review(
    review: ReviewPage, now: datetime
) -> None:
    store = review.context.store
    profile = store.profiles.add("b1", "Ana", now=now).id
    miss_surely(store, profile, "q-dq-what", now)
    goto = review.act({"act": "start"}, opened("b1"))["goto"]
    run = store.five_minute_reviews.find(profile, goto.removeprefix("/review?run="))
    assert run is not None
    record = store.quizzes.session(profile, run.quiz_session_id)
    assert record is not None
    assert "q-dq-what" not in record.question_ids


@pytest.mark.parametrize("seed", range(8))
def test_a_newcomers_review_asks_easy_questions_about_what_was_met_or_begins_the_path(
    context: Context, cards: CardExercise, seed: int
) -> None:
    quiz, visit = (
        build_quiz_exercise(context, ask_for_cards=cards.ask_for),
        find_visit(context, browser_id="b1", query={}),
    )
    context.store.lessons.mark(visit.profile.id, "kv-cache", "learn", "opened", at=visit.now)
    ids = quiz.draw_question_ids(visit, length=12, seed=seed)
    drawn = [quiz.operations.bank.by_id[each] for each in ids]
    known = {*read_path_ids()[:5], "kv-cache"}
    assert all(question.level == "beginner" and known.issuperset(question.concepts) for question in drawn)
    for concept in list(context.concepts.by_id)[:10]:
        context.store.lessons.mark(visit.profile.id, concept, "learn", "opened", at=visit.now)
    assert quiz.operations.list_known_concepts(visit.profile.id) is None


@pytest.mark.parametrize(
    ("is_own", "said"), [(False, "Last run on this machine r=1"), (True, "Your last prediction r=1")]
)
def test_a_run_that_is_not_the_learners_own_is_called_the_machines(
    today: TodayPage, now: datetime, is_own: bool, said: str
) -> None:
    profile = today.context.store.profiles.open_for_browser("b1", now=now)
    today.context.store.preferences.change(profile.id, tour_seen=True)
    assert "Last run" not in words(today.load(opened("b1")))
    today.ports.last_run = lambda _: LastRun(html=Markup("r=1"), is_own=is_own)
    assert said in words(today.load(opened("b1")))


def test_an_exam_left_open_is_offered(today: TodayPage, cards: CardExercise, now: datetime) -> None:
    quiz = build_quiz_exercise(today.context, ask_for_cards=cards.ask_for)
    today.ports.open_quiz = quiz.open_quiz
    profile = today.context.store.profiles.open_for_browser("b1", now=now).id
    rate_one(cards, profile, 3, now)
    assert "Go on with your" not in words(today.load(opened("b1")))
    exam = QuizChoice(mode="exam", length=5, seed=7)
    quiz.operations.start(profile, exam, now=now)
    html = today.load(opened("b1"))
    assert "Go on with your exam : 0 of 5 answered. Its clock is running." in words(html)
    assert 'href="/quiz?mode=exam&amp;n=5&amp;seed=7"' in html


def test_a_review_that_was_begun_today_is_gone_on_with(
    today: TodayPage, review: ReviewPage, now: datetime
) -> None:
    query = query_of(review.act({"act": "start"}, opened("b1"))["goto"])
    assert "Go on with your review" not in words(review.load(opened("b1")))
    html = review.load(opened("b1", query[1:]))
    back = review.act(build_event(html, "flip", query=query), opened("b1"))["html"]
    review.act(build_event(back, "rate", nth=3, query=query), opened("b1"))
    later = replace(review, context=replace(review.context, clock=lambda: now + timedelta(minutes=1)))
    later.act({"act": "start"}, opened("b1"))  # another one, left before its first answer
    for html in (today.load(opened("b1")), review.load(opened("b1"))):
        assert f'<a class="button primary" href="/review{query}">Go on with your review</a>' in html
        assert "Done so far: cards 1/6, questions 0/3, explanation 0/1 Start a new one" in words(html)
        assert "A new review holds 6 card answers, 3 questions and 1 explanation: about 5 minutes." in words(
            html
        )
    tomorrow = replace(today.context, clock=lambda: now + timedelta(days=1))
    assert "Go on" not in words(replace(review, context=tomorrow).load(opened("b1")))


def test_the_start_button_opens_a_review_at_once(
    today: TodayPage, now: datetime, cards: CardExercise
) -> None:
    profile = today.context.store.profiles.add("b1", "Ana", now=now).id
    rate_one(cards, profile, 3, now)
    goto = today.act(build_event(today.load(opened("b1")), "start"), opened("b1"))["goto"]
    assert goto.startswith("/review?run=")
    assert (
        today.context.store.five_minute_reviews.find(profile, goto.removeprefix("/review?run=")) is not None
    )


def test_a_page_left_open_overnight_shows_the_new_day(
    today: TodayPage, cards: CardExercise, now: datetime
) -> None:
    profile = today.context.store.profiles.open_for_browser("b1", now=now)
    rate_one(cards, profile.id, 4, now)
    html = today.load(opened("b1"))
    [day] = re.findall(r'data-poll="60000" data-day="([^"]+)"', html)
    poll = {"act": "poll", "day": day}
    assert today.act(poll, opened("b1")) == {}
    tomorrow = replace(today, context=replace(today.context, clock=lambda: now + timedelta(days=1)))
    shown = tomorrow.act(poll, opened("b1"))["html"]
    assert "9 new ones are ready" in words(html)
    assert "10 new ones are ready" in words(shown)
    assert f'data-day="{day}"' not in shown


def test_a_card_that_comes_back_later_today_is_not_due_now(
    today: TodayPage, cards: CardExercise, now: datetime
) -> None:
    store = today.context.store
    profile = store.profiles.open_for_browser("b1", now=now)
    rate_one(cards, profile.id, 1, now)
    store.preferences.change(profile.id, learn_ahead_minutes=0, new_cards_a_day=0)
    shown = words(today.load(opened("b1")))
    assert "No card is due now." in shown
    assert "1 Today" in shown
