"""A rehearsal: a class against a running app, led by the teacher by hand or by itself."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from classroom.activities.activity import parse_activity_spec
from classroom.simulation.http_client import Client
from classroom.simulation.student import Student, StudentBehaviour
from study.base.errors import LearnerError
from study.ports.classes import ClassKinds


@dataclass(kw_only=True)
class Rehearsal:
    """What to play. `say` receives each line for the teacher."""

    address: str
    students: int
    kinds: ClassKinds
    say: Callable[[str], object]
    code: str = ""
    plan: str = "opener"
    lead_seconds: float = 0.0
    """Press Next after this many seconds; 0: the teacher leads."""

    seed: int = 0
    behaviour: StudentBehaviour = field(default_factory=StudentBehaviour)
    outcomes: Counter[str] = field(default_factory=Counter)

    async def play(self) -> None:
        """Play until the class has ended. Raises LearnerError when the app or the class can't be found."""
        teacher = Client(self.address, "rehearsal")
        try:
            await self._play(teacher)
        finally:
            teacher.close()

    async def _play(self, teacher: Client) -> None:
        try:
            code = self.code or await self._open(teacher)
            self.say(f"Lead the class at {self.address}/class/{code}/teach")
            status, told = await teacher.get(f"/class/{code}/export/class.json")
        except OSError as error:
            what = f"No app answers at {self.address}."
            raise LearnerError(what, do_next="Start it with: python app.py --class") from error
        if status != 200:
            raise LearnerError(f"There is no class with the code {code}.", do_next="Start one at /class.")
        plan = [parse_activity_spec(spec) for spec in told["activities"]]
        rng = Random(self.seed)
        students = [
            Student(
                self.address,
                code,
                plan,
                Random(rng.random()),
                self.behaviour,
                self._count_outcome,
                kinds=self.kinds,
            )
            for _ in range(self.students)
        ]
        playing = [asyncio.create_task(student.play()) for student in students]
        if self.lead_seconds:
            await self._lead(teacher, code)
        results = await asyncio.gather(*playing, return_exceptions=True)
        refused = [result for result in results if isinstance(result, BaseException)]
        for first in refused[:1]:
            self.say(f"{len(refused)} could not take part: {first}")
        shown = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.outcomes.items()))
        self.say(f"The class has ended. Answers: {shown or 'none'}.")
        self.say(f"Report: {self.address}/class/{code}/report")

    def _count_outcome(self, _seconds: float, outcome: str, _given: Any) -> None:
        self.outcomes[outcome] += 1

    async def _open(self, teacher: Client) -> str:
        status, place = await teacher.post("/class/open", f"plan={self.plan}&days=1", form=True)
        if status != 303:
            raise LearnerError(f"There is no lesson plan {self.plan!r}.", do_next="Look at /class for plans.")
        return str(place).split("/")[2]

    async def _lead(self, teacher: Client, code: str) -> None:
        status = 200
        while status == 200:
            await asyncio.sleep(self.lead_seconds)
            status, _ = await teacher.post(f"/class/{code}/command", {"do": "next"})
        await teacher.post(f"/class/{code}/command", {"do": "end"})
