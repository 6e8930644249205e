"""The crowd's grid as the templates show it: a heat map with initials, one student's cell and loss curve."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from markupsafe import Markup

from classroom.activities.comparison import list_seeds
from classroom.activities.crowd_grid import CrowdGrid, RunGrid, select_losses
from classroom.live.live_room import LiveRoom
from study.base.html import NO_HTML
from study.ports.classes import ClassCell
from study.text.templates import render

DARKEST = 0.35
"""Opacity of the highest loss, so that the text above stays readable. Lighter is lower, as in the lab."""


WIDTH, HEIGHT = 320, 150  # of a loss curve for a phone: an SVG of a kilobyte
NARROWEST = 0.1
"""Nats between the ends of the axis, so that they differ as they are written."""

LEFT, RIGHT, TOP, BOTTOM = 40, 8, 10, 24


@dataclass(frozen=True, kw_only=True)
class MapCell:
    """One setting of the grid, with all its seeds."""

    cell: str
    """`row/column`, as a claim begins."""

    label: str
    who: tuple[str, ...]
    free: int
    """How many of its runs nobody has claimed."""

    loss: float | None
    """The mean held-out loss of the runs that finished."""

    text: str
    """The loss, of how many seeds while it is not of all, or how far the runs are."""

    shade: float
    """0 for the lowest loss of the map, DARKEST for the highest."""


@dataclass(frozen=True, kw_only=True)
class OwnCell:
    """The run that a student has claimed."""

    label: str
    guess: float
    loss: float | None
    doing: str
    curve: Markup


def build_heat_map(live: LiveRoom, grid: CrowdGrid, position: int) -> list[list[MapCell]]:
    """The rows of the map; the runs' losses come from the lab, or from the log once the grid has ended."""
    losses, running = _find_losses(live, position), _map_running(live, position)
    claimed = live.reservations(position)
    by_cell = {cell: select_losses(losses, cell) for cell in grid.cells}
    means = {cell: fmean(found) for cell, found in by_cell.items() if found}
    low, high = min(means.values(), default=0.0), max(means.values(), default=0.0)

    def make_cell(cell: str) -> MapCell:
        runs = grid.list_runs(cell)
        mean = means.get(cell)
        return MapCell(
            cell=cell,
            label=grid.label(runs[0]).partition(", seed")[0],
            who=tuple(_shorten_name(live, claimed[run]) for run in runs if run in claimed),
            free=sum(run not in claimed for run in runs),
            loss=mean,
            text=_mean_text(mean, len(by_cell[cell]), grid)
            if mean is not None
            else _describe_progress(runs, running),
            shade=0.0 if mean is None or high == low else DARKEST * (mean - low) / (high - low),
        )

    across = len(grid.columns)
    return [
        [make_cell(cell) for cell in grid.cells[i : i + across]] for i in range(0, len(grid.cells), across)
    ]


def list_seed_rows(live: LiveRoom, grid: RunGrid, position: int) -> list[tuple[str, list[str]]]:
    """The runs that compare settings, by seed."""
    running = _map_running(live, position)
    return list_seeds(grid, _find_losses(live, position), lambda run: _describe_progress([run], running))


def build_own_cell(live: LiveRoom, crowd: CrowdGrid, student_id: str) -> OwnCell | None:
    """A student's own run; None for a student without one."""
    answer = live.find_answer(student_id, 1)
    if answer is None or not answer.claim:
        return None
    position, guess = live.state.position, float(answer.value["number"])
    run = _map_running(live, position).get(answer.claim)
    loss = _find_losses(live, position).get(answer.claim)
    return OwnCell(
        label=crowd.label(answer.claim),
        guess=guess,
        loss=loss,
        doing=run.doing if run else "",
        curve=draw_curve(run.curve, steps=run.steps, guess=guess, measured=loss) if run else NO_HTML,
    )


def free_places(live: LiveRoom, crowd: CrowdGrid, *, claimed: str | None) -> Mapping[str, int]:
    """How many runs of each cell a student may claim: what it has claimed already is still its own."""
    left = dict.fromkeys(crowd.cells, crowd.seeds)
    for claim in live.reservations():
        left[claim.rpartition("/")[0]] -= claim != claimed
    return left


def count_ended(live: LiveRoom, position: int) -> int:
    cells = _map_running(live, position).values()
    return sum(cell.doing not in ("waiting", "running") for cell in cells)


def list_findings(live: LiveRoom, position: int) -> tuple[str, ...]:
    """What the seeds support; empty before the grid has ended."""
    result = live.state.grids.get(position)
    return result.findings if result else ()


def _map_running(live: LiveRoom, position: int) -> Mapping[str, ClassCell]:
    found = live.grids.get(position)
    return {cell.claim: cell for cell in found.cells} if found else {}


def _find_losses(live: LiveRoom, position: int) -> Mapping[str, float]:
    result = live.state.grids.get(position)
    if result is not None:
        return result.losses
    found = live.grids.get(position)
    return found.losses if found else {}


def _mean_text(mean: float, measured: int, grid: CrowdGrid) -> str:
    """The mean; of some of the seeds only, it says of how many."""
    return f"{mean:.3f}" + (f" ({measured} of {grid.seeds})" if measured < grid.seeds else "")


def _describe_progress(runs: list[str], running: Mapping[str, ClassCell]) -> str:
    """Describe the state of the run that is furthest."""
    known = [running[run] for run in runs if run in running]
    if not known:
        return ""
    furthest = max(known, key=lambda cell: len(cell.curve))
    if furthest.doing == "running":
        return f"step {len(furthest.curve)} of {furthest.steps}"
    return furthest.doing


def _shorten_name(live: LiveRoom, student_id: str) -> str:
    """Shorten a name to two letters; the student's number where names are hidden or deleted."""
    student = live.students[student_id]
    words = [] if live.state.names_hidden else student.name.split()
    return "".join(word[0] for word in words[:2]).upper() or str(student.number)


def draw_curve(losses: Sequence[float], *, steps: int, guess: float, measured: float | None = None) -> Markup:
    """Draw the training loss over the steps, the guess as a dashed line, and the measured loss as a dot."""
    values = [*losses, guess, *([measured] if measured is not None else [])]
    low, high = min(values), max(values)
    if high - low < NARROWEST:  # a guess alone, before the first step
        low, high = low - NARROWEST / 2, high + NARROWEST / 2
    span = high - low

    def x(step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * step / max(1, steps)

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / span

    points = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in enumerate(losses, start=1))
    said = f"Training loss, step {len(losses)} of {steps}"
    if losses:
        said += f", from {losses[0]:.3f} to {losses[-1]:.3f}"
    said += f"; your guess {guess:.4g}" + (f"; measured {measured:.3f}" if measured is not None else "")
    return render(
        "classroom/student/curve.html",
        said=said,
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        top=TOP,
        right=WIDTH - RIGHT,
        bottom=HEIGHT - BOTTOM,
        points=points if len(losses) > 1 else "",
        guess_y=f"{y(guess):.1f}",
        dot=None if measured is None else (f"{x(steps):.1f}", f"{y(measured):.1f}"),
        high=f"{high:.2f}",
        low=f"{low:.2f}",
        steps=steps,
    )
