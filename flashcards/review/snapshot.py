"""A snapshot of one learner: decks, log and rules at one moment, read once per event."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property

from flashcards.decks.deck import Decks
from flashcards.decks.note import Card
from flashcards.review.card_status import STATUS_OPERATIONS, CardStatus, replay_operations
from flashcards.review.session import CardFilter, CardSession, Log, StudyRules, choose_next_card, select_phase
from flashcards.review.session_time import sum_session_seconds
from flashcards.scheduling.backlog import Backlog, count_fitting
from flashcards.scheduling.scheduler import Memory, Scheduling
from study.content.confusable import Lookalikes
from study.store import Store
from study.store.logs.card_operations import CardOperation
from study.store.logs.cards import CardReview, LatestReview
from study.store.logs.preferences import Preferences


@dataclass(frozen=True, kw_only=True)
class RuleOverrides:
    """What a URL overrides of the learner's usual rules."""

    new_cards: int | None = None
    reviews: int | None = None
    days_ahead: int = 0
    minutes: int | None = None


@dataclass(frozen=True, kw_only=True)
class CardSnapshot:
    """One learner at one moment."""

    decks: Decks
    preferences: Preferences
    latest: Mapping[str, LatestReview]
    today: list[CardReview]
    status: CardStatus
    log: Log
    scheduling: Scheduling
    lookalikes: Lookalikes
    now: datetime

    @cached_property
    def day_ends(self) -> datetime:
        return self.preferences.days.end(self.now)

    def override_rules(self, extra: RuleOverrides) -> StudyRules:
        """Override the study rules by those of the URL."""
        chosen, usual = self.preferences, self.preferences.new_cards_a_day
        return StudyRules(
            day_ends=self.day_ends + timedelta(days=extra.days_ahead),
            new_cards=usual if extra.new_cards is None else extra.new_cards,
            reviews=chosen.reviews_a_day if extra.reviews is None else extra.reviews,
            learn_ahead=timedelta(minutes=chosen.learn_ahead_minutes),
            order=chosen.card_order,
            scheduling=self.scheduling,
            lookalikes=self.lookalikes,
        )

    def compute_session(
        self, *, wanted: CardFilter | None = None, extra: RuleOverrides | None = None
    ) -> CardSession:
        rules = self.override_rules(extra or RuleOverrides())
        return choose_next_card(self.decks.cards, self.log, now=self.now, rules=rules, wanted=wanted)

    def find_memory(self, card_id: str) -> tuple[Memory | None, int]:
        """Find a card's memory state and the id of its last review (0 for a new card)."""
        review = self.latest.get(card_id)
        return (self.log.memories[card_id], review.id) if review else (None, 0)

    def compute_minutes_left(self, extra: RuleOverrides) -> float | None:
        """Compute the minutes left of the session; None without a limit."""
        limit = self.preferences.session_minutes if extra.minutes is None else extra.minutes
        return None if limit == 0 else limit - sum_session_seconds(self.today, now=self.now) / 60

    def list_waiting(self, wanted: CardFilter) -> list[Card]:
        """List all reviews that are due today and not hidden, regardless of limits, siblings included."""
        shown = [c for c in self.decks.cards if wanted.matches(c) and c.id not in self.log.hidden]
        return select_phase(shown, self.log, learning=False, until=self.day_ends)

    def count_backlog(self, wanted: CardFilter, *, seconds_each: float, extra: RuleOverrides) -> Backlog:
        """Count the reviews that wait and those that fit."""
        fit = count_fitting(
            reviews_left=max(0, self.override_rules(extra).reviews - self.log.reviews_today),
            minutes_left=self.compute_minutes_left(extra),
            seconds_each=seconds_each,
        )
        return Backlog(waiting=len(self.list_waiting(wanted)), fit=fit)

    def list_due_dates(self) -> dict[str, datetime]:
        """List when each card that isn't suspended will be shown."""
        due_dates = {card_id: memory.due for card_id, memory in self.log.memories.items()}
        due_dates |= dict.fromkeys(self.log.requested, self.now)
        for card_id, day in self.status.postponed.items():
            due_dates[card_id] = max(day, due_dates.get(card_id, day))
        for card_id in self.status.buried & due_dates.keys():
            due_dates[card_id] = max(self.day_ends, due_dates[card_id])
        shown = self.decks.by_id.keys() - self.status.suspended
        return {card_id: due for card_id, due in due_dates.items() if card_id in shown}


def read_card_snapshot(
    store: Store,
    decks: Decks,
    profile_id: str,
    *,
    now: datetime,
    scheduling: Scheduling,
    lookalikes: Lookalikes,
) -> CardSnapshot:
    preferences = store.preferences.read(profile_id)
    begins, ends = preferences.days.start(now), preferences.days.end(now)
    latest = store.cards.latest(profile_id)
    today = store.cards.history(profile_id, since=begins)
    status = replay_operations(
        store.card_operations.live(profile_id, STATUS_OPERATIONS),
        store.cards.lapses(profile_id),
        last_rated={card_id: review.reviewed_at for card_id, review in latest.items()},
        now=now,
    )
    log = Log(
        memories={card_id: Memory.from_json(review.after) for card_id, review in latest.items()},
        requested=_find_requested(store, profile_id, latest),
        rated_today=_find_rated(today),
        new_today=sum(review.new for review in today),
        reviews_today=store.cards.count_repeats_since(profile_id, since=begins),
        hidden=status.list_hidden(now=now),
    )
    edits = {
        note: operation.value
        for note, operation in status.edits.items()
        if operation.value and note in decks.notes
    }
    return CardSnapshot(
        decks=decks.apply_edits(edits),
        preferences=preferences,
        latest=latest,
        today=today,
        status=status,
        log=replace(
            log,
            just_undone=_find_undone_card(
                store.card_operations.just_undone(profile_id), log, decks, ends=ends
            ),
        ),
        scheduling=scheduling,
        lookalikes=lookalikes,
        now=now,
    )


def _find_requested(store: Store, profile_id: str, latest: Mapping[str, LatestReview]) -> frozenset[str]:
    """Return the cards that a missed question requested and that were not rated since."""
    return frozenset(
        request.card_id
        for request in store.cards.requests(profile_id).values()
        if request.card_id not in latest or request.requested_at > latest[request.card_id].reviewed_at
    )


def _find_rated(today: Iterable[CardReview]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for review in today:
        counts[review.card_id] = counts.pop(review.card_id, 0) + 1
    return counts


def _find_undone_card(
    operation: CardOperation | None, log: Log, decks: Decks, *, ends: datetime
) -> str | None:
    """Find the card to show after an undo; an undone edit names a note and shows its first card.

    A card that was only flagged or hidden may not be due; then it waits until it is. A cram handles its own
    undo, see `Reviews.cram`.
    """
    if operation is None or operation.name == "cram":
        return None
    note = decks.notes.get(operation.subject) if operation.name == "edit" else None
    card_id = note.build_cards()[0].id if note else operation.subject
    memory = log.memories.get(card_id)
    return card_id if operation.name == "rate" or memory is None or memory.due <= ends else None
