"""The levels of NF4, FP4, int4 and int8 as number lines, under the histogram of a real matrix."""

from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from lora_lab.charts.drawing import Scale, draw_box, draw_line, draw_words, render_drawing
from lora_lab.figures.matrices import FIRST, Matrix, list_matrix_options, read_matrices
from lora_lab.figures.recorded import ROUNDED_BEFORE, describe_recording
from lora_lab.memory.ledger import BLOCK_SIZE
from lora_lab.parameters.quantization_levels import LEVELS
from study.base.html import join_html
from study.base.units import as_percent
from study.figures.controls import define_choice
from study.figures.figure import FigureTable, FigureView, build_computed_origin

NAMES = {"nf4": "NF4", "fp4": "FP4", "int4": "int4", "int8": "int8"}
X = Scale(low=-1, high=1, start=44, end=392)
TOP, BOTTOM = 14.0, 150.0
FIRST_LINE, LINE_GAP, TICK = 174.0, 27.0, 9.0


@dataclass(frozen=True, kw_only=True)
class SchemeSettings:
    scheme: str = define_choice("Levels of", list(NAMES.items()), default="nf4")
    matrix: str = define_choice("Matrix", list_matrix_options, default=FIRST)


@dataclass(frozen=True, kw_only=True)
class SchemeNumbers:
    scheme: str
    levels: tuple[float, ...]
    widest_gap: float
    narrowest_gap: float
    error_percent: float
    """||W - decoded|| / ||W|| with blocks of 64."""


def compute_numbers(scheme: str, matrix: Matrix) -> SchemeNumbers:
    """Return the levels from the lab's table, with the measured error."""
    levels = LEVELS[scheme]
    gaps = [high - low for low, high in pairwise(levels)]
    return SchemeNumbers(
        scheme=scheme,
        levels=levels,
        widest_gap=max(gaps),
        narrowest_gap=min(gaps),
        error_percent=100 * matrix.errors[scheme][str(BLOCK_SIZE)],
    )


def show(settings: SchemeSettings) -> FigureView:
    matrix = read_matrices()[settings.matrix]
    every = [compute_numbers(scheme, matrix) for scheme in NAMES]
    found = next(one for one in every if one.scheme == settings.scheme)
    best = min((one for one in every if len(one.levels) <= 16), key=lambda found: found.error_percent)
    name = NAMES[found.scheme]
    error = as_percent(found.error_percent)
    if found is best:
        compared = f"{error}, the smallest of the 4-bit schemes."
    else:
        smallest = as_percent(best.error_percent)
        compared = f"{error}. Of the 4-bit schemes, {NAMES[best.scheme]} has the smallest error, {smallest}."
    return FigureView(
        finding=(
            f"{name} has {len(found.levels)} values, and its relative error on these weights is {compared}"
        ),
        numbers=(
            ("values", str(len(found.levels))),
            ("narrowest gap", f"{found.narrowest_gap:.3g}"),
            ("widest gap", f"{found.widest_gap:.3g}"),
            ("relative error", as_percent(found.error_percent)),
        ),
        picture=_draw_picture(matrix, every, found),
        alt=(
            f"A histogram of {sum(matrix.counts):,} weights of {matrix.name}, each divided by the largest of "
            f"its block of {BLOCK_SIZE}: a hill around zero. Below it four number lines; {name} has "
            f"{len(found.levels)} values, {found.narrowest_gap:.3g} to {found.widest_gap:.3g} apart."
        ),
        origins=(
            describe_recording(
                "weights", f"Histogram and errors: {matrix.name}, blocks of {BLOCK_SIZE}. {ROUNDED_BEFORE}"
            ),
            build_computed_origin(
                text=(
                    "levels: NF4 from arXiv:2305.14314 appendix E, FP4 as in bitsandbytes, int4 and int8 "
                    "evenly spaced"
                ),
            ),
        ),
        table=FigureTable(
            columns=("scheme", "values", "narrowest gap", "widest gap", "relative error"),
            rows=tuple(
                (
                    NAMES[one.scheme],
                    str(len(one.levels)),
                    f"{one.narrowest_gap:.3g}",
                    f"{one.widest_gap:.3g}",
                    as_percent(one.error_percent),
                )
                for one in every
            ),
        ),
    )


def _draw_picture(matrix: Matrix, every: list[SchemeNumbers], found: SchemeNumbers) -> Markup:
    counts = matrix.counts
    width = (X.end - X.start) / len(counts)
    # The outermost bins rise above the hill, because every block has its largest weight at -1 or 1.
    most = max(counts)
    bars = join_html(
        draw_box(X.start + at * width, BOTTOM - (BOTTOM - TOP) * count / most, width - 0.6,
            (BOTTOM - TOP) * count / most, "w")
        for at, count in enumerate(counts)
    )  # fmt: skip
    through = join_html(
        draw_line([(X(level), TOP), (X(level), BOTTOM)], "line good thin") for level in found.levels
    )
    lines = join_html(_draw_line(at, one, chosen=one is found) for at, one in enumerate(every))
    end = FIRST_LINE + LINE_GAP * len(every)
    ticks = join_html(
        draw_words(X(value), end + 4, label, anchor="middle", soft=True)
        for value, label in ((-1, "−1"), (-0.5, "−0.5"), (0, "0"), (0.5, "0.5"), (1, "1"))
    )
    label = draw_words(
        (X.start + X.end) / 2, end + 22, "weight / largest of its block", anchor="middle", soft=True
    )
    return render_drawing(end + 30, bars, through, lines, ticks, label)


def _draw_line(at: int, one: SchemeNumbers, *, chosen: bool) -> Markup:
    y = FIRST_LINE + LINE_GAP * at
    ticks = [draw_line([(X(level), y - TICK), (X(level), y + TICK)], "line good" if chosen else "line w")
             for level in one.levels]  # fmt: skip
    return (
        draw_words(4, y + 4, NAMES[one.scheme], bold=chosen, soft=not chosen)
        + draw_line([(X.start, y), (X.end, y)], "rule")
        + join_html(ticks)
    )
