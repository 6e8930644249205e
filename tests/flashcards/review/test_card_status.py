"""What a learner does to single cards, on a real store: each can be undone, and leeches are set aside."""

from datetime import datetime, timedelta

import pytest

import lora_lab.quantities  # noqa: F401 - some cards compute their answers
from flashcards.decks.deck import load_decks
from flashcards.decks.note import Card
from flashcards.review.card_status import LEECH_LAPSES, CardStatus, find_warning, replay_operations
from flashcards.review.operations import Reviews
from flashcards.review.search import CardState, Search, find_cards
from flashcards.review.session import CardFilter
from study.base.errors import LearnerError, StaleError
from study.content.concepts import ConceptMap
from study.store import Store
from tests.flashcards.card_events import rate_next, shown, undo

ALL = CardFilter()
DAY = timedelta(days=1)


@pytest.fixture
def reviews(store: Store, concepts: ConceptMap) -> Reviews:
    return Reviews(store=store, decks=load_decks(concepts))


def next_of(reviews: Reviews, profile: str, now: datetime) -> str:
    card = reviews.read_snapshot(profile, now=now).compute_session().card
    assert card is not None
    return card.id


def status(reviews: Reviews, profile: str, now: datetime) -> CardStatus:
    return reviews.read_snapshot(profile, now=now).status


def rate(reviews: Reviews, profile: str, card_id: str, rating: int, *, now: datetime) -> None:
    reviews.rate(profile, shown(reviews, profile, card_id, now=now), rating=rating, now=now)


def test_a_buried_card_is_back_tomorrow_and_undo_brings_it_back_now(
    reviews: Reviews, ana: str, now: datetime
) -> None:
    first = next_of(reviews, ana, now)
    reviews.bury(ana, first, now=now)
    assert next_of(reviews, ana, now) != first
    assert next_of(reviews, ana, now + DAY) == first
    undo(reviews, ana, now=now)
    assert next_of(reviews, ana, now) == first


def test_a_suspended_card_stays_away_until_it_is_brought_back(
    reviews: Reviews, ana: str, now: datetime
) -> None:
    first = next_of(reviews, ana, now)
    reviews.suspend(ana, first, now=now)
    assert next_of(reviews, ana, now + 400 * DAY) != first
    reviews.resume(ana, first, now=now)
    assert next_of(reviews, ana, now) == first
    undo(reviews, ana, now=now)
    assert status(reviews, ana, now).suspended == {first}


def test_a_flag_is_one_of_four_and_can_be_taken_off(reviews: Reviews, ana: str, now: datetime) -> None:
    reviews.flag(ana, "typed-four-bit-type", "ask", now=now)
    reviews.flag(ana, "typed-four-bit-type", "unclear", now=now)
    assert status(reviews, ana, now).flags == {"typed-four-bit-type": "unclear"}
    undo(reviews, ana, now=now)
    assert status(reviews, ana, now).flags == {"typed-four-bit-type": "ask"}
    reviews.flag(ana, "typed-four-bit-type", "", now=now)
    assert status(reviews, ana, now).flags == {}
    with pytest.raises(LearnerError, match="There is no flag 'red'"):
        reviews.flag(ana, "typed-four-bit-type", "red", now=now)


def test_an_edit_keeps_the_schedule_and_goes_with_undo_or_revert(
    reviews: Reviews, ana: str, now: datetime
) -> None:
    first = next_of(reviews, ana, now)
    rate(reviews, ana, first, 3, now=now)
    before = reviews.read_snapshot(ana, now=now).find_memory(first)
    deck_text = reviews.decks.by_id[first]
    note = reviews.decks.notes[deck_text.note_id]
    texts = {**note.texts, "front": "My own question"}
    reviews.edit(ana, note.id, texts, expected_id=0, now=now)
    assert reviews.read_snapshot(ana, now=now).decks.by_id[first].front == "My own question"
    assert reviews.read_snapshot(ana, now=now).find_memory(first) == before
    with pytest.raises(StaleError, match="Copy what you wrote"):
        reviews.edit(ana, note.id, texts, expected_id=0, now=now)
    edit = status(reviews, ana, now).edits[note.id]
    reviews.revert(ana, note.id, expected_id=edit.id, now=now)
    assert reviews.read_snapshot(ana, now=now).decks.by_id[first] == deck_text
    undo(reviews, ana, now=now)
    assert reviews.read_snapshot(ana, now=now).decks.by_id[first].own
    undo(reviews, ana, now=now)
    assert reviews.read_snapshot(ana, now=now).decks.by_id[first] == deck_text


def test_one_learners_text_is_not_anothers(reviews: Reviews, ana: str, now: datetime) -> None:
    ben = reviews.store.profiles.add("b2", "Ben", now=now).id
    note = next(iter(reviews.decks.notes.values()))
    reviews.edit(ana, note.id, {**note.texts, "why": "mine"}, expected_id=0, now=now)
    assert reviews.read_snapshot(ben, now=now).decks is reviews.decks


