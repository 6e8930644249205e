"""Spaced retrieval of confident errors after 1 and 7 days, because feedback alone fades (Butler 2011)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from study.base.days import StudyDays
from study.store.logs.quizzes import QuizAnswer

STAGES = (timedelta(days=1), timedelta(days=7))


@dataclass(frozen=True, kw_only=True)
class Returning:
    """A question missed by a learner who was sure of the answer, and the day it is asked again."""

    question_id: str
    missed_on: date
    due_on: date
    stage: int


def list_returning(answers: Iterable[QuizAnswer], *, days: StudyDays) -> list[Returning]:
    """Return what to ask again, soonest first. Right on both days ends a retry; wrong starts it again."""
    waiting: dict[str, Returning] = {}
    for answer in answers:
        before = waiting.get(answer.question_id)
        after = _compute_next(before, answer, days.day(answer.answered_at))
        if after is not None:
            waiting[answer.question_id] = after
        elif before is not None:
            del waiting[answer.question_id]
    return sorted(waiting.values(), key=lambda each: (each.due_on, each.question_id))


def list_due(waiting: Iterable[Returning], *, now: datetime, days: StudyDays) -> list[Returning]:
    """Return the retries whose day has come."""
    today = days.day(now)
    return [each for each in waiting if each.due_on <= today]


def format_due_day(due_on: date, *, today: date) -> str:
    """Format when a retry is asked: `today`, which a day that has come stays, `tomorrow`, or `on Monday`."""
    days = (due_on - today).days
    return "today" if days <= 0 else "tomorrow" if days == 1 else f"on {due_on:%A}"


def _compute_next(before: Returning | None, answer: QuizAnswer, day: date) -> Returning | None:
    if not answer.correct and (before or answer.confidence == "sure"):
        return Returning(question_id=answer.question_id, missed_on=day, due_on=day + STAGES[0], stage=0)
    if before is None or day < before.due_on:
        return before
    if before.stage + 1 == len(STAGES):
        return None
    # The gap counts from this answer if it came late; otherwise the second retry would be due at once.
    due_on = max(before.missed_on + STAGES[1], day + (STAGES[1] - STAGES[0]))
    return Returning(question_id=answer.question_id, missed_on=before.missed_on, due_on=due_on, stage=1)
