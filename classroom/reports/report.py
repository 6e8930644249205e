"""The results of a class by student and by item, computed from what is stored."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import Any

from classroom.activities.activity import ROUNDS, Activity, derive_key, parse_activity_spec
from classroom.activities.comparison import find_measured_option, mark_measured
from classroom.activities.distribution import is_close
from classroom.activities.number import as_number, with_unit
from classroom.activities.peer_instruction import compare_rounds
from classroom.activities.room import RoomState, fold, order_positions
from classroom.activities.wall import VERDICT_LABELS, ConceptGroups, group_answers
from study.base.confidence_intervals import correlate
from study.store.class_records import ClassAnswer, ClassRecord
from study.store.logs.quizzes import CONFIDENCES
from study.text.html_import import convert_html
from study.text.markup import to_plain

FEWEST_FOR_DISCRIMINATION = 10
"""A correlation over fewer students is noise."""

Answers = Mapping[tuple[int, int], Mapping[str, ClassAnswer]]
"""By (position, round), then by student."""


@dataclass(frozen=True, kw_only=True)
class StudentRow:
    """One student's results; counts of questions and guesses."""

    number: int
    name: str
    joined_at: str
    taken_out: bool
    answered: int = 0
    first_votes: int = 0
    first_right: int = 0
    second_votes: int = 0
    second_right: int = 0
    twins: int = 0
    twins_right: int = 0
    guesses: int = 0
    guesses_close: int = 0


@dataclass(frozen=True, kw_only=True)
class ItemRow:
    """One activity's results; shares from 0 to 1, None where nothing can be said."""

    position: int
    """Its number in the plan as the teacher reads it, from 1."""

    kind: str
    title: str
    question: str
    first_votes: int
    first_right: float | None
    """The share of right first votes: the item's difficulty."""

    discrimination: float | None
    """Correlation between a right first vote here and the share of right first votes elsewhere."""

    confidence: float | None
    """The mean of 0 (a guess), 1 (I think so) and 2 (sure) over first votes."""

    confident_wrong: int
    """Wrong votes with "sure", over the first vote, the second and the twin."""

    second_votes: int
    second_right: float | None
    gain: float | None
    """Normalized gain of those who voted twice (Hake 1998)."""

    twin_votes: int
    twin_right: float | None
    median_guess: float | None
    value: float | None
    close: float | None
    """The share of guesses within a tenth of the value; in a grid each guess has a value of its own."""

    text: str
    """The question, as students saw it, in plain text."""

    unit: str
    """Of the guesses and of the value."""

    asked_on_the_spot: bool
    opened: bool
    """Whether the class reached it."""

    summary: str
    """The answers in words, where votes on right and wrong say nothing."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Both tables of one class, and what they are computed from."""

    record: ClassRecord
    plan: tuple[Activity, ...]
    room: RoomState
    order: tuple[int, ...]
    """The stored positions as the teacher's page lists the plan; withdrawn ones come last."""

    students: tuple[StudentRow, ...]
    items: tuple[ItemRow, ...]

    def number_position(self, position: int) -> int:
        """Return the number, from 1, under which the plan lists a stored position."""
        return self.order.index(position) + 1


