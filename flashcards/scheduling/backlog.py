"""A backlog has more due cards than fit into a day; it is spread over several days, lowest recall first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from study.base.days import StudyDays

LONGEST_DAYS = 30


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """The number of waiting cards and the number that fit into one day."""

    waiting: int
    fit: int

    @property
    def is_too_much(self) -> bool:
        """Whether the page offers to spread the backlog."""
        return self.waiting > self.fit

    @property
    def days(self) -> int:
        """The number of days over which the backlog fits, 2 to LONGEST_DAYS."""
        return min(max(2, ceil(self.waiting / max(1, self.fit))), LONGEST_DAYS)


def count_fitting(*, reviews_left: int, minutes_left: float | None, seconds_each: float) -> int:
    """Return how many reviews fit into the daily limit and, if the session has one, its time limit."""
    by_time = reviews_left if minutes_left is None else int(60 * minutes_left / seconds_each)
    return max(0, min(reviews_left, by_time))


def spread_backlog(
    recall: Mapping[str, float], *, over_days: int, now: datetime, study_days: StudyDays
) -> dict[str, datetime]:
    """Return the day each card moves to: lowest recall first, the same number of cards per day."""
    weakest_first: Sequence[str] = sorted(recall, key=lambda card_id: (recall[card_id], card_id))
    a_day = max(1, ceil(len(weakest_first) / over_days))
    starts = [study_days.start(now)]
    while len(starts) < over_days:
        # Step half a day into the next one, because a day has 23 hours where the clocks change.
        starts.append(study_days.start(study_days.end(starts[-1]) + timedelta(hours=12)))
    return {card_id: starts[place // a_day] for place, card_id in enumerate(weakest_first)}
