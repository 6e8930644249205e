"""Live charts: what a training run has measured so far, as an SVG string that is rendered at every poll.

    draw_line_chart(
        build_loss_series("loss", [(1, 4.61), (2, 4.20)]),
        title="Loss", x_label="step", y_label="loss", window=(1, 60), y_format="{:.2f}".format,
    )

Size and horizontal axis don't depend on how many points have arrived, so nothing jumps. Colours are the
page's. Text keeps its size in the drawing, so a phone needs `width=NARROW`.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter

from markupsafe import Markup, escape

from lora_lab.charts.drawing import Point
from lora_lab.charts.live_frame import HEIGHT, TEXT_SIZE, Colour, EndLabel, Format, build_live_frame
from lora_lab.charts.svg import render_element
from study.base.html import NO_HTML

WIDE, NARROW = 560, 358
MAX_POINTS = 300  # per line, more than a chart is wide in pixels
SMOOTHING = 0.8  # weight of the past: a new step counts for a fifth and fades after about ten steps
LARGEST = 1e100  # a chart can't show a diverged loss beyond it

Piece = list[Point]


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line. Its points are sorted by x; points that are not finite numbers are gaps."""

    label: str
    """Drawn at the line's end with its latest value; empty for none."""

    points: Sequence[Point]
    colour: Colour = "ink"
    dashed: bool = False
    measured: bool = True
    """False for values computed beforehand."""

    faint: bool = False
    """True for raw values behind their smoothed line."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A moment worth naming, such as the step at which a run was stopped."""

    x: float
    label: str


def smooth_points(points: Sequence[Point], *, keep: float = SMOOTHING) -> list[Point]:
    """Compute the exponential moving average with Adam's bias correction (arXiv:1412.6980 section 3).

    A value that is not a number stays a gap and does not affect the values after it.
    """
    result: list[Point] = []
    average = weight = 0.0
    for x, y in points:
        if _is_number((x, y)):
            average = keep * average + (1 - keep) * y
            weight = keep * weight + (1 - keep)
            result.append((x, average / weight))
        else:
            result.append((x, math.nan))
    return result


def build_loss_series(label: str, points: Sequence[Point]) -> tuple[Series, Series]:
    """Build a noisy curve twice: as measured, faint, and smoothed."""
    return (
        Series(label="", points=points, colour="blue", faint=True),
        Series(label=label, points=smooth_points(points), colour="blue"),
    )


def thin_points(points: Sequence[Point], *, limit: int = MAX_POINTS) -> list[Point]:
    """Return at most `limit` points: both ends and each bucket's lowest and highest, so no spike is lost."""
    if len(points) <= limit:
        return list(points)
    inner, buckets = points[1:-1], (limit - 2) // 2
    kept = [points[0]]
    for number in range(buckets):
        bucket = inner[number * len(inner) // buckets : (number + 1) * len(inner) // buckets]
        kept += sorted({pick(bucket, key=itemgetter(1)) for pick in (min, max)})
    return [*kept, points[-1]][-max(1, limit) :]


def draw_line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_label: str,
    window: tuple[float, float],
    y_format: Format,
    marks: Sequence[Mark] = (),
    from_zero: bool = False,
    width: int = WIDE,
) -> Markup:
    """Render the chart as one `<svg>` element.

    `window` is the visible range of the x axis: from the first to the last planned step, or a part of that.
    `from_zero` starts the y axis at 0, for amounts such as bytes.
    """
    x_span = _widen_window(window)
    seen = [(line, pieces) for line in series if (pieces := clip_to_window(line.points, x_span))]
    frame = build_live_frame(
        [line.label for line in series if line.label],
        [y for _, pieces in seen for piece in pieces for _, y in piece],
        x_span=x_span,
        y_format=y_format,
        from_zero=from_zero,
        width=width,
    )
    news = [line for line in series if line.measured and _find_latest(line)]
    body = [
        frame.render_axes(x_label, y_label),
        *(frame.render_mark(mark.x, mark.label) for mark in marks),
        *(
            frame.render_line(pieces, line.colour, dashed=line.dashed, faint=line.faint)
            for line, pieces in seen
        ),
        frame.end_labels([_end_label(line, pieces, y_format) for line, pieces in seen if line.label]),
        NO_HTML if news else frame.render_waiting(),
    ]
    said = _describe_latest(series, x_label, y_format) if news else "Waiting for the first step."
    return _render_svg(title, said, body, width)


