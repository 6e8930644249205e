"""Today, the five-minute review and Learn as functions: what is shown, and what each press does."""

import re
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

import lora_lab.quantities  # noqa: F401 - cards show the numbers they were checked against
from flashcards.review.presenter import CardExercise, card_exercise
from lora_lab.figures.adapters import whole_model
from quizzes.explain.presenter import explain_exercise
from quizzes.session.presenter import quiz_exercise
from study.base.errors import LearnerError
from study.pages.review import ReviewPage
from study.pages.today import GLANCE, TodayPage
from study.ports.activities import Subjects
from study.ports.context import Context
from study.ports.ports import Ports
from study.store.logs.quizzes import QuizAnswer
from study.text.markup import to_html
from study.web.frame import HeaderView
from tests.flashcards.card_events import shown
from tests.quizzes.answering import right_fields, wrong_fields
from tests.quizzes.rule_grader import RuleGrader
from tests.visits import build_event, opened, primary, query_of, words


@pytest.fixture
def cards(context: Context) -> CardExercise:
    return card_exercise(context)


@pytest.fixture
def review(context: Context, cards: CardExercise) -> ReviewPage:
    quiz = quiz_exercise(context, ask_for_cards=cards.ask_for)
    return ReviewPage(context=context, cards=cards, quiz=quiz, explain=explain_exercise(context))


@pytest.fixture
def subjects(review: ReviewPage, cards: CardExercise) -> Subjects:
    bank = quiz_exercise(review.context, ask_for_cards=cards.ask_for)
    return Subjects(of_card=cards.subjects, of_question=bank.subjects, of_prompt={})


@pytest.fixture
def today(context: Context, review: ReviewPage, cards: CardExercise, subjects: Subjects) -> TodayPage:
    ports = Ports(subjects=subjects, figures={GLANCE: whole_model.build_glance_figure()})
    ports.cards_due = cards.due
    return TodayPage(context=context, review=review, ports=ports)


def rate_one(cards: CardExercise, profile: str, rating: int, now: datetime) -> str:
    card = cards.reviews.snapshot(profile, now=now).session().card
    assert card is not None
    cards.reviews.rate(profile, shown(cards.reviews, profile, card.id, now=now), rating=rating, now=now)
    return card.id


# ---- Today ----


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
    return words(HeaderView(today.context).load(opened(browser, **more))[1])


def test_a_fresh_browser_is_asked_once_who_it_is(
    today: TodayPage, cards: CardExercise, now: datetime
) -> None:
    store = today.context.store
    guest = store.profiles.of_browser("b0", now=now)
    rate_one(cards, guest.id, 3, now - timedelta(days=1))
    ana = store.profiles.add("b1", "Ana", now=now)
    store.profiles.of_browser("nobody", now=now)
    assert asks(today) == "Who are you? Guest learner, last here yesterday, 1 answer Ana I am new here"
    assert asks(today, "b1") == ""
    assert today.act({"act": "switch", "profile": ana.id}, opened("b2")) == {"goto": "/"}
    assert store.profiles.of_browser("b2", now=now).id == ana.id
    assert asks(today) == ""
    assert "Who are you?" in asks(today, "b3")
    today.act({"act": "new-here"}, opened("b3"))
    assert asks(today, "b3") == ""
    rate_one(cards, store.profiles.of_browser("b4", now=now).id, 3, now)
    assert asks(today, "b4") == ""


def test_a_browser_elsewhere_is_not_asked_who_it_is_and_takes_no_profile(
    today: TodayPage, now: datetime
) -> None:
    ana = today.context.store.profiles.add("b1", "Ana", now=now)
    assert asks(today, client="192.168.1.77") == ""
    elsewhere = opened("b2", client="192.168.1.77")
    with pytest.raises(LearnerError):
        today.act({"act": "switch", "profile": ana.id}, elsewhere)
    assert today.context.store.profiles.of_browser("b2", now=now).id != ana.id


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
    assert "the only answer that counts so far was a miss, last seen today" in html
    assert "Next to learn Fine-tuning step 1 of the path" in html
    assert "1 day in a row" in html


