"""Tables of single answers: one line for each answer, and grades as Moodle's gradebook imports them."""

from collections.abc import Sequence
from typing import Any

from classroom.activities.activity import Activity
from classroom.reports.report import Report, find_true_value
from study.store.class_records import ClassAnswer
from study.text.markup import to_plain

Table = Sequence[Sequence[Any]]
"""A header, then one line for each row."""

ANSWER_HEADER = (
    "student", "name", "activity", "title", "round", "answer", "right", "value", "confidence", "at", "unit",
)  # fmt: skip
RIGHT, WRONG = 100, 0
"""Grades in percent; what is partly right lies between."""


def answer_table(found: Report) -> Table:
    """Every answer in words, with whether it is right, or the value that was guessed."""
    students = {student.id: student for student in found.record.students}
    rows: list[Sequence[Any]] = [ANSWER_HEADER]
    for answer in found.record.answers:
        student, activity = students[answer.student_id], found.plan[answer.position]
        correct = activity.is_correct(answer.round, answer.value)
        rows.append(
            (
                student.number,
                student.name,
                found.number_position(answer.position),
                activity.title,
                answer.round,
                _format_answer(activity, answer),
                None if correct is None else int(correct),
                find_true_value(found.room, activity, answer.position, answer)
                if "number" in answer.value
                else None,
                answer.confidence,
                answer.at.isoformat(timespec="seconds"),
                activity.unit if "number" in answer.value else None,
            )
        )
    return rows


def grade_table(found: Report) -> Table:
    """A line for each student with a grade in percent for each question, and their mean.

    The last vote on a question counts. A question that a student left out stays empty, and counts as wrong in
    the mean. The name is what Moodle maps to its users: their user name or ID number, if students typed that.
    """
    record, plan = found.record, found.plan
    given = {(answer.student_id, answer.position, answer.round): answer for answer in record.answers}
    asked = [
        (position, rounds)
        for position in found.order
        if any(key[1] == position for key in given)
        for rounds in _list_graded_rounds(plan[position])
    ]
    titles = [
        _name_column(plan[position], found.number_position(position), rounds) for position, rounds in asked
    ]
    rows: list[Sequence[Any]] = [("name", *titles, "Class total")]
    for student in record.students:
        grades = [
            _grade(plan[position], rounds, [given.get((student.id, position, number)) for number in rounds])
            for position, rounds in asked
        ]
        total = sum(grade or 0 for grade in grades) / len(grades) if grades else None
        rows.append((student.name or f"Student {student.number}", *grades, total))
    return rows


def _list_graded_rounds(activity: Activity) -> list[tuple[int, ...]]:
    """List the rounds of each grade: the last vote of two, or one question of a quiz."""
    if activity.questions:
        return [(number,) for number in activity.rounds]
    return [(2, 1)] if activity.asked and activity.asked.right else []


def _name_column(activity: Activity, number: int, rounds: tuple[int, ...]) -> str:
    part = f".{rounds[0]}" if activity.questions else ""
    return f"{number}{part}. {activity.title}"


def _grade(activity: Activity, rounds: tuple[int, ...], answers: Sequence[ClassAnswer | None]) -> int | None:
    for number, answer in zip(rounds, answers, strict=True):
        if answer is not None:
            if "fraction" in answer.value:
                return round(RIGHT * float(answer.value["fraction"]))
            return RIGHT if activity.is_correct(number, answer.value) else WRONG
    return None


def _format_answer(activity: Activity, answer: ClassAnswer) -> Any:
    value = answer.value
    asked = activity.find_question(answer.round)
    if asked is not None and asked.task:
        return to_plain(value["words"])
    if asked is not None:
        chosen = (option.html for option in asked.options if option.id == value["option"])
        return next((html.striptags() for html in chosen), "")
    if answer.claim and activity.crowd is not None:
        return f"{activity.crowd.label(answer.claim)}: {value['number']:.6g}"
    return value.get("text", value.get("number"))
