"""Learning curves of a project's runs: training loss over steps, one line per learning rate."""

from collections.abc import Sequence

from lora_lab.charts.live_chart import Series, line_chart
from lora_lab.charts.run_view import list_points
from lora_lab.grids.results import GridCell
from lora_lab.lab import Lab
from lora_lab.views.comparison import LINE_COLOURS, MOST_RUNS, ComparisonChart


def loss_curves(lab: Lab, cells: Sequence[GridCell]) -> ComparisonChart | None:
    """Draw the curves of the first runs that have stepped; None before one has."""
    begun = [cell for cell in cells if cell.run_id][:MOST_RUNS]
    series = [
        Series(
            label=f"{cell.spec.learning_rate:g}",
            points=list_points(lab.run(cell.run_id).state(), "loss"),
            colour=colour,
        )
        for cell, colour in zip(begun, LINE_COLOURS, strict=False)
    ]
    drawn = [line for line in series if line.points]
    if not drawn:
        return None
    title = _write_title(drawn)
    steps = max(2, *(cell.spec.steps for cell in begun))
    svg = line_chart(
        drawn, title=title, x_label="step", y_label="training loss, one line per learning rate",
        window=(1, steps), y_format="{:.2f}".format,
    )  # fmt: skip
    return ComparisonChart(name="loss", title=title, svg=svg)


def _write_title(drawn: Sequence[Series]) -> str:
    # `not <=` also catches a loss of NaN.
    climbed = [line.label for line in drawn if not line.points[-1][1] <= line.points[0][1]]
    if not climbed:
        return "The training loss ends below its first step at every learning rate"
    return f"The training loss ends above its first step at a learning rate of {', '.join(climbed)}"
