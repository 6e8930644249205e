"""A loss curve for a phone: an SVG of a kilobyte."""

from collections.abc import Sequence

from markupsafe import Markup

from study.text.templates import render

WIDTH, HEIGHT = 320, 150
NARROWEST = 0.1
"""Nats between the ends of the axis, so that they differ as they are written."""

LEFT, RIGHT, TOP, BOTTOM = 40, 8, 10, 24


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
        "classroom/curve.html",
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