def test_today_says_which_confident_errors_come_back_and_the_review_asks_them_first(
    today: TodayPage, review: ReviewPage, now: datetime
) -> None:
    store = today.context.store
    profile = store.profiles.add("b1", "Ana", now=now).id
    yesterday = now - timedelta(days=1)
    quiz = store.quizzes.start(profile, seed=1, question_ids=("q-dq-what",), choice={}, started_at=yesterday)
    wrong = QuizAnswer(
        question_id="q-dq-what",
        option="x",
        correct=False,
        answered_at=yesterday,
        duration_ms=1,
        confidence="sure",
    )
    store.quizzes.append(quiz.id, wrong)
    html = today.load(opened("b1"))
    assert "1 question comes back today : you were sure and missed it." in words(html)
    assert 'href="/quiz?mode=again"' in html
    goto = today.act(build_event(html, "start"), opened("b1"))["goto"]
    run = store.runs.run(profile, goto.removeprefix("/review?run="))
    assert run is not None
    record = store.quizzes.session(profile, run.quiz_session_id)
    assert record is not None
    assert record.question_ids[0] == "q-dq-what"


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
    quiz = store.quizzes.start(profile, seed=1, question_ids=("q-dq-what",), choice={}, started_at=now)
    wrong = QuizAnswer(
        question_id="q-dq-what",
        option="x",
        correct=False,
        answered_at=now,
        duration_ms=1,
        confidence="sure",
    )
    store.quizzes.append(quiz.id, wrong)
    goto = review.act({"act": "start"}, opened("b1"))["goto"]
    run = store.runs.run(profile, goto.removeprefix("/review?run="))
    assert run is not None
    record = store.quizzes.session(profile, run.quiz_session_id)
    assert record is not None
    assert "q-dq-what" not in record.question_ids


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
        assert "cards 1/9, questions 0/3, explanation 0/1 Start a new one" in words(html)
    tomorrow = replace(today.context, clock=lambda: now + timedelta(days=1))
    assert "Go on" not in words(replace(review, context=tomorrow).load(opened("b1")))


def test_a_finished_review_is_not_gone_on_with(today: TodayPage, review: ReviewPage) -> None:
    reviewed(review)
    assert "Go on with your review" not in words(today.load(opened("b1")))
    assert "Start the review" in words(today.load(opened("b1")))


def test_the_start_button_opens_a_review_at_once(
    today: TodayPage, now: datetime, cards: CardExercise
) -> None:
    profile = today.context.store.profiles.add("b1", "Ana", now=now).id
    rate_one(cards, profile, 3, now)
    goto = today.act(build_event(today.load(opened("b1")), "start"), opened("b1"))["goto"]
    assert goto.startswith("/review?run=")
    assert today.context.store.runs.run(profile, goto.removeprefix("/review?run=")) is not None


# ---- the five-minute review ----


def test_a_review_goes_from_cards_over_questions_to_one_explanation(review: ReviewPage) -> None:
    goto = review.act({"act": "start"}, opened("b1"))["goto"]
    query = query_of(goto)
    html = review.load(opened("b1", query[1:]))
    assert "cards 0/9 questions 0/3 explanation 0/1" in words(html)
    for _ in range(9):
        back = review.act(build_event(html, "flip", query=query), opened("b1"))["html"]
        html = review.act(build_event(back, "rate", nth=3, query=query), opened("b1"))["html"]
    for number in range(3):
        assert f"questions {number}/3" in words(html)
        event = build_event(html, "answer", query=query, fields=right_answer(review, html))
        feedback = review.act(event, opened("b1"))["html"]
        assert "✓ Your answer, right" in words(feedback)
        assert ("Go on Enter" if number == 2 else "Next question Enter") in words(feedback)
        html = review.act(build_event(feedback, "next", query=query), opened("b1"))["html"]
    event = build_event(html, "submit", query=query, fields={"answer": ["The base is frozen."]})
    rubric = review.act(event, opened("b1"))["html"]
    event = build_event(rubric, "judge", query=query, fields={"concept": ["frozen-base"]})
    result = review.act(event, opened("b1"))["html"]
    done = review.act(build_event(result, "next", query=query), opened("b1"))["html"]
    assert "9 cards rated. 3 of 3 questions right. 1 of 4 concepts explained." in words(done)
    assert "Few trainable parameters not explained; cards about it are due now" in words(done)
    assert words(review.load(opened("b1", query[1:]))) == words(done)


def reviewed(review: ReviewPage, *, first_rating: int = 4, wrong: int = 0) -> tuple[str, str, str]:
    """A review with `wrong` missed questions: its query, the question texts' page, and its last page."""
    query = query_of(review.act({"act": "start"}, opened("b1"))["goto"])
    html = review.load(opened("b1", query[1:]))
    for number in range(9):
        back = review.act(build_event(html, "flip", query=query), opened("b1"))["html"]
        rating = first_rating if number == 0 else 4
        html = review.act(build_event(back, "rate", nth=rating - 1, query=query), opened("b1"))["html"]
    questions = html
    for number in range(3):
        fields = wrong_answer(review, html) if number < wrong else right_answer(review, html)
        feedback = review.act(build_event(html, "answer", query=query, fields=fields), opened("b1"))["html"]
        html = review.act(build_event(feedback, "next", query=query), opened("b1"))["html"]
    submit = build_event(html, "submit", query=query, fields={"answer": ["The base is frozen."]})
    rubric = review.act(submit, opened("b1"))["html"]
    ticked = ["frozen-base", "low-rank-update", "few-trainable-params", "less-training-memory"]
    result = review.act(build_event(rubric, "judge", query=query, fields={"concept": ticked}), opened("b1"))[
        "html"
    ]
    done = review.act(build_event(result, "next", query=query), opened("b1"))["html"]
    return query, questions, done