def build_report(record: ClassRecord) -> Report:
    """Build both tables. Students who were taken out are listed, and left out of the items."""
    plan = tuple(parse_activity_spec(spec) for spec in record.activities)
    room = fold(record.events)
    everyone = _group_by_round(record.answers, without=frozenset())
    counted = _group_by_round(record.answers, without=room.kicked)
    students = tuple(
        StudentRow(
            number=student.number,
            name=student.name,
            joined_at=student.joined_at.isoformat(timespec="seconds"),
            taken_out=student.id in room.kicked,
            **_count_answers(student.id, plan, everyone, room),
        )
        for student in record.students
    )
    order = (*order_positions(room, plan), *sorted(room.withdrawn))
    parts = [part for position in order for part in _split_parts(position, plan[position], counted)]
    items = tuple(
        _build_item(part, parts, room, number=order.index(part.position) + 1)
        for part in parts
        if part.activity.kind != "talk" and part.position not in room.withdrawn
    )
    return Report(record=record, plan=plan, room=room, order=order, students=students, items=items)


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What one row of the items is about: an activity, or one question of a quiz."""

    position: int
    activity: Activity
    rounds: Mapping[int, Mapping[str, ClassAnswer]]
    """The answers by round, then by student; those to a question of a quiz are its first round."""

    def given(self, number: int) -> Mapping[str, ClassAnswer]:
        return self.rounds.get(number, {})


def _split_parts(position: int, activity: Activity, answers: Answers) -> Iterator[_Part]:
    rounds = {number: given for (where, number), given in answers.items() if where == position}
    if not activity.questions:
        yield _Part(position=position, activity=activity, rounds=rounds)
    for number, asked in enumerate(activity.questions, start=1):
        title = f"{activity.title}: question {number} of {len(activity.questions)}"
        alone = replace(activity, title=title, questions=(), asked=asked)
        yield _Part(position=position, activity=alone, rounds={1: rounds.get(number, {})})


def _group_by_round(answers: Iterable[ClassAnswer], *, without: frozenset[str]) -> Answers:
    found: dict[tuple[int, int], dict[str, ClassAnswer]] = {}
    for answer in answers:
        if answer.student_id not in without:
            found.setdefault((answer.position, answer.round), {})[answer.student_id] = answer
    return found


def find_true_value(
    room: RoomState, activity: Activity, position: int, answer: ClassAnswer | None = None
) -> float | None:
    """Find what a guess was about: known beforehand, or measured by a run; None where it is not measured.

    In a grid each answer has a value of its own.
    """
    if activity.guessed is not None and activity.guessed.value is not None:
        return activity.guessed.value
    if activity.crowd is not None:
        result = room.grids.get(position)
        return result.losses.get((answer and answer.claim) or "") if result else None
    return room.measured.get(position)


def is_guess(activity: Activity, answer: ClassAnswer) -> bool:
    """Whether an answer predicts a number, or what runs that are compared will show."""
    return activity.compared is not None or "number" in answer.value


def is_good_guess(room: RoomState, activity: Activity, answer: ClassAnswer) -> bool:
    """Whether a number was close, or the predicted option is what the runs have shown."""
    if activity.compared is not None:
        return find_measured_option(activity.compared, room.grids.get(answer.position)) == derive_key(
            answer.value
        )
    known = find_true_value(room, activity, answer.position, answer)
    return known is not None and is_close(float(answer.value["number"]), known)


def _count_answers(
    student: str, plan: Sequence[Activity], answers: Answers, room: RoomState
) -> dict[str, int]:
    counts: Counter[str] = Counter()
    names = {
        ROUNDS["vote"]: ("first_votes", "first_right"),
        ROUNDS["revote"]: ("second_votes", "second_right"),
        ROUNDS["twin"]: ("twins", "twins_right"),
    }
    for (position, number), given in answers.items():
        if student not in given:
            continue
        counts["answered"] += 1
        activity, answer = plan[position], given[student]
        correct = activity.is_correct(number, answer.value)
        if is_guess(activity, answer):
            counts["guesses"] += 1
            counts["guesses_close"] += is_good_guess(room, activity, answer)
        elif correct is not None:
            votes, right = names[ROUNDS["vote"] if activity.questions else number]
            counts[votes] += 1
            counts[right] += correct
    return counts


def _build_item(part: _Part, parts: Sequence[_Part], room: RoomState, *, number: int) -> ItemRow:
    position, activity = part.position, part.activity
    first, second, twin = map(part.given, (1, 2, 3))
    guessed = [answer for answer in first.values() if "number" in answer.value]
    guesses = [float(answer.value["number"]) for answer in guessed]
    values = [find_true_value(room, activity, answer.position, answer) for answer in guessed]
    known = [(guess, value) for guess, value in zip(guesses, values, strict=True) if value is not None]
    said = [CONFIDENCES.index(answer.confidence) for answer in first.values() if answer.confidence]
    moved = None
    if activity.asked is not None and activity.asked.right:
        moved = compare_rounds(list_choices(first), list_choices(second), activity.asked.right)
    return ItemRow(
        position=number,
        kind=activity.kind,
        title=activity.title,
        question=_name_subject(activity),
        first_votes=len(first),
        first_right=_compute_share(activity, 1, first),
        discrimination=_compute_discrimination(part, parts),
        confidence=fmean(said) if said else None,
        confident_wrong=sum(
            activity.is_correct(voted, answer.value) is False and answer.confidence == "sure"
            for voted, given in part.rounds.items()
            for answer in given.values()
        ),
        second_votes=len(second),
        second_right=_compute_share(activity, 2, second),
        gain=moved.gain if moved else None,
        twin_votes=len(twin),
        twin_right=_compute_share(activity, 3, twin),
        median_guess=float(median(guesses)) if guesses else None,
        value=None if activity.crowd else find_true_value(room, activity, position),
        close=sum(is_close(guess, value) for guess, value in known) / len(known) if known else None,
        text=_format_task(activity),
        unit=activity.unit,
        asked_on_the_spot=activity.asked_after is not None,
        opened=position in room.visited,
        summary=_summarize(position, activity, first, guesses, known, room),
    )


def _format_task(activity: Activity) -> str:
    """Format the task in plain text; classes from before texts were stored have its HTML only."""
    text = activity.task.text if activity.task else ""
    return to_plain(text) or _strip_html(activity.html_asked)


def _strip_html(html: str) -> str:
    return to_plain(convert_html(html))


def _summarize(
    position: int,
    activity: Activity,
    given: Mapping[str, ClassAnswer],
    guesses: Sequence[float],
    known: Sequence[tuple[float, float]],
    room: RoomState,
) -> str:
    """Summarize guesses, the votes of a poll, or the verdicts on each concept, in words."""
    value = None if activity.crowd else find_true_value(room, activity, position)
    if guesses or value is not None:
        said = [f"median guess {with_unit(median(guesses), activity.unit)}" if guesses else "nobody guessed"]
        if guesses and min(guesses) < max(guesses):
            said.append(f"from {as_number(min(guesses))} to {with_unit(max(guesses), activity.unit)}")
        if value is not None:
            known_by = "measured:" if activity.kind == "predict" else "the value is"
            said.append(f"{known_by} {with_unit(value, activity.unit)}")
        if known:
            close = sum(is_close(guess, value) for guess, value in known)
            said.append(f"{close} of {len(known)} within 10 %")
        return "; ".join(said)
    if activity.asked is not None and not activity.asked.right:
        votes = Counter(list_choices(given).values())
        said = [f"{_strip_html(option.html)}: {votes[option.id]}" for option in activity.asked.options]
        if activity.compared is not None:
            asked = mark_measured(activity.asked, activity.compared, room.grids.get(position))
            said += [f"measured: {_strip_html(option.html)}" for option in asked.options if option.correct]
        return "; ".join(said)
    if activity.wanted is not None:
        grouped = group_answers(given.values(), activity.wanted.concepts, room.overruled)
        return "; ".join(f"{found.concept.label}: {_format_verdicts(found)}" for found in grouped)
    return ""


def _format_verdicts(found: ConceptGroups) -> str:
    said = [f"{len(group.quotes)} {VERDICT_LABELS[group.verdict].lower()}" for group in found.groups]
    return ", ".join(said) or "nothing is judged"


def _name_subject(activity: Activity) -> str:
    """Name what an activity is about, by an id where there is one."""
    if activity.asked is not None:
        return activity.asked.id
    if activity.wanted is not None:
        return activity.wanted.id
    return "final-loss" if activity.crowd else getattr(activity.guessed, "quantity", "")


def list_choices(given: Mapping[str, ClassAnswer]) -> dict[str, str]:
    """What each student chose; equal where two answers say the same."""
    return {student: derive_key(answer.value) for student, answer in given.items()}


def _compute_share(activity: Activity, number: int, given: Mapping[str, ClassAnswer]) -> float | None:
    judged = [activity.is_correct(number, answer.value) for answer in given.values()]
    if not judged or None in judged:
        return None
    return sum(map(bool, judged)) / len(judged)


def _compute_discrimination(part: _Part, parts: Sequence[_Part]) -> float | None:
    """Compute the corrected item-total correlation over students who voted here and on another question."""
    pairs = []
    for student, answer in part.given(1).items():
        correct = part.activity.is_correct(1, answer.value)
        others = [
            judged
            for other in parts
            if other is not part
            and student in (given := other.given(1))
            and (judged := other.activity.is_correct(1, given[student].value)) is not None
        ]
        if correct is not None and others:
            pairs.append((correct, fmean(others)))
    return correlate(pairs, at_least=FEWEST_FOR_DISCRIMINATION)


def as_json(found: Report) -> dict[str, Any]:
    """Everything about a class as JSON; students appear by number, so that names are in one place."""
    record = found.record
    numbers = {student.id: student.number for student in record.students}
    return {
        "format": "lora-study-class",
        "title": record.room.title,
        "plan": record.room.plan_id,
        "code": record.room.code,
        "opened_at": record.room.opened_at.isoformat(),
        "students": [vars(row) for row in found.students],
        "items": [vars(row) | {"activity": found.order[row.position - 1] + 1} for row in found.items],
        "activities": list(record.activities),
        "events": [
            {"number": event.number, "kind": event.kind, "at": event.at.isoformat()}
            | {"value": _with_numbers(event.value, numbers)}
            for event in record.events
        ],
        "answers": [
            {
                "student": numbers[answer.student_id],
                "activity": answer.position + 1,
                "round": answer.round,
                "value": answer.value,
                "confidence": answer.confidence,
                "claim": answer.claim,
                "graded": answer.graded,
                "at": answer.at.isoformat(),
            }
            for answer in record.answers
        ],
    }


def _with_numbers(value: Mapping[str, Any], numbers: Mapping[str, int]) -> dict[str, Any]:
    return {key: numbers.get(each, each) if key == "student" else each for key, each in value.items()}
