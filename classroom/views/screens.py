"""The state of each screen: an HTML fragment, a sentence for screen readers, and what its script needs."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from markupsafe import Markup

from classroom.activities.activity import list_chosen
from classroom.activities.number import UNIT_MEANINGS, as_number, tell_distance
from classroom.activities.peer_instruction import ADVICE_TEXTS, pair_disagreeing
from classroom.activities.room import LOBBY, order_positions, plan_next_step
from classroom.activities.wall import VERDICT_LABELS
from classroom.live.advice import advise_on_first_vote, find_advised_phase
from classroom.live.live_room import LiveRoom
from classroom.reports.points import assign_team
from classroom.reports.report import list_choices
from classroom.views import crowd, quiz, results, wall
from study.base.errors import LearnerError
from study.base.html import NO_HTML
from study.base.units import as_duration
from study.figures.controls import ChoiceControl, Control, SliderControl, list_controls, parse_settings
from study.store.class_records import ClassAnswer, ClassStudent
from study.text.markup import to_plain
from study.text.templates import render

State = dict[str, Any]

PHASE_LABELS = {
    "show": "Show",
    "vote": "Vote",
    "advice": "Voting closed",
    "discuss": "Discuss",
    "revote": "Second vote",
    "reveal": "Answer",
    "twin": "Similar question",
    "twin-reveal": "Answer to the similar question",
    "distribution": "The guesses",
    "run": "The run",
}
KIND_LABELS: Mapping[str, Mapping[str, str]] = {
    "grid": {"vote": "Claim a cell", "run": "Training"},
    "number": {"vote": "Guess"},
    "predict": {"vote": "Guess"},
    "compare": {"distribution": "The votes", "run": "The runs"},
    "poll": {"reveal": "The votes"},
    "figure": {"show": "Look", "vote": "Move the slider"},
    "quiz": {"vote": "Everyone at their own pace", "reveal": "The answers"},
    "text": {"vote": "Write", "reveal": "The answers"},
    "wall": {"vote": "Write", "reveal": "The answers"},
}
"""Where a kind of activity calls a phase something else."""

NEXT_LABELS = {"Voting closed": "Close the vote"}
"""Where a step reads badly as what a press brings."""

TIMED = ("vote", "discuss", "revote", "twin")


def build_student_state(live: LiveRoom, student: ClassStudent) -> State:
    """What one phone shows. `key` changes when its form must be drawn again."""
    state = live.state
    in_quiz = bool(live.activity and live.activity.questions)
    given = None if in_quiz else live.find_answer(student.id, state.round or _find_last_round(live))
    if not in_quiz and given is None and state.phase == "reveal":
        given = live.find_answer(student.id, 1)  # who voted once sees that vote
    kicked, shown = student.id in state.kicked, results.is_shown(live)
    own, detail = _build_own(live, student, given, shown=shown)
    begun = _read_planned_settings(live) if state.round else live.figure_settings

    def make() -> Markup:
        return render(
            "classroom/student/student_now.html",
            **_build_shared_values(live, shown=shown, settings=begun, student=True),
            **{"cell": None, "verdicts": [], "free": {}, "own": [], **own},
            kicked=kicked,
            given=given,
            shown=shown,
            value=results.find_value(live) if shown else None,
        )

    # Most phones show the same few fragments: two hundred of them cost a handful of renderings a step.
    vote = str(given and (given.value, given.confidence))
    has_own = any(each.given for each in own.get("own", ()))  # what one student has answered in a quiz
    html = make() if has_own else live.render_once((live.run, kicked, detail, vote), make)
    mark = f"{state.position}/{state.phase}/{state.ended}/{kicked}/{given.id if given else ''}"
    running = f"/{live.state.measured.get(state.position)}" if state.phase == "run" else ""
    return {
        **_build_frame(live),
        "key": mark + running + (detail if shown or in_quiz else ""),
        "name": student.name or f"Student {student.number}",
        "team": assign_team(student.number, live.room.options.get("teams", 0)),
        "status": "kicked" if kicked else "ended" if state.ended else "open",
        "answered": all(each.given for each in own["own"]) if in_quiz else given is not None,
        "given": given.id if given else "",
        "free": own.get("free"),
        "figure": dict(live.figure_settings) if shows_figure(live) else None,
        "html": html,
        "say": _describe_step(live, kicked=kicked),
    }


def _build_own(
    live: LiveRoom, student: ClassStudent, given: ClassAnswer | None, *, shown: bool
) -> tuple[dict[str, Any], str]:
    """Build what differs between students beyond their votes, and a text that changes with it."""
    activity = live.activity
    if activity is None:
        return {}, ""
    if activity.questions:
        questions = quiz.list_own_questions(live, activity, student.id)
        return {"own": questions}, f"/{[each.given and each.given.id for each in questions]}"
    if activity.crowd is not None:
        cell = crowd.build_own_cell(live, activity.crowd, student.id)
        free = crowd.free_places(live, activity.crowd, claimed=given.claim if given else None)
        if not shown:
            return {"cell": cell, "free": free}, f"/{cell and cell.label}{sorted(free.items())}"
        moving = cell and (cell.label, len(cell.curve), cell.doing, cell.loss)
        return {"cell": cell}, f"/{moving}{crowd.list_findings(live, live.state.position)}"
    if activity.compared is not None:
        position = live.state.position
        return {}, f"/{crowd.count_ended(live, position)}{position in live.state.grids}"
    if activity.wanted is not None and shown and given is not None:
        verdicts = wall.list_own_verdicts(live, activity.wanted, given)
        return {"verdicts": verdicts}, f"/{given.id}{verdicts}"
    return {}, ""


def screen_state(live: LiveRoom, *, link: str) -> State:
    """What the projector shows; it names nobody."""
    shown, counts = results.is_shown(live), _count_students(live, quiz.list_students_done(live))
    html = render(
        "classroom/screen/screen_now.html",
        **_build_shared_values(live, shown=shown, settings=live.figure_settings),
        link=link,
        shown=shown,
        standings=results.rank_students(live),
        **counts,
    )
    return {
        **_build_frame(live),
        **counts,
        "locked": live.state.locked,
        "html": html,
        "say": _describe_step(live),
    }


def build_teacher_state(live: LiveRoom) -> State:
    """What the teacher sees: the hidden histogram, the advice, every student and the next step."""
    online = live.online()
    answered = quiz.list_students_done(live)
    counts = _count_students(live, answered)
    found = advise_on_first_vote(live)
    hidden = live.state.names_hidden
    named = {
        student.id: f"Student {student.number}" if hidden or not student.name else student.name
        for student in live.students.values()
    }
    discussing = live.state.phase in ("advice", "discuss")
    advice = ADVICE_TEXTS[found] if found and live.state.phase == "advice" else ""
    common = _build_shared_values(live, shown=True, settings=live.figure_settings, singles=True)
    html = render(
        "classroom/teacher/teacher_now.html",
        **common,
        students=[
            {
                "id": student.id,
                "name": named[student.id],
                "is_named": bool(student.name) and not hidden,
                "online": student.id in online,
                "answered": student.id in answered,
                "kicked": student.id in live.state.kicked,
            }
            for student in live.students.values()
        ],
        advice=advice,
        pairs=[(named[one], named[other]) for one, other in pair_disagreeing(list_choices(live.answers(1)))]
        if discussing and live.activity and live.activity.asked
        else [],
        close=[named[student] for student in results.list_close_guesses(live)],
        following=_describe_following(live),
        order=order_positions(live.state, live.plan),
        name_phase=name_phase,
        seconds=live.grid_seconds.get(live.state.position),
        trouble=live.grading_trouble,
        **counts,
    )
    moved = {"at": live.state.position, "html": common["figure"]} if shows_figure(live) else None
    return {
        **_build_frame(live),
        **counts,
        "ended": live.state.ended,
        "html": html,
        "figure": moved,
        "say": f"{_describe_step(live)} {advice}".strip(),
    }


def shows_figure(live: LiveRoom) -> bool:
    return live.activity is not None and live.activity.figure is not None


def _render_figure(live: LiveRoom, settings: Mapping[str, str]) -> Markup:
    shown = live.activity.figure if live.activity else None
    return live.figures[shown.id].render_fragment(settings) if shown else NO_HTML


def _read_planned_settings(live: LiveRoom) -> Mapping[str, str]:
    """Read the plan's settings of the figure: students get no hint from where a teacher moved it."""
    return live.activity.figure.settings if live.activity and live.activity.figure else {}


