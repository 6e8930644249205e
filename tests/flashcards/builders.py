"""Cards and memories for tests, with everything but the point of the test filled in."""

from datetime import UTC, datetime, timedelta

from flashcards.decks.note import Card
from flashcards.scheduling.replay import select_spaced
from flashcards.scheduling.scheduler import DEFAULT_PARAMETERS, Memory, MemoryPhase, Scheduling
from flashcards.scheduling.simulation import Learner, StudyPlan, simulate_study
from study.content.evidence import Evidence
from study.content.yaml_reader import Level
from study.learner.progress import REMEMBERED

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
DAY_ENDS = datetime(2026, 3, 5, 4, 0, tzinfo=UTC)


def card(
    card_id: str,
    *,
    deck: str = "one",
    level: Level = "beginner",
    tags: tuple[str, ...] = (),
    concepts: tuple[str, ...] = ("rank",),
    note: str = "",
) -> Card:
    return Card(
        id=card_id,
        deck=deck,
        concepts=concepts,
        level=level,
        tags=tags,
        front=f"front of {card_id}",
        back=f"back of {card_id}",
        why="because",
        evidence=Evidence(source="a book", checks=()),
        note_id=note or card_id,
    )


def memory(*, due_in: timedelta, phase: MemoryPhase = "review", moment: datetime = NOW) -> Memory:
    return Memory(
        phase=phase,
        step=None if phase == "review" else 0,
        stability=3.0,
        difficulty=5.0,
        due=moment + due_in,
        last_review=moment - timedelta(days=3),
    )


def simulated_outcomes(
    plan: StudyPlan, scheduling: Scheduling, *, learner: Learner | None = None
) -> list[bool]:
    """Whether each review was recalled; FSRS knows the memory of the learner, unless another one is given."""
    log = simulate_study(plan, scheduling, learner=learner or Learner(memory=scheduling))
    return [review.rating >= REMEMBERED for review in select_spaced(log)]


def fast_forgetter() -> Learner:
    """Someone who forgets new cards sooner, and gains less from each review, than FSRS's defaults believe."""
    true = [0.15 * stability for stability in DEFAULT_PARAMETERS[:4]] + list(DEFAULT_PARAMETERS[4:])
    true[8] -= 1.0
    return Learner(memory=Scheduling(parameters=tuple(true)))
