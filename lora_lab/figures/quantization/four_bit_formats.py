"""The same 64 real weights in NF4, MXFP4 and NVFP4: bits per weight, scales and the error of each."""

from dataclasses import dataclass
from functools import cache

from markupsafe import Markup

from lora_lab.charts.drawing import Scale, draw_box, draw_line, draw_words, render_drawing
from lora_lab.figures.quantization.block_steps import list_block_options, read_block_weights
from lora_lab.figures.recorded import ROUNDED_BEFORE, describe_recording
from lora_lab.parameters.block_formats import FORMATS, compute_weight_error
from study.base.units import as_percent
from study.figures.controls import define_choice
from study.figures.figure import FigureTable, FigureView, build_computed_origin

X = Scale(low=0, high=64, start=10, end=390)
ROW, REACH = 84.0, 30.0


@dataclass(frozen=True, kw_only=True)
class FormatSettings:
    format: str = define_choice("Format", [(key, one.name) for key, one in FORMATS.items()], default="mxfp4")
    block: str = define_choice("Weights", list_block_options, default="0-q-0")


def error_percent(form: str, block: str) -> float:
    """Compute ||W - decoded|| / ||W|| of one recorded block, in percent."""
    weights = read_block_weights(block)
    return 100 * compute_weight_error(weights, FORMATS[form].decode(weights))


@cache
def compute_everywhere_percent(form: str) -> float:
    """Compute the same over all recorded blocks, which never change."""
    weights: list[float] = []
    decoded: list[float] = []
    for block, _ in list_block_options():
        weights += read_block_weights(block)
        decoded += FORMATS[form].decode(read_block_weights(block))
    return 100 * compute_weight_error(weights, decoded)


def show(settings: FormatSettings) -> FigureView:
    chosen, name = FORMATS[settings.format], dict(list_block_options())[settings.block]
    here = {form: error_percent(form, settings.block) for form in FORMATS}
    listed = ", ".join(f"{one.name} {as_percent(here[form])}" for form, one in FORMATS.items())
    return FigureView(
        finding=(
            f"{chosen.name} needs {chosen.bits:g} bits per weight and {64 // chosen.block_size} scale"
            f"{'s' if chosen.block_size < 64 else ''} for these 64 weights, with a relative error of "
            f"{as_percent(here[settings.format])}. All three: {listed}."
        ),
        numbers=(
            ("bits per weight", f"{chosen.bits:g}"),
            ("weights per scale", str(chosen.block_size)),
            ("error here", as_percent(here[settings.format])),
            ("error, all recorded blocks", as_percent(compute_everywhere_percent(settings.format))),
        ),
        picture=_draw_picture(settings),
        alt=(
            f"64 weights of {name} above what {chosen.name} stores for them, in groups of "
            f"{chosen.block_size} that share a scale. Errors: {listed}."
        ),
        origins=(
            describe_recording("weights", f"The weights: {name}, SmolLM2-135M-Instruct. {ROUNDED_BEFORE}"),
            build_computed_origin(
                text=(
                    "rounding by OCP Microscaling v1.0 section 6.3, arXiv:2509.25149 section 2 and "
                    "arXiv:2305.14314 section 3; for NVFP4 these 64 weights stand for the whole tensor"
                ),
                formula=f"4 + {chosen.scale_bits} / {chosen.block_size} = {chosen.bits:g} bits per weight",
            ),
        ),
        table=FigureTable(
            columns=("format", "bits per weight", "error here", "all recorded blocks"),
            rows=tuple(
                (
                    one.name,
                    f"{one.bits:g}",
                    as_percent(here[form]),
                    as_percent(compute_everywhere_percent(form)),
                )
                for form, one in FORMATS.items()
            ),
        ),
    )


def _draw_picture(settings: FormatSettings) -> Markup:
    weights = read_block_weights(settings.block)
    chosen = FORMATS[settings.format]
    decoded = chosen.decode(weights)
    largest = max(map(abs, weights)) * 1.05
    parts = []
    for at, (label, values, look) in enumerate(
        (("the weights", weights, "w"), (f"in {chosen.name}", decoded, "good"),
         ("the difference", [d - w for w, d in zip(weights, decoded, strict=True)], "bad"))
    ):  # fmt: skip
        middle = 24 + ROW * at + REACH
        parts.append(draw_words(X.start + 4, 16 + ROW * at, label, soft=True))
        parts.append(draw_line([(X.start, middle), (X.end, middle)], "axis"))
        for place, value in enumerate(values):
            height = REACH * value / largest
            parts.append(
                draw_box(X(place), middle - max(0.0, height), X(1) - X(0) - 1, max(0.6, abs(height)), look)
            )
    bottom = 24 + ROW * 2 + 2 * REACH
    for start in range(0, len(weights) + 1, chosen.block_size):
        parts.append(draw_line([(X(start) - 0.5, 20), (X(start) - 0.5, bottom)], "rule"))
    parts.append(
        draw_words(
            200,
            bottom + 18,
            f"upright lines: {chosen.block_size} weights share a scale",
            anchor="middle",
            soft=True,
        )
    )
    return render_drawing(bottom + 26, *parts)
