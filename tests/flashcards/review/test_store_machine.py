"""Any sequence of actions, reloads and crashes loses nothing: a machine plays a learner on a real store."""

import tempfile
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from flashcards.decks.deck import Decks
from flashcards.decks.note import Note
from flashcards.review.card_status import FLAGS
from flashcards.review.operations import Reviews, ShownCard
from flashcards.review.session import CardFilter
from flashcards.scheduling.scheduler import RATINGS, Memory, preview_outcomes
from study.content.evidence import Evidence
from study.store import Store, open_store
from study.store.logs.card_operations import record_operation
from study.store.logs.cards import CardReview

START = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
NOTES = tuple(
    Note(
        id=name,
        deck="one",
        kind="reversed" if name == "a" else "basic",
        concepts=("rank",),
        level="beginner",
        tags=(),
        texts={"front": f"front of {name}", "back": f"back of {name}", "why": "because"},
        evidence=Evidence(source="a book", checks=()),
    )
    for name in "abcd"
)
DECKS = Decks(
    tuple(card for note in NOTES for card in note.build_cards()), {"one": "One"}, {n.id: n for n in NOTES}
)
CARDS = st.sampled_from([card.id for card in DECKS.cards])
WAITS = st.sampled_from([timedelta(seconds=5), timedelta(minutes=12), timedelta(days=1), timedelta(days=9)])


def shown_at(review: CardReview) -> datetime:
    """The buttons' intervals count from the flip, which in this test is the moment the card was shown."""
    return review.reviewed_at - timedelta(milliseconds=review.duration_ms)


