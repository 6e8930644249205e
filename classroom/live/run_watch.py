"""Watches what the lab trains for a class: the runs of predictions, and the cells of crowds' grids."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from classroom.activities.crowd_grid import parse_place
from classroom.live.live_room import TRAINING, LiveRoom, Training
from classroom.live.writer import NotSavedError
from study.base.errors import LearnerError
from study.ports.classes import ClassGrids, ClassGridState, ClassRuns

LOOK_AT_RUN_SECONDS = 0.4
LOOK_AT_GRID_SECONDS = 1.0
LOOK_FOR_TIME_SECONDS = 3.0

Append = Callable[[LiveRoom, str, Mapping[str, Any]], Awaitable[None]]
Keep = Callable[[LiveRoom, int, Mapping[str, Any]], Awaitable[None]]
"""Keeps how far the training of an activity is, for processes that don't see it."""


@dataclass(kw_only=True)
class RunWatch:
    """Starts what an activity trains, and one task for each that is not measured yet."""

    runs: ClassRuns
    grids: ClassGrids
    append: Append
    keep: Keep
    _starting: set[tuple[str, int]] = field(default_factory=set)
    _tasks: "dict[tuple[str, int, str], asyncio.Task[None]]" = field(default_factory=dict)
    _deleted: set[str] = field(default_factory=set)
    """The runs and grids that the lab has no more."""

    async def start(self, live: LiveRoom, position: int) -> bool:
        """Start the run or the grid of an activity, unless it has one that did not fail; return whether.

        Raises LearnerError when it can't be started.
        """
        key = (live.room.code, position)
        if key in self._starting:  # the teacher clicked twice while forty folders are written
            raise LearnerError("The training is being started.", do_next="Wait a moment.")
        self._starting.add(key)
        try:
            if position in live.state.runs and not await self._has_failed(live, position):
                return False
            await self.append(live, "run", {"position": position, "run": await self._start(live, position)})
        finally:
            self._starting.discard(key)
        return True

    async def _has_failed(self, live: LiveRoom, position: int) -> bool:
        """Whether what was started for an activity has ended without a result, or is deleted in the lab."""
        guessed, started = live.plan[position].guessed, live.state.runs[position]
        try:
            if guessed is None:
                result = live.state.grids.get(position)
                if result is None:
                    await asyncio.to_thread(self.grids.state, started)
                return result is not None and not result.losses
            if position in live.state.measured:
                return False
            state = await asyncio.to_thread(self.runs.state, started, guessed.quantity)
        except LearnerError:
            return True
        return state.ended and state.value is None

    async def _start(self, live: LiveRoom, position: int) -> str:
        """Queue the run or the grid and return its id."""
        activity = live.plan[position]
        trained = activity.trained
        if trained is not None:
            # Who claimed first is trained first; cells that share a base with theirs come along.
            claimed = live.answers(1, position).values()
            first = [parse_place(answer.claim) for answer in claimed if answer.claim]
            return await asyncio.to_thread(self.grids.start, trained.setting, trained.axes, first)
        assert activity.guessed is not None
        return await asyncio.to_thread(self.runs.start, activity.guessed.setting)

    def follow(self, live: LiveRoom) -> None:
        """Watch every run and grid that is not measured, wherever the class is meanwhile."""
        state = live.state
        activity = live.activity
        if activity and activity.trained and _waits_for_time(live):
            self._ensure(live, state.position, self._estimate)
        for position, run_id in state.runs.items():
            if run_id in self._deleted:
                continue
            run = live.find_run(position)
            if live.plan[position].trained is not None:
                if position not in state.grids:
                    self._ensure(live, position, self._watch)
            elif position not in state.measured and not (run and run.ended):
                self._ensure(live, position, self._watch)

    def forget(self, live: LiveRoom) -> None:
        for key in [key for key in self._tasks if key[0] == live.room.code]:
            self._tasks.pop(key).cancel()

    def _ensure(self, live: LiveRoom, position: int, watch: Callable[[LiveRoom, int], Any]) -> None:
        key = live.room.code, position, watch.__name__
        going = self._tasks.get(key)
        if going is None or going.done():
            self._tasks[key] = asyncio.get_running_loop().create_task(watch(live, position))

    async def _watch(self, live: LiveRoom, position: int) -> None:
        is_grid = live.plan[position].trained is not None
        while not await self._look(live, position):
            await asyncio.sleep(LOOK_AT_GRID_SECONDS if is_grid else LOOK_AT_RUN_SECONDS)

    async def _look(self, live: LiveRoom, position: int) -> bool:
        """Take in how far a run or a grid is; return whether that was the last of it."""
        run_id = live.state.runs[position]
        try:
            state = await self._read_state(live, position)
        except LearnerError:  # the screens keep what they show
            self._deleted.add(run_id)
            return live.state.runs[position] == run_id
        if live.state.runs[position] != run_id:  # another one was started since
            return False
        if state != live.find_training(position):
            live.note_training(position, state)
            await self._keep(live, position, TRAINING.dump_python(state, mode="json"))
        if isinstance(state, ClassGridState):
            if not state.ended:
                return False
            result = {"losses": state.losses, "findings": list(state.findings), "lowest": state.lowest}
            return await self._append(live, "grid", {"position": position, **result})
        if state.value is not None and position not in live.state.measured:
            measured = {"position": position, "value": state.value}
            return await self._append(live, "measured", measured) and state.ended
        return state.ended

    async def _read_state(self, live: LiveRoom, position: int) -> Training:
        """Read what was started for an activity. Raises LearnerError when it is deleted in the lab."""
        guessed, started = live.plan[position].guessed, live.state.runs[position]
        if guessed is None:
            return await asyncio.to_thread(self.grids.state, started)
        return await asyncio.to_thread(self.runs.state, started, guessed.quantity)

    async def _append(self, live: LiveRoom, kind: str, value: Mapping[str, Any]) -> bool:
        """Append an event; return whether the database took it, because the next look tries again."""
        with contextlib.suppress(NotSavedError):
            await self.append(live, kind, value)
            return True
        return False

    async def _keep(self, live: LiveRoom, position: int, value: Mapping[str, Any]) -> None:
        with contextlib.suppress(NotSavedError):  # the next change comes in a moment
            await self.keep(live, position, value)

    async def _estimate(self, live: LiveRoom, position: int) -> None:
        """How long a grid takes, for the teacher to say before it starts.

        Asked again until a run tells, as long as a screen of the teacher would show it; the next screen that
        opens has it asked again.
        """
        trained = live.plan[position].trained
        assert trained is not None
        while True:
            seconds = await asyncio.to_thread(self.grids.estimate_seconds, trained.setting, trained.axes)
            if seconds is not None:
                live.apply_estimate(position, seconds)
                return
            await asyncio.sleep(LOOK_FOR_TIME_SECONDS)
            if not (live.has_teacher and live.state.position == position and _waits_for_time(live)):
                return


def _waits_for_time(live: LiveRoom) -> bool:
    """Whether the teacher could still be told how long the grid that the class is at takes."""
    state = live.state
    return state.phase in ("vote", "distribution") and state.position not in live.grid_seconds
