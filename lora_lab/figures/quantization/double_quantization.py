"""Double quantization as arithmetic that unfolds line by line."""

from dataclasses import dataclass

from markupsafe import Markup

from lora_lab.charts.drawing import Scale, draw_box, draw_hatched, draw_line, draw_words, render_drawing
from lora_lab.figures.models import list_all_models
from lora_lab.memory.ledger import (
    BLOCK_SIZE,
    BLOCK_SIZES,
    NESTED_BLOCK_SIZE,
    compute_constant_bytes,
    compute_overhead_bits,
)
from lora_lab.papers.tables import find_printed
from lora_lab.parameters.shapes import find_shape
from study.base.html import join_html
from study.base.units import as_bytes, as_percent
from study.figures.controls import define_choice, define_slider
from study.figures.figure import FigureView, Origin, build_computed_origin

LEADING = 20.0


@dataclass(frozen=True, kw_only=True)
class DoubleQuantizationSettings:
    lines: int = define_slider("Lines of the arithmetic", 1, 5, default=5)
    block_size: int = define_slider(
        "Weights in a block", default=BLOCK_SIZE, stops=BLOCK_SIZES, only_stops=True
    )
    model: str = define_choice("Model", list_all_models, default="llama-65b")


@dataclass(frozen=True, kw_only=True)
class DoubleQuantizationNumbers:
    """Bits per weight for constants, and what the model saves."""

    single: float
    first: float
    """The 8-bit codes of the constants, in bits per weight."""

    second: float
    """The 32-bit constants of those codes, in bits per weight."""

    saved_bytes: int
    """For blocks of 64, as bitsandbytes stores them."""

    @property
    def double(self) -> float:
        """Bits per weight with double quantization."""
        return self.first + self.second

    @property
    def saved(self) -> float:
        """Bits per weight saved by double quantization."""
        return self.single - self.double


def compute_numbers(settings: DoubleQuantizationSettings) -> DoubleQuantizationNumbers:
    """Compute the overhead with the lab's memory functions."""
    size, shape = settings.block_size, find_shape(settings.model)
    double = compute_overhead_bits(double_quantization=True, block_size=size)
    first = 8 / size
    return DoubleQuantizationNumbers(
        single=compute_overhead_bits(double_quantization=False, block_size=size),
        first=first,
        second=double - first,
        saved_bytes=compute_constant_bytes(shape, "nf4") - compute_constant_bytes(shape, "nf4-dq"),
    )


def show(settings: DoubleQuantizationSettings) -> FigureView:
    found = compute_numbers(settings)
    arithmetic = _write_arithmetic(settings, found)[: settings.lines]
    return FigureView(
        finding=(
            f"Constants need {found.single:.4g} bits per weight in blocks of {settings.block_size:,}, and "
            f"{found.double:.4g} once they are quantized themselves: {found.saved:.4g} bits less."
        ),
        numbers=(
            ("single", f"{found.single:.6g} bits"),
            ("double", f"{found.double:.6g} bits"),
            ("saved", f"{found.saved:.6g} bits"),
            (f"saved in {settings.model}, blocks of 64", as_bytes(found.saved_bytes)),
        ),
        picture=_draw_picture(settings, found, arithmetic),
        alt=" ".join(f"{left} = {right}." for left, right in arithmetic),
        origins=(
            build_computed_origin(
                text="arXiv:2305.14314 section 3, and bytes as bitsandbytes stores them, tables included",
                formula=(
                    f"32/{settings.block_size} - (8/{settings.block_size} + 32/({settings.block_size} × 256))"
                ),
            ),
            Origin(kind="published", text=_as_published()),
        ),
    )


def _as_published() -> str:
    rows = (
        "Bits per weight for constants, blocks of 64",
        "The same with double quantization",
        "Saving, bits per weight",
    )
    single, double, saved = (find_printed("qlora-memory", row).printed for row in rows)
    return f"{single} and {double} bits, {saved} saved: arXiv:2305.14314 section 3"


def _write_arithmetic(
    settings: DoubleQuantizationSettings, found: DoubleQuantizationNumbers
) -> list[tuple[str, str]]:
    size, nested = settings.block_size, NESTED_BLOCK_SIZE
    share = as_percent(100 * found.saved / found.single)
    return [
        (f"one 32-bit constant for {size:,} weights: 32 / {size}", f"{found.single:.6g} bits per weight"),
        (f"the constant as an 8-bit code: 8 / {size}", f"{found.first:.6g}"),
        (f"one 32-bit constant for {nested} codes: 32 / ({size} × {nested})", f"{found.second:.6g}"),
        (f"both: {found.first:.6g} + {found.second:.6g}", f"{found.double:.6g} bits per weight"),
        (f"saved: {found.single:.6g} - {found.double:.6g}", f"{found.saved:.6g} ({share})"),
    ]  # fmt: skip


def _draw_picture(
    settings: DoubleQuantizationSettings, found: DoubleQuantizationNumbers, arithmetic: list[tuple[str, str]]
) -> Markup:
    """Render the arithmetic, then both overheads to scale; the second bar appears with its lines."""
    across = Scale(low=0, high=found.single, start=8, end=392)
    lines = join_html(
        draw_words(8, 20 + 2 * LEADING * at, left, soft=True)
        + draw_words(8, 37 + 2 * LEADING * at, f"= {right}", bold=True)
        for at, (left, right) in enumerate(arithmetic)
    )
    y = 20 + 2 * LEADING * len(arithmetic)
    bars = draw_words(8, y, "constants, single", soft=True) + draw_hatched(
        8, y + 6, across(found.single) - 8, 20
    )
    if len(arithmetic) >= 2:
        edge = across(found.first)
        bars += draw_words(8, y + 44, "constants, double: green codes and their constants", soft=True)
        bars += draw_box(8, y + 50, edge - 8, 20, "good")
    if len(arithmetic) >= 3:
        bars += draw_box(edge, y + 50, max(1.5, across(found.double) - edge), 20, "ink")
    if len(arithmetic) >= 5:
        end = across(found.double) + 4
        bars += draw_line([(end, y + 60), (392, y + 60)], "line ink dashed")
        bars += draw_words(392, y + 86, f"saved {found.saved:.4g}", anchor="end", bold=True)
    return render_drawing(y + 92, lines, bars)