class Learner(RuleBasedStateMachine):
    """Does what a learner can do; `past` holds how everything stood before each thing that can be undone."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.url = f"sqlite:///{Path(self.folder.name) / 'study.sqlite3'}"
        self.now = START
        self.past: list[Any] = []
        self.abandoned: list[Store] = []
        self.reviews = Reviews(store=open_store(self.url), decks=DECKS)
        self.ana = self.reviews.store.profiles.add("b", "Ana", now=START).id

    def teardown(self) -> None:
        for store in (*self.abandoned, self.reviews.store):
            store.close()
        self.folder.cleanup()

    def stored(self) -> Any:
        """All that the app would read from the log, apart from what was just undone and from the hour."""
        snapshot = self.reviews.read_snapshot(self.ana, now=START)
        crams = self.reviews.store.card_operations.live(self.ana, ["cram"])
        return (
            dict(snapshot.latest),
            snapshot.status,
            crams,
            len(self.reviews.store.cards.history(self.ana)),
        )

    @rule(wait=WAITS)
    def time_passes(self, wait: timedelta) -> None:
        self.now += wait

    @rule(ratings=st.lists(st.sampled_from(RATINGS), min_size=1, max_size=4))
    def rate_the_next_cards(self, ratings: list[int]) -> None:
        self._rate(ratings)

    def _rate(self, ratings: list[int]) -> None:
        for rating in ratings:
            card = self.reviews.read_snapshot(self.ana, now=self.now).compute_session().card
            if card is None:
                return
            self.past.append(self.stored())
            _, review_id = self.reviews.read_snapshot(self.ana, now=self.now).find_memory(card.id)
            seen = ShownCard(
                card_id=card.id, expected_review_id=review_id, shown_at=self.now, flipped_at=self.now
            )
            self.now += timedelta(seconds=5)
            outcome = self.reviews.rate(self.ana, seen, rating=rating, now=self.now)
            assert self.reviews.read_snapshot(self.ana, now=self.now).find_memory(card.id)[0] == outcome.after

    @rule(card=CARDS, act=st.sampled_from(["bury", "suspend", "resume", "unbury", "flag", "cram"]))
    def do_something_to_a_card(self, card: str, act: str) -> None:
        self.past.append(self.stored())
        match act:
            case "flag":
                self.reviews.flag(self.ana, card, FLAGS[len(self.past) % 4], now=self.now)
            case "cram":
                self.reviews.answer_cram(
                    self.ana, START.isoformat(), card, known=True, shown_at=self.now, now=self.now
                )
            case _:
                getattr(self.reviews, act)(self.ana, card, now=self.now)

    @rule(note=st.sampled_from(NOTES), text=st.text("xyz", min_size=1, max_size=3))
    def edit_a_note(self, note: Note, text: str) -> None:
        before, schedule = self.stored(), self.reviews.store.cards.latest(self.ana)
        last = self.reviews.read_snapshot(self.ana, now=self.now).status.edits.get(note.id)
        self.past.append(before)
        texts = {**note.texts, "front": text}
        self.reviews.edit(self.ana, note.id, texts, expected_id=last.id if last else 0, now=self.now)
        assert self.reviews.store.cards.latest(self.ana) == schedule

    @rule(ratings=st.lists(st.sampled_from(RATINGS), min_size=1, max_size=4), times=st.integers(1, 6))
    def change_ones_mind(self, ratings: list[int], times: int) -> None:
        self._rate(ratings)
        self._undo(times)

    @rule(days=st.integers(2, 5))
    def spread_the_backlog(self, days: int) -> None:
        if self.reviews.read_snapshot(self.ana, now=self.now).compute_session().waiting:
            self.past.append(self.stored())
            self.reviews.spread(self.ana, over_days=days, now=self.now, wanted=CardFilter())

    @rule(times=st.integers(1, 3))
    def undo(self, times: int) -> None:
        self._undo(times)

    def _undo(self, times: int) -> None:
        while self.past and times:
            last = self.reviews.store.card_operations.last(self.ana)
            assert last is not None
            self.reviews.undo(self.ana, expected_id=last.id, now=self.now)
            assert self.stored() == self.past.pop()
            times -= 1

    @rule()
    def reload(self) -> None:
        before = self.stored()
        self.reviews.store.close()
        self.reviews = Reviews(store=open_store(self.url), decks=DECKS)
        assert self.stored() == before

    @rule()
    def crash_between_two_presses(self) -> None:
        """Nobody closes anything; another process opens the file as it lies there."""
        before = self.stored()
        self.abandoned.append(self.reviews.store)
        self.reviews = Reviews(store=open_store(self.url), decks=DECKS)
        assert self.stored() == before

    @rule(card=CARDS)
    def crash_in_the_middle_of_a_press(self, card: str) -> None:
        before = self.stored()
        with suppress(InterruptedError), self.reviews.store.database.write() as connection:
            record_operation(connection, self.ana, "suspend", card, value=None, at=self.now)
            raise InterruptedError
        assert self.stored() == before

    @invariant()
    def replaying_the_log_gives_the_stored_state(self) -> None:
        counts: dict[str, int] = {}
        memories: dict[str, Memory] = {}
        for review in self.reviews.store.cards.history(self.ana):
            seed = f"{review.card_id} {counts.get(review.card_id, 0)}"
            outcomes = preview_outcomes(memories.get(review.card_id), now=shown_at(review), fuzz_seed=seed)
            memories[review.card_id] = outcomes[review.rating - 1].after
            counts[review.card_id] = counts.get(review.card_id, 0) + 1
        assert memories == self.reviews.read_snapshot(self.ana, now=self.now).log.memories

    @invariant()
    def every_card_is_somewhere(self) -> None:
        snapshot = self.reviews.read_snapshot(self.ana, now=self.now)
        hidden = snapshot.log.hidden
        assert snapshot.status.suspended | snapshot.status.buried <= hidden
        assert {card.id for card in snapshot.decks.cards} == {card.id for card in DECKS.cards}
        session = snapshot.compute_session()
        assert session.card is None or session.card.id not in hidden


# Ten show that every fourth rating stays when it is undone.
Learner.TestCase.settings = settings(max_examples=10, stateful_step_count=12, deadline=None)
TestALearnerLosesNothing = Learner.TestCase
