"""One room in memory: what is committed, and an event that wakes each screen that shows it.

Other processes may write the same class. What they have committed comes in through `take_in`, in any order
with what this process has committed itself, and any number of times.
"""

import asyncio
import hashlib
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from classroom.activities.activity import Activity, parse_activity_spec
from classroom.activities.room import LOBBY, RoomState, fold
from study.figures.figure import Figures
from study.ports.classes import ClassGridState, ClassRunState
from study.store.class_records import (
    ClassAnswer,
    ClassEvent,
    ClassRecord,
    ClassRoom,
    ClassStudent,
    RecordedAnswer,
)

Training = ClassRunState | ClassGridState
TRAINING: TypeAdapter[Training] = TypeAdapter(Training)

POLLING_SECONDS = 8.0
"""A phone whose network breaks streams asks every two seconds."""


class LiveRoom:
    """Read and changed on the event loop only, so that it needs no lock."""

    def __init__(self, record: ClassRecord, figures: Figures) -> None:
        self.figures = figures
        self.room: ClassRoom = record.room
        self.plan: tuple[Activity, ...] = tuple(parse_activity_spec(spec) for spec in record.activities)
        self.events: list[ClassEvent] = list(record.events)
        self._early: dict[int, ClassEvent] = {}
        """Events of this process that follow on some of another process which are not read yet."""

        self.state: RoomState = fold(record.events)
        self.students: dict[str, ClassStudent] = {student.id: student for student in record.students}
        self.by_device: dict[str, str] = {student.device: student.id for student in record.students}
        self._answers: dict[tuple[int, int], dict[str, ClassAnswer]] = {}
        for answer in record.answers:
            self._answers.setdefault((answer.position, answer.round), {})[answer.student_id] = answer
        self._graded = sum(answer.graded is not None for answer in record.answers)
        self._newest = max((answer.revision for answer in record.answers), default=0)
        self._runs: dict[int, ClassRunState] = {}
        self.grids: dict[int, ClassGridState] = {}
        """How far the crowd's grids are, by position; of those that were looked at since the app started."""

        self._looked_at_here: set[int] = set()
        """Whose training this process follows itself: the database has what it kept of it earlier."""

        self.grid_seconds: dict[int, float] = {}
        """How long the crowd's grids take, by position, once a similar run has finished here."""

        self.grading_trouble = ""
        """Why own words can't be graded now."""

        self.is_blank = False
        """Whether the projector is blank; it blanks itself, and says so for the teacher's page."""

        self._wakers: dict[asyncio.Event, str] = {}
        self._others: dict[str, tuple[int, float]] = {}
        """Whose phones are connected to other processes, as bits by number, and when they said so."""

        self._polling: dict[str, asyncio.TimerHandle] = {}
        self.presence_changed: Callable[[], object] = lambda: None
        """Called when a phone comes or goes."""

        self.replaced_here = 0
        """How often a name or an option was replaced in this process."""

        self._fragments: tuple[int, dict[Hashable, str]] = (0, {})
        self._take_in_progress(record.progress)

    # ---- reading

    @property
    def activity(self) -> Activity | None:
        """The current activity; None in the lobby and after the end."""
        at_one = self.state.position != LOBBY and not self.state.ended
        return self.plan[self.state.position] if at_one else None

    @property
    def run(self) -> ClassRunState | None:
        """How far the run of the current prediction is."""
        return self.find_run(self.state.position)

    def find_run(self, position: int) -> ClassRunState | None:
        """Find how far the run of a prediction is; None until it is looked at, also after one that failed."""
        known = self._runs.get(position)
        return known if known and known.run_id == self.state.runs.get(position) else None

    def find_training(self, position: int) -> Training | None:
        """Find how far the run or the grid of an activity is."""
        return self.grids.get(position) or self.find_run(position)

    @property
    def revision(self) -> int:
        """Grows with everything that is committed but names, also across restarts."""
        answers = sum(map(len, self._answers.values())) + self._graded
        # Twice, because a correction takes a grade away.
        return len(self.events) + len(self.students) + answers + 2 * self._newest

    @property
    def present(self) -> list[ClassStudent]:
        """The students who were not taken out."""
        return [student for student in self.students.values() if student.id not in self.state.kicked]

    @property
    def has_names(self) -> bool:
        return any(student.name for student in self.students.values())

    def answers(self, round_number: int, position: int | None = None) -> Mapping[str, ClassAnswer]:
        """The answers of one round by student, without those of students who were taken out."""
        where = self.state.position if position is None else position
        found = self._answers.get((where, round_number), {})
        return {student: answer for student, answer in found.items() if student not in self.state.kicked}

    @property
    def has_figures(self) -> bool:
        return any(activity.figure for activity in self.plan)

    @property
    def figure_settings(self) -> Mapping[str, str]:
        """How the teacher has set the figure of the current activity.

        A question about a slider is about the settings of the plan: only the slider has moved.
        """
        shown = self.activity.figure if self.activity else None
        if shown is None:
            return {}
        moved = self.state.figures.get(self.state.position, shown.settings)
        if not self.state.round:
            return moved
        return {**shown.settings, **{name: moved[name] for name in (shown.slider,) if name in moved}}

    def reservations(self, position: int | None = None) -> dict[str, str]:
        """Students by the cell they took, in the current or a given activity.

        A removed student's cell stays taken.
        """
        where = self.state.position if position is None else position
        given = self._answers.get((where, 1), {})
        return {answer.claim: student for student, answer in given.items() if answer.claim}

    def hash_device(self, browser_id: str) -> str:
        """A hash by which a browser is known in this room only."""
        return hashlib.sha256(f"{self.room.id}/{browser_id}".encode()).hexdigest()

    def has_answers(self, position: int) -> bool:
        """Whether anyone has answered an activity in any round."""
        return any(given and where == position for (where, _), given in self._answers.items())

    def find_answer(self, student_id: str, round_number: int) -> ClassAnswer | None:
        """Find what a student answered in a round of the current activity."""
        return self._answers.get((self.state.position, round_number), {}).get(student_id)

    def list_answers_by(self, student_id: str) -> list[ClassAnswer]:
        return [given[student_id] for given in self._answers.values() if student_id in given]

    def started_at(self) -> datetime | None:
        steps = (event.at for event in reversed(self.events) if event.kind == "step")
        return next(steps, None)

    def online(self) -> set[str]:
        """The students whose phones are connected now, to this process or to another."""
        here = self._online_here()
        bits = 0
        for others, _ in self._others.values():
            bits |= others
        return here | {each.id for each in self.students.values() if bits >> each.number & 1}

    def encode_online_here(self) -> int:
        """The numbers of the students whose phones are connected to this process, one bit each."""
        return sum(1 << self.students[student].number for student in self._online_here())

    def _online_here(self) -> set[str]:
        """Those with a stream, and those who have asked a moment ago because streams break on their way."""
        return {student for student in self._wakers.values() if student} | self._polling.keys()

    @property
    def is_watched(self) -> bool:
        """Whether a screen shows this room."""
        return bool(self._wakers)

    @property
    def has_teacher(self) -> bool:
        return "" in self._wakers.values()

    @property
    def is_behind(self) -> bool:
        """Whether an event of this process waits for one that another process has written before it."""
        return bool(self._early)

    def render_once(self, same: Hashable, make: Callable[[], str]) -> str:
        """Render a text that is equal for all phones with the same key until the next event."""
        if self._fragments[0] != self.state.last:
            self._fragments = (self.state.last, {})
        made = self._fragments[1]
        if same not in made:
            made[same] = make()
        return made[same]

    def count_streams(self, student_id: str) -> int:
        return sum(watcher == student_id for watcher in self._wakers.values())

    # ---- what was committed

    def apply_step(self, event: ClassEvent) -> None:
        """Take in an event of the teacher, once all before it are taken in; a known one changes nothing."""
        self._early[event.number] = event
        known = len(self.events)
        while (following := self._early.pop(len(self.events) + 1, None)) is not None:
            self.events.append(following)
            self.state = fold([following], self.state)
        self._early = {number: each for number, each in self._early.items() if number > len(self.events)}
        if len(self.events) > known:
            self.wake_screens()

    def apply_join(self, student: ClassStudent) -> None:
        """Take in a student; one who is known already changes nothing."""
        if student.id not in self.students:
            self.students[student.id] = student
            self.by_device[student.device] = student.id
            self.wake_screens(student.id)

    def apply_options(self, options: Mapping[str, Any]) -> None:
        self.replaced_here += 1
        self.room = replace(self.room, options=options)
        self.wake_screens()

    def apply_rename(self, student_id: str, name: str) -> None:
        self.replaced_here += 1
        self.students[student_id] = replace(self.students[student_id], name=name)
        self.wake_screens(student_id)

    def forget_names(self) -> None:
        self.replaced_here += 1
        self.students = {key: replace(student, name="") for key, student in self.students.items()}
        self.wake_screens()

    def apply_answer(self, recorded: RecordedAnswer) -> None:
        """Take in an answer, also one that an earlier process stored."""
        answer = recorded.answer
        if answer is not None:
            given = self._answers.setdefault((answer.position, answer.round), {})
            before = given.get(answer.student_id)
            if before is not None and before.id == answer.id:
                is_news = before.graded is None and answer.graded is not None
            else:
                is_news = before is None or answer.revision > before.revision
            if is_news:
                given[answer.student_id] = answer
                self._graded += answer.graded is not None
                self._graded -= before is not None and before.graded is not None
                self._newest = max(self._newest, answer.revision)
                # A reserved cell is gone for all others.
                self.wake_screens(None if answer.claim else answer.student_id)

    def apply_activity(self, position: int, activity: Activity) -> None:
        """Take in an activity made on the spot, once; the step to it wakes the screens."""
        if position == len(self.plan):
            self.plan = (*self.plan, activity)

    def take_in(self, changes: ClassRecord) -> None:
        """Take in what any process has committed."""
        if changes.room.options != self.room.options:
            self.wake_screens()
        self.room = changes.room
        for position, spec in enumerate(changes.activities, start=changes.first_activity):
            self.apply_activity(position, parse_activity_spec(spec))
        for student in changes.students:
            if student.id not in self.students:
                self.apply_join(student)
            elif self.students[student.id] != student:
                self.students[student.id] = student
                self.wake_screens(student.id)
        for answer in changes.answers:
            self.apply_answer(RecordedAnswer(outcome="stored", answer=answer))
        for event in changes.events:
            self.apply_step(event)
        self._take_in_progress(changes.progress)

    def _take_in_progress(self, progress: Mapping[int, Mapping[str, Any]]) -> None:
        for position in progress.keys() - self._looked_at_here:
            self._take_in_training(position, TRAINING.validate_python(progress[position]))

    def apply_grades(self, answer: ClassAnswer, found: Mapping[str, Any]) -> None:
        of_round = self._answers.get((answer.position, answer.round), {})
        known = of_round.get(answer.student_id)
        if known is not None and known.id == answer.id and known.graded is None:
            of_round[answer.student_id] = replace(answer, graded=found)
            self._graded += 1
            self.wake_screens(answer.student_id)

    def note_grading_end(self, trouble: str) -> None:
        """Note that everything is graded, or why it can't be."""
        if trouble != self.grading_trouble:
            self.grading_trouble = trouble
            self._wake_teacher()

    def apply_estimate(self, position: int, seconds: float) -> None:
        self.grid_seconds[position] = seconds
        self._wake_teacher()

    def apply_blanking(self, *, is_blank: bool) -> None:
        """Take in that the projector is blank, or shows the class again."""
        self.is_blank = is_blank
        self._wake_teacher()

    def note_training(self, position: int, state: Training) -> None:
        """Note how far a run or a grid is that this process follows."""
        self._looked_at_here.add(position)
        self._take_in_training(position, state)

    def _take_in_training(self, position: int, state: Training) -> None:
        if isinstance(state, ClassGridState):
            is_news, self.grids[position] = state != self.grids.get(position), state
        else:
            is_news, self._runs[position] = state != self._runs.get(position), state
        if is_news and position == self.state.position:
            self.wake_screens()

    # ---- telling

    @contextmanager
    def watching(self, student_id: str = "") -> Iterator[asyncio.Event]:
        """An event that is set after changes: for a student those the phone shows, for the teacher all."""
        waker = asyncio.Event()
        self._wakers[waker] = student_id
        self._announce_presence()
        try:
            yield waker
        finally:
            del self._wakers[waker]
            self._announce_presence()

    def apply_poll(self, student_id: str) -> None:
        """Take in that a phone has asked for its state: it is connected until it stops asking."""

        def forget() -> None:
            del self._polling[student_id]
            self._announce_presence()

        known = self._polling.get(student_id)
        if known is not None:
            known.cancel()
        self._polling[student_id] = asyncio.get_running_loop().call_later(POLLING_SECONDS, forget)
        if known is None:
            self._announce_presence()

    def note_others_online(self, process: str, bits: int, *, at: float) -> None:
        """Note which students' phones are connected to another process, at a time in seconds."""
        known = self._others.get(process)
        self._others[process] = (bits, at)
        if known is None or known[0] != bits:
            self._wake_teacher()

    def forget_others(self, *, before: float) -> None:
        """Forget the phones of processes that have said nothing since a time in seconds."""
        gone = [process for process, (_, at) in self._others.items() if at < before]
        for process in gone:
            del self._others[process]
        if gone:
            self._wake_teacher()

    def _announce_presence(self) -> None:
        self._wake_teacher()
        self.presence_changed()

    def wake_screens(self, student_id: str | None = None) -> None:
        """Wake every screen, or one student's and those of the teacher and the projector."""
        for waker, watcher in self._wakers.items():
            if student_id is None or watcher in ("", student_id):
                waker.set()

    def _wake_teacher(self) -> None:
        """Wake the teacher's and the projector's screens only."""
        self.wake_screens("")


def as_value(answer: ClassAnswer | None) -> Mapping[str, Any]:
    """What was answered; empty for nothing."""
    return answer.value if answer else {}
