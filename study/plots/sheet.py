"""The drawing surface of a chart: a matplotlib figure addressed in points from its top left corner.

One point is one SVG unit, so 12-point text is 12/504 of a 7-inch chart's width wherever it is shown.
Margins are fixed because matplotlib's layout engines cost more time than all the drawing.
"""

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

# matplotlib takes a second to import, so only the functions that draw import it, not the start-up.
if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS_PER_INCH = 72
WIDE_INCHES = 7.0
NARROW_INCHES = 4.2  # a phone shows its 302 points at 390 px, so 12-point text is 14 px there
NARROW_BELOW_POINTS = 400.0

INK = "#1d2329"  # replaced by `currentColor` on a page
PAPER = "#ffffff"  # replaced by the page's own background
SOFT = 0.78  # opacity of secondary text: more than 4.5 : 1 on paper and on the dark page
FAINT = 0.16  # opacity of grid lines

TITLE_SIZE, TEXT_SIZE = 14.0, 12.0
TITLE_LEADING, TEXT_LEADING = 18.0, 15.0
EDGE = 6.0  # margin on all sides
LABEL_GAP = 3.5  # between two labels in a row: a space is 3.8 wide

RC_PARAMS: dict[str, Any] = {
    "svg.fonttype": "none",  # text remains text: selectable, scalable, small
    "svg.hashsalt": "lora-study",  # equal charts have equal bytes; render.py makes ids unique on a page
    "font.family": "sans-serif",
    "hatch.linewidth": 0.6,
    "path.simplify": False,
    "axes.unicode_minus": True,
}

# matplotlib's settings and font cache are per process, and many threads serve pages.
_ONE_AT_A_TIME = threading.RLock()

# Spaces at which a line may break: "rank 8", "381 tokens" and "1.78 %" are not split.
_BREAK = re.compile(
    r"(?<!\b[Rr]ank)(?<!\bbatch)(?<!\brow)(?<!\bto) "
    r"(?!(?:%|B|kB|MB|GB|s|ms|tokens|times|steps|seeds|threads)(?:\W|$))"
)

Align = Literal["left", "center", "right"]


@contextmanager
def apply_drawing_style() -> Iterator[None]:
    """Apply the settings under which charts are drawn and saved; one thread at a time."""
    import matplotlib

    with _ONE_AT_A_TIME, matplotlib.rc_context(RC_PARAMS):
        yield


class Sheet:
    """A figure addressed in points, with y downwards as in SVG."""

    def __init__(self, figure: "Figure") -> None:
        self.figure = figure
        self.width, self.height = (float(side) * POINTS_PER_INCH for side in figure.get_size_inches())

    @property
    def narrow(self) -> bool:
        """Whether the space next to the plot is too narrow for labels."""
        return self.width < NARROW_BELOW_POINTS

    def draw_text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        align: Align = "left",
        size: float = TEXT_SIZE,
        bold: bool = False,
        soft: bool = False,
        colour: str = INK,
    ) -> None:
        """Draw one line with its baseline at `y`. No math mode: a model's name may contain a dollar sign."""
        self.figure.text(
            x / self.width,
            1 - y / self.height,
            words,
            ha=align,
            va="baseline",
            fontsize=size,
            fontweight="bold" if bold else "normal",
            color=colour,
            alpha=SOFT if soft else None,
            parse_math=False,
        )

    def draw_paragraph(self, y: float, words: str, *, title: bool = False) -> float:
        """Draw wrapped lines from `y` down over the whole width; return the baseline of the next line."""
        size, leading = (TITLE_SIZE, TITLE_LEADING) if title else (TEXT_SIZE, TEXT_LEADING)
        for line in wrap_text(words, self.width - 2 * EDGE, size=size, bold=title):
            self.draw_text(EDGE, y, line, size=size, bold=title, soft=not title)
            y += leading
        return y

    def draw_line(self, xs: Sequence[float], ys: Sequence[float], **style: Any) -> None:
        """Draw a line, or with `marker=` a mark, anywhere on the sheet."""
        from matplotlib.lines import Line2D

        across, down = [x / self.width for x in xs], [1 - y / self.height for y in ys]
        self.figure.add_artist(Line2D(across, down, transform=self.figure.transFigure, **style))

    def draw_shape(self, *outlines: Sequence[tuple[float, float]], **look: Any) -> None:
        """Draw closed shapes anywhere on the sheet, as one path because that takes a tenth of the time."""
        from matplotlib.patches import PathPatch
        from matplotlib.path import Path

        paths = [
            Path([(x / self.width, 1 - y / self.height) for x, y in (*corners, corners[0])], closed=True)
            for corners in outlines
        ]
        if paths:
            whole = Path.make_compound_path(*paths)
            self.figure.add_artist(PathPatch(whole, transform=self.figure.transFigure, **look))


def measure_text_width(words: str, *, size: float = TEXT_SIZE, bold: bool = False) -> float:
    """Return a line's width in points in the downloaded picture; a browser's font is a little narrower."""
    return _measure_one_point(words, bold) * size


@lru_cache(maxsize=4096)
def _measure_one_point(words: str, bold: bool) -> float:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    with _ONE_AT_A_TIME:
        font = get_font(findfont(FontProperties(family="sans-serif", weight="bold" if bold else "normal")))
        font.set_size(100, POINTS_PER_INCH)
        font.set_text(words)
        width, _ = font.get_width_height()  # in 64ths of a point
    return float(width) / 6400


def wrap_text(words: str, width: float, *, size: float = TEXT_SIZE, bold: bool = False) -> list[str]:
    """Wrap into as few lines as `width` allows, then as evenly as possible; a number stays with its unit."""
    chunks = _BREAK.split(words)
    widths = [measure_text_width(chunk, size=size, bold=bold) for chunk in chunks]
    space = measure_text_width(" ", size=size, bold=bold)
    lines = _fill_lines(chunks, widths, space, width)
    narrowest = (sum(widths) + space * len(chunks)) / len(lines)
    for step in range(8):
        evener = _fill_lines(chunks, widths, space, narrowest + (width - narrowest) * step / 8)
        if len(evener) == len(lines):
            return evener
    return lines


def _fill_lines(chunks: Sequence[str], widths: Sequence[float], space: float, room: float) -> list[str]:
    """Fill lines greedily up to `room`; a wider chunk gets a line of its own."""
    lines, taken = [chunks[0]], widths[0]
    for chunk, width in zip(chunks[1:], widths[1:], strict=True):
        if taken + space + width <= room:
            lines[-1] += f" {chunk}"
            taken += space + width
        else:
            lines.append(chunk)
            taken = width
    return lines


def shorten_text(words: str, width: float) -> str:
    """Return the words, or their beginning and an ellipsis when they are wider than `width`."""
    if measure_text_width(words) <= width:
        return words
    kept = words
    while kept and measure_text_width(f"{kept}…") > width:
        kept = kept[:-1]
    return f"{kept.rstrip()}…"


def choose_fitting(positions: Sequence[float], widths: Sequence[float], *, first: Sequence[int]) -> list[int]:
    """Return the centred labels that fit in a row without touching: those in `first`, then from the right."""
    kept: list[int] = []
    for index in (*first, *reversed(range(len(positions)))):
        clear = (
            abs(positions[index] - positions[other]) >= (widths[index] + widths[other]) / 2 + LABEL_GAP
            for other in kept
        )
        if index not in kept and all(clear):
            kept.append(index)
    return kept
