"""Students predict which of a few settings ends lowest; runs with several seeds decide, or can't."""

from dataclasses import replace

from classroom.activities.crowd_grid import RunGrid
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


def measured_option(grid: RunGrid, result: GridResult | None) -> str:
    """The id of the option that the runs have shown to be right; empty while they haven't."""
    if result is None:
        return ""
    if result.lowest is not None:
        return str(result.lowest)
    return UNDECIDED if len(result.losses) == grid.count else ""


def mark_measured(asked: ClassQuestion, grid: RunGrid, result: GridResult | None) -> ClassQuestion:
    """The question with the option that was measured marked as right."""
    right = measured_option(grid, result)
    options = tuple(replace(option, correct=option.id == right) for option in asked.options)
    return replace(asked, options=options)
