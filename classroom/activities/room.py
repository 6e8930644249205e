"""The room as a state machine: the teacher's events fold into one state; a command gives the next event."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from classroom.activities.activity import ROUNDS, Activity, Phase
from study.base.errors import LearnerError
from study.ports.classes import ConceptVerdict
from study.store.class_records import ClassEvent

LOBBY = -1
"""The position before the first activity."""

Step = tuple[int, Phase | None]
"""A position and its phase."""


@dataclass(frozen=True, kw_only=True)
class GridResult:
    """What a crowd's grid has measured."""

    losses: Mapping[str, float]
    """The held-out loss of each run that finished, by its claim `row/column/seed`."""

    findings: tuple[str, ...]
    lowest: int | None = None
    """The column that ends lower than all others beyond the noise of seeds; None where none does."""


@dataclass(frozen=True, kw_only=True)
class RoomState:
    """Where a class is."""

    position: int = LOBBY
    phase: Phase | None = None
    """None in the lobby and after the end."""

    locked: bool = False
    ended: bool = False
    names_hidden: bool = False
    kicked: frozenset[str] = frozenset()
    runs: Mapping[int, str] = field(default_factory=dict)
    """The lab's run of each prediction, by position."""

    measured: Mapping[int, float] = field(default_factory=dict)
    """What those runs measured, by position."""

    grids: Mapping[int, GridResult] = field(default_factory=dict)
    """What the crowd's grids found, by position; of those that have ended."""

    figures: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    """How the teacher has set the live figures, by position."""

    quoted: frozenset[str] = frozenset()
    """The answers whose words the teacher shows to the class."""

    overruled: Mapping[tuple[str, str], ConceptVerdict] = field(default_factory=dict)
    """The teacher's verdicts, by answer and concept."""

    visited: frozenset[int] = frozenset()
    """The positions at which the class was."""

    step_history: tuple[Step, ...] = ((LOBBY, None),)
    """The steps that led here, the current one last; one that the class came back to is the last again."""

    withdrawn: frozenset[int] = frozenset()
    """The activities made on the spot that the teacher has taken out of the plan again."""

    last: int = 0
    """The number of the last event."""

    @property
    def round(self) -> int:
        """The round that takes answers now; 0 when none does."""
        return ROUNDS.get(self.phase, 0) if self.phase and not self.ended else 0


def fold(events: Iterable[ClassEvent], room: RoomState | None = None) -> RoomState:
    """Fold events into a state, starting from `room`."""
    current = room or RoomState()
    for event in events:
        current = _apply(current, event)
    return current


def _apply(room: RoomState, event: ClassEvent) -> RoomState:
    value = event.value
    room = replace(room, last=event.number)
    match event.kind:
        case "step":
            position, phase = step = value["position"], value["phase"]
            before = (
                room.step_history[: room.step_history.index(step)]
                if step in room.step_history
                else room.step_history
            )
            room = replace(room, visited=room.visited | {position}, step_history=(*before, step))
            return replace(room, position=position, phase=phase, ended=False)
        case "lock":
            return replace(room, locked=value["on"])
        case "names":
            return replace(room, names_hidden=value["hidden"])
        case "kick":
            return replace(room, kicked=room.kicked | {value["student"]})
        case "readmit":
            return replace(room, kicked=room.kicked - {value["student"]})
        case "run":
            position = value["position"]  # another grid after one that failed
            grids = {place: found for place, found in room.grids.items() if place != position}
            return replace(room, runs={**room.runs, position: value["run"]}, grids=grids)
        case "measured":
            return replace(room, measured={**room.measured, value["position"]: value["value"]})
        case "grid":
            result = GridResult(
                losses=value["losses"], findings=tuple(value["findings"]), lowest=value.get("lowest")
            )
            return replace(room, grids={**room.grids, value["position"]: result})
        case "figure":
            return replace(room, figures={**room.figures, value["position"]: value["settings"]})
        case "quote":
            chosen = set(value["answers"])
            return replace(room, quoted=room.quoted | chosen if value["shown"] else room.quoted - chosen)
        case "overrule":
            judged = (value["answer"], value["concept"])
            return replace(room, overruled={**room.overruled, judged: value["verdict"]})
        case "withdraw":
            gone = value["position"]
            step_history = tuple(step for step in room.step_history if step[0] != gone)
            return replace(room, withdrawn=room.withdrawn | {gone}, step_history=step_history)
        case "end":
            return replace(room, phase=None, ended=True)
    return room


