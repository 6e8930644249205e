"""Progress derived from the log: mastery, streak, recall. Pure functions; their results are never stored."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import takewhile
from statistics import median
from typing import Literal, Protocol, TypeVar

from study.base.confidence_intervals import format_percent
from study.base.days import MACHINE_DAYS, StudyDays
from study.store.logs.cards import CardReview

DayOf = Callable[[datetime], date]
"""Maps a moment to its study day."""

WEEKS = 12  # over which recall and confidence are followed
CHARTS_FROM = 20
"""Answers; with fewer, the 95 % interval (Wilson) of a share near a half is wider than 40 points."""

FEWEST_DURATIONS = 5
REMEMBERED = 2  # Hard, Good and Easy all count as remembered
MASTERY_WINDOW = 10
MASTERY_LEAST = 3
NEWER_COUNTS = 0.8  # each older answer counts four fifths of the one after it

FAMILIAR_FROM = (
    0.7  # Khan Academy's levels: Familiar from 70 %, Proficient at 100 % (support.khanacademy.org)
)

Level = Literal["Attempted", "Familiar", "Proficient", "Mastered"]

SPACED_DAYS = 2
SPACED_KINDS = 2

MASTERY_RULE = (
    f"Mastery is the share of right answers among your last {MASTERY_WINDOW} on a concept: cards you "
    "remembered, and questions, explanations and predictions you got right. A card that you knew at first "
    "sight, or minutes later while you learnt it, does not count. Each older answer counts "
    f"{format_percent(NEWER_COUNTS)} of the one after it. Below {MASTERY_LEAST} answers no number is shown."
)
LEVEL_RULE = (
    f"Attempted: below {format_percent(FAMILIAR_FROM)}, or fewer than {MASTERY_LEAST} answers. Familiar: "
    f"from {format_percent(FAMILIAR_FROM)}. Proficient: all of them right, on at least {SPACED_DAYS} days "
    f"and in {SPACED_KINDS} kinds of exercise (cards, questions, explanations, "
    "predictions). Mastered: Proficient, and right in a quiz that mixes concepts. A miss takes you down."
)

ExerciseKind = Literal["card", "question", "explanation", "prediction"]


@dataclass(frozen=True, kw_only=True)
class AnswerOutcome:
    """One answer from one concept's view; `mixed` if it was given among questions about other concepts."""

    at: datetime
    right: bool
    kind: ExerciseKind
    mixed: bool = False


@dataclass(frozen=True, kw_only=True)
class Mastery:
    """Mastery of a concept, by the rule that the page prints; `share` is None with too few answers."""

    share: float | None
    answers: int
    """The answers that count: all but cards known at first sight or in their learning steps."""

    misses: int
    last_seen: datetime
    mixed_right: bool = False
    """Whether one of the last answers was right in a mixed quiz."""

    days_right: int = 0
    """Study days with a right answer that counts."""

    kinds_right: int = 0
    """Kinds of exercise with a right answer that counts."""

    @property
    def spaced(self) -> bool:
        """Whether right answers came on enough days and in enough kinds of exercise to mean something."""
        return self.days_right >= SPACED_DAYS and self.kinds_right >= SPACED_KINDS

    @property
    def level(self) -> Level:
        """One of four levels, by the rule that the page prints."""
        if self.share is None or self.share < FAMILIAR_FROM:
            return "Attempted"
        if self.misses or not self.spaced:
            return "Familiar"
        return "Mastered" if self.mixed_right else "Proficient"

    @property
    def misses_in_words(self) -> str:
        """How many of the last answers that count were misses: a card known again minutes later doesn't."""
        asked = min(self.answers, MASTERY_WINDOW)
        if asked == 1:
            return "missed once"
        missed = f"{self.misses} {'miss' if self.misses == 1 else 'misses'}"
        return f"{missed} in the last {asked} answers that count"

    @property
    def percent(self) -> int | None:
        """The share in percent, as shown."""
        return None if self.share is None else round(100 * self.share)


