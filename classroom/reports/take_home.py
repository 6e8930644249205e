"""What a student takes home: each miss, each wrong guess and each idea left out, as a card."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from classroom.activities.activity import Activity, Asked
from classroom.activities.distribution import is_close
from classroom.activities.room import Event, Room
from classroom.activities.wall import WrittenAnswer, verdict_on
from classroom.reports.report import value_of
from study.ports.classes import ClassCard
from study.store.class_records import ClassAnswer
from study.text.html_import import from_html

Given = Mapping[tuple[int, int], ClassAnswer]
"""One student's answers by (position, round)."""

REVEALS = ("reveal", "twin-reveal", "run")
"""Phases that show what is right."""


def take_home(
    plan: Sequence[Activity], events: Iterable[Event], room: Room, answers: Iterable[ClassAnswer]
) -> list[ClassCard]:
    """The cards of one student, in the order of the plan; nothing whose answer the class has not seen."""
    given = {(answer.position, answer.round): answer for answer in answers}
    seen = seen_answers(events)
    found: list[ClassCard] = []
    for position, activity in enumerate(plan):
        shown = {phase for phase in REVEALS if (position, phase) in seen}
        found += _of_activity(position, activity, shown, room, given)
    return found


def seen_answers(events: Iterable[Event]) -> set[tuple[int, str]]:
    """The (position, phase) of everything that the class has been shown."""
    return {(event.value["position"], event.value["phase"]) for event in events if event.kind == "step"}


def _of_activity(
    position: int, activity: Activity, shown: set[str], room: Room, given: Given
) -> Iterator[ClassCard]:
    last = given.get((position, 2)) or given.get((position, 1))
    if activity.asked is not None and last is not None and "reveal" in shown:
        yield from _of_question(position, activity.asked, last)
    twin = given.get((position, 3))
    if activity.twin is not None and twin is not None and "twin-reveal" in shown:
        yield from _of_question(position, activity.twin, twin)
    if last is not None and "number" in last.value and shown:
        yield from _of_guess(activity, last, room)
    if last is not None and "text" in last.value and shown:
        yield from _of_text(activity, last, room)


def _of_question(position: int, asked: Asked, answer: ClassAnswer) -> Iterator[ClassCard]:
    right = next((option for option in asked.options if option.correct), None)
    if right is None or answer.value["option"] == right.id:
        return
    chosen = next((option for option in asked.options if option.id == answer.value["option"]), right)
    why = [chosen.feedback_text or from_html(chosen.feedback), asked.keep_text or from_html(asked.keep)]
    yield ClassCard(
        id=f"{position + 1}-{asked.id}",
        front=asked.text or from_html(asked.html),
        back=right.text or from_html(right.html),
        why="\n".join(filter(None, why)),
        concepts=asked.concepts,
    )


def _of_guess(activity: Activity, answer: ClassAnswer, room: Room) -> Iterator[ClassCard]:
    value, guess = value_of(room, activity, answer), float(answer.value["number"])
    if value is None or is_close(guess, value):
        return
    guessed, crowd = activity.guessed, activity.crowd
    cell = crowd.label(answer.claim or "") if crowd else ""
    front = next((part.text or from_html(part.html) for part in (guessed, crowd) if part), activity.title)
    unit = guessed.unit if guessed else ""
    yield ClassCard(
        id=f"{answer.position + 1}-guess",
        front=f"{front}\n{cell}".strip(),
        back=f"{value:.4g} {unit}".strip(),
        why=f"You guessed {guess:.4g}. {guessed.source if guessed else ''}".strip(),
    )


def _of_text(activity: Activity, answer: ClassAnswer, room: Room) -> Iterator[ClassCard]:
    wanted = activity.wanted
    assert wanted is not None
    written = WrittenAnswer(id=answer.id, text=answer.value["text"], graded=answer.graded)
    for concept in wanted.concepts:
        if verdict_on(written, concept.id, room.overruled) in ("missing", "contradicted", "partial"):
            yield ClassCard(
                id=f"{answer.position + 1}-{concept.id}",
                front=f"{wanted.text or from_html(wanted.html)}\n{concept.label}?",
                back=concept.definition,
                concepts=wanted.about,
            )
