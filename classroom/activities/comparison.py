"""Students predict which of a few settings ends lowest; runs with several seeds decide, or can't."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from statistics import fmean

from classroom.activities.crowd_grid import RunGrid, select_losses
from classroom.activities.room import GridResult
from study.ports.classes import ClassOption, ClassQuestion
from study.text.markup import to_html

UNDECIDED = "undecided"
"""The id of the option that no setting ends lower than the others beyond the noise of seeds."""

UNDECIDED_TEXT = "The seeds can't tell them apart"


def list_options(grid: RunGrid) -> tuple[ClassOption, ...]:
    """One option for each column of the grid, and one for no difference."""
    texts = {str(column): text for column, text in enumerate(grid.columns)} | {UNDECIDED: UNDECIDED_TEXT}
    return tuple(ClassOption(id=each, html=to_html(text), text=text) for each, text in texts.items())


def find_measured_option(grid: RunGrid, result: GridResult | None) -> str:
    """The id of the option that the runs have shown to be right; empty while they haven't."""
    if result is None:
        return ""
    if result.lowest is not None:
        return str(result.lowest)
    return UNDECIDED if len(result.losses) == grid.count else ""


def mark_measured(asked: ClassQuestion, grid: RunGrid, result: GridResult | None) -> ClassQuestion:
    """The question with the option that was measured marked as right."""
    right = find_measured_option(grid, result)
    options = tuple(replace(option, correct=option.id == right) for option in asked.options)
    return replace(asked, options=options)


def list_seeds(
    grid: RunGrid, losses: Mapping[str, float], tell_progress: Callable[[str], str]
) -> list[tuple[str, list[str]]]:
    """The held-out loss of each run, or how far it is, a row for each seed; below them the means so far."""
    rows = [
        (f"Seed {seed + 1}", [f"{losses[run]:.3f}" if run in losses else tell_progress(run) for run in runs])
        for seed, runs in enumerate(zip(*map(grid.list_runs, grid.cells), strict=True))
    ]
    measured = [select_losses(losses, cell) for cell in grid.cells]
    return [*rows, ("Mean", [f"{fmean(found):.3f}" if found else "" for found in measured])]
