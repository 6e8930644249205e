"""What the report shows below its tables: the grids of the class, and sentences that the class has seen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from classroom.activities.activity import Activity, activity_from
from classroom.activities.room import Room, fold
from classroom.activities.wall import VERDICT_LABELS, WrittenAnswer, group_answers
from study.ports.classes import ClassPrompt
from study.store.class_records import ClassAnswer, ClassRecord


@dataclass(frozen=True, kw_only=True)
class MeasuredGrid:
    """What the runs of one grid measured."""

    position: int
    activity: Activity
    rows: tuple[tuple[str, ...], ...]
    """`5.305 (3 seeds)` for each setting; `–` where no run has ended."""

    findings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SeenSentences:
    """What a class wrote, without names; of that only what the teacher has shown."""

    position: int
    title: str
    groups: tuple[tuple[str, tuple[str, ...]], ...]
    """A concept with its verdict, or nothing for a short text, and the sentences."""

    hidden: int
    """How many answers the class has not seen."""


def list_grids(record: ClassRecord) -> list[MeasuredGrid]:
    """The grids of a class in the order of its plan, as far as their runs have ended."""
    room = fold(record.events)
    found = []
    for position, activity in _shown(record, room):
        if activity.crowd is None or position not in room.runs:
            continue
        losses = _losses(record, room, position)
        texts = [_mean_text(cell, losses) for cell in activity.crowd.cells]
        across = len(activity.crowd.columns)
        rows = tuple(tuple(texts[i : i + across]) for i in range(0, len(texts), across))
        result = room.grids.get(position)
        findings = result.findings if result else ()
        found.append(MeasuredGrid(position=position + 1, activity=activity, rows=rows, findings=findings))
    return found


def list_sentences(record: ClassRecord) -> list[SeenSentences]:
    """What was written, in the order of answers' ids, which says nothing about who wrote it."""
    room = fold(record.events)
    found = []
    for position, activity in _shown(record, room):
        given = sorted(
            (
                each
                for each in record.answers
                if each.position == position and each.student_id not in room.kicked
            ),
            key=lambda answer: answer.id,
        )
        if activity.wanted is None or not given:
            continue
        quoted = [each for each in given if each.id in room.quoted]
        found.append(
            SeenSentences(
                position=position + 1,
                title=activity.title,
                groups=tuple(_grouped(activity.wanted, quoted, room)),
                hidden=len(given) - len(quoted),
            )
        )
    return found


def _shown(record: ClassRecord, room: Room) -> list[tuple[int, Activity]]:
    plan = enumerate(map(activity_from, record.activities))
    return [(position, activity) for position, activity in plan if position not in room.withdrawn]


def _losses(record: ClassRecord, room: Room, position: int) -> Mapping[str, float]:
    result = room.grids.get(position)
    if result is not None:
        return result.losses
    cells = record.progress.get(position, {}).get("cells", ())
    return {"/".join(map(str, cell["place"])): cell["loss"] for cell in cells if cell["loss"] is not None}


def _mean_text(cell: str, losses: Mapping[str, float]) -> str:
    of_seeds = [loss for claim, loss in losses.items() if claim.startswith(f"{cell}/")]
    seeds = "1 seed" if len(of_seeds) == 1 else f"{len(of_seeds)} seeds"
    return f"{fmean(of_seeds):.3f} ({seeds})" if of_seeds else "–"


def _grouped(
    wanted: ClassPrompt, quoted: Sequence[ClassAnswer], room: Room
) -> Iterator[tuple[str, tuple[str, ...]]]:
    written = [WrittenAnswer.of(answer) for answer in quoted]
    if not wanted.concepts and written:
        yield "", tuple(each.text for each in written)
    for found in group_answers(written, wanted.concepts, room.overruled):
        for group in found.groups:
            sentences = tuple(quote.text for quote in group.quotes if quote.says_enough)
            if sentences:
                yield f"{found.concept.label}: {VERDICT_LABELS[group.verdict].lower()}", sentences
