"""Two weeks with a moved clock: limits hold, siblings keep apart, and nothing is lost."""

from collections import Counter
from datetime import datetime, timedelta

from flashcards.decks.deck import load_decks
from flashcards.review.operations import Reviews
from study.content.concepts import ConceptMap
from study.store import Store
from tests.flashcards.fortnight import study

NEW_A_DAY = 4


def test_two_weeks_of_study_keep_every_promise(
    store: Store, ana: str, concepts: ConceptMap, now: datetime
) -> None:
    reviews = Reviews(store=store, decks=load_decks(concepts))
    store.preferences.change(ana, new_cards_a_day=NEW_A_DAY, time_zone="Europe/Berlin")
    answers = list(study(reviews, ana, first_day=now))
    new = Counter(answer.day for answer in answers if answer.new)
    assert new == dict.fromkeys(range(14), NEW_A_DAY)
    for day in range(14):
        cards = {(answer.note_id, answer.card_id) for answer in answers if answer.day == day}
        assert len(cards) == len({note for note, _ in cards})
    history = store.cards.history(ana)
    assert [review.card_id for review in history] == [answer.card_id for answer in answers]
    assert all(review.duration_ms == 8000 for review in history)
    after = reviews.read_snapshot(ana, now=now + timedelta(days=14))
    assert after.log.memories.keys() == {answer.card_id for answer in answers}
    assert after.compute_session().counts.left > 0
