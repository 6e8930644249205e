"""FSRS scheduling as pure functions: memory state and rating in, next memory state and due date out.

The library's own fuzz is off, because it draws from a global random source and the interval on a button would
differ from the one applied. Our fuzz draws from a seed, such as the card's id and its number of reviews, so
`preview_outcomes` returns exactly what is stored when its button is pressed.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from random import Random
from typing import Any, Literal, get_args

import fsrs

Rating = Literal[1, 2, 3, 4]
RATINGS: tuple[Rating, ...] = get_args(Rating)
RATING_NAMES: dict[Rating, str] = {1: "Again", 2: "Hard", 3: "Good", 4: "Easy"}

MemoryPhase = Literal["learning", "review", "relearning"]
_PHASES: dict[MemoryPhase, fsrs.State] = {
    "learning": fsrs.State.Learning,
    "review": fsrs.State.Review,
    "relearning": fsrs.State.Relearning,
}
_PHASE_OF = {state: phase for phase, state in _PHASES.items()}

DESIRED_RETENTION = 0.9  # FSRS's default: the expected share of due cards that are recalled
MAXIMUM_INTERVAL_DAYS = 36_500
LEARNING_STEPS = len(fsrs.Scheduler().learning_steps)  # good ratings until a new card graduates
FUZZ_FROM_DAYS = 2.5
FUZZ_RANGES = ((2.5, 7.0, 0.15), (7.0, 20.0, 0.1), (20.0, float("inf"), 0.05))  # as in the library
DEFAULT_PARAMETERS: tuple[float, ...] = tuple(fsrs.Scheduler().parameters)


@dataclass(frozen=True, kw_only=True)
class Scheduling:
    """The scheduler settings of one learner: FSRS-6's 21 weights, and the desired retention (0.7 to 0.97)."""

    parameters: tuple[float, ...] = DEFAULT_PARAMETERS
    desired_retention: float = DESIRED_RETENTION
    maximum_interval_days: int = MAXIMUM_INTERVAL_DAYS

    @property
    def whose(self) -> str:
        """Whose the parameters are, for texts: "with your parameters", "with the usual parameters"."""
        return "the usual" if self.parameters == DEFAULT_PARAMETERS else "your"


@dataclass(frozen=True, kw_only=True)
class Memory:
    """A card's memory state after its last rating: stability in days, difficulty from 1 to 10."""

    phase: MemoryPhase
    step: int | None
    stability: float
    difficulty: float
    due: datetime
    last_review: datetime

    def to_json(self) -> dict[str, Any]:
        """Return the JSON that the review log stores."""
        moments = {"due": self.due.isoformat(), "last_review": self.last_review.isoformat()}
        return {**vars(self), **moments}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Memory":
        """Parse the JSON of the review log; the round trip is exact."""
        moments = {name: datetime.fromisoformat(stored[name]) for name in ("due", "last_review")}
        return cls(**{**stored, **moments})


@dataclass(frozen=True, kw_only=True)
class RatingOutcome:
    rating: Rating
    name: str
    after: Memory
    interval: timedelta


def preview_outcomes(
    memory: Memory | None,
    *,
    now: datetime,
    scheduling: Scheduling = Scheduling(),
    fuzz_seed: str | None = None,
) -> tuple[RatingOutcome, ...]:
    """Return the four outcomes of rating a card now; `memory` is None for a new card.

    Without a seed, intervals have no fuzz. All four share a draw, so a better rating never comes back sooner.
    """
    moment = now.astimezone(UTC)
    draw = None if fuzz_seed is None else Random(fuzz_seed).random()
    return tuple(_compute_outcome(memory, rating, moment, scheduling, draw) for rating in RATINGS)


def compute_retrievability(memory: Memory, *, now: datetime, scheduling: Scheduling = Scheduling()) -> float:
    """Return the probability of recall now, from 0 to 1, as FSRS estimates it."""
    moment = now.astimezone(UTC)
    return float(_build_fsrs(scheduling).get_card_retrievability(_to_fsrs(memory, moment), moment))


def fuzz_interval(interval: timedelta, *, draw: float, maximum_days: int) -> timedelta:
    """Return the interval with fuzz, so cards learned together separate. `draw` is from 0 to 1."""
    if interval.days < FUZZ_FROM_DAYS:
        return interval
    spread = 1.0 + sum(
        factor * max(min(float(interval.days), end) - start, 0.0) for start, end, factor in FUZZ_RANGES
    )
    longest = min(round(interval.days + spread), maximum_days)
    shortest = min(max(2, round(interval.days - spread)), longest)
    return timedelta(days=min(int(shortest + draw * (longest - shortest + 1)), longest))


def apply_rating(memory: Memory | None, rating: Rating, *, now: datetime, scheduling: Scheduling) -> Memory:
    """Return the memory state after one rating: `preview_outcomes` without fuzz, at a quarter of its cost."""
    return _compute_outcome(memory, rating, now.astimezone(UTC), scheduling, None).after


@lru_cache(maxsize=64)
def _build_fsrs(scheduling: Scheduling) -> fsrs.Scheduler:
    return fsrs.Scheduler(
        parameters=scheduling.parameters,
        desired_retention=scheduling.desired_retention,
        maximum_interval=scheduling.maximum_interval_days,
        enable_fuzzing=False,
    )


def _compute_outcome(
    memory: Memory | None, rating: Rating, now: datetime, scheduling: Scheduling, draw: float | None
) -> RatingOutcome:
    reviewed, _ = _build_fsrs(scheduling).review_card(_to_fsrs(memory, now), fsrs.Rating(rating), now)
    assert reviewed.stability is not None
    assert reviewed.difficulty is not None
    interval = reviewed.due - now
    if draw is not None and reviewed.state is fsrs.State.Review:
        interval = fuzz_interval(interval, draw=draw, maximum_days=scheduling.maximum_interval_days)
    after = Memory(
        phase=_PHASE_OF[reviewed.state],
        step=reviewed.step,
        stability=reviewed.stability,
        difficulty=reviewed.difficulty,
        due=now + interval,
        last_review=now,
    )
    return RatingOutcome(rating=rating, name=RATING_NAMES[rating], after=after, interval=interval)


def _to_fsrs(memory: Memory | None, now: datetime) -> fsrs.Card:
    # The id is given because Card() would otherwise read the clock and sleep for a millisecond.
    if memory is None:
        return fsrs.Card(card_id=0, due=now)
    return fsrs.Card(
        card_id=0,
        state=_PHASES[memory.phase],
        step=memory.step,
        stability=memory.stability,
        difficulty=memory.difficulty,
        due=memory.due,
        last_review=memory.last_review,
    )
