"""Card operations on the store (rate, undo, bury, suspend ...). Page and command line both call these."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from flashcards.decks.deck import Decks
from flashcards.decks.note import Card, clean_edit
from flashcards.review.card_status import FLAGS, find_warning
from flashcards.review.cram import Cram, choose_next_in_cram, list_cram_answers, parse_start
from flashcards.review.session import CardFilter
from flashcards.review.snapshot import CardSnapshot, read_card_snapshot
from flashcards.scheduling.backlog import spread_backlog
from flashcards.scheduling.scheduler import (
    DEFAULT_PARAMETERS,
    RATINGS,
    Memory,
    RatingOutcome,
    Scheduling,
    compute_retrievability,
    preview_outcomes,
)
from study.base.days import StudyDays
from study.base.errors import LearnerError, StaleError
from study.base.units import to_milliseconds
from study.content.confusable import Lookalikes
from study.ports.today import CardsDue
from study.store import Store
from study.store.logs.card_operations import CardOperation
from study.store.logs.cards import LatestReview, build_rated_elsewhere_error

PREVIEW_LASTS = timedelta(hours=12)
FORECAST_DAYS = 7
REQUESTED_AT_MOST = 3  # one miss should bring back an idea, not flood the day


@dataclass(frozen=True, kw_only=True)
class ShownCard:
    """The state of a card on the page; every button sends it back, so that a press means what was shown."""

    card_id: str
    expected_review_id: int
    shown_at: datetime
    flipped_at: datetime | None = None
    typed: str = ""


@dataclass(frozen=True, kw_only=True)
class Reviews:
    """The card operations of one app on its decks and its store."""

    store: Store
    decks: Decks
    lookalikes: Lookalikes = field(default_factory=dict)

    # ---- current state ----

    def read_snapshot(self, profile_id: str, *, now: datetime) -> CardSnapshot:
        scheduling = self.read_scheduling(profile_id)
        return read_card_snapshot(
            self.store, self.decks, profile_id, now=now, scheduling=scheduling, lookalikes=self.lookalikes
        )

    def read_scheduling(self, profile_id: str, *, at: datetime | None = None) -> Scheduling:
        """Read the learner's scheduler settings: their fitted parameters and their desired retention.

        `at` is when the buttons were shown: parameters kept after that don't change what an event does.
        """
        fit = self.store.fits.newest(profile_id, kept=True, until=at)
        return Scheduling(
            parameters=fit.parameters if fit else DEFAULT_PARAMETERS,
            desired_retention=self.store.preferences.read(profile_id).desired_retention,
        )

    def compute_outcomes(
        self, profile_id: str, card_id: str, review: LatestReview | None, *, at: datetime
    ) -> tuple[RatingOutcome, ...]:
        """Compute the outcomes that the four buttons show, and then apply, for a card flipped at `at`.

        The fuzz seed is the card's id and its number of reviews, so both are the same.
        """
        memory = Memory.from_json(review.after) if review else None
        seed = f"{card_id} {review.reviews if review else 0}"
        return preview_outcomes(
            memory, now=at, scheduling=self.read_scheduling(profile_id, at=at), fuzz_seed=seed
        )

    def count_due(self, profile_id: str, *, now: datetime) -> CardsDue:
        """Count the cards due, for Today and for the command line."""
        snapshot = self.read_snapshot(profile_id, now=now)
        counts = snapshot.compute_session().counts
        return CardsDue(
            due=counts.learning + counts.review,
            unseen=counts.unseen,
            new=counts.new,
            coming=_count_by_day(snapshot.list_due_dates().values(), now=now, days=snapshot.preferences.days),
        )

    # ---- rating and undo ----

    def rate(self, profile_id: str, shown: ShownCard, *, rating: int, now: datetime) -> RatingOutcome:
        """Append the outcome that the button showed. Raises LearnerError when no button can have shown it."""
        if shown.flipped_at is None:
            raise LearnerError(
                "A card is rated after its answer was shown.", do_next="Show the answer first."
            )
        self._require_card(shown.card_id, profile_id, now)
        if rating not in RATINGS:
            raise LearnerError(f"There is no rating {rating}.", do_next="Press 1, 2, 3 or 4.")
        review = self.store.cards.latest(profile_id).get(shown.card_id)
        if (review.id if review else 0) != shown.expected_review_id:
            raise build_rated_elsewhere_error()
        last = Memory.from_json(review.after).last_review if review else now - PREVIEW_LASTS
        if not max(now - PREVIEW_LASTS, last) <= shown.flipped_at <= now:
            raise StaleError(
                "This answer was open for so long that its intervals are out of date.",
                do_next="Look at the card again, then rate it.",
            )
        outcome = self.compute_outcomes(profile_id, shown.card_id, review, at=shown.flipped_at)[rating - 1]
        self.store.cards.append(
            profile_id,
            shown.card_id,
            rating=rating,
            expected_review_id=shown.expected_review_id,
            reviewed_at=now,
            duration_ms=to_milliseconds(now - shown.shown_at),
            before=review.after if review else None,
            after=outcome.after.to_json(),
        )
        return outcome

    def count_lapses(self, profile_id: str, card_id: str) -> int:
        """Count how often a card was forgotten, if its last rating made it a leech; else 0."""
        found = self.store.cards.lapses(profile_id).get(card_id, [])
        return len(found) if found and find_warning(found) == found[-1] else 0

    def undo(self, profile_id: str, *, expected_id: int, now: datetime) -> CardOperation:
        """Undo the last operation, a rating or any other; the prior state returns, its card is shown next."""
        return self.store.card_operations.undo(profile_id, expected_id=expected_id, undone_at=now)

    def find_undoable(
        self, profile_id: str, *, now: datetime, since: datetime | None = None
    ) -> CardOperation | None:
        """Return the operation that undo would revert: the last one, if from today (or after `since`)."""
        last = self.store.card_operations.last(profile_id)
        begins = since or self._read_days(profile_id).start(now)
        return last if last and last.at >= begins else None

    # ---- bury, suspend, flag, edit, spread ----

    def bury(self, profile_id: str, card_id: str, *, now: datetime) -> None:
        """Hide a card until tomorrow."""
        until = self._read_days(profile_id).end(now)
        self._require_card(card_id, profile_id, now)
        self.store.card_operations.append(profile_id, "bury", card_id, value=until.isoformat(), at=now)

    def unbury(self, profile_id: str, card_id: str, *, now: datetime) -> None:
        """Show a buried or postponed card when it is due."""
        self.store.card_operations.append(profile_id, "unbury", card_id, at=now)

    def suspend(self, profile_id: str, card_id: str, *, now: datetime) -> None:
        """Hide a card until it is resumed."""
        self._require_card(card_id, profile_id, now)
        self.store.card_operations.append(profile_id, "suspend", card_id, at=now)

    def resume(self, profile_id: str, card_id: str, *, now: datetime) -> None:
        """Resume a suspended card with the schedule it had."""
        self.store.card_operations.append(profile_id, "resume", card_id, at=now)

    def flag(self, profile_id: str, card_id: str, flag: str, *, now: datetime) -> None:
        """Set one of four flags on a card, or none. Raises LearnerError for an unknown flag or card."""
        self._require_card(card_id, profile_id, now)
        if flag and flag not in FLAGS:
            raise LearnerError(f"There is no flag {flag!r}.", do_next=f"Choose one of {', '.join(FLAGS)}.")
        self.store.card_operations.append(profile_id, "flag", card_id, value=flag, at=now)

    def edit(
        self, profile_id: str, note_id: str, texts: Mapping[str, str], *, expected_id: int, now: datetime
    ) -> None:
        """Override the deck's text with the learner's. Ids and schedules stay."""
        if note_id not in self.decks.notes:
            raise build_gone_error()
        own = clean_edit(self.decks.notes[note_id], texts)
        self.store.card_operations.append(
            profile_id, "edit", note_id, value=own, at=now, expected_id=expected_id
        )

    def revert(self, profile_id: str, note_id: str, *, expected_id: int, now: datetime) -> None:
        """Restore the deck's text; the learner's stays in the log."""
        self.store.card_operations.append(
            profile_id, "edit", note_id, value=None, at=now, expected_id=expected_id
        )

    def spread(self, profile_id: str, *, over_days: int, now: datetime, wanted: CardFilter) -> int:
        """Spread the waiting reviews over some days, lowest retrievability first; return their number."""
        snapshot = self.read_snapshot(profile_id, now=now)
        recall = {
            card.id: compute_retrievability(
                snapshot.log.memories[card.id], now=now, scheduling=snapshot.scheduling
            )
            for card in snapshot.list_waiting(wanted)
        }
        if not recall:
            raise LearnerError("No review is waiting.", do_next="Come back when some are overdue.")
        days = spread_backlog(recall, over_days=over_days, now=now, study_days=snapshot.preferences.days)
        value = {card_id: day.isoformat() for card_id, day in days.items()}
        self.store.card_operations.append(profile_id, "spread", "", value=value, at=now)
        return len(recall)

    # ---- cramming ----

    def cram(self, profile_id: str, cram_id: str, *, now: datetime, wanted: CardFilter) -> Cram:
        """Return the state of a cram: the weakest cards of a filter first, new ones last."""
        begun = parse_start(cram_id)
        snapshot = self.read_snapshot(profile_id, now=now)
        cards = [
            card
            for card in snapshot.decks.cards
            if wanted.matches(card) and card.id not in snapshot.status.suspended
        ]

        def compute_recall(card: Card) -> float:
            memory = snapshot.log.memories.get(card.id)
            if memory is None:
                return 2.0  # never seen: after every retrievability
            return compute_retrievability(memory, now=begun, scheduling=snapshot.scheduling)

        answers = list_cram_answers(
            cram_id, self.store.card_operations.live(profile_id, ["cram"], since=begun)
        )
        undone = self.store.card_operations.just_undone(profile_id)
        first = undone.subject if undone else None
        return choose_next_in_cram(sorted(cards, key=compute_recall), answers, first=first)

    def answer_cram(
        self, profile_id: str, cram_id: str, card_id: str, *, known: bool, shown_at: datetime, now: datetime
    ) -> None:
        """Record an answer of a cram, apart from all ratings."""
        self._require_card(card_id, profile_id, now)
        value = {"run": cram_id, "known": known, "duration_ms": to_milliseconds(now - shown_at)}
        self.store.card_operations.append(profile_id, "cram", card_id, value=value, at=now)

    # ---- cards requested by a missed question ----

    def request_about(
        self, profile_id: str, concepts: tuple[str, ...], *, because: str, now: datetime
    ) -> tuple[Card, ...]:
        """Make a few cards due that share the most concepts with a missed question, and return them.

        A hidden card would not come, so another one is chosen.
        """
        about, snapshot = set(concepts), self.read_snapshot(profile_id, now=now)
        shown = [card for card in snapshot.decks.list_about(concepts) if card.id not in snapshot.log.hidden]
        closest = sorted(shown, key=lambda card: -len(about.intersection(card.concepts)))
        chosen = tuple(closest[:REQUESTED_AT_MOST])
        self.store.cards.request(profile_id, (card.id for card in chosen), because=because, at=now)
        return chosen

    def _require_card(self, card_id: str, profile_id: str, now: datetime) -> None:
        if (
            card_id not in self.decks.by_id
            and card_id not in self.read_snapshot(profile_id, now=now).decks.by_id
        ):
            raise build_gone_error()

    def _read_days(self, profile_id: str) -> StudyDays:
        return self.store.preferences.read(profile_id).days


def build_gone_error() -> StaleError:
    """Return the error of an event on a card or note that the decks have no more."""
    return StaleError(
        "That card is no longer in the decks.", do_next="Nothing was changed; go on with the next one."
    )


def _count_by_day(due_dates: Iterable[datetime], *, now: datetime, days: StudyDays) -> tuple[int, ...]:
    ahead = Counter(max(0, days.count_between(now, due)) for due in due_dates)
    return tuple(ahead[day] for day in range(FORECAST_DAYS))
