"""Profiles: a guest without asking, names that tell learners apart, and data that goes when it should."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from study.base.errors import LearnerError
from study.store import Store
from study.store.logs.imports import record_import
from study.store.logs.own_prompts import OwnPrompt
from study.store.logs.quizzes import QuizAnswer
from tests.study.opinions import opinions


def test_a_first_visit_makes_a_guest_without_asking(store: Store, now: datetime) -> None:
    guest = store.profiles.open_for_browser("b1", now=now)
    assert (guest.name, guest.named) == ("Guest learner", False)
    assert store.profiles.open_for_browser("b1", now=now) == guest


def test_two_browsers_are_two_learners_until_one_switches(store: Store, now: datetime) -> None:
    first, second = (store.profiles.open_for_browser(browser, now=now) for browser in ("b1", "b2"))
    assert first.name != second.name
    store.profiles.rename(first.id, "Ana")
    store.profiles.switch("b2", first.id, now=now)
    assert store.profiles.open_for_browser("b2", now=now).name == "Ana"


def test_profiles_that_were_here_are_listed_with_their_answers_the_latest_first(
    store: Store, now: datetime
) -> None:
    guest, ben, nobody = (store.profiles.open_for_browser(each, now=now).id for each in ("b1", "b2", "b3"))
    ana = store.profiles.add("b4", "Ana", now=now).id
    hour = timedelta(hours=1)
    for profile, at in ((guest, now), (guest, now + hour), (ben, now + 2 * hour), (nobody, now)):
        rate(store, profile, at)
    for profile in (guest, nobody):
        done = store.card_operations.last(profile)
        assert done is not None
        store.card_operations.undo(profile, expected_id=done.id, undone_at=now + hour)
    quiz = store.quizzes.start(ben, seed=1, question_ids=("q",), choice={}, started_at=now)
    store.quizzes.append(quiz.id, quiz_answer("q", now=now + 3 * hour))
    store.explains.submit(guest, "p", "text", at=now)
    seen = [(each.id, each.answers, each.answered_at) for each in store.profiles.list_seen()]
    assert seen == [(ben, 2, now + 3 * hour), (guest, 2, now), (ana, 0, None)]
    assert [len(store.list_answer_times(profile)) for profile, _, _ in seen] == [2, 2, 0]


def test_a_guest_who_did_nothing_is_not_kept(store: Store, now: datetime, ana: str) -> None:
    store.profiles.open_for_browser("b2", now=now)
    store.profiles.switch("b2", ana, now=now)
    assert [profile.name for profile in store.profiles.all()] == ["Ana"]


def test_a_guest_of_whom_only_the_browsers_time_zone_is_known_is_not_kept(
    store: Store, now: datetime, ana: str
) -> None:
    guest = store.profiles.open_for_browser("b2", now=now)
    store.preferences.change(guest.id, time_zone="Asia/Tokyo")
    store.profiles.switch("b2", ana, now=now)
    assert [profile.name for profile in store.profiles.all()] == ["Ana"]


def test_a_guest_who_did_something_is_kept(store: Store, now: datetime, ana: str) -> None:
    guest = store.profiles.open_for_browser("b2", now=now)
    store.drafts.save(guest.id, "explain:x", "half a thought", at=now)
    store.profiles.switch("b2", ana, now=now)
    assert guest in store.profiles.all()


def test_a_guest_who_imported_a_file_is_kept_and_can_take_it_back(
    store: Store, now: datetime, ana: str
) -> None:
    guest = store.profiles.open_for_browser("b2", now=now)
    with store.database.write() as connection:
        record_import(connection, guest.id, file_name="deck.csv", counts={}, changes={}, at=now)
    store.profiles.switch("b2", ana, now=now)
    assert [record.file_name for record in store.imports.list_undoable(guest.id)] == ["deck.csv"]


def test_a_name_is_taken_once_whatever_its_case(store: Store, now: datetime, ana: str) -> None:
    guest = store.profiles.open_for_browser("b2", now=now)
    with pytest.raises(LearnerError, match="There is already a profile called ANA"):
        store.profiles.rename(guest.id, "  ANA ")
    store.profiles.rename(ana, "ana")
    assert store.profiles.open_for_browser("browser-of-ana", now=now).name == "ana"


@pytest.mark.parametrize(("name", "what"), [("  ", "needs a name"), ("x" * 41, "has 41 characters")])
def test_a_name_that_cannot_be_shown_is_refused(store: Store, ana: str, name: str, what: str) -> None:
    with pytest.raises(LearnerError, match=what):
        store.profiles.rename(ana, name)


def test_switching_to_a_profile_that_is_gone_changes_nothing(store: Store, now: datetime, ana: str) -> None:
    with pytest.raises(LearnerError, match="no longer exists"):
        store.profiles.switch("browser-of-ana", "gone", now=now)
    assert store.profiles.open_for_browser("browser-of-ana", now=now).id == ana


def test_erasing_a_profile_leaves_nothing_of_it_and_all_of_the_others(
    store: Store, now: datetime, ana: str
) -> None:
    other = store.profiles.add("b2", "Ben", now=now).id
    for profile in (ana, other):
        fill(store, profile, now)
    store.profiles.erase(ana)
    assert [profile.name for profile in store.profiles.all()] == ["Ben"]
    assert not store.cards.history(ana)
    assert not store.quizzes.history(ana)
    assert not store.explains.attempts(ana)
    assert len(store.cards.history(other)) == len(store.quizzes.history(other)) == 1
    assert store.profiles.open_for_browser("browser-of-ana", now=now).name.startswith("Guest learner ")


def rate(store: Store, profile: str, moment: datetime) -> None:
    last = store.cards.latest(profile).get("c")
    store.cards.append(
        profile,
        "c",
        rating=3,
        expected_review_id=last.id if last else 0,
        reviewed_at=moment,
        duration_ms=1,
        before=None,
        after={"due": "later"},
    )


def fill(store: Store, profile: str, now: datetime) -> None:
    """One of everything."""
    for moment in (now, now + timedelta(minutes=1)):
        rate(store, profile, moment)
    done = store.card_operations.last(profile)
    assert done is not None
    store.card_operations.undo(profile, expected_id=done.id, undone_at=now)
    store.cards.request(profile, ["c"], because="q", at=now)
    run = store.five_minute_reviews.start(
        profile, cards=1, seed=1, question_ids=("q",), prompt_id="p", started_at=now
    )
    store.quizzes.append(run.quiz_session_id, quiz_answer("q", now=now))
    store.quizzes.append(run.quiz_session_id, replace(quiz_answer("q", now=now), attempt=2))
    store.quizzes.show_hint(run.quiz_session_id, "q", at=now)
    attempt = store.explains.submit(profile, "p", "text", at=now)
    store.explains.record(profile, attempt, opinions(idea="covered"), by="learner", at=now)
    mark = store.explains.attempts(profile)[0].judgements[-1].id
    store.explains.take_back(profile, attempt, mark, at=now)
    store.explains.reply(profile, attempt, "idea", "more", at=now)
    prompt = OwnPrompt(id="", text="Why?", hint="", concepts=("a", "b", "c", "d"))
    store.own_prompts.save(profile, prompt, at=now)
    guess = store.predictions.make(profile, setting={"rank": 8}, guess={"percent": 1.0}, at=now)
    store.predictions.start(guess, "run", at=now)
    store.predictions.judge(guess, {"percent": True}, at=now)
    store.drafts.save(profile, "explain:p", "draft", at=now)
    store.preferences.change(profile, shortcuts=False)


def quiz_answer(question: str, *, now: datetime, correct: bool = True) -> QuizAnswer:
    return QuizAnswer(question_id=question, option="right", correct=correct, answered_at=now, duration_ms=5)


def test_guests_keep_different_names_after_one_has_got_a_name(store: Store, now: datetime) -> None:
    first, second = (store.profiles.open_for_browser(browser, now=now) for browser in ("b1", "b2"))
    store.profiles.rename(first.id, "Ana")
    third, fourth = (store.profiles.open_for_browser(browser, now=now) for browser in ("b3", "b4"))
    assert len({second.name, third.name, fourth.name}) == 3
