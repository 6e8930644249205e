"""The log of tasks: attempts are appended, read in order, kept apart by profile, and part of a backup."""

from datetime import datetime

from study.store import Store
from study.store.logs.tasks import TaskAttempt
from study.store.rows import list_owned_tables


def attempt(now: datetime, task: str, *, correct: bool) -> TaskAttempt:
    return TaskAttempt(task_id=task, seed=2, response={"rank": "64"}, correct=correct, at=now)


def test_attempts_are_appended_and_read_oldest_first(store: Store, now: datetime) -> None:
    ana = store.profiles.add("browser-of-ana", "Ana", now=now)
    ben = store.profiles.add("browser-of-ben", "Ben", now=now)
    first, second = attempt(now, "fit", correct=False), attempt(now, "fit", correct=True)
    store.tasks.write(ana.id, first)
    store.tasks.write(ana.id, second)
    assert store.tasks.attempts(ana.id) == [first, second]
    assert store.tasks.attempts(ben.id) == []


def test_attempts_are_part_of_a_backup() -> None:
    assert "task_attempts" in {table.name for table in list_owned_tables()}
