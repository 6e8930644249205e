"""All classes of this app: opening, joining, answering, the teacher's commands, runs and the end of names."""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from classroom.access.keys import hash_key
from classroom.activities import names
from classroom.activities.activity import Activity
from classroom.activities.room import add_on_the_spot, plan_next_step, plan_previous_step, step_to
from classroom.live.advice import find_advised_phase
from classroom.live.answer_grading import AnswerGrading
from classroom.live.live_room import LiveRoom
from classroom.live.messages import (
    choose_answers,
    read_answer_job,
    read_figure_settings,
    read_step,
    read_student,
    read_verdict,
    read_withdrawn,
)
from classroom.live.opening import build_room, check_options
from classroom.live.process_sync import ProcessSync
from classroom.live.run_watch import RunWatch
from classroom.live.writer import Writer
from classroom.plans.plan import Plan
from study.base.errors import LearnerError
from study.figures.figure import Figures
from study.ports.classes import ClassGrader, ClassGrids, ClassKinds, ClassRuns
from study.ports.context import Context
from study.store.class_records import ClassStudent, RecordedAnswer
from study.store.class_transaction import ClassTransaction, JoinJob

STUDENTS_AT_MOST = 2000
NAMES_DRAWN = 3
"""For one student: another process may give the first one away at the same moment."""

T = TypeVar("T")


class KickedError(LearnerError):
    """The teacher took this student out."""


