"""The verbs of card study on the store: what is next, rate, undo. Page and command line both call these."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from flashcards.deck import Card, Decks
from flashcards.scheduler import DEFAULT_PARAMETERS, RATINGS, Memory, Outcome, Scheduling, preview
from flashcards.session import CardFilter, Log, Session, next_card
from study.agenda import CardsDue
from study.days import day_end, day_start, study_day
from study.errors import LearnerError, StaleError
from study.store import Store
from study.store.cards import CardReview

PREVIEW_LASTS = timedelta(hours=12)
MAX_DURATION = timedelta(minutes=10)  # longer than that is a coffee, not a thought
FORECAST_DAYS = 7
REQUESTED_AT_MOST = 3  # one miss should bring back an idea, not flood the day


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a learner had before them when pressing a button: it decides what the press means."""

    card_id: str
    expected_review_id: int
    shown_at: datetime
    flipped_at: datetime


@dataclass(frozen=True, kw_only=True)
class Reviews:
    """Card study of one app: its decks and its store."""

    store: Store
    decks: Decks

    def session(
        self,
        profile_id: str,
        *,
        now: datetime,
        wanted: CardFilter | None = None,
        new_cards: int | None = None,
    ) -> Session:
        """Where this learner stands; `new_cards` stands in for the usual number of new cards a day."""
        usual = self.store.notes.preferences(profile_id).new_cards_a_day
        return next_card(
            self.decks.cards,
            self.log(profile_id, now=now),
            now=now,
            day_ends=day_end(now),
            new_cards_a_day=usual if new_cards is None else new_cards,
            wanted=wanted,
        )

    def log(self, profile_id: str, *, now: datetime) -> Log:
        """The log, read into what a session needs."""
        latest = self.store.cards.latest(profile_id)
        today = self.store.cards.history(profile_id, since=day_start(now))
        requests = self.store.cards.requests(profile_id).values()
        return Log(
            memories={card_id: Memory.from_json(review.after) for card_id, review in latest.items()},
            requested=frozenset(
                request.card_id
                for request in requests
                if request.card_id not in latest or request.requested_at > latest[request.card_id].reviewed_at
            ),
            seen_today=frozenset(review.card_id for review in today),
            new_today=sum(review.new for review in today),
            just_undone=self.store.cards.just_undone(profile_id),
        )

    def scheduling(self, profile_id: str, *, at: datetime | None = None) -> Scheduling:
        """How this learner's cards are scheduled: the parameters fitted to them, and the recall they aim at.

        `at` is when the buttons were shown: parameters kept after that don't change what a press does.
        """
        fit = self.store.fits.newest(profile_id, kept=True, until=at)
        return Scheduling(
            parameters=fit.parameters if fit else DEFAULT_PARAMETERS,
            desired_retention=self.store.notes.preferences(profile_id).desired_retention,
        )

    def memory(self, profile_id: str, card_id: str) -> tuple[Memory | None, int]:
        """What is known about a card, and the id of the review that says so (0 for a new card)."""
        review = self.store.cards.latest(profile_id).get(card_id)
        return (Memory.from_json(review.after), review.id) if review else (None, 0)

    def rate(self, profile_id: str, shown: Shown, *, rating: int, now: datetime) -> Outcome:
        """Append the outcome that the pressed button showed; refuse what can't have been on a button."""
        if shown.card_id not in self.decks.by_id:
            raise LearnerError("That card is not in the decks any more.", do_next="Nothing was changed.")
        if rating not in RATINGS:
            raise LearnerError(f"There is no rating {rating}.", do_next="Press 1, 2, 3 or 4.")
        memory, _ = self.memory(profile_id, shown.card_id)
        earliest = max(now - PREVIEW_LASTS, memory.last_review if memory else now - PREVIEW_LASTS)
        if not earliest <= shown.flipped_at <= now:
            raise StaleError(
                "This answer was open for so long that its intervals are out of date.",
                do_next="Look at the card again, then rate it.",
            )
        scheduling = self.scheduling(profile_id, at=shown.flipped_at)
        outcome = preview(memory, now=shown.flipped_at, scheduling=scheduling)[rating - 1]
        self.store.cards.append(
            profile_id,
            shown.card_id,
            rating=rating,
            expected_review_id=shown.expected_review_id,
            reviewed_at=now,
            duration_ms=_milliseconds(now - shown.shown_at),
            before=memory.to_json() if memory else None,
            after=outcome.after.to_json(),
        )
        return outcome

    def undo(self, profile_id: str, *, expected_review_id: int, now: datetime) -> str:
        """Take the last rating back; the card is as it was, and is shown next."""
        return self.store.cards.undo(profile_id, expected_review_id=expected_review_id, undone_at=now)

    def request_about(
        self, profile_id: str, concepts: tuple[str, ...], *, because: str, now: datetime
    ) -> tuple[Card, ...]:
        """Make a few cards due that share the most with a missed question, and return them."""
        about = set(concepts)
        closest = sorted(self.decks.about(concepts), key=lambda card: -len(about.intersection(card.concepts)))
        chosen = tuple(closest[:REQUESTED_AT_MOST])
        self.store.cards.request(profile_id, (card.id for card in chosen), because=because, at=now)
        return chosen

    def today(self, profile_id: str, *, now: datetime) -> list[CardReview]:
        """The ratings of this study day; the last one can be undone, then the one before it."""
        return self.store.cards.history(profile_id, since=day_start(now))

    def due(self, profile_id: str, *, now: datetime) -> CardsDue:
        """What waits for a learner, for Today and for the command line."""
        session = self.session(profile_id, now=now)
        log = self.log(profile_id, now=now)
        dues = {card_id: memory.due for card_id, memory in log.memories.items()}
        dues.update(dict.fromkeys(log.requested, now))
        return CardsDue(
            due=session.counts.learning + session.counts.review,
            new=session.counts.new,
            coming=_by_day((due for card_id, due in dues.items() if card_id in self.decks.by_id), now=now),
        )


def _by_day(dues: Iterable[datetime], *, now: datetime) -> tuple[int, ...]:
    today = study_day(now)
    days = Counter(max(0, (study_day(due) - today).days) for due in dues)
    return tuple(days[ahead] for ahead in range(FORECAST_DAYS))


def _milliseconds(duration: timedelta) -> int:
    return int(min(max(duration, timedelta()), MAX_DURATION) / timedelta(milliseconds=1))
