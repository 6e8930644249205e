"""Several processes with one class: once per tick each tells the others what it has changed.

The database holds the state. A message names a room only, and which phones are connected to the sender; a
process that has the room in memory reads the newer rows. What a lost message would have told is read within
`LOOK_SECONDS`.
"""

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from classroom.live.live_room import LiveRoom
from study.base.errors import StorageError
from study.base.owner_log import note_error
from study.store.class_records import ClassRecord
from study.store.classes import ClassLog
from study.store.notices import Notices

TICK_SECONDS = 0.1
"""NOTIFY takes a lock of the whole server at its commit: one for all that happened in a tick."""

TEACHER_SECONDS = 0.2
STUDENT_SECONDS = 1.0
"""How long a process waits before it reads what others have stored: short where a teacher's screen shows
counts, longer where only phones listen. A step of the teacher is read at once."""

LOOK_SECONDS = 2.0
PRESENCE_SECONDS = 5.0
FORGET_SECONDS = 15.0
"""What a process has said of its phones is forgotten when it has said nothing for so long."""


@dataclass
class _Reading:
    """How far the readings of one room are: a reading serves all who asked before it began."""

    asked: int = 0
    served: int = 0
    one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)
    soon: asyncio.TimerHandle | None = None
    """A reading that is planned."""


@dataclass(kw_only=True)
class ProcessSync:
    """Used from one event loop."""

    log: ClassLog
    notices: Notices
    rooms: Mapping[str, LiveRoom]
    """What this process has in memory, by code."""

    deleted: Callable[[LiveRoom], object]
    """Called for a room that is no longer in the database."""

    own_id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    _readings: dict[str, _Reading] = field(default_factory=dict)
    _dirty: dict[str, bool] = field(default_factory=dict)
    """What to tell of, by room: whether others must read it at once."""

    _loop: asyncio.AbstractEventLoop | None = None
    _tasks: "set[asyncio.Task[None]]" = field(default_factory=set)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self) -> None:
        """Begin to listen and to tell, in the loop that serves."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        is_first, self._loop = self._loop is None, loop  # later: a test's next loop
        if is_first:
            self.notices.listen(self._from_thread, connected=lambda: self._from_thread(""))
        self._readings, self._wake = {}, asyncio.Event()
        self._tasks = {loop.create_task(self._tell()), loop.create_task(self._look())}

    def announce_change(self, live: LiveRoom, *, urgent: bool) -> None:
        """Announce to the others at the next tick: something is committed, or a phone came or went.

        `urgent`: phones show it.
        """
        self._dirty[live.room.id] = urgent or self._dirty.get(live.room.id, False)
        self._wake.set()

    async def refresh(self, live: LiveRoom) -> None:
        """Take in all that was committed before this call. Raises SQLAlchemyError without a database."""
        reading = self._readings.setdefault(live.room.id, _Reading())
        reading.asked += 1
        mine = reading.asked
        async with reading.one_at_a_time:
            if reading.served >= mine:
                return
            covers = reading.asked
            found = await self._read_newest(live)
            reading.served = covers
            if found is None:
                self.deleted(live)
            elif self.rooms.get(live.room.code) is live:  # else it was deleted here meanwhile
                live.take_in(found)

    async def _read_newest(self, live: LiveRoom) -> ClassRecord | None:
        """Read again what was read before a name or an option was replaced here: it would come back."""
        while True:
            replaced = live.replaced_here
            found = await asyncio.to_thread(
                self.log.read_changes,
                live.room.id,
                revision=live.room.revision,
                events=len(live.events),
                activities=len(live.plan),
            )
            if live.replaced_here == replaced:
                return found

    def _from_thread(self, message: str) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._on_notice, message)

    def _on_notice(self, message: str) -> None:
        """Read a room that another process has changed; an empty message: all of them."""
        told: dict[str, Any] = json.loads(message) if message else {}
        if told.get("from") == self.own_id:
            return
        for live in self.rooms.values():
            if told and live.room.id != told["room"]:
                continue
            if told:
                live.note_others_online(told["from"], int(told["online"], 16), at=time.monotonic())
            if told.get("urgent", True):
                self._start_reading(live)
            else:
                self._read_within(live, TEACHER_SECONDS if live.has_teacher else STUDENT_SECONDS)

    def _read_within(self, live: LiveRoom, seconds: float) -> None:
        reading = self._readings.setdefault(live.room.id, _Reading())
        if reading.soon is None:
            loop = asyncio.get_running_loop()
            reading.soon = loop.call_later(seconds, self._start_reading, live)

    def _start_reading(self, live: LiveRoom) -> None:
        reading = self._readings.setdefault(live.room.id, _Reading())
        if reading.soon is not None:
            reading.soon.cancel()
            reading.soon = None
        if any(task.cancelling() for task in self._tasks):
            return  # the loop is ending: it would never run another task
        task = asyncio.get_running_loop().create_task(self._read(live))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self, live: LiveRoom) -> None:
        with _outlive_errors():
            await self.refresh(live)

    async def _tell(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            dirty, self._dirty = self._dirty, {}
            by_id = {live.room.id: live for live in self.rooms.values()}
            for room_id, urgent in dirty.items():
                with _outlive_errors():
                    online = f"{by_id[room_id].encode_online_here():x}" if room_id in by_id else "0"
                    told = {"from": self.own_id, "room": room_id, "online": online, "urgent": urgent}
                    await asyncio.to_thread(self.notices.send, json.dumps(told))
            await asyncio.sleep(TICK_SECONDS)

    async def _look(self) -> None:
        looks = 0
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            looks += 1
            for live in list(self.rooms.values()):
                if live.is_watched:
                    await self._read(live)
                    live.forget_others(before=time.monotonic() - FORGET_SECONDS)
                    if looks * LOOK_SECONDS % PRESENCE_SECONDS < LOOK_SECONDS:
                        self.announce_change(live, urgent=False)


@contextlib.contextmanager
def _outlive_errors() -> Iterator[None]:
    """Keep what fails from ending the loop around it; a database that is away is asked again soon."""
    try:
        yield
    except (SQLAlchemyError, StorageError):
        pass
    except Exception as error:
        note_error("Keeping a class the same in several processes", error)
