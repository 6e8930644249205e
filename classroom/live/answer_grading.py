"""Grades own words while they arrive: what has come in meanwhile is read in one go."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from classroom.activities.wall import get_text
from classroom.live.live_room import LiveRoom
from study.base.errors import LearnerError
from study.ports.classes import ClassGrade, ClassGrader
from study.store.class_records import ClassAnswer

_LOG = logging.getLogger(__name__)

AGAIN_AFTER_SECONDS = 30.0
"""After a failure: every request of the class asks, and each attempt may start a process."""

BROKEN = LearnerError("The grader could not read the answers.", do_next="Judge them yourself.")
MOST_AT_ONCE = 25
"""Answers a call: the screen shows the first ones while the others are read."""


@dataclass(kw_only=True)
class AnswerGrading:
    """One task for each class with answers that are not graded. Used from the server's event loop."""

    grader: ClassGrader
    write: Callable[..., Awaitable[Any]]
    """`write(live, job, then)` does a job in the database, and calls `then` once it is committed."""

    clock: Callable[[], float] = time.monotonic
    _tasks: "dict[str, asyncio.Task[None]]" = field(default_factory=dict)
    _failed_at: dict[str, float] = field(default_factory=dict)

    def follow(self, live: LiveRoom) -> None:
        """Grade every answer that is not graded, also those that an earlier process left."""
        going = self._tasks.get(live.room.code)
        rests = self.clock() < self._failed_at.get(live.room.code, -AGAIN_AFTER_SECONDS) + AGAIN_AFTER_SECONDS
        if self.grader.is_on and (going is None or going.done()) and not rests and _find_ungraded(live):
            self._tasks[live.room.code] = asyncio.get_running_loop().create_task(self._grade(live))

    def forget(self, live: LiveRoom) -> None:
        task = self._tasks.pop(live.room.code, None)
        if task is not None:
            task.cancel()

    async def _grade(self, live: LiveRoom) -> None:
        while waiting := _find_ungraded(live):
            prompt_id, answers = waiting
            texts = [get_text(answer) for answer in answers]
            try:
                found = await asyncio.to_thread(self.grader.grade, prompt_id, texts)
                await asyncio.gather(
                    *(self._keep(live, answer, grades) for answer, grades in zip(answers, found, strict=True))
                )
            except Exception as error:  # of any kind: the teacher goes on by hand
                _LOG.exception("Grading a class's answers failed; the teacher grades them by hand")
                told = error if isinstance(error, LearnerError) else BROKEN
                self._failed_at[live.room.code] = self.clock()
                live.note_grading_end(f"{told.what} {told.do_next}")
                return
        live.note_grading_end("")

    async def _keep(self, live: LiveRoom, answer: ClassAnswer, grades: dict[str, ClassGrade]) -> None:
        graded: dict[str, Any] = {
            concept: {"verdict": grade.verdict, "quote": list(grade.quote) if grade.quote else None}
            for concept, grade in grades.items()
        }
        await self.write(
            live,
            lambda t: t.grade(live.room.id, answer.id, graded),
            lambda _: live.apply_grades(answer, graded),
        )


def _find_ungraded(live: LiveRoom) -> tuple[str, Sequence[ClassAnswer]] | None:
    """Find the prompt of the first activity with such answers, and the oldest of them."""
    for position, activity in enumerate(live.plan):
        if activity.kind == "wall" and activity.wanted is not None:
            waiting = [each for each in live.answers(1, position).values() if each.graded is None]
            if waiting:
                return activity.wanted.id, waiting[:MOST_AT_ONCE]
    return None
