"""The daily review as functions: from cards over questions to one explanation, and its ending."""

import re
from dataclasses import replace

import pytest

from flashcards.pages.cards import CardsPage
from flashcards.review.presenter import CardExercise
from quizzes.explain.presenter import ExplainExercise, explain_exercise
from study.base.errors import LearnerError
from study.pages.review import ReviewPage
from study.pages.today import TodayPage
from study.store.logs.own_prompts import OwnPrompt
from study.text.markup import to_html
from study.web.frame import open_visit
from tests.exercises import build_card_exercise, build_quiz_exercise
from tests.quizzes.answering import right_fields, wrong_fields
from tests.quizzes.explain.explaining import end_thread
from tests.quizzes.rule_grader import RuleGrader
from tests.visits import build_event, opened, primary, query_of, words


def test_a_review_goes_from_cards_over_questions_to_one_explanation(review: ReviewPage) -> None:
    goto = review.act({"act": "start"}, opened("b1"))["goto"]
    query = query_of(goto)
    html = review.load(opened("b1", query[1:]))
    assert "cards 0/6 questions 0/3 explanation 0/1" in words(html)
    for _ in range(6):
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
    assert "6 cards rated. 3 of 3 questions right. 1 of 4 concepts explained." in words(done)
    assert "Few trainable parameters not explained; cards about it are ready now" in words(done)
    assert words(review.load(opened("b1", query[1:]))) == words(done)