def test_a_review_ends_with_what_was_missed_when_it_comes_back_and_one_next_step(review: ReviewPage) -> None:
    _, questions, done = reviewed(review, first_rating=1, wrong=1)
    [profile] = review.context.store.profiles.all()
    forgotten = next(r for r in review.context.store.cards.history(profile.id) if r.rating == 1)
    card = card_exercise(review.context).reviews.decks.by_id[forgotten.card_id]
    bank = quiz_exercise(review.context, ask_for_cards=card_exercise(review.context).ask_for).operations.bank
    question = bank.by_id[build_event(questions, "answer")["question"]]
    shown = words(done)
    assert f"Missed {words(to_html(card.front))} comes back" in shown
    assert f"{words(to_html(question.stem))} asked again in a later review" in shown
    assert re.search(r"\d more cards? can be reviewed now\.", shown)
    [button] = primary(done)
    known = {f"Read about {review.context.concepts.name(c)}" for c in (*card.concepts, *question.concepts)}
    assert button in known


def test_a_review_without_a_miss_says_no_miss_and_has_one_next_step(review: ReviewPage) -> None:
    _, _, done = reviewed(review)
    assert "Missed" not in words(done)
    assert primary(done) == ["Go on with 1 card"]


def test_the_last_card_of_a_review_can_be_taken_back_until_its_end(review: ReviewPage) -> None:
    query, _, done = reviewed(review)
    undone = review.act(build_event(done, "undo", query=query), opened("b1"))["html"]
    assert "cards 8/9 questions 3/3 explanation 1/1" in words(undone)
    back = review.act(build_event(undone, "flip", query=query), opened("b1"))["html"]
    again = review.act(build_event(back, "rate", nth=3, query=query), opened("b1"))["html"]
    assert "Done for now." in words(again)


def wrong_answer(review: ReviewPage, html: str) -> dict[str, list[str]]:
    event = build_event(html, "answer")
    quiz = quiz_exercise(review.context, ask_for_cards=card_exercise(review.context).ask_for).operations
    [profile] = review.context.store.profiles.all()
    record = quiz.record(profile.id, event["session"])
    return wrong_fields(quiz.bank.by_id[event["question"]], seed=record.seed)


def right_answer(review: ReviewPage, html: str) -> dict[str, list[str]]:
    event = build_event(html, "answer")
    quiz = quiz_exercise(review.context, ask_for_cards=card_exercise(review.context).ask_for).operations
    [profile] = review.context.store.profiles.all()
    record = quiz.record(profile.id, event["session"])
    return right_fields(quiz.bank.by_id[event["question"]], seed=record.seed)


def test_the_grader_loads_from_the_first_card_of_a_review_on(review: ReviewPage) -> None:
    grader = RuleGrader()
    explain = explain_exercise(review.context, grader=grader)
    replace(review, explain=explain).load(opened("b1"))
    explain.room.close(wait=True)
    assert grader.prepared == 1


def test_leaving_a_review_and_coming_back_goes_on(review: ReviewPage) -> None:
    query = query_of(review.act({"act": "start"}, opened("b1"))["goto"])
    html = review.load(opened("b1", query[1:]))
    back = review.act(build_event(html, "flip", query=query), opened("b1"))["html"]
    review.act(build_event(back, "rate", nth=3, query=query), opened("b1"))
    assert "cards 1/9" in words(review.load(opened("b1", query[1:])))


def test_the_last_rating_of_a_review_can_be_undone(review: ReviewPage) -> None:
    query = query_of(review.act({"act": "start"}, opened("b1"))["goto"])
    html = review.load(opened("b1", query[1:]))
    first = build_event(html, "flip")["card"]
    back = review.act(build_event(html, "flip", query=query), opened("b1"))["html"]
    rated = review.act(build_event(back, "rate", nth=3, query=query), opened("b1"))["html"]
    undone = review.act(build_event(rated, "undo", query=query), opened("b1"))["html"]
    assert build_event(undone, "flip")["card"] == first
    assert "cards 0/9" in words(undone)


def test_a_review_of_another_profile_is_not_shown(review: ReviewPage) -> None:
    query = query_of(review.act({"act": "start"}, opened("b1"))["goto"])
    assert "Start" in words(review.load(opened("b2", query[1:])))
    with pytest.raises(Exception, match="not in this profile"):
        review.act({"act": "next", "query": query}, opened("b2"))


def test_a_card_rated_elsewhere_does_not_stop_a_review(review: ReviewPage) -> None:
    query = query_of(review.act({"act": "start"}, opened("b1"))["goto"])
    back = review.act(build_event(review.load(opened("b1", query[1:])), "flip", query=query), opened("b1"))[
        "html"
    ]
    review.act(build_event(back, "rate", nth=2, query=query), opened("b1"))
    again = review.act(build_event(back, "rate", nth=2, query=query), opened("b1"))
    assert "another window" in again["error"]
    assert "Show the answer" in words(again["html"])