def clip_to_window(points: Sequence[Point], window: tuple[float, float]) -> list[Piece]:
    """Return the unbroken pieces inside `window`, cut at its edges, together at most `MAX_POINTS` points."""
    pieces = [cut for piece in _split_unbroken(points) if (cut := _clip_piece(piece, window))]
    total = sum(map(len, pieces))
    if total <= MAX_POINTS:
        return pieces
    shares = [(piece, MAX_POINTS * len(piece) // total) for piece in pieces]
    return [thin_points(piece, limit=share) for piece, share in shares if share]


def _split_unbroken(points: Sequence[Point]) -> Iterator[Piece]:
    piece: Piece = []
    for point in points:
        if _is_number(point):
            piece.append(point)
        elif piece:
            yield piece
            piece = []
    if piece:
        yield piece


def _is_number(point: Point) -> bool:
    return all(math.isfinite(value) and abs(value) < LARGEST for value in point)


def _clip_piece(piece: Piece, window: tuple[float, float]) -> Piece:
    """Return the part inside, with new end points where the line crosses an edge."""
    low, high = window
    inside = [point for point in piece if low <= point[0] <= high]
    for before, after in pairwise(piece):
        if before[0] < low < after[0]:
            inside.insert(0, _interpolate(before, after, low))
        if before[0] < high < after[0]:
            inside.append(_interpolate(before, after, high))
    return inside


def _interpolate(before: Point, after: Point, x: float) -> Point:
    share = (x - before[0]) / (after[0] - before[0])
    return x, before[1] + share * (after[1] - before[1])


def _widen_window(window: tuple[float, float]) -> tuple[float, float]:
    """Return a range with a positive width, whatever the caller passed."""
    low, high = window
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _find_latest(line: Series) -> Point | None:
    """Return the last point that is a number."""
    return next((point for point in reversed(line.points) if _is_number(point)), None)


def _end_label(line: Series, pieces: Sequence[Piece], y_format: Format) -> EndLabel:
    end = pieces[-1][-1]
    return EndLabel(name=line.label, value=y_format(end[1]), at=end, colour=line.colour, dot=line.measured)


def _describe_latest(series: Sequence[Series], x_label: str, y_format: Format) -> str:
    """Return `Latest: loss 2.31 at step 14; peak 525 MB at step 14. Computed beforehand: 527 MB.`"""
    latest = [(line, point) for line in series if line.label and (point := _find_latest(line))]
    measured = [f"{line.label} {y_format(y)} at {x_label} {x:g}" for line, (x, y) in latest if line.measured]
    computed = [f"{line.label} {y_format(y)}" for line, (_, y) in latest if not line.measured]
    sentences = [f"Latest: {'; '.join(measured)}." if measured else ""]
    sentences.append(f"Computed beforehand: {'; '.join(computed)}." if computed else "")
    return " ".join(sentence for sentence in sentences if sentence)


def _render_svg(title: str, said: str, body: Sequence[Markup], width: int) -> Markup:
    """Render the `<svg>`, named for screen readers; the page sets its width, its aspect ratio is fixed."""
    return render_element(
        "svg",
        render_element("title", escape(title)),
        render_element("desc", escape(said)),
        *body,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {HEIGHT}",
        width="100%",
        role="img",
        aria_label=f"{title}. {said}",
        font_size=TEXT_SIZE,
        style="display:block;font-variant-numeric:tabular-nums",
    )