def _describe_subject(live: LiveRoom) -> str:
    """Describe what a slider's question is about besides the slider: `Model: smollm2-135m · Matrix: q`."""
    shown = live.activity.figure if live.activity else None
    if shown is None or not shown.slider:
        return ""
    settings = live.figures[shown.id].settings
    values = parse_settings(settings, shown.settings)
    return " · ".join(
        f"{control.label}: {_format_setting(control, getattr(values, name))}"
        for name, control in list_controls(settings)
        if name != shown.slider
    )


def _format_setting(control: Control, value: Any) -> str:
    if isinstance(control, ChoiceControl):
        return dict(control.listed)[value]
    return control.format_value(value) if isinstance(control, SliderControl) else str(value)


def _build_shared_values(
    live: LiveRoom, *, shown: bool, settings: Mapping[str, str], singles: bool = False, student: bool = False
) -> Mapping[str, Any]:
    """Build what all templates use; results are left out where they are still hidden.

    `settings`: of the figure. `singles`: list what one student alone has typed. `student`: for a phone, which
    does without how far everyone is in a quiz.
    """
    state, activity = live.state, live.activity
    return {
        "live": live,
        "state": state,
        "activity": activity,
        "asked": results.find_asked_question(live),
        "lobby": state.position == LOBBY and not state.ended,
        "phase": state.phase,
        "label": name_phase(activity.kind, state.phase) if activity and state.phase else "",
        "task": activity.html_asked if activity else "",
        "crowd": activity.crowd if activity else None,
        "trained": activity.trained if activity else None,
        "map": crowd.build_heat_map(live, activity.crowd, state.position)
        if activity and activity.crowd
        else None,
        "seeds": crowd.list_seed_rows(live, activity.compared, state.position)
        if activity and activity.compared and not student
        else None,
        "ended_cells": crowd.count_ended(live, state.position),
        "findings": crowd.list_findings(live, state.position),
        "wanted": activity.wanted if activity else None,
        "figure": _render_figure(live, settings),
        "asked_about": _describe_subject(live),
        "slider": activity.figure.slider if activity and activity.figure else "",
        "wall": wall.build_wall_view(live, activity.wanted)
        if shown and activity and activity.wanted
        else None,
        "round": state.round,
        "results": results.build_results(live, singles=singles) if shown else {},
        "quiz": quiz.count_questions(live, activity, singles=singles)
        if activity and activity.questions and not student
        else [],
        "letters": results.LETTERS,
        "open_kinds": results.OPEN_KINDS,
        "typed_kinds": results.TYPED_KINDS,
        "list_chosen": list_chosen,
        "run": live.run,
        "number": as_number,
        "tell_distance": tell_distance,
        "unit_meaning": UNIT_MEANINGS.get(activity.unit, "") if activity else "",
        "verdict_labels": VERDICT_LABELS,
        "duration": as_duration,
    }


