"""The review history of a card in Anki, as ratings of our log.

Our scheduler replays each rating of Anki's review log, so the log explains itself. The last state then takes
Anki's values where Anki has them: the due date always; stability and difficulty if Anki used FSRS. A card
with a schedule and no log (SM-2 from a shared deck) gets one rating on the day of its last review, with the
stability and difficulty under which FSRS would have given Anki's interval and ease.
"""

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from flashcards.interchange.anki_file import AnkiCard
from flashcards.scheduling.scheduler import DEFAULT_PARAMETERS, RATINGS, Memory, MemoryPhase, preview_outcomes
from study.base.numbers import is_finite_number

PHASES: dict[int, MemoryPhase] = {1: "learning", 2: "review", 3: "relearning"}
DAY_SECONDS = 86_400
LEAST_STABILITY = 0.001  # days; the minimum of the fsrs package
LONGEST = timedelta(days=36_500)


@dataclass(frozen=True, kw_only=True)
class Rated:
    rating: int
    at: datetime
    duration_ms: int


@dataclass(frozen=True, kw_only=True)
class AnkiSchedule:
    """A card's last schedule in Anki. Stability (days) and difficulty are None if Anki did not use FSRS."""

    phase: MemoryPhase
    due: datetime
    stability: float | None
    difficulty: float | None
    interval_days: int
    ease: float


@dataclass(frozen=True, kw_only=True)
class History:
    """The ratings since the card was last reset, and its last schedule."""

    ratings: tuple[Rated, ...]
    schedule: AnkiSchedule
    left_out: int
    """The number of cram ratings, which did not affect the schedule."""


def parse_card_history(card: AnkiCard, *, created_at: int) -> History | None:
    """Return the review history of a card; None for a new one."""
    phase = PHASES.get(card.type)
    if phase is None:
        return None
    resets = [place for place, each in enumerate(card.reviews) if each.kind == 4 and each.factor == 0]
    since = card.reviews[resets[-1] + 1 :] if resets else card.reviews
    counted = [
        review
        for review in since
        if review.rating in RATINGS and (review.kind < 3 or (review.kind == 3 and review.factor != 0))
    ]
    due = card.due if card.due > 1_000_000_000 else created_at + card.due * DAY_SECONDS
    return History(
        ratings=tuple(
            Rated(
                rating=r.rating,
                at=_convert_moment(r.at_ms / 1000),
                duration_ms=min(max(r.duration_ms, 0), 600_000),
            )
            for r in counted
        ),
        schedule=AnkiSchedule(
            phase=phase,
            due=_convert_moment(due),
            stability=_read_number(card.data.get("s")),
            difficulty=_read_number(card.data.get("d")),
            interval_days=max(card.interval, 1),
            ease=max(card.factor / 1000, 1.3),
        ),
        left_out=sum(review.rating in RATINGS for review in since) - len(counted),
    )


def list_missing_ratings(
    card_id: str, history: History, *, memory: Memory | None, newest: datetime | None, now: datetime
) -> list[dict[str, Any]]:
    """List the ratings that our log lacks, each with the memory state before and after it."""
    fresh = [rated for rated in history.ratings if newest is None or rated.at > newest]
    if not history.ratings and memory is None:
        last = _build_last_review(history.schedule, now)
        return [_build_row(card_id, last, None, _from_sm2(history.schedule, last.at))]
    rows = []
    for rated in fresh:
        after = preview_outcomes(memory, now=rated.at)[rated.rating - 1].after
        if rated is fresh[-1]:
            after = _as_anki_says(after, history.schedule)
        rows.append(_build_row(card_id, rated, memory, after))
        memory = after
    return rows


def _as_anki_says(memory: Memory, schedule: AnkiSchedule) -> Memory:
    return replace(
        memory,
        phase=schedule.phase,
        step=None if schedule.phase == "review" else 0,
        due=schedule.due,
        stability=max(schedule.stability or memory.stability, LEAST_STABILITY),
        difficulty=min(max(schedule.difficulty or memory.difficulty, 1.0), 10.0),
    )


def _from_sm2(schedule: AnkiSchedule, last_review: datetime) -> Memory:
    """Convert SM-2: stability is the interval (both aim at 90 %); Good then grows it by Anki's ease."""
    stability = schedule.stability or float(schedule.interval_days)
    w = DEFAULT_PARAMETERS
    # FSRS: after Good, stability S (days) grows by the factor
    # 1 + exp(w8) * (11 - D) * S**-w9 * (exp(w10 * (1 - R)) - 1), with difficulty D and retrievability R.
    # At R = 0.9 this factor is to be Anki's ease, which gives 11 - D = (ease - 1) / growth.
    growth = math.exp(w[8]) * stability ** -w[9] * (math.exp(0.1 * w[10]) - 1)
    difficulty = schedule.difficulty or 11 - (schedule.ease - 1) / growth
    memory = Memory(
        phase=schedule.phase,
        step=None,
        stability=stability,
        difficulty=difficulty,
        due=schedule.due,
        last_review=last_review,
    )
    return _as_anki_says(memory, schedule)


def _build_last_review(schedule: AnkiSchedule, now: datetime) -> Rated:
    back = timedelta(days=schedule.interval_days) if schedule.phase == "review" else timedelta(days=1)
    # A due date that was set by hand may be further ahead than the interval.
    return Rated(rating=3, at=min(schedule.due - min(back, LONGEST), now), duration_ms=0)


def _build_row(card_id: str, rated: Rated, before: Memory | None, after: Memory) -> dict[str, Any]:
    return {
        "card_id": card_id,
        "rating": rated.rating,
        "reviewed_at": rated.at.isoformat(),
        "duration_ms": rated.duration_ms,
        "before": before.to_json() if before else None,
        "after": after.to_json(),
    }


def _read_number(value: object) -> float | None:
    return float(value) if is_finite_number(value) and value > 0 else None


def _convert_moment(seconds: float) -> datetime:
    """Convert Unix seconds; values out of range become the nearest end, 1970 or 2191."""
    return datetime.fromtimestamp(min(max(seconds, 0), 7_000_000_000), UTC)
