"""Statistics of the review log: days, recall, time. Pure functions; the charts show their results."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property
from statistics import fmean
from typing import TypeVar

from flashcards.scheduling.replay import Recall, replay_recalls, select_spaced
from flashcards.scheduling.scheduler import Memory, Scheduling, compute_retrievability
from study.base.confidence_intervals import Share, compute_share
from study.learner.progress import REMEMBERED, WEEKS, DayOf, group_by_week
from study.store.logs.cards import CardReview

Subject = TypeVar("Subject", date, str)

# Upper edges of the bins of elapsed time, in days: each is about twice the last, because intervals grow.
ELAPSED_ENDS = (1, 2, 4, 7, 14, 30, 60, 120, 240, 36_500)


@dataclass(frozen=True, kw_only=True)
class CardHistory:
    """One learner's review log and memory states, for all cards or some, at one moment."""

    reviews: tuple[CardReview, ...]
    memories: Mapping[str, Memory]
    due_dates: Mapping[str, datetime]
    """When each card will be shown; a suspended one won't."""

    scheduling: Scheduling
    now: datetime
    day_of: DayOf

    @cached_property
    def recalls(self) -> list[Recall]:
        """The scheduler's predictions with their outcomes."""
        return replay_recalls(self.reviews, self.scheduling)

    @property
    def today(self) -> date:
        return self.day_of(self.now)

    def select(self, card_ids: Iterable[str]) -> "CardHistory":
        wanted = set(card_ids)
        return replace(
            self,
            reviews=tuple(review for review in self.reviews if review.card_id in wanted),
            memories={card: memory for card, memory in self.memories.items() if card in wanted},
            due_dates={card: due for card, due in self.due_dates.items() if card in wanted},
        )


def count_reviews_by_day(history: CardHistory) -> dict[date, int]:
    return dict(Counter(history.day_of(review.reviewed_at) for review in history.reviews))


def sum_minutes_by_day(history: CardHistory, *, days: int) -> dict[date, float]:
    """Return the minutes spent on cards on each of the last days, today last."""
    spent: dict[date, float] = {history.today - timedelta(days=back): 0.0 for back in reversed(range(days))}
    for review in history.reviews:
        day = history.day_of(review.reviewed_at)
        if day in spent:
            spent[day] += review.duration_ms / 60_000
    return spent


def recall_by_week(history: CardHistory) -> dict[date, Share]:
    """Return the share recalled in each of the last weeks that had a review, by the week's last day."""
    weeks = group_by_week(history.recalls, now=history.now, day_of=history.day_of)
    return _compute_shares({day: [recall.recalled for recall in found] for day, found in weeks.items()})


def recall_lately(history: CardHistory) -> Share | None:
    """Return the share recalled over these weeks; it needs no predictions, so the log isn't replayed."""
    since = history.today - timedelta(days=7 * WEEKS)
    recent = (r for r in select_spaced(history.reviews) if history.day_of(r.reviewed_at) > since)
    return compute_share([review.rating >= REMEMBERED for review in recent])


def recall_by_subject(history: CardHistory, of_card: Mapping[str, tuple[str, ...]]) -> dict[str, Share]:
    """Return the share recalled by deck or concept, weakest first."""
    outcomes: dict[str, list[bool]] = defaultdict(list)
    for recall in history.recalls:
        for subject in of_card.get(recall.card_id, ()):
            outcomes[subject].append(recall.recalled)
    return dict(sorted(_compute_shares(outcomes).items(), key=lambda entry: entry[1].value))


def sum_minutes_by_subject(history: CardHistory, of_card: Mapping[str, tuple[str, ...]]) -> dict[str, float]:
    """Return the minutes spent by deck or concept, longest first; a card about two counts half for each."""
    spent: dict[str, float] = defaultdict(float)
    for review in history.reviews:
        subjects = of_card.get(review.card_id, ())
        for subject in subjects:
            spent[subject] += review.duration_ms / 60_000 / len(subjects)
    return dict(sorted(spent.items(), key=lambda entry: -entry[1]))


def count_due_by_day(history: CardHistory, *, days: int) -> dict[date, int]:
    """Count the cards due on each of the coming days, today first; overdue cards count for today."""
    due = {history.today + timedelta(days=ahead): 0 for ahead in range(days)}
    for moment in history.due_dates.values():
        day = max(history.day_of(moment), history.today)
        if day in due:
            due[day] += 1
    return due


def recall_now(history: CardHistory) -> list[float]:
    """Return the retrievability of each card now, from 0 to 1."""
    return [
        compute_retrievability(memory, now=history.now, scheduling=history.scheduling)
        for memory in history.memories.values()
    ]


@dataclass(frozen=True, kw_only=True)
class ElapsedBin:
    """A bin of reviews by elapsed time: the observed recall and the model's mean prediction."""

    low_days: int
    high_days: int
    days: float
    """The mean elapsed time."""

    share: Share
    expected: float

    @property
    def label(self) -> str:
        """The label: `1 d`, `5–7 d`, `over 240 d`."""
        if self.high_days == ELAPSED_ENDS[-1]:
            return f"over {self.low_days - 1} d"
        return (
            f"{self.low_days} d" if self.low_days == self.high_days else f"{self.low_days}–{self.high_days} d"
        )


def compute_forgetting(history: CardHistory) -> list[ElapsedBin]:
    """Return recall by time since the last review."""
    found, low = [], 1
    for high in ELAPSED_ENDS:
        inside = [recall for recall in history.recalls if low <= recall.elapsed_days <= high]
        share = compute_share([recall.recalled for recall in inside])
        if share is not None:
            expected = fmean(recall.predicted for recall in inside)
            days = fmean(recall.elapsed_days for recall in inside)
            found.append(ElapsedBin(low_days=low, high_days=high, days=days, share=share, expected=expected))
        low = high + 1
    return found


def count_buttons(history: CardHistory) -> tuple[list[int], list[int]]:
    """Count the presses of each of the four buttons: on new cards, and on cards seen before."""
    counts = Counter((review.new, review.rating) for review in history.reviews)
    return [counts[True, rating] for rating in range(1, 5)], [counts[False, rating] for rating in range(1, 5)]


def _compute_shares(outcomes: Mapping[Subject, list[bool]]) -> dict[Subject, Share]:
    return {key: Share(hits=sum(found), trials=len(found)) for key, found in outcomes.items()}
