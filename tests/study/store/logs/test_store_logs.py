"""The logs: appended in one transaction, taken back exactly, and never mixed between learners."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy.exc import StatementError

from study.base.errors import LearnerError, StaleError
from study.store import DRAFT_LIMIT, Store
from study.store.logs.preferences import Preferences
from study.store.logs.quizzes import QuizAnswer
from tests.study.opinions import opinions


def rate(store: Store, profile: str, card: str, *, at: datetime, expected: int | None = None) -> int:
    last = store.cards.latest(profile).get(card)
    return store.cards.append(
        profile,
        card,
        rating=3,
        expected_review_id=(last.id if last else 0) if expected is None else expected,
        reviewed_at=at,
        duration_ms=1200,
        before=last.after if last else None,
        after={"due": at.isoformat(), "stability": 2.3065},
    )


def test_a_rating_is_read_back_as_it_was_written(store: Store, ana: str, now: datetime) -> None:
    review_id = rate(store, ana, "c", at=now)
    [review] = store.cards.history(ana)
    assert (review.id, review.card_id, review.rating, review.duration_ms) == (review_id, "c", 3, 1200)
    assert review.new
    assert review.reviewed_at == now
    latest = store.cards.latest(ana)["c"]
    assert latest.after == {"due": now.isoformat(), "stability": 2.3065}
    assert (latest.id, latest.reviewed_at) == (review_id, now)


def test_moments_come_back_in_utc_whatever_zone_they_were_in(store: Store, ana: str, now: datetime) -> None:
    elsewhere = now.astimezone(timezone(timedelta(hours=9)))
    rate(store, ana, "c", at=elsewhere)
    assert store.cards.history(ana)[0].reviewed_at == now
    assert store.cards.history(ana)[0].reviewed_at.tzinfo is UTC


def test_a_moment_without_a_zone_is_a_bug_and_not_a_guess(store: Store, ana: str, now: datetime) -> None:
    with pytest.raises(StatementError, match="without a time zone"):
        rate(store, ana, "c", at=now.replace(tzinfo=None))


def test_a_card_rated_in_another_window_is_not_rated_twice(store: Store, ana: str, now: datetime) -> None:
    rate(store, ana, "c", at=now)
    with pytest.raises(StaleError, match="rated in another window"):
        rate(store, ana, "c", at=now, expected=0)
    assert len(store.cards.history(ana)) == 1


def undo(store: Store, profile: str, *, at: datetime) -> str:
    last = store.card_operations.last(profile)
    return store.card_operations.undo(profile, expected_id=last.id if last else 0, undone_at=at).subject


def test_undo_reaches_back_one_rating_at_a_time(store: Store, ana: str, now: datetime) -> None:
    for n, card in enumerate("abc"):
        rate(store, ana, card, at=now + timedelta(minutes=n))
    assert [undo(store, ana, at=now) for _ in range(3)] == ["c", "b", "a"]
    assert store.cards.history(ana) == []
    with pytest.raises(LearnerError, match="nothing to undo"):
        undo(store, ana, at=now)


def test_undo_takes_back_only_what_the_page_showed_as_last(store: Store, ana: str, now: datetime) -> None:
    rate(store, ana, "a", at=now)
    first = store.card_operations.last(ana)
    assert first is not None
    rate(store, ana, "b", at=now)
    with pytest.raises(StaleError, match="Another window has done something in the meantime"):
        store.card_operations.undo(ana, expected_id=first.id, undone_at=now)
    assert len(store.cards.history(ana)) == 2


def test_the_card_just_undone_is_known_until_the_next_rating(store: Store, ana: str, now: datetime) -> None:
    for card in "ab":
        rate(store, ana, card, at=now)
    assert store.card_operations.just_undone(ana) is None
    for card in "ba":
        undo(store, ana, at=now)
        undone = store.card_operations.just_undone(ana)
        assert undone is not None
        assert undone.subject == card
    rate(store, ana, "a", at=now)
    assert store.card_operations.just_undone(ana) is None


def test_one_undo_covers_every_verb_in_the_order_they_were_done(
    store: Store, ana: str, now: datetime
) -> None:
    store.card_operations.append(ana, "flag", "a", value="ask", at=now)
    rate(store, ana, "b", at=now)
    store.card_operations.append(ana, "bury", "c", value=now.isoformat(), at=now)
    assert [undo(store, ana, at=now) for _ in range(3)] == ["c", "b", "a"]
    assert store.card_operations.live(ana, ["flag", "rate", "bury"]) == []


def test_a_verb_that_another_window_has_done_meanwhile_is_refused(
    store: Store, ana: str, now: datetime
) -> None:
    first = store.card_operations.append(ana, "edit", "a", value={"front": "x"}, at=now, expected_id=0)
    with pytest.raises(StaleError, match="Another window has changed this in the meantime"):
        store.card_operations.append(ana, "edit", "a", value={"front": "y"}, at=now, expected_id=0)
    store.card_operations.append(ana, "edit", "a", value=None, at=now, expected_id=first)


def test_lapses_are_counted_where_a_learnt_card_was_forgotten(store: Store, ana: str, now: datetime) -> None:
    for before in (None, {"phase": "learning"}, {"phase": "review"}, {"phase": "review"}):
        last = store.cards.latest(ana).get("c")
        store.cards.append(
            ana,
            "c",
            rating=1,
            expected_review_id=last.id if last else 0,
            reviewed_at=now,
            duration_ms=1,
            before=before,
            after={},
        )
    verbs = store.card_operations.live(ana, ["rate"])
    assert store.cards.lapses(ana) == {"c": [verb.id for verb in verbs[2:]]}
    assert store.cards.count_repeats_since(ana, since=now) == 1


def test_one_learner_never_sees_the_log_of_another(store: Store, ana: str, now: datetime) -> None:
    ben = store.profiles.add("b2", "Ben", now=now).id
    rate(store, ana, "c", at=now)
    quiz = store.quizzes.start(ana, seed=1, question_ids=("q",), choice={}, started_at=now)
    attempt = store.explains.submit(ana, "p", "text", at=now)
    assert store.cards.latest(ben) == {}
    assert store.quizzes.session(ben, quiz.id) is None
    with pytest.raises(LearnerError, match="not in this profile"):
        store.explains.record(ben, attempt, opinions(x="covered"), by="learner", at=now)


def test_a_question_is_answered_once_in_a_quiz(store: Store, ana: str, now: datetime) -> None:
    quiz = store.quizzes.start(ana, seed=7, question_ids=("q",), choice={"length": 1}, started_at=now)
    answer = QuizAnswer(question_id="q", option="right", correct=True, answered_at=now, duration_ms=1)
    store.quizzes.append(quiz.id, answer)
    with pytest.raises(StaleError, match="answered in another window"):
        store.quizzes.append(quiz.id, answer)
    assert store.quizzes.answers(quiz.id) == [answer]


def test_a_second_attempt_is_kept_beside_the_first_and_is_not_in_the_history(
    store: Store, ana: str, now: datetime
) -> None:
    quiz = store.quizzes.start(ana, seed=1, question_ids=("q",), choice={}, started_at=now)
    made = [
        QuizAnswer(
            question_id="q",
            option="",
            correct=attempt == 2,
            answered_at=now,
            duration_ms=1,
            response={"pairs": {"a": "b"}, "number": attempt},
            points=0.5,
            confidence="guess",
            attempt=attempt,
            hints=attempt - 1,
        )
        for attempt in (1, 2)
    ]
    for answer in made:
        store.quizzes.append(quiz.id, answer)
    with pytest.raises(StaleError, match="Your first answer counts"):
        store.quizzes.append(quiz.id, made[1])
    assert store.quizzes.answers(quiz.id) == made
    assert store.quizzes.history(ana) == made[:1]


def test_a_hint_is_shown_once_however_often_it_is_asked_for(store: Store, ana: str, now: datetime) -> None:
    quiz = store.quizzes.start(ana, seed=1, question_ids=("q", "r"), choice={}, started_at=now)
    for _ in range(2):
        store.quizzes.show_hint(quiz.id, "q", at=now)
    assert store.quizzes.hinted(quiz.id) == {"q"}


def test_submitting_an_explanation_ends_its_draft(store: Store, ana: str, now: datetime) -> None:
    store.drafts.save(ana, "explain:p", "half", at=now)
    store.drafts.save(ana, "explain:other", "keep me", at=now)
    store.explains.submit(ana, "p", "whole", at=now)
    assert store.drafts.read(ana, "explain:p") == ""
    assert store.drafts.read(ana, "explain:other") == "keep me"


def test_where_learner_and_grader_disagree_nothing_counts_until_a_teacher_decides(
    store: Store, ana: str, now: datetime
) -> None:
    attempt = store.explains.submit(ana, "p", "text", at=now)
    assert store.explains.attempts(ana, "p")[0].verdicts is None
    store.explains.record(ana, attempt, opinions(a="missing", b="covered", c="unsure"), by="grader", at=now)
    store.explains.record(ana, attempt, opinions(a="covered", b="covered", c="covered"), by="learner", at=now)
    assert store.explains.attempts(ana, "p")[0].verdicts == {"b": "covered", "c": "covered"}
    assert [(one.concept_id, one.verdict, one.at) for one in store.explains.counted(ana)] == [
        ("b", "covered", now),
        ("c", "covered", now),
    ]
    store.explains.record(ana, attempt, opinions(a="partial"), by="teacher", at=now)
    found = store.explains.attempts(ana, "p")[0]
    assert found.verdicts == {"a": "partial", "b": "covered", "c": "covered"}
    store.explains.take_back(ana, attempt, found.judgements[-1].id, at=now)
    assert "a" not in (store.explains.attempts(ana, "p")[0].verdicts or {})
    with pytest.raises(LearnerError, match="That mark is not on this explanation"):
        store.explains.take_back(ana, attempt, found.judgements[0].id, at=now)  # the grader's


def test_a_draft_is_overwritten_and_has_a_limit(store: Store, ana: str, now: datetime) -> None:
    for text in ("one", "two"):
        store.drafts.save(ana, "explain:p", text, at=now)
    assert store.drafts.read(ana, "explain:p") == "two"
    with pytest.raises(LearnerError, match=r"20,001 characters\. Shorten it to at most 20,000"):
        store.drafts.save(ana, "explain:p", "x" * (DRAFT_LIMIT + 1), at=now)
    store.drafts.save(ana, "explain:p", "x" * DRAFT_LIMIT, at=now)


def test_preferences_change_one_at_a_time_and_are_checked(store: Store, ana: str) -> None:
    assert store.preferences.read(ana) == Preferences()
    store.preferences.change(ana, shortcuts=False)
    store.preferences.change(ana, new_cards_a_day=3)
    assert store.preferences.read(ana) == Preferences(shortcuts=False, new_cards_a_day=3)
    with pytest.raises(LearnerError, match="Choose 0 to 200"):
        store.preferences.change(ana, new_cards_a_day=201)
    assert store.preferences.read(ana).new_cards_a_day == 3
