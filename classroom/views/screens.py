"""The state of each screen: an HTML fragment, a sentence for screen readers, and what its script needs."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from markupsafe import Markup

from classroom.activities.distribution import is_close
from classroom.activities.peer_instruction import ADVICE_TEXTS, disagreeing_pairs
from classroom.activities.room import LOBBY, next_step
from classroom.live.hub import advice, advised
from classroom.live.live_room import LiveRoom
from classroom.views import results
from study.base.errors import LearnerError
from study.store.classes import ClassStudent
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
    "twin": "A question like it",
    "twin-reveal": "Its answer",
    "distribution": "The guesses",
    "run": "The run",
}
TIMED = ("vote", "discuss", "revote", "twin")


def student_state(live: LiveRoom, student: ClassStudent) -> State:
    """What one phone shows. `key` changes when its form must be drawn anew."""
    state, first = live.state, live.answer_of(student.id, 1)
    given = live.answer_of(student.id, state.round or _last_round(live))
    if given is None and state.phase == "reveal":
        given = first  # who voted once sees that vote
    kicked, shown = student.id in state.kicked, results.is_shown(live)

    def make() -> Markup:
        return render(
            "classroom/student_now.html",
            **_common(live, shown=shown),
            kicked=kicked,
            given=given,
            first=first,
            shown=shown,
            value=results.true_value(live) if shown else None,
        )

    # Most phones show the same few fragments: two hundred of them cost a handful of renderings a step.
    same = (live.run, kicked, *(str(each and (each.value, each.confidence)) for each in (given, first)))
    html = live.fragment(same, make)
    mark = f"{state.position}/{state.phase}/{state.ended}/{kicked}/{given.id if given else ''}"
    running = f"/{live.state.measured.get(state.position)}" if state.phase == "run" else ""
    return {
        **_frame(live),
        "key": mark + running,
        "name": student.name or f"Student {student.number}",
        "status": "kicked" if kicked else "ended" if state.ended else "open",
        "answered": given is not None,
        "html": html,
        "say": _said(live, kicked=kicked),
    }


def screen_state(live: LiveRoom, *, link: str) -> State:
    """What the projector shows; it names nobody."""
    shown = results.is_shown(live)
    html = render("classroom/screen_now.html", **_common(live, shown=shown), link=link, shown=shown)
    return {**_frame(live), **_counts(live), "html": html, "say": _said(live)}


def teacher_state(live: LiveRoom) -> State:
    """What the teacher sees: the hidden histogram, the advice, every student and the next step."""
    online = live.online()
    answers = live.answers(live.state.round) if live.state.round else {}
    found = advice(live)
    hidden = live.state.names_hidden
    named = {
        student.id: f"Student {student.number}" if hidden or not student.name else student.name
        for student in live.students.values()
    }
    discussing = live.state.phase in ("advice", "discuss")
    html = render(
        "classroom/teacher_now.html",
        **_common(live, shown=True),
        students=[
            {
                "id": student.id,
                "name": named[student.id],
                "online": student.id in online,
                "answered": student.id in answers,
                "kicked": student.id in live.state.kicked,
            }
            for student in live.students.values()
        ],
        shown=True,
        advice=ADVICE_TEXTS[found] if found and live.state.phase == "advice" else "",
        pairs=[(named[one], named[other]) for one, other in disagreeing_pairs(results.chosen(live, 1))]
        if discussing and live.activity and live.activity.asked
        else [],
        following=_following(live),
        labels=PHASE_LABELS,
        **_counts(live),
    )
    return {**_frame(live), **_counts(live), "html": html, "say": ""}


def _common(live: LiveRoom, *, shown: bool) -> Mapping[str, Any]:
    """What all templates use; results are left out where they are still hidden."""
    state, activity = live.state, live.activity
    twin = state.phase in ("twin", "twin-reveal")
    return {
        "live": live,
        "state": state,
        "activity": activity,
        "asked": (activity.twin if twin else activity.asked) if activity else None,
        "lobby": state.position == LOBBY and not state.ended,
        "phase": state.phase,
        "label": PHASE_LABELS.get(state.phase or "", ""),
        "round": state.round,
        "results": results.context(live) if shown else {},
        "letters": results.LETTERS,
        "run": live.run,
        "number": as_number,
        "is_close": is_close,
    }


def as_number(value: float) -> str:
    """A guess or a value with at most four significant digits, and separators in thousands."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _frame(live: LiveRoom) -> State:
    ends_at = _ends_at(live)
    return {
        "revision": live.revision,
        "after": live.state.last,
        "position": live.state.position,
        "round": live.state.round,
        "ends_at": ends_at.timestamp() * 1000 if ends_at else None,
    }


def _counts(live: LiveRoom) -> State:
    answered = len(live.answers(live.state.round)) if live.state.round else 0
    return {"in_room": len(live.present), "answered": answered}


def _ends_at(live: LiveRoom) -> datetime | None:
    """When the suggested time of the phase is over; nothing closes by itself."""
    activity, began = live.activity, live.started_at()
    if activity is None or not activity.minutes or began is None or live.state.phase not in TIMED:
        return None
    return began + timedelta(minutes=activity.minutes)


def _last_round(live: LiveRoom) -> int:
    """The round whose answer a phone shows while no round is open."""
    return {"twin-reveal": 3, "reveal": 2 if live.answers(2) else 1}.get(live.state.phase or "", 1)


def _following(live: LiveRoom) -> str:
    """The next step in words; empty at the end of the plan."""
    try:
        step = next_step(live.state, live.plan, advised=advised(live))
    except LearnerError:
        return ""
    label = PHASE_LABELS[step["phase"]]
    if step["position"] == live.state.position:
        return label
    return f"{live.plan[step['position']].title}: {label.lower()}"


def _said(live: LiveRoom, *, kicked: bool = False) -> str:
    """The sentence that a screen reader says when the step changes."""
    activity = live.activity
    if kicked:
        return "You were taken out of this class."
    if live.state.ended:
        return "The class has ended."
    if activity is None:
        return "The class begins soon."
    asked = activity.asked_in(live.state.round) or activity.guessed
    question = to_plain(asked.html.striptags()) if live.state.round and asked else activity.title
    return f"{PHASE_LABELS[live.state.phase or 'show']}: {question}"
