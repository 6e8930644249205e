"""Charts of a recorded run beside the healthy one."""

from markupsafe import Markup

from lora_lab.charts.live_chart import NARROW, WIDE, Series, draw_line_chart, smooth_points
from lora_lab.tasks.reading import RunTask

FLAT = 0.05
"""A range of losses below it is labelled with four digits, so that its ends differ."""


def render_charts(task: RunTask) -> list[tuple[str, Markup, Markup]]:
    """Draw a run beside the healthy one: each title with its chart, wide and narrow."""
    return [
        _draw_chart(task, "Training loss", "training loss; thin: each step, bold: smoothed", "loss"),
        _draw_chart(task, "Held-out loss", "loss on rows that are not trained on", "held_out"),
        _draw_chart(task, "Gradient norm", "gradient norm before clipping", "grad_norm"),
        _draw_chart(task, "Learning rate", "learning rate", "learning_rate"),
    ]


def _draw_chart(task: RunTask, title: str, y_label: str, what: str) -> tuple[str, Markup, Markup]:
    own, usual = (
        run.held_out if what == "held_out" else run.points(what) for run in (task.run, task.healthy)
    )
    values = [y for _, y in (*own, *usual)]
    digits = 2 if max(values) - min(values) >= FLAT else 4
    y_format = "{:.3g}".format if what == "learning_rate" else f"{{:.{digits}f}}".format
    described = (
        f"{title} of this run: {y_format(own[0][1])} at step {own[0][0]}, {y_format(own[-1][1])} at step "
        f"{own[-1][0]}, highest {y_format(max(y for _, y in own))}. "
        f"The usual run goes from {y_format(usual[0][1])} to {y_format(usual[-1][1])}."
    )
    noisy = what == "loss"  # of a few rows a step: smoothed, with the steps faint behind
    drawn = smooth_points if noisy else tuple
    series = (
        *((Series(label="", points=own, colour="orange", faint=True),) if noisy else ()),
        Series(label="usual", points=drawn(usual), colour="ink", dashed=True),
        Series(label="this run", points=drawn(own), colour="orange"),
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