@dataclass(kw_only=True)
class Hub:
    """Used from the server's event loop; the database is read and written in threads.

    On a database server other processes may serve the same classes. One of them, the teacher's app, trains
    and grades; a process that serves students only has no `runs`, `grids` and `grader`.
    """

    context: Context
    figures: Figures
    kinds: ClassKinds
    runs: ClassRuns | None = None
    grids: ClassGrids | None = None
    grader: ClassGrader | None = None
    _live: dict[str, LiveRoom] = field(default_factory=dict)
    writer: Writer = field(init=False)
    watch: RunWatch | None = field(init=False, default=None)
    grading: AnswerGrading | None = field(init=False, default=None)
    sync: ProcessSync | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        store = self.context.store
        self.writer = Writer(store.classes)
        if self.runs and self.grids:
            self.watch = RunWatch(
                runs=self.runs, grids=self.grids, append=self._append, keep=self._keep_progress
            )
        if self.grader:
            self.grading = AnswerGrading(grader=self.grader, write=self._write)
        if store.is_shared:
            self.sync = ProcessSync(
                log=store.classes, notices=store.open_notices(), rooms=self._live, deleted=self._forget
            )

    # ---- rooms

    async def open(
        self,
        plan: Plan,
        *,
        names_typed: bool,
        keep_names_days: int,
        address: str,
        teams: int = 0,
        leaderboard: bool = False,
    ) -> LiveRoom:
        """Start a class in its lobby. Raises LearnerError when a choice is not offered."""
        options = {
            "names_typed": names_typed,
            "address": address,
            "keep_names_days": keep_names_days,
            "teams": teams,
            "leaderboard": leaderboard,
        }
        check_options(options)
        now, specs = self._now(), [activity.to_json() for activity in plan.activities]

        def write(transaction: ClassTransaction) -> str:
            taken = transaction.read_codes()  # inside it, because another process may draw a code meanwhile
            room = build_room(plan, options, taken=taken, rng=self.context.rng, now=now)
            transaction.open_room(room, specs)
            return room.code

        return await self.find(await self.writer.do(write, lambda _: None))

    async def find(self, code: str) -> LiveRoom:
        """The room with this code. Raises LearnerError when there is no such room."""
        live = self._live.get(code)
        if live is None:
            known = re.fullmatch("[0-9]{6}", code) is not None
            record = await asyncio.to_thread(self.context.store.classes.read_record, code) if known else None
            if record is None:
                raise LearnerError(
                    f"There is no class with the code {code}.", do_next="Check the code on the screen."
                )
            live = self._live.setdefault(code, LiveRoom(record, self.figures))
            if self.sync:
                self.sync.start()
                live.presence_changed = partial(self.sync.announce_change, live, urgent=False)
        if live.room.names_until <= self._now() and live.has_names:
            await self.forget_names()
        if self.watch:
            self.watch.follow(live)
        if self.grading:
            self.grading.follow(live)
        return live

    async def find_newest(self, code: str) -> LiveRoom:
        """The room with all that any process has committed. Raises LearnerError for an unknown code."""
        live = await self.find(code)
        if self.sync:
            await self.sync.refresh(live)
        return live

    async def delete(self, live: LiveRoom) -> None:
        await self._write(live, lambda t: t.delete_room(live.room.id), lambda _: self._forget(live))

    def _forget(self, live: LiveRoom) -> None:
        self._live.pop(live.room.code, None)
        if self.watch:
            self.watch.forget(live)
        if self.grading:
            self.grading.forget(live)
        live.state = replace(live.state, phase=None, ended=True)  # what is still open says so
        live.wake_screens()

    async def forget_names(self, live: LiveRoom | None = None) -> int:
        """Delete the names of one class now, or of all classes whose time is over."""
        now, room_id = self._now(), live.room.id if live else ""

        def forget(_: int) -> None:  # also what the hourly look has deleted before
            for each in [live] if live else self._live.values():
                if each.has_names and (each is live or each.room.names_until <= now):
                    each.forget_names()
                    self._tell(each, urgent=True)

        return await self.writer.do(lambda t: t.forget_names(now=now, room_id=room_id), forget)

    # ---- students

    async def join(self, live: LiveRoom, browser_id: str) -> ClassStudent:
        """The student of a browser; the first time a new one, unless the room is locked or full."""
        if known := await self._find_student(live, browser_id):
            return known
        if live.state.locked:
            raise LearnerError("The teacher has locked this class.", do_next="Ask to be let in.")
        if live.state.ended:
            raise LearnerError("This class has ended.", do_next="Ask your teacher for the next code.")
        if len(live.students) >= STUDENTS_AT_MOST:
            raise LearnerError("This class is full.", do_next="Share a phone with someone.")
        taken = {student.name for student in live.students.values()}
        drawn = tuple(names.draw_name(taken, self.context.rng) for _ in range(NAMES_DRAWN))
        device = live.hash_device(browser_id)
        job = JoinJob(room_id=live.room.id, device=device, names=drawn, at=self._now())
        return await self._write(live, job, live.apply_join, urgent=False)

    async def require_student(self, live: LiveRoom, browser_id: str) -> ClassStudent:
        """Return the student of a browser. Raises LearnerError for a browser that has not joined."""
        known = await self._find_student(live, browser_id)
        if known is None:
            raise LearnerError("You are not in this class yet.", do_next="Reload the page to join.")
        return known

    async def _find_student(self, live: LiveRoom, browser_id: str) -> ClassStudent | None:
        device = live.hash_device(browser_id)
        if device not in live.by_device and self.sync:  # may have joined at another process a moment ago
            await self.sync.refresh(live)
        return live.students.get(live.by_device.get(device, ""))

    async def rename(self, live: LiveRoom, student: ClassStudent, typed: str | None) -> str:
        """Take a typed name, if the teacher allows that; draw another one for None."""
        taken = {each.name for each in live.students.values() if each.id != student.id}
        if typed is None:
            name = names.draw_name(taken | {student.name}, self.context.rng)
        elif not live.room.options["names_typed"]:
            raise LearnerError(
                "Names are drawn at random in this class.", do_next="Draw another one with the button."
            )
        else:
            name = names.read_name(typed, taken)
        await self._write(
            live,
            lambda t: t.rename(live.room.id, student.id, name),
            lambda _: live.apply_rename(student.id, name),
            urgent=False,
        )
        return name

    async def answer(self, live: LiveRoom, student: ClassStudent, given: Mapping[str, Any]) -> RecordedAnswer:
        """Store an answer; returns after the commit.

        Raises LearnerError when it doesn't fit that round, KickedError for a student who was taken out.
        """
        if student.id in live.state.kicked:
            raise KickedError("The teacher took you out of this class.", do_next="Ask to be let in again.")
        position = given.get("position")
        if self.sync and type(position) is int and position >= len(live.plan):  # asked on the spot
            await self.sync.refresh(live)
        job = read_answer_job(live, student, given, read=self.kinds.read, at=self._now())
        recorded = await self._write(live, job, live.apply_answer, urgent=bool(job.claims))
        if recorded.outcome == "late" and self.sync:  # the phone gets the state that made it late
            await self.sync.refresh(live)
        if self.grading:
            self.grading.follow(live)
        return recorded

    # ---- the teacher

    async def carry_out(self, live: LiveRoom, order: Mapping[str, Any]) -> None:
        """Carry out what the teacher asks for. Raises LearnerError when that can't be done now."""
        given = order.get("after")
        after = given if isinstance(given, int) else None
        match order.get("do"):
            case "next":
                await self._step(
                    live, plan_next_step(live.state, live.plan, advised=find_advised_phase(live)), after=after
                )
            case "back" if live.state.ended:  # a clicker's button, pressed once too often
                raise LearnerError(
                    "This class has ended.", do_next="Open it again on the teacher's page to go back."
                )
            case "back" | "reopen":
                await self._go(live, plan_previous_step(live.state), after=after)
            case "go":
                await self._step(live, read_step(live, order), after=after)
            case "lock" | "unlock" as what:
                await self._append(live, "lock", {"on": what == "lock"})
            case "hide-names" | "show-names" as what:
                await self._append(live, "names", {"hidden": what == "hide-names"})
            case "kick" | "readmit" as what:
                await self._append(live, what, {"student": read_student(live, order).id})
            case "rename":
                await self.rename(live, read_student(live, order), None)
            case "show-quote" | "hide-quote" as what:
                await self._append(
                    live, "quote", {"answers": choose_answers(live, order), "shown": what[0] == "s"}
                )
            case "figure":
                await self._append(
                    live, "figure", read_figure_settings(live, self.figures, order.get("settings"))
                )
            case "blank" | "unblank" as what:
                live.apply_blanking(is_blank=what == "blank")
            case "withdraw":
                await self._withdraw(live, order.get("position"))
            case "overrule":
                await self._append(live, "overrule", read_verdict(live, order))
            case "end":
                await self._append(live, "end", {})
            case "forget-names":
                await self.forget_names(live)
            case what:
                raise LearnerError(f"The class has no command {what!r}.", do_next="Reload the page.")

    async def use_address(self, live: LiveRoom, address: str) -> None:
        options = {**live.room.options, "address": address}
        await self._write(
            live,
            lambda t: t.set_options(live.room.id, options),
            lambda _: live.apply_options(options),
        )

    async def add_key(self, live: LiveRoom, key: str) -> None:
        """Let the holder of a key in; only its hash is stored."""
        at = self._now()
        await self.writer.do(lambda t: t.add_key(live.room.id, hash_key(key), at=at), lambda _: None)

    async def revoke_keys(self, live: LiveRoom) -> None:
        at = self._now()
        await self.writer.do(lambda t: t.revoke_keys(live.room.id, at=at), lambda _: None)

    async def ask_now(self, live: LiveRoom, activity: Activity) -> None:
        """Add an activity made on the spot and go to it. Raises LearnerError after the end."""
        position = await self._add(live, activity, comes_next=False)
        await self._step(live, step_to(position, activity.phases[0], live.plan), after=None)

    async def ask_next(self, live: LiveRoom, activity: Activity) -> None:
        """Add one that Next leads to. Raises LearnerError after the end."""
        await self._add(live, activity, comes_next=True)
        live.wake_screens()

    async def _add(self, live: LiveRoom, activity: Activity, *, comes_next: bool) -> int:
        made = add_on_the_spot(live.state, live.plan, activity, comes_next=comes_next)
        position = await self._write(
            live,
            lambda t: t.add_activity(live.room.id, made.to_json()),
            lambda position: live.apply_activity(position, made),
        )
        if position >= len(live.plan) and self.sync:  # behind one that another process has added
            await self.sync.refresh(live)
        return position

    async def _withdraw(self, live: LiveRoom, position: Any) -> None:
        """Take an activity made on the spot out of the plan. Raises LearnerError once it has an answer."""
        can = read_withdrawn(live, position)
        if live.state.position == can:  # back to where the class was, which also closes its round
            await self._go(live, plan_previous_step(live.state, without=can), after=None)
        if self.sync:  # a phone of another process may have answered it a moment ago
            await self.sync.refresh(live)
        can = read_withdrawn(live, position)
        await self._append(live, "withdraw", {"position": can})

    async def _step(self, live: LiveRoom, step: Mapping[str, Any], *, after: int | None) -> None:
        """Go to a step; to a run that is not started yet, start it first."""
        if step["phase"] == "run":
            if self.watch is None:
                raise LearnerError(
                    "This process doesn't train.", do_next="Open the class in the teacher's app."
                )
            seen = after
            await self.writer.do(lambda t: t.check_last(live.room.id, seen), lambda _: None)
            if await self.watch.start(live, step["position"]) and seen is not None:
                after = seen + 1  # the event of that run
        await self._go(live, step, after=after)

    async def _go(self, live: LiveRoom, step: Mapping[str, Any], *, after: int | None) -> None:
        await self._append(live, "step", step, after=after)
        if self.watch:
            self.watch.follow(live)

    async def _append(
        self, live: LiveRoom, kind: str, value: Mapping[str, Any], *, after: int | None = None
    ) -> None:
        at = self._now()
        await self._write(
            live, lambda t: t.append(live.room.id, kind, value, after=after, at=at), live.apply_step
        )
        if live.is_behind and self.sync:
            await self.sync.refresh(live)

    async def _keep_progress(self, live: LiveRoom, position: int, value: Mapping[str, Any]) -> None:
        """Keep how far a training is for the processes that don't see it."""
        if self.sync:
            await self._write(live, lambda t: t.keep_progress(live.room.id, position, value), lambda _: None)

    async def _write(
        self,
        live: LiveRoom,
        job: Callable[[ClassTransaction], T],
        then: Callable[[T], object],
        *,
        urgent: bool = True,
    ) -> T:
        """Write, take the result in once it is committed, and tell other processes of it.

        `urgent`: phones at other processes show it.
        """

        def finish(result: T) -> None:
            then(result)
            self._tell(live, urgent=urgent)

        return await self.writer.do(job, finish)

    def _tell(self, live: LiveRoom, *, urgent: bool) -> None:
        if self.sync:
            self.sync.announce_change(live, urgent=urgent)

    def _now(self) -> datetime:
        return self.context.clock()
