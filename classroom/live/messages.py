"""What phones and the teacher send to a class, checked against its room where it comes in."""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from classroom.activities.activity import ReadResponse
from classroom.activities.room import open_in_quiz, open_round, step_to
from classroom.live.live_room import LiveRoom
from study.base.errors import LearnerError
from study.figures.controls import parse_settings
from study.figures.figure import Figures
from study.ports.classes import VERDICTS
from study.store.class_records import ClassAnswer, ClassStudent
from study.store.class_transaction import AnswerJob
from study.store.logs.quizzes import CONFIDENCES

ANSWER_ID = re.compile("[0-9A-Za-z_-]{8,64}")
"""A phone makes 32 hexadecimal digits."""


def choose_answers(live: LiveRoom, order: Mapping[str, Any]) -> list[str]:
    """Return the answer that an order names; without one all answers of the current activity."""
    known = [answer.id for answer in live.answers(1).values()]
    if order.get("answer") is None:
        return known
    if order["answer"] not in known:
        raise LearnerError("That answer is not in this activity.", do_next="Reload the page.")
    return [order["answer"]]


def read_verdict(live: LiveRoom, order: Mapping[str, Any]) -> dict[str, str]:
    """Read the teacher's verdict on one concept of one answer."""
    wanted = live.activity.wanted if live.activity else None
    concepts = [concept.id for concept in wanted.concepts] if wanted else []
    if order.get("concept") not in concepts or order.get("verdict") not in VERDICTS:
        raise LearnerError("There is no such verdict.", do_next="Choose one that is listed.")
    [answer] = choose_answers(live, {"answer": str(order.get("answer"))})
    return {"answer": answer, "concept": str(order["concept"]), "verdict": str(order["verdict"])}


def read_student(live: LiveRoom, order: Mapping[str, Any]) -> ClassStudent:
    student = live.students.get(str(order.get("student")))
    if student is None:
        raise LearnerError("That student is not in this class.", do_next="Reload the page.")
    return student


def read_step(live: LiveRoom, order: Mapping[str, Any]) -> dict[str, Any]:
    """Read the step that the teacher goes to. Raises LearnerError when the plan has none such."""
    position = order.get("position")
    found = position if type(position) is int else -1
    return step_to(found, str(order.get("phase")), live.plan, withdrawn=live.state.withdrawn)


def read_withdrawn(live: LiveRoom, position: Any) -> int:
    """Read which activity the teacher takes out of the plan: one made on the spot without an answer."""
    if type(position) is not int or not 0 <= position < len(live.plan):
        raise LearnerError("The plan has no such activity.", do_next="Reload the page.")
    if live.plan[position].asked_after is None or position in live.state.withdrawn:
        raise LearnerError(
            "Only what was asked on the spot can be taken out.", do_next="Skip it with Next instead."
        )
    if live.has_answers(position):
        raise LearnerError("This activity has been answered, so it stays in the plan.", do_next="Press Next.")
    return position


def read_answer_job(
    live: LiveRoom, student: ClassStudent, given: Mapping[str, Any], *, read: ReadResponse, at: datetime
) -> AnswerJob:
    """Read what a phone sends as an answer. Raises LearnerError when it fits no round of this class."""
    answer = _read_answer(live, student, given, read=read, at=at)
    activity = live.plan[answer.position]
    return AnswerJob(
        room_id=live.room.id,
        answer=answer,
        open_at=partial(open_in_quiz, round_number=answer.round) if activity.questions else open_round,
        claims=tuple(activity.crowd.list_claims(answer.value)) if activity.crowd else (),
        replaces=str(given.get("replaces") or ""),
    )


def _read_answer(
    live: LiveRoom, student: ClassStudent, given: Mapping[str, Any], *, read: ReadResponse, at: datetime
) -> ClassAnswer:
    answer_id, position, round_number = given.get("id"), given.get("position"), given.get("round")
    whole = type(position) is int and type(round_number) is int
    if not (isinstance(answer_id, str) and ANSWER_ID.fullmatch(answer_id) and whole):
        raise LearnerError("That isn't an answer.", do_next="Reload the page and answer again.")
    assert isinstance(position, int)
    assert isinstance(round_number, int)
    if not 0 <= position < len(live.plan) or round_number not in live.plan[position].rounds:
        raise LearnerError("This class has no such question.", do_next="Reload the page.")
    confidence = given.get("confidence")
    return ClassAnswer(
        id=answer_id,
        student_id=student.id,
        position=position,
        round=round_number,
        value=live.plan[position].read_answer(round_number, given, read),
        confidence=confidence if confidence in CONFIDENCES else None,
        at=at,
    )


def read_figure_settings(live: LiveRoom, figures: Figures, settings: Any) -> dict[str, Any]:
    """Read the teacher's setting of the current figure. Raises LearnerError outside its limits."""
    shown = live.activity.figure if live.activity else None
    if shown is None or not isinstance(settings, dict):
        raise LearnerError("The class shows no figure now.", do_next="Reload the page.")
    chosen = {str(name): str(value) for name, value in settings.items()}
    parse_settings(figures[shown.id].settings, chosen)
    return {"position": live.state.position, "settings": chosen}
