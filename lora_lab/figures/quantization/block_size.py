"""Block size against stored bits and error: smaller blocks cost constants and reduce the error."""

from dataclasses import dataclass
from typing import cast

from markupsafe import Markup

from lora_lab.charts.drawing import build_chart, draw_beside, draw_dots, draw_line, render_drawing
from lora_lab.figures.matrices import FIRST, Matrix, list_matrix_options, read_matrices
from lora_lab.figures.recorded import ROUNDED_BEFORE, describe_recording
from lora_lab.memory.ledger import BLOCK_SIZE, BLOCK_SIZES, bits_per_param
from lora_lab.spec import BITS_LABELS, Bits
from study.base.units import as_percent
from study.figures.controls import define_choice, define_slider
from study.figures.figure import FigureTable, FigureView, build_computed_origin

SCHEMES: tuple[Bits, ...] = ("nf4", "nf4-dq", "fp4")
HEIGHT = 260


@dataclass(frozen=True, kw_only=True)
class BlockSizeSettings:
    block_size: int = define_slider(
        "Weights in a block", default=BLOCK_SIZE, stops=BLOCK_SIZES, only_stops=True
    )
    scheme: str = define_choice("Scheme", [(bits, BITS_LABELS[bits]) for bits in SCHEMES], default="nf4")
    matrix: str = define_choice("Matrix", list_matrix_options, default=FIRST)


@dataclass(frozen=True, kw_only=True)
class BlockSizeNumbers:
    size: int
    bits: float
    error_percent: float


def compute_numbers(scheme: str, size: int, matrix: Matrix) -> BlockSizeNumbers:
    """Compute bits per weight from the formula; take the error from the measurement."""
    return BlockSizeNumbers(
        size=size,
        bits=bits_per_param(cast(Bits, scheme), block_size=size),
        error_percent=100 * matrix.errors[scheme][str(size)],
    )


def show(settings: BlockSizeSettings) -> FigureView:
    matrix = read_matrices()[settings.matrix]
    every = [compute_numbers(settings.scheme, size, matrix) for size in BLOCK_SIZES]
    found = next(one for one in every if one.size == settings.block_size)
    usual = next(one for one in every if one.size == BLOCK_SIZE)
    beside = (
        f" Blocks of {BLOCK_SIZE} need {usual.bits:.4g} bits, with an error of "
        f"{as_percent(usual.error_percent)}."
        if found is not usual
        else " This is the usual size."
    )
    return FigureView(
        finding=(
            f"In blocks of {found.size:,}, a weight needs {found.bits:.4g} bits, and the matrix has a "
            f"relative error of {as_percent(found.error_percent)}.{beside}"
        ),
        numbers=(
            ("bits per weight", f"{found.bits:.4f}".rstrip("0").rstrip(".")),
            ("of these for constants", f"{found.bits - 4:.4f}".rstrip("0").rstrip(".")),
            ("relative error", as_percent(found.error_percent)),
        ),
        picture=_draw_picture(every, found),
        alt=(
            f"Error against stored bits for blocks of {BLOCK_SIZES[0]} to {BLOCK_SIZES[-1]:,}: from "
            f"{every[0].bits:.4g} bits and {as_percent(every[0].error_percent)} to {every[-1].bits:.4g} bits "
            f"and {as_percent(every[-1].error_percent)}. Chosen: {found.size:,}, {found.bits:.4g} bits, "
            f"{as_percent(found.error_percent)}."
        ),
        origins=(
            describe_recording("weights", f"Error ||W - decoded|| / ||W||: {matrix.name}. {ROUNDED_BEFORE}"),
            build_computed_origin(text="stored bits per weight", formula=_write_formula(settings)),
        ),
        table=FigureTable(
            columns=("block", "bits", "error"),
            rows=tuple((f"{one.size:,}", f"{one.bits:.4f}", as_percent(one.error_percent)) for one in every),
        ),
    )


def _write_formula(settings: BlockSizeSettings) -> str:
    if settings.scheme == "nf4-dq":
        return f"4 + 8 / {settings.block_size} + 32 / ({settings.block_size} × 256)"
    return f"4 + 32 / {settings.block_size}"


def _draw_picture(every: list[BlockSizeNumbers], found: BlockSizeNumbers) -> Markup:
    bits, errors = [one.bits for one in every], [one.error_percent for one in every]
    frame = build_chart(
        x_span=(4, max(bits) * 1.01), y_span=(min(errors), max(errors)),
        x_label="stored bits per weight", y_label="relative error, %", height=HEIGHT, right=24,
    )  # fmt: skip
    points = frame.map_points((one.bits, one.error_percent) for one in every)
    x, y = frame.map_points([(found.bits, found.error_percent)])[0]
    return render_drawing(
        HEIGHT,
        frame.render_axes(),
        draw_line(points, "line w"),
        draw_dots(points, "w"),
        draw_dots([(x, y)], "good", radius=7),
        draw_beside(x, y - 8, f"blocks of {found.size:,}", gap=12, left=x > 280, bold=True),
    )
