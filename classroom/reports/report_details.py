"""What the report shows below its tables: the grids of the class, and sentences that the class has seen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from classroom.activities.activity import Activity
from classroom.activities.comparison import list_seeds
from classroom.activities.crowd_grid import select_losses
from classroom.activities.room import RoomState
from classroom.activities.wall import VERDICT_LABELS, drop_short_quotes, get_text, group_answers
from classroom.reports.report import Report
from study.ports.classes import ClassPrompt
from study.store.class_records import ClassAnswer


@dataclass(frozen=True, kw_only=True)
class MeasuredGrid:
    position: int
    """Its number in the plan as the teacher reads it, from 1."""

    activity: Activity
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    """A name with `5.305 (3 seeds)` for each setting, `–` where no loss is stored; compared runs by seed."""

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


def list_grids(report: Report) -> list[MeasuredGrid]:
    """The grids of a class that have begun, in the order of its plan.

    Losses are stored when a grid has ended; before that only where other processes serve the class as well.
    """
    room = report.room
    found = []
    for position, activity in _list_shown(report):
        if activity.trained is None or position not in room.runs:
            continue
        losses = _find_losses(report, position)
        result = room.grids.get(position)
        measured = MeasuredGrid(
            position=report.number_position(position),
            activity=activity,
            rows=tuple(_list_rows(activity, losses)),
            findings=result.findings if result else (),
        )
        found.append(measured)
    return found


def _list_rows(activity: Activity, losses: Mapping[str, float]) -> Iterator[tuple[str, tuple[str, ...]]]:
    if activity.compared:
        for name, texts in list_seeds(activity.compared, losses, lambda _: "–"):
            yield name, tuple(texts)
    elif activity.crowd:
        texts = [_mean_text(cell, losses) for cell in activity.crowd.cells]
        across = len(activity.crowd.columns)
        for row, name in enumerate(activity.crowd.rows):
            yield name, tuple(texts[row * across : (row + 1) * across])


def list_sentences(report: Report) -> list[SeenSentences]:
    """What was written, in the order of answers' ids, which says nothing about who wrote it."""
    room = report.room
    answers = sorted(report.record.answers, key=lambda answer: answer.id)
    found = []
    for position, activity in _list_shown(report):
        if activity.wanted is None:
            continue
        given = [each for each in answers if each.position == position and each.student_id not in room.kicked]
        if not given:
            continue
        quoted = [each for each in given if each.id in room.quoted]
        found.append(
            SeenSentences(
                position=report.number_position(position),
                title=activity.title,
                groups=tuple(_group(activity.wanted, quoted, room)),
                hidden=len(given) - len(quoted),
            )
        )
    return found


def _list_shown(report: Report) -> list[tuple[int, Activity]]:
    kept = (position for position in report.order if position not in report.room.withdrawn)
    return [(position, report.plan[position]) for position in kept]


def _find_losses(report: Report, position: int) -> Mapping[str, float]:
    result = report.room.grids.get(position)
    if result is not None:
        return result.losses
    cells = report.record.progress.get(position, {}).get("cells", ())
    return {"/".join(map(str, cell["place"])): cell["loss"] for cell in cells if cell["loss"] is not None}


def _mean_text(cell: str, losses: Mapping[str, float]) -> str:
    of_seeds = select_losses(losses, cell)
    seeds = "1 seed" if len(of_seeds) == 1 else f"{len(of_seeds)} seeds"
    return f"{fmean(of_seeds):.3f} ({seeds})" if of_seeds else "–"


def _group(
    wanted: ClassPrompt, quoted: Sequence[ClassAnswer], room: RoomState
) -> Iterator[tuple[str, tuple[str, ...]]]:
    if not wanted.concepts and quoted:
        yield "", tuple(map(get_text, quoted))
    for found in map(drop_short_quotes, group_answers(quoted, wanted.concepts, room.overruled)):
        for group in found.groups:
            heading = f"{found.concept.label}: {VERDICT_LABELS[group.verdict].lower()}"
            yield heading, group.quotes