def derive_mastery(
    reviews: Iterable[CardReview],
    *,
    of_card: Mapping[str, tuple[str, ...]],
    others: Iterable[tuple[tuple[str, ...], AnswerOutcome]] = (),
    days: StudyDays = MACHINE_DAYS,
) -> dict[str, Mastery]:
    """Compute mastery of each concept with at least one answer; `others` are concepts with an outcome.

    A card known at first sight, or minutes later in a learning step, shows that the concept was met; it tests
    no memory.
    """
    met: dict[str, datetime] = {}
    outcomes: dict[str, list[AnswerOutcome]] = {}
    for concepts, outcome in others:
        for concept in concepts:
            outcomes.setdefault(concept, []).append(outcome)
    for review in reviews:
        seen = AnswerOutcome(at=review.reviewed_at, right=review.rating >= REMEMBERED, kind="card")
        for concept in of_card.get(review.card_id, ()):
            if seen.right and not review.repeat:
                met[concept] = max(seen.at, met.get(concept, seen.at))
            else:
                outcomes.setdefault(concept, []).append(seen)
    only_met = {
        concept: Mastery(share=None, answers=0, misses=0, last_seen=at) for concept, at in met.items()
    }
    return only_met | {concept: _compute_mastery(found, days) for concept, found in outcomes.items()}


def find_weakest(mastery: Mapping[str, Mastery], *, limit: int = 3) -> list[tuple[str, Mastery]]:
    """Find the concepts that need work most: with a miss among the last answers, lowest mastery first."""
    missed = [(concept, known) for concept, known in mastery.items() if known.misses]
    return sorted(missed, key=_rank_need)[:limit]


def count_streak_days(moments: Iterable[datetime], *, today: date, days: StudyDays = MACHINE_DAYS) -> int:
    """Count consecutive study days up to today; an unfinished day without study doesn't break the streak."""
    studied = {days.day(moment) for moment in moments}
    newest = today if today in studied else today - timedelta(days=1)
    run = takewhile(studied.__contains__, (newest - timedelta(days=back) for back in range(len(studied) + 1)))
    return sum(1 for _ in run)


def count_recalled(reviews: Iterable[CardReview]) -> tuple[int, int]:
    """Count remembered and asked cards, except new ones: a first view of a card doesn't test memory."""
    ratings = [review.rating for review in reviews if not review.new]
    return sum(rating >= REMEMBERED for rating in ratings), len(ratings)


def find_most_frequent(concepts_of_each: Iterable[tuple[str, ...]]) -> str:
    """Return the concept that most exercises are about; the first one on a tie, empty for no exercise."""
    counts = Counter(concept for concepts in concepts_of_each for concept in concepts)
    return next((concept for concept, _ in counts.most_common(1)), "")


class Dated(Protocol):
    """Something that happened at a moment."""

    @property
    def at(self) -> datetime: ...


D = TypeVar("D", bound=Dated)


def group_by_week(items: Iterable[D], *, now: datetime, day_of: DayOf) -> dict[date, list[D]]:
    """Group what happened in the last weeks by the last day of each week that had any, oldest first."""
    today = day_of(now)
    found: dict[date, list[D]] = {}
    for item in items:
        back = (today - day_of(item.at)).days // 7
        if 0 <= back < WEEKS:
            found.setdefault(today - timedelta(days=7 * back), []).append(item)
    return dict(sorted(found.items()))


def compute_typical_seconds(durations_ms: Iterable[int], *, until_known: float) -> float:
    """Return the median seconds per item, or `until_known` with fewer than FEWEST_DURATIONS."""
    known = list(durations_ms)
    return median(known) / 1000 if len(known) >= FEWEST_DURATIONS else until_known


def _compute_mastery(outcomes: list[AnswerOutcome], days: StudyDays) -> Mastery:
    newest_first = sorted(outcomes, key=lambda outcome: outcome.at, reverse=True)[:MASTERY_WINDOW]
    weights = [NEWER_COUNTS**age for age in range(len(newest_first))]
    right = sum(weight for weight, outcome in zip(weights, newest_first, strict=True) if outcome.right)
    return Mastery(
        share=right / sum(weights) if len(newest_first) >= MASTERY_LEAST else None,
        answers=len(outcomes),
        misses=sum(not outcome.right for outcome in newest_first),
        last_seen=newest_first[0].at,
        mixed_right=any(outcome.mixed and outcome.right for outcome in newest_first),
        days_right=len({days.day(outcome.at) for outcome in outcomes if outcome.right}),
        kinds_right=len({outcome.kind for outcome in outcomes if outcome.right}),
    )


def _rank_need(entry: tuple[str, Mastery]) -> tuple[float, int]:
    _, known = entry
    return (known.share if known.share is not None else 0.5, -known.misses)