def forget(reviews: Reviews, profile: str, card: Card, times: int, *, now: datetime) -> datetime:
    """Learn a card, then forget it so often, over years."""
    for _ in range(times):
        rate(reviews, profile, card.id, 4, now=now)
        now += 1000 * DAY
        rate(reviews, profile, card.id, 1, now=now)
        now += timedelta(minutes=20)
    return now


def test_a_card_forgotten_eight_times_is_set_aside_and_warned_about_every_four(
    reviews: Reviews, ana: str, now: datetime
) -> None:
    card = reviews.decks.cards[0]
    now = forget(reviews, ana, card, LEECH_LAPSES - 1, now=now)
    assert card.id not in status(reviews, ana, now).leeches
    now = forget(reviews, ana, card, 1, now=now)
    assert reviews.count_lapses(ana, card.id) == LEECH_LAPSES
    assert card.id in status(reviews, ana, now).suspended
    reviews.resume(ana, card.id, now=now)
    now = forget(reviews, ana, card, 3, now=now)
    assert card.id in status(reviews, ana, now).leeches
    assert card.id not in status(reviews, ana, now).suspended
    now = forget(reviews, ana, card, 1, now=now)
    assert card.id in status(reviews, ana, now).suspended
    undo(reviews, ana, now=now)
    assert card.id not in status(reviews, ana, now).suspended


def test_a_leech_is_named_by_the_lapse_that_made_it_one() -> None:
    lapses = list(range(10, 30))
    assert find_warning(lapses[:7]) is None
    assert [find_warning(lapses[:count]) for count in (8, 9, 11, 12, 15, 16)] == [17, 17, 17, 21, 21, 25]


def test_lapses_that_came_with_an_import_set_nothing_aside_and_the_next_warning_does(now: datetime) -> None:
    def after(lapses: list[int]) -> CardStatus:
        return replay_operations([], {"card": lapses}, last_rated={}, now=now)

    imported = [0] * (LEECH_LAPSES + 1)
    assert after(imported).suspended == frozenset()
    assert after(imported).leeches == {"card"}
    assert after([*imported, 5, 6]).suspended == frozenset()
    assert after([*imported, 5, 6, 7]).suspended == {"card"}


def test_a_backlog_is_spread_over_days_and_comes_back_whole(
    reviews: Reviews, ana: str, now: datetime
) -> None:
    for _ in range(6):
        rate_next(reviews, ana, 4, now=now)
    late = now + 60 * DAY
    waiting = reviews.read_snapshot(ana, now=late).compute_session().waiting
    assert waiting == 6
    assert reviews.spread(ana, over_days=3, now=late, wanted=ALL) == waiting
    assert [reviews.read_snapshot(ana, now=late + n * DAY).compute_session().waiting for n in (0, 1, 2)] == [
        2,
        4,
        6,
    ]
    assert reviews.count_due(ana, now=late).coming == (2, 2, 2, 0, 0, 0, 0)
    undo(reviews, ana, now=late)
    assert reviews.read_snapshot(ana, now=late).compute_session().waiting == 6


def test_a_cram_leaves_every_schedule_alone(reviews: Reviews, ana: str, now: datetime) -> None:
    wanted, run = CardFilter(tag="data-types"), "2026-03-04T09:59:00Z"
    before = reviews.read_snapshot(ana, now=now).log
    while (found := reviews.cram(ana, run, now=now, wanted=wanted)).card:
        reviews.answer_cram(ana, run, found.card.id, known=True, shown_at=now, now=now)
    assert found.known == found.total == found.tries > 0
    assert reviews.read_snapshot(ana, now=now).log == before
    assert reviews.store.cards.history(ana) == []
    taken_back = undo(reviews, ana, now=now).subject
    again = reviews.cram(ana, run, now=now, wanted=wanted)
    assert again.card is not None
    assert (again.card.id, again.known) == (taken_back, found.total - 1)
    assert reviews.read_snapshot(ana, now=now).compute_session().queue == "new"


def test_cards_are_found_by_words_choice_and_state(reviews: Reviews, ana: str, now: datetime) -> None:
    first = next_of(reviews, ana, now)
    rate(reviews, ana, first, 1, now=now)
    reviews.suspend(ana, "typed-four-bit-type", now=now)
    reviews.flag(ana, "work-out-count", "ask", now=now)
    reviews.bury(ana, "code-scaling", now=now)

    def found(words: str = "", state: CardState | str = "", wanted: CardFilter = ALL) -> set[str]:
        snapshot = reviews.read_snapshot(ana, now=now)
        rows = find_cards(snapshot, Search(words=words, state=state, wanted=wanted))
        return {row.card.id for row in rows}

    assert found(state="learning") == {first}
    assert found(state="suspended") == {"typed-four-bit-type"}
    assert found(state="flagged") == {"work-out-count"}
    assert found(state="buried") == {"code-scaling"}
    assert found(words="1,221,120 sides") == {"work-out-count"}
    assert found(words="FOUR-bit type", wanted=CardFilter(level="beginner")) >= {"typed-four-bit-type"}
    assert len(found(state="new")) == len(reviews.decks.cards) - 1
    assert found(words="no such words anywhere") == set()
