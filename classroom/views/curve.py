"""A loss curve for a phone: an SVG of a kilobyte."""

from collections.abc import Sequence

from markupsafe import Markup

WIDTH, HEIGHT = 320, 150
LEFT, RIGHT, TOP, BOTTOM = 40, 8, 10, 24


def draw_curve(losses: Sequence[float], *, steps: int, guess: float, measured: float | None = None) -> Markup:
    """Draw the training loss over the steps, the guess as a dashed line, and the measured loss as a dot."""
    values = [*losses, guess, *([measured] if measured is not None else [])]
    low, high = min(values), max(values)
    span = (high - low) or 1.0

    def x(step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * step / max(1, steps)

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / span

    points = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in enumerate(losses, start=1))
    said = f"Training loss, step {len(losses)} of {steps}"
    if losses:
        said += f", from {losses[0]:.3f} to {losses[-1]:.3f}"
    said += f"; your guess {guess:.4g}"
    dot = ""
    if measured is not None:
        said += f"; measured {measured:.3f}"
        dot = f'<circle class="measured" cx="{x(steps):.1f}" cy="{y(measured):.1f}" r="5"/>'
    line = f'<polyline class="line" points="{points}"/>' if len(losses) > 1 else ""
    return Markup(
        f'<svg class="curve" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" aria-label="{said}">'
        f'<path class="axis" d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>'
        f'<path class="guess" d="M{LEFT} {y(guess):.1f}H{WIDTH - RIGHT}"/>{line}{dot}'
        f'<text x="{LEFT - 4}" y="{TOP + 8}" text-anchor="end">{high:.2f}</text>'
        f'<text x="{LEFT - 4}" y="{HEIGHT - BOTTOM}" text-anchor="end">{low:.2f}</text>'
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" text-anchor="end">step {steps}</text></svg>'
    )
