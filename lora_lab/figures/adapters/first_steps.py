"""B and A of one matrix over the first steps of a recorded run: B is empty at the start and fills."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from lora_lab.charts.drawing import draw_box, draw_hatched, draw_words, render_drawing
from lora_lab.charts.svg import format_number, render_element
from lora_lab.figures.recorded import ROUNDED_BEFORE, describe_recording, read_recording
from study.base.html import join_html
from study.base.units import as_percent
from study.figures.controls import define_slider
from study.figures.figure import FigureTable, FigureView, build_computed_origin

LAST_STEP = 10
PARTS = 24
"""The long sides of B and A are drawn in this many equal parts; the embedded model's 576 are 24 each."""

FRESH = 0
SIDE = 168.0
CELL = SIDE / PARTS
A_LONG = 116.0  # as much as is left of the width
TOP = 44.0
LINE = 17.0


@dataclass(frozen=True, kw_only=True)
class FirstStepsSettings:
    steps: int = define_slider(
        "Steps trained", default=LAST_STEP, stops=tuple(range(LAST_STEP + 1)), only_stops=True
    )


def read_snapshot(steps: int) -> dict[str, Any]:
    """Return the recording after `steps` steps; its keys are in worker/record/first_steps.py."""
    found: dict[str, Any] = read_recording("first-steps")["snapshots"][steps]
    return found


def show(settings: FirstStepsSettings) -> FigureView:
    kept, taken = read_recording("first-steps"), read_snapshot(settings.steps)
    rank, alpha = kept["rank"], kept["alpha"]
    share = _as_share(taken["update_over_base"])
    return FigureView(
        finding=_say_finding(taken),
        numbers=(
            ("scale, alpha / r", f"{alpha:g} / {rank} = {alpha / rank:g}"),
            ("B·A, scaled, beside W", share),
            ("A has moved by", _as_share(taken["a_moved"])),
        ),
        picture=_draw_picture(taken),
        alt=(
            f"After {settings.steps} of {LAST_STEP} steps: B, tall and orange, with {PARTS} × {rank} cells, "
            f"{'all empty' if settings.steps == FRESH else 'filled by the size of their numbers'}; A, flat "
            f"and blue, is full from the start and has moved by {_as_share(taken['a_moved'])}. Their scaled "
            f"product is {share} of W's size."
        ),
        origins=(
            describe_recording(
                "first-steps",
                f"{kept['matrix']} of layer {kept['layer']} of SmolLM2-135M-Instruct, trained on the app's "
                "own cards. A cell is the root mean square of 24 numbers, with more colour the larger it is.",
                settings=f"{kept['bits']}, rank {rank}, alpha {alpha:g}, all linear layers, batch "
                f"{kept['batch']}, learning rate {kept['learning_rate']:g}, seed {kept['seed']}. "
                f"{ROUNDED_BEFORE}",
            ),
            build_computed_origin(
                "sizes are Frobenius norms", formula="||alpha / r · B·A|| / ||W|| and ||A - A₀|| / ||A₀||"
            ),
        ),
        table=FigureTable(
            columns=("steps", "norm of B", "A moved by", "B·A beside W"),
            rows=tuple(
                (
                    str(one["step"]),
                    f"{one['b_norm']:.3g}",
                    _as_share(one["a_moved"]),
                    _as_share(one["update_over_base"]),
                )
                for one in kept["snapshots"]
            ),
        ),
    )


def _say_finding(taken: dict[str, Any]) -> str:
    share = _as_share(taken["update_over_base"])
    match taken["step"]:
        case 0:
            return "Before training, B is all zeros, so B·A is zero, whatever stands in A: W alone answers."
        case 1 if not taken["a_moved"]:
            return (
                f"After 1 step, B holds numbers, and A is still what it was: a zero B passed no gradient on "
                f"to it. The scaled product is {share} of W's size."
            )
        case step:
            plural = "step" if step == 1 else "steps"
            return (
                f"After {step} {plural}, A moves too, by {_as_share(taken['a_moved'])} so far. The scaled "
                f"product is {share} of W's size."
            )


def _as_share(share: float) -> str:
    return as_percent(100 * share) if share else "0 %"


def _draw_picture(taken: dict[str, Any]) -> Markup:
    """Draw W, B and A of the matrix; the strips' thin sides are larger than to scale, so that cells show."""
    last = read_snapshot(LAST_STEP)
    rank = len(taken["a"])
    x_w, thin = 8.0, rank * CELL
    x_b = x_w + SIDE + 30
    x_a = x_b + thin + 12
    below = TOP + SIDE + 22
    return render_drawing(
        below + 2 * LINE,
        draw_words(x_w, 16, "W, frozen", bold=True),
        draw_hatched(x_w, TOP, SIDE, SIDE),
        draw_words(x_w + SIDE + 15, TOP + SIDE / 2 + 5, "+", anchor="middle", bold=True),
        draw_words(x_b, 16, "B", bold=True),
        draw_words(x_a, 16, "A", bold=True),
        draw_box(x_b, TOP, thin, SIDE, "outline"),
        draw_box(x_a, TOP, A_LONG, thin, "outline"),
        _draw_cells(taken["b"], last["b"], x_b, width=CELL, look="b"),
        _draw_cells(taken["a"], last["a"], x_a, width=A_LONG / PARTS, look="a"),
        draw_words(x_w, below, f"After {taken['step']} of {LAST_STEP} steps"),
        draw_words(x_w, below + LINE, "More colour means larger numbers; not to scale.", soft=True),
    )


def _draw_cells(
    sizes: Sequence[Sequence[float]], last: Sequence[Sequence[float]], x: float, *, width: float, look: str
) -> Markup:
    """Draw one cell per size, as opaque as the size is beside the largest one after the last step."""
    largest = max(max(row) for row in last)
    return join_html(
        render_element(
            "rect", x=x + column * width, y=TOP + row * CELL, width=width, height=CELL, class_=look,
            fill_opacity=format_number(min(1.0, size / largest)), stroke="none",
        )
        for row, sizes_of_row in enumerate(sizes)
        for column, size in enumerate(sizes_of_row)
        if size
    )  # fmt: skip
