"""What a student takes home: each miss, wrong guess, idea left out and question not answered, as a card."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from classroom.activities.activity import Activity, derive_key
from classroom.activities.comparison import mark_measured
from classroom.activities.distribution import is_close
from classroom.activities.number import with_unit
from classroom.activities.room import RoomState
from classroom.activities.wall import choose_wall_verdict
from classroom.reports.report import find_true_value
from study.ports.classes import ClassCard, ClassPrompt, ClassQuestion, ConceptVerdict
from study.store.class_records import ClassAnswer, ClassEvent, ClassStudent
from study.text.html_import import convert_html

Given = Mapping[tuple[int, int], ClassAnswer]
"""One student's answers by (position, round)."""

REVEALS = ("reveal", "twin-reveal", "run")
"""Phases that show what is right."""

UNANSWERED = "You did not answer this one."
LEFT_OUT: Mapping[ConceptVerdict, str] = {
    "missing": "Your text left this idea out.",
    "contradicted": "Your text said the opposite.",
    "partial": "Your text said only a part of it.",
}
"""The verdicts that make a card, and why."""


def take_home_key(student: ClassStudent) -> str:
    """The key in the link that opens a student's cards in another browser: 128 bits that nobody can guess.

    Nothing else of the student follows from it, and it is gone with the class.
    """
    return hashlib.sha256(f"take-home/{student.device}".encode()).hexdigest()[:32]


def take_home(
    plan: Sequence[Activity],
    events: Iterable[ClassEvent],
    room: RoomState,
    answers: Iterable[ClassAnswer],
    *,
    joined_at: datetime,
) -> list[ClassCard]:
    """The cards of one student, in the order of the plan; nothing whose answer the class has not seen.

    What the class saw before the student joined is nothing that the student left out.
    """
    given = {(answer.position, answer.round): answer for answer in answers}
    seen = list_seen_answers(event for event in events if event.at >= joined_at)
    found: list[ClassCard] = []
    for position, activity in enumerate(plan):
        shown = {phase for phase in REVEALS if (position, phase) in seen}
        if shown and position not in room.withdrawn:
            found += _make_activity_cards(position, activity, shown, room, given)
    return found


def list_seen_answers(events: Iterable[ClassEvent]) -> set[tuple[int, str]]:
    """The (position, phase) of everything that the class has been shown."""
    return {(event.value["position"], event.value["phase"]) for event in events if event.kind == "step"}


def _make_activity_cards(
    position: int, activity: Activity, shown: set[str], room: RoomState, given: Given
) -> Iterator[ClassCard]:
    last = given.get((position, 2)) or given.get((position, 1))
    if activity.asked is not None and "reveal" in shown:
        yield from _make_question_cards(position, activity.asked, last)
    if activity.asked is not None and activity.compared is not None:
        result = room.grids.get(position)
        found = mark_measured(activity.asked, activity.compared, result)
        measured = " ".join(result.findings) if result else ""
        yield from _make_question_cards(
            position, replace(found, keep_text=f"{measured}\n{found.keep_text}".strip()), last
        )
    if "reveal" in shown:
        for number, asked in enumerate(activity.questions, start=1):
            yield from _make_question_cards(position, asked, given.get((position, number)))
    if activity.twin is not None and "twin-reveal" in shown:
        yield from _make_question_cards(position, activity.twin, given.get((position, 3)))
    if activity.guessed is not None or (activity.crowd is not None and last is not None):
        yield from _make_guess_cards(position, activity, last, room)
    if activity.wanted is not None:
        yield from _make_text_cards(position, activity.wanted, last, room)


def _make_question_cards(
    position: int, asked: ClassQuestion, answer: ClassAnswer | None
) -> Iterator[ClassCard]:
    if not asked.right or (answer is not None and derive_key(answer.value) == asked.right):
        return
    why = [UNANSWERED]
    if answer is not None and asked.task:
        why = [f"You answered: {answer.value['words']}", answer.value["why"]]
    elif answer is not None:
        chosen = next(option for option in asked.options if option.id == answer.value["option"])
        said = chosen.text or convert_html(chosen.html)  # without it, "That is ..." speaks of nothing
        why = [f"You answered: {said}", chosen.feedback_text or convert_html(chosen.feedback)]
    why.append(asked.keep_text or convert_html(asked.keep))
    yield ClassCard(
        id=f"{position + 1}-{asked.id}",
        front=_write_front(asked),
        back=_back(asked),
        why="\n".join(filter(None, why)),
        concepts=asked.concepts,
    )


def _write_front(asked: ClassQuestion) -> str:
    """Write the question, with what it says apart from its stem where that is needed to answer it."""
    said = asked.text or convert_html(asked.html)
    items = [convert_html(piece) for piece in (asked.figure, asked.listed) if piece]
    if asked.kind in ("multiple", "find-the-error"):
        items += [option.text for option in asked.options]
    return "\n".join([said, *items])


def _back(asked: ClassQuestion) -> str:
    right = next((option for option in asked.options if option.id == asked.right), None)
    if right is None:
        return asked.answer_text
    if asked.kind == "find-the-error":
        return f"{right.text}\n{right.feedback_text}"
    return right.text or convert_html(right.html)


def _make_guess_cards(
    position: int, activity: Activity, answer: ClassAnswer | None, room: RoomState
) -> Iterator[ClassCard]:
    value = find_true_value(room, activity, position, answer)
    guess = float(answer.value["number"]) if answer else None
    if value is None or (guess is not None and is_close(guess, value)):
        return
    crowd = activity.crowd
    cell = crowd.label(answer.claim or "") if crowd and answer else ""
    asked = activity.task.text if activity.task else ""
    front = asked or convert_html(activity.html_asked)
    said = UNANSWERED if guess is None else f"You guessed {with_unit(guess, activity.unit)}."
    yield ClassCard(
        id=f"{position + 1}-guess",
        front=f"{front}\n{cell}".strip(),
        back=with_unit(value, activity.unit),
        why=f"{said} {_explain_value(activity)}",
        concepts=(activity.guessed.concept,) if activity.guessed and activity.guessed.concept else (),
    )


def _explain_value(activity: Activity) -> str:
    """Explain how the value is known, and why it is that."""
    guessed, crowd = activity.guessed, activity.crowd
    if crowd is not None:
        return f"Measured in class: the held-out loss at the end of this run ({crowd.described})."
    if guessed is not None and guessed.quantity:
        return f"Measured in class by a run ({guessed.described}). {guessed.why_text}".rstrip()
    return (guessed.source if guessed else "") or "The value is from your teacher."


def _make_text_cards(
    position: int, wanted: ClassPrompt, answer: ClassAnswer | None, room: RoomState
) -> Iterator[ClassCard]:
    for concept in wanted.concepts:
        verdict = choose_wall_verdict(answer, concept.id, room.overruled) if answer else None
        if answer is None or verdict in LEFT_OUT:
            asked = wanted.text or convert_html(wanted.html)
            said = UNANSWERED if answer is None or verdict is None else LEFT_OUT[verdict]
            yield ClassCard(
                id=f"{position + 1}-{concept.id}",
                front=f"{asked}\nWhat belongs in the answer about “{concept.label}”?",
                back=concept.definition,
                why=said,
                concepts=wanted.about,
            )