def test_a_review_takes_five_minutes_whatever_the_questions_take(
    review: ReviewPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit = open_visit(review.context, opened("b1"))
    plan = review.plan(visit)
    assert (plan.questions, plan.explanations, plan.minutes) == (3, 1, 5)
    monkeypatch.setattr(type(review.quiz), "estimate_seconds_each", lambda *_: 15.0)
    quicker = review.plan(visit)
    assert quicker.cards > plan.cards
    assert quicker.minutes == 5
    monkeypatch.setattr(type(review.quiz), "estimate_seconds_each", lambda *_: 120.0)
    slower = review.plan(visit)
    assert 1 <= slower.cards < plan.cards
    assert slower.minutes > 5


def reviewed(review: ReviewPage, *, first_rating: int = 4, wrong: int = 0) -> tuple[str, str, str]:
    """A review with `wrong` missed questions: its query, the question texts' page, and its last page."""
    query = query_of(review.act({"act": "start"}, opened("b1"))["goto"])
    html = review.load(opened("b1", query[1:]))
    for number in range(6):
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


def test_a_finished_review_is_not_gone_on_with(today: TodayPage, review: ReviewPage) -> None:
    reviewed(review)
    assert "Go on with your review" not in words(today.load(opened("b1")))
    assert "Start the review" in words(today.load(opened("b1")))


def test_a_review_ends_with_what_was_missed_when_it_comes_back_and_one_next_step(review: ReviewPage) -> None:
    _, questions, done = reviewed(review, first_rating=1, wrong=1)
    [profile] = review.context.store.profiles.all()
    forgotten = next(r for r in review.context.store.cards.history(profile.id) if r.rating == 1)
    card = build_card_exercise(review.context).reviews.decks.by_id[forgotten.card_id]
    bank = build_quiz_exercise(
        review.context, ask_for_cards=build_card_exercise(review.context).ask_for
    ).operations.bank
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
    assert primary(done) == ["Go on with 4 cards"]


def test_the_last_card_of_a_review_can_be_taken_back_until_its_end(review: ReviewPage) -> None:
    query, _, done = reviewed(review)
    undone = review.act(build_event(done, "undo", query=query), opened("b1"))["html"]
    assert "cards 5/6 questions 3/3 explanation 1/1" in words(undone)
    back = review.act(build_event(undone, "flip", query=query), opened("b1"))["html"]
    again = review.act(build_event(back, "rate", nth=3, query=query), opened("b1"))["html"]
    assert "Done for now." in words(again)


def test_a_review_leads_past_a_question_and_an_explanation_that_one_cannot_answer_yet(
    today: TodayPage, review: ReviewPage
) -> None:
    query = query_of(review.act({"act": "start"}, opened("b1"))["goto"])
    html = review.load(opened("b1", query[1:]))
    for _ in range(6):
        back = review.act(build_event(html, "flip", query=query), opened("b1"))["html"]
        html = review.act(build_event(back, "rate", nth=3, query=query), opened("b1"))["html"]
    for _ in range(3):
        shown = review.act(build_event(html, "give-up", query=query), opened("b1"))["html"]
        assert "✓ The right answer" in words(shown)
        html = review.act(build_event(shown, "next", query=query), opened("b1"))["html"]
    done = review.act(build_event(html, "skip", query=query), opened("b1"))["html"]
    assert "Done for now." in words(done)
    assert "0 of 3 questions right. No explanation written." in words(done)
    assert words(done).count("asked again in a later review") == 3
    assert "Go on with your review" not in words(today.load(opened("b1")))


def wrong_answer(review: ReviewPage, html: str) -> dict[str, list[str]]:
    event = build_event(html, "answer")
    quiz = build_quiz_exercise(
        review.context, ask_for_cards=build_card_exercise(review.context).ask_for
    ).operations
    [profile] = review.context.store.profiles.all()
    record = quiz.read_record(profile.id, event["session"])
    return wrong_fields(quiz.bank.by_id[event["question"]], seed=record.seed)


def right_answer(review: ReviewPage, html: str) -> dict[str, list[str]]:
    event = build_event(html, "answer")
    quiz = build_quiz_exercise(
        review.context, ask_for_cards=build_card_exercise(review.context).ask_for
    ).operations
    [profile] = review.context.store.profiles.all()
    record = quiz.read_record(profile.id, event["session"])
    return right_fields(quiz.bank.by_id[event["question"]], seed=record.seed)


def test_the_grader_loads_from_the_first_card_of_a_review_on(review: ReviewPage, cards: CardExercise) -> None:
    grader = RuleGrader()
    explain = explain_exercise(review.context, ask_for_cards=cards.ask_for, grader=grader)
    replace(review, explain=explain).load(opened("b1"))
    end_thread(explain.room)
    assert grader.prepared == 1


def test_leaving_a_review_and_coming_back_goes_on(review: ReviewPage) -> None:
    query = query_of(review.act({"act": "start"}, opened("b1"))["goto"])
    html = review.load(opened("b1", query[1:]))
    back = review.act(build_event(html, "flip", query=query), opened("b1"))["html"]
    review.act(build_event(back, "rate", nth=3, query=query), opened("b1"))
    assert "cards 1/6" in words(review.load(opened("b1", query[1:])))


def test_the_last_rating_of_a_review_can_be_undone(review: ReviewPage) -> None:
    query = query_of(review.act({"act": "start"}, opened("b1"))["goto"])
    html = review.load(opened("b1", query[1:]))
    first = build_event(html, "flip")["card"]
    back = review.act(build_event(html, "flip", query=query), opened("b1"))["html"]
    rated = review.act(build_event(back, "rate", nth=3, query=query), opened("b1"))["html"]
    undone = review.act(build_event(rated, "undo", query=query), opened("b1"))["html"]
    assert build_event(undone, "flip")["card"] == first
    assert "cards 0/6" in words(undone)


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


def test_cards_rated_elsewhere_meanwhile_count_up_to_those_of_the_review(
    today: TodayPage, review: ReviewPage, cards: CardExercise
) -> None:
    query = query_of(review.act({"act": "start"}, opened("b1"))["goto"])
    page = CardsPage(context=review.context, exercise=cards)
    html = page.load(opened("b1", "new=20"))
    for _ in range(12):
        back = page.act(build_event(html, "flip", query="?new=20"), opened("b1"))["html"]
        html = page.act(build_event(back, "rate", nth=3, query="?new=20"), opened("b1"))["html"]
    assert "cards 6/6 questions 0/3" in words(review.load(opened("b1", query[1:])))
    assert "cards 6/6" in words(today.load(opened("b1")))


def explained_own(review: ReviewPage) -> tuple[str, str]:
    """The query of a review whose explanation is about the learner's own prompt, and that prompt's id."""
    review.load(opened("b1"))
    [profile] = review.context.store.profiles.all()
    assert isinstance(review.explain, ExplainExercise)
    lines = ("Frozen base: the weights stay.", "Two: thin.", "Three: merge.", "Four: memory.")
    own = OwnPrompt(id="", text="What does LoRA freeze?", hint="", concepts=lines)
    now = review.context.clock()
    prompt_id = review.context.store.own_prompts.save(profile.id, own, at=now)
    started = review.context.store.five_minute_reviews.start(
        profile.id, cards=0, seed=1, question_ids=(), prompt_id=prompt_id, started_at=now
    )
    return f"?run={started.id}", prompt_id


def test_a_review_goes_on_when_its_own_prompt_is_removed(review: ReviewPage) -> None:
    query, prompt_id = explained_own(review)
    box = review.load(opened("b1", query[1:]))
    assert "What does LoRA freeze?" in words(box)
    [profile] = review.context.store.profiles.all()
    assert isinstance(review.explain, ExplainExercise)
    review.explain.own.withdraw(profile.id, prompt_id, at=review.context.clock())
    event = build_event(box, "submit", query=query, fields={"answer": ["The base is frozen."]})
    with pytest.raises(LearnerError, match=r"was removed.*skip"):
        review.act(event, opened("b1"))
    assert "Done for now." in words(review.act(build_event(box, "skip", query=query), opened("b1"))["html"])
    assert "Done for now." in words(review.load(opened("b1", query[1:])))


def test_a_finished_review_opens_when_its_own_prompt_was_removed(review: ReviewPage) -> None:
    query, prompt_id = explained_own(review)
    box = review.load(opened("b1", query[1:]))
    event = build_event(box, "submit", query=query, fields={"answer": ["The base is frozen."]})
    rubric = review.act(event, opened("b1"))["html"]
    event = build_event(rubric, "judge", query=query, fields={"concept": ["concept-1"]})
    result = review.act(event, opened("b1"))["html"]
    [profile] = review.context.store.profiles.all()
    assert isinstance(review.explain, ExplainExercise)
    review.explain.own.withdraw(profile.id, prompt_id, at=review.context.clock())
    done = review.act(build_event(result, "next", query=query), opened("b1"))["html"]
    assert "Done for now." in words(done)


def test_a_card_whose_deck_was_removed_meanwhile_does_not_stop_a_review(review: ReviewPage) -> None:
    query = query_of(review.act({"act": "start"}, opened("b1"))["goto"])
    front = review.load(opened("b1", query[1:]))
    gone = build_event(front, "flip", query=query, card="of-a-removed-deck")
    reply = review.act(gone, opened("b1"))
    assert "no longer in the decks" in reply["error"]
    assert "Show the answer" in words(reply["html"])