def name_phase(kind: str, phase: str) -> str:
    return KIND_LABELS.get(kind, {}).get(phase) or PHASE_LABELS[phase]


def _build_frame(live: LiveRoom) -> State:
    ends_at = _ends_at(live)
    return {
        "after": live.state.last,
        "position": live.state.position,
        "phase": live.state.phase,
        "round": live.state.round,
        "ends_at": ends_at.timestamp() * 1000 if ends_at else None,
    }


def _count_students(live: LiveRoom, answered: set[str]) -> State:
    """Count students connected, away, and with an answer; `expected` leaves out those who left before."""
    present, online = {student.id for student in live.present}, live.online()
    here = present & online
    return {
        "in_room": len(here),
        "away": len(present) - len(here),
        "answered": len(answered),
        "expected": len(here | answered),
    }


def _ends_at(live: LiveRoom) -> datetime | None:
    """When the suggested time of the phase is over; nothing closes by itself."""
    activity, began = live.activity, live.started_at()
    if activity is None or not activity.minutes or began is None or live.state.phase not in TIMED:
        return None
    return began + timedelta(minutes=activity.minutes)


def _find_last_round(live: LiveRoom) -> int:
    """Find the round whose answer a phone shows while no round is open."""
    return {"twin-reveal": 3, "reveal": 2 if live.answers(2) else 1}.get(live.state.phase or "", 1)


def _describe_following(live: LiveRoom) -> str:
    """Describe the next step in words; empty at the end of the plan."""
    try:
        step = plan_next_step(live.state, live.plan, advised=find_advised_phase(live))
    except LearnerError:
        return ""
    coming = live.plan[step["position"]]
    label = name_phase(coming.kind, step["phase"])
    if step["position"] == live.state.position:
        return NEXT_LABELS.get(label, label)
    return f"{coming.title} · {label.lower()}"


def _describe_step(live: LiveRoom, *, kicked: bool = False) -> str:
    """Write the sentence that a screen reader says when the step changes."""
    activity = live.activity
    if kicked:
        return "You were taken out of this class."
    if live.state.ended:
        return "The class has ended."
    if activity is None:
        return "The class begins soon."
    asked = None if activity.questions else activity.find_question(live.state.round)
    html = asked.html if asked else activity.html_asked
    question = to_plain(html.striptags()) if live.state.round else activity.title
    return f"{name_phase(activity.kind, live.state.phase or 'show')}: {question}"