def open_round(step: Mapping[str, Any] | None) -> tuple[int, int]:
    """The (position, round) that takes answers after the last step; round 0 takes none.

    The end of a class is a step without a phase.
    """
    if not step or "phase" not in step:
        return LOBBY, 0
    return step["position"], ROUNDS.get(step["phase"], 0)


def open_in_quiz(step: Mapping[str, Any] | None, *, round_number: int) -> tuple[int, int]:
    """The same for one question of a quiz: all of them take answers while the class is at it."""
    position, is_open = open_round(step)
    return position, round_number if is_open else 0


def plan_next_step(
    room: RoomState, plan: Sequence[Activity], *, advised: Phase | None = None
) -> dict[str, Any]:
    """The step after this one; `advised` is the phase that the first vote suggests.

    Raises LearnerError at the end of the plan.
    """
    if room.ended:
        raise LearnerError("This class has ended.", do_next="Open it again, or start another one at /class.")
    if room.position == LOBBY:
        return _begin(_list_led(room, plan)[0], plan)
    activity = plan[room.position]
    if room.phase == "advice" and advised:
        return _build_step(room.position, advised)
    phases = activity.phases
    following = phases.index(room.phase) + 1 if room.phase in phases else len(phases)
    if following < len(phases):
        return _build_step(room.position, phases[following])
    coming = _find_next(room, plan)
    if coming is not None:
        return _begin(coming, plan)
    raise LearnerError("This is the end of the plan.", do_next="End the class, or go back to an activity.")


def plan_previous_step(room: RoomState, *, without: int | None = None) -> dict[str, Any]:
    """The step from which the class came to this one; after the end, the last one.

    With `without`, the one from which it came to the activity at that position. Never one that was skipped:
    it may open a vote on what was shown, or start a training. Raises LearnerError at the start.
    """
    came = [step for step in room.step_history if step[0] != without]
    if without is None and not room.ended:
        came.pop()
    if not came:
        raise LearnerError("The class is at its start.", do_next="Press Next to begin.")
    return _build_step(*came[-1])


def step_to(
    position: int, phase: str, plan: Sequence[Activity], *, withdrawn: Container[int] = ()
) -> dict[str, Any]:
    """The step to a chosen phase. Raises LearnerError when the plan has none such."""
    exists = 0 <= position < len(plan) and position not in withdrawn
    if not exists or phase not in plan[position].phases:
        raise LearnerError("The plan has no such step.", do_next="Choose one that is listed.")
    return {"position": position, "phase": phase}


def order_positions(room: RoomState, plan: Sequence[Activity]) -> list[int]:
    """Order the positions as the teacher reads them: what was made on the spot follows where it was asked."""
    kept = (position for position in range(len(plan)) if position not in room.withdrawn)
    return sorted(kept, key=lambda position: (_find_origin(position, plan), position))


def _list_led(room: RoomState, plan: Sequence[Activity]) -> list[int]:
    """List the positions that Next leads through: the plan, and what was put next."""
    return [
        each
        for each in order_positions(room, plan)
        if plan[each].asked_after is None or plan[each].comes_next
    ]


def _find_next(room: RoomState, plan: Sequence[Activity]) -> int | None:
    """Find the position after this one; after what was asked at once, what was put next and not shown yet."""
    led, origin = _list_led(room, plan), _find_origin(room.position, plan)
    if room.position in led:
        rest = led[led.index(room.position) + 1 :]
    else:
        rest = [
            each
            for each in led
            if _find_origin(each, plan) > origin
            or (_find_origin(each, plan) == origin != each and each not in room.visited)
        ]
    return rest[0] if rest else None


def _find_origin(position: int, plan: Sequence[Activity]) -> int:
    """Find the place in the plan at which a class is: that before an activity made on the spot."""
    asked_after = plan[position].asked_after
    return position if asked_after is None else asked_after


def add_on_the_spot(
    room: RoomState, plan: Sequence[Activity], activity: Activity, *, comes_next: bool
) -> Activity:
    """Place an activity behind where the class is; after it the class continues with the plan.

    Raises LearnerError after the end.
    """
    if room.ended:
        raise LearnerError("This class has ended.", do_next="Open it again, or start another one at /class.")
    at = LOBBY if room.position == LOBBY else _find_origin(room.position, plan)
    return replace(activity, asked_after=at, comes_next=comes_next)


def _begin(position: int, plan: Sequence[Activity]) -> dict[str, Any]:
    return _build_step(position, plan[position].phases[0])


def _build_step(position: int, phase: Phase | None) -> dict[str, Any]:
    return {"position": position, "phase": phase}
