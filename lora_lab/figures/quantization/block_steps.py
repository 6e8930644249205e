"""One block of 64 real weights through 4-bit quantization, step by step."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from lora_lab.charts.drawing import Scale, draw_box, draw_dots, draw_line, draw_words, render_drawing
from lora_lab.figures.matrices import read_matrices
from lora_lab.figures.quantization.number_lines import NAMES
from lora_lab.figures.recorded import ROUNDED_BEFORE, describe_recording
from lora_lab.memory.ledger import BLOCK_SIZE
from lora_lab.parameters.quantization_levels import LEVELS, encode_level, find_nearest
from study.base.units import write_minus
from study.figures.controls import define_choice, define_slider
from study.figures.figure import FigureTable, FigureView, build_computed_origin

FOUR_BIT = ("nf4", "fp4", "int4")
X = Scale(low=-1, high=1, start=14, end=386)
MIDDLE, REACH, LINE_AT = 96.0, 66.0, 214.0

BITSANDBYTES = "the six steps and the code, as in bitsandbytes"
STEPS_OF = {
    "nf4": BITSANDBYTES,
    "fp4": f"{BITSANDBYTES}; FP4's bits are sign, exponent and fraction, so its codes don't rise with the "
    "level",
    "int4": "the six steps with 15 evenly spaced levels, numbered from the lowest; bitsandbytes can't "
    "store these",
}


def list_block_options() -> list[tuple[str, str]]:
    return [
        (f"{key}-{number}", f"{matrix.name}, block {block['number'] + 1:,}")
        for key, matrix in read_matrices().items()
        for number, block in enumerate(matrix.blocks)
    ]


@dataclass(frozen=True, kw_only=True)
class BlockStepsSettings:
    weight: int = define_slider("Weight number", 1, BLOCK_SIZE, default=4)
    scheme: str = define_choice("Levels of", [(scheme, NAMES[scheme]) for scheme in FOUR_BIT], default="nf4")
    block: str = define_choice("Block", list_block_options, default="0-q-0")


@dataclass(frozen=True, kw_only=True)
class Coded:
    """One weight through all steps."""

    weight: float
    scaled: float
    code: int
    """The stored 4-bit number that stands for its level."""

    level: float
    decoded: float

    @property
    def error(self) -> float:
        """The decoded value minus the weight."""
        return self.decoded - self.weight


def encode_block(weights: Sequence[float], scheme: str) -> tuple[float, list[Coded]]:
    """Return the block's absmax, and every weight scaled by it, rounded to a level and scaled back."""
    levels, absmax = LEVELS[scheme], max(map(abs, weights))
    steps = []
    for weight in weights:
        scaled = weight / absmax
        position = find_nearest(scaled, levels)
        level = levels[position]
        steps.append(
            Coded(
                weight=weight,
                scaled=scaled,
                code=encode_level(scheme, position),
                level=level,
                decoded=level * absmax,
            )
        )
    return absmax, steps


def read_block_weights(block: str) -> Sequence[float]:
    key, _, number = block.rpartition("-")
    found: Sequence[float] = read_matrices()[key].blocks[int(number)]["weights"]
    return found


def show(settings: BlockStepsSettings) -> FigureView:
    absmax, steps = encode_block(read_block_weights(settings.block), settings.scheme)
    one = steps[settings.weight - 1]
    name = dict(list_block_options())[settings.block]
    scheme = NAMES[settings.scheme]
    distinct = len({step.code for step in steps})
    return FigureView(
        finding=(
            f"Weight {settings.weight} is {_format(one.weight)}. Divided by {absmax:.4g} it is "
            f"{_format(one.scaled, '.4f')}, the nearest level is {_format(one.level, '.4f')} with code "
            f"{one.code}, and decoding gives {_format(one.decoded)}: an error of "
            f"{_format(one.error, '+.3g')}."
        ),
        numbers=(
            ("1 largest magnitude", f"{absmax:.4g}"),
            ("2 scaled", _format(one.scaled, ".4f")),
            ("3 nearest level", _format(one.level, ".4f")),
            ("4 code", f"{one.code} ({one.code:04b})"),
            ("5 decoded", _format(one.decoded)),
            ("6 error", _format(one.error, "+.3g")),
        ),
        picture=_draw_picture(absmax, steps, settings),
        alt=(
            f"{len(steps)} weights of {name} as bars, the largest magnitude {absmax:.4g}; {distinct} "
            "different codes. "
            f"Below, the levels of {scheme}: the scaled weight {_format(one.scaled, '.4f')} moves to "
            f"{_format(one.level, '.4f')}."
        ),
        origins=(
            describe_recording("weights", f"The weights: {name}, SmolLM2-135M-Instruct. {ROUNDED_BEFORE}"),
            build_computed_origin(
                text=STEPS_OF[settings.scheme],
                formula="code = nearest(w / absmax); decoded = level[code] × absmax",
            ),
        ),
        table=FigureTable(
            columns=("weight", "value", "scaled", "code", "decoded", "error"),
            rows=tuple(
                (
                    str(number),
                    _format(step.weight),
                    _format(step.scaled, ".4f"),
                    str(step.code),
                    _format(step.decoded),
                    _format(step.error, "+.2g"),
                )
                for number, step in enumerate(steps, start=1)
            ),
        ),
    )


def _draw_picture(absmax: float, steps: list[Coded], settings: BlockStepsSettings) -> Markup:
    one = steps[settings.weight - 1]
    width = (X.end - X.start) / len(steps)
    bars = []
    for number, step in enumerate(steps, start=1):
        height = REACH * step.scaled
        look = "good" if number == settings.weight else "w"
        bars.append(
            draw_box(
                X.start + (number - 1) * width, MIDDLE - max(0, height), width - 1, max(1, abs(height)), look
            )
        )
    levels = [
        draw_line([(X(level), LINE_AT - 8), (X(level), LINE_AT + 8)], "line w")
        for level in LEVELS[settings.scheme]
    ]
    scaled, level = X(one.scaled), X(one.level)
    late = scaled > 250
    return render_drawing(
        262,
        draw_words(4, 16, f"the {len(steps)} weights; dashed: ± {absmax:.4g}", soft=True),
        draw_line([(X.start, MIDDLE), (X.end, MIDDLE)], "axis"),
        draw_line([(X.start, MIDDLE - REACH), (X.end, MIDDLE - REACH)], "line ink dashed thin"),
        draw_line([(X.start, MIDDLE + REACH), (X.end, MIDDLE + REACH)], "line ink dashed thin"),
        *bars,
        draw_line([(X.start, LINE_AT), (X.end, LINE_AT)], "axis"),
        *levels,
        draw_line([(scaled, LINE_AT - 22), (level, LINE_AT - 10)], "line good"),
        draw_dots([(scaled, LINE_AT - 22)], "good"),
        draw_words(scaled + (-8 if late else 8), LINE_AT - 22, _format(one.scaled, ".4f"),
              anchor="end" if late else "start", bold=True),
        draw_words(level, LINE_AT + 24, f"code {one.code}", bold=True,
              anchor="start" if level < 40 else "end" if level > 360 else "middle"),
        draw_words(
            200, LINE_AT + 44, f"levels of {NAMES[settings.scheme]}, −1 to 1", anchor="middle", soft=True
        ),
    )  # fmt: skip


def _format(number: float, spec: str = ".4g") -> str:
    return write_minus(format(number, spec))
