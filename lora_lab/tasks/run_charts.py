"""Charts of a recorded run beside the healthy one."""

from markupsafe import Markup

from lora_lab.charts.live_chart import NARROW, WIDE, Series, draw_line_chart
from lora_lab.tasks.reading import RunTask
from lora_lab.tasks.recordings import AVERAGED_STEPS, average_points

FLAT = 0.05
"""A range of losses below it is labelled with four digits, so that its ends differ."""

_LINES = f"thin: each step, bold: mean of the last {AVERAGED_STEPS}"


def render_charts(task: RunTask) -> list[tuple[str, Markup, Markup]]:
    """Draw a run beside the healthy one: each title with its chart, wide and narrow."""
    return [
        _draw_chart(task, "Training loss", _LINES, "loss"),
        _draw_chart(task, "Held-out loss", "loss on rows that are not trained on", "held_out"),
        _draw_chart(task, "Gradient norm before clipping", _LINES, "grad_norm"),
        _draw_chart(task, "Learning rate", "learning rate", "learning_rate"),
    ]


def _draw_chart(task: RunTask, title: str, y_label: str, what: str) -> tuple[str, Markup, Markup]:
    own, usual = (
        run.held_out if what == "held_out" else run.points(what) for run in (task.run, task.healthy)
    )
    values = [y for _, y in (*own, *usual)]
    digits = 2 if max(values) - min(values) >= FLAT else 4
    y_format = "{:.3g}".format if what == "learning_rate" else f"{{:.{digits}f}}".format
    noisy = what in ("loss", "grad_norm")  # of a few rows per step: averaged, with the steps faint behind
    drawn = average_points if noisy else tuple
    ends, usual_ends = drawn(own), drawn(usual)
    described = (
        f"{title} of this run{f', mean of the last {AVERAGED_STEPS} steps' if noisy else ''}: "
        f"{y_format(ends[0][1])} at step {ends[0][0]}, {y_format(ends[-1][1])} at step {ends[-1][0]}; "
        f"highest{' of a single step' if noisy else ''} {y_format(max(y for _, y in own))}. "
        f"The usual run goes from {y_format(usual_ends[0][1])} to {y_format(usual_ends[-1][1])}"
    )
    series = (
        *((Series(label="", points=own, colour="orange", faint=True),) if noisy else ()),
        Series(label="usual", points=usual_ends, colour="ink", dashed=True),
        Series(label="this run", points=ends, colour="orange"),
    )
    wide, narrow = (
        draw_line_chart(
            series,
            title=described,
            x_label="step",
            y_label=y_label,
            window=(0, max(own[-1][0], usual[-1][0])),
            y_format=y_format,
            width=width,
        )
        for width in (WIDE, NARROW)
    )
    return title, wide, narrow
