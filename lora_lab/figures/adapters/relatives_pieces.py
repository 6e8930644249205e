"""Which piece of LoRA each relative changes, in one picture: W, scale, B and A, what differs in a frame."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from markupsafe import Markup

from lora_lab.charts.drawing import LEADING, draw_box, draw_hatched, draw_line, draw_words, render_drawing
from study.base.html import NO_HTML, join_html
from study.figures.figure import Companion

TITLE = "What each one changes"
TOP, ROW, PITCH = 42.0, 60.0, 74.0
SIDE, THIN = 40.0, 10.0
"""Sides of W; the rank as it is drawn."""

WORDS_AT = 178.0
W_AT, SCALE_AT, B_AT, A_AT = 24.0, 94.0, 115.0, 128.0
"""Left edges, but the middle of the scale."""

PALE = " pale"


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method, and its change in lines short enough for the drawing."""

    name: str
    lines: tuple[str, ...]
    draw: Callable[[float], Markup]
    """Draws its pieces, their upper edge at the given height."""

    @property
    def sentence(self) -> str:
        return f"{self.name}: {' '.join(self.lines)}."


def build_companion() -> Companion:
    """Build the picture of all methods; no setting changes it."""
    drawn = [
        draw_words(8, 14, "Hatched: frozen. In colour: trained.", soft=True),
        draw_words(8, 30, "In a frame: what differs from LoRA.", soft=True),
    ]
    for at, method in enumerate(METHODS):
        y = TOP + PITCH * at
        drawn.append(draw_line([(8, y - 6), (392, y - 6)], "rule"))
        drawn.append(method.draw(y + (ROW - SIDE) / 2))
        drawn.append(draw_words(WORDS_AT, y + 11, method.name, bold=True))
        drawn += [
            draw_words(WORDS_AT, y + 11 + LEADING * (line + 1), text)
            for line, text in enumerate(method.lines)
        ]
    return Companion(
        title=TITLE,
        picture=render_drawing(TOP + PITCH * len(METHODS), *drawn),
        alt=f"A row for each of {len(METHODS)} methods. " + " ".join(method.sentence for method in METHODS),
    )


def _frame(x: float, y: float, width: float, height: float) -> Markup:
    return draw_box(x - 3, y - 3, width + 6, height + 6, "outline")


def _draw_base(y: float, name: str = "") -> Markup:
    """Draw what is frozen, with a name if one is given, and the plus sign."""
    named = draw_words(W_AT + SIDE / 2, y + 25, name, anchor="middle", bold=True) if name else NO_HTML
    return draw_hatched(W_AT, y, SIDE, SIDE) + draw_words(W_AT + SIDE + 2, y + 25, "+", soft=True) + named


def _draw_update(y: float, *, a: str = PALE, b: str = PALE, scale: str = "α/r") -> Markup:
    """Draw the scale, B and A; a look of "" is the full colour."""
    return join_html(
        (
            draw_words(SCALE_AT, y + 25, scale, anchor="middle", soft=True),
            draw_box(B_AT, y, THIN, SIDE, f"b{b}"),
            draw_box(A_AT, y, SIDE - 4, THIN, f"a{a}"),
        )
    )


def _draw_lora(y: float) -> Markup:
    letters = draw_words(B_AT + THIN + 4, y + 36, "B") + draw_words(A_AT + SIDE - 13, y + 26, "A")
    return _draw_base(y, "W") + _draw_update(y, a="", b="") + letters


def _draw_rslora(y: float) -> Markup:
    bold = draw_words(SCALE_AT, y + 25, "α/√r", anchor="middle", bold=True)
    return _draw_base(y) + bold + _draw_update(y, scale="") + _frame(SCALE_AT - 14, y + 10, 28, 20)


def _draw_dora(y: float) -> Markup:
    magnitude = draw_box(11, y, 5, SIDE, "good") + _frame(11, y, 5, SIDE)
    return magnitude + _draw_base(y) + _draw_update(y)


def _draw_lora_plus(y: float) -> Markup:
    rate = draw_words(B_AT + THIN + 6, y + 36, "16 η", bold=True)
    return _draw_base(y) + _draw_update(y, b="") + _frame(B_AT, y, THIN, SIDE) + rate


def _draw_other_start(y: float, *, base: str) -> Markup:
    """Draw a method whose A and B start elsewhere, which leaves something else than W frozen."""
    frames = _frame(W_AT, y, SIDE, SIDE) + _frame(B_AT, y, THIN, SIDE) + _frame(A_AT + 3, y, SIDE - 7, THIN)
    return _draw_base(y, base) + _draw_update(y, a="", b="") + frames


def _draw_adalora(y: float) -> Markup:
    pairs = []
    for at, rank in enumerate((14.0, 7.0, 2.0)):  # three matrices, which keep different ranks
        x = 84.0 + 28 * at
        pairs.append(draw_box(x, y, rank, SIDE, "b") + draw_box(x + rank + 2, y, 24 - rank, rank, "a"))
    return _draw_base(y) + join_html(pairs) + _frame(84, y, 80, SIDE)


def _draw_vera(y: float) -> Markup:
    vectors = draw_box(84, y, 6, SIDE, "good") + draw_box(118, y, 6, THIN, "good")
    named = draw_words(91, y + 36, "b", bold=True) + draw_words(117, y + 26, "d", bold=True)
    frozen = draw_hatched(101, y, THIN, SIDE) + draw_hatched(A_AT, y, SIDE - 4, THIN)
    return _draw_base(y) + vectors + frozen + named + _frame(84, y, 80, SIDE)


METHODS = (
    Method(
        name="LoRA",
        lines=("A and B are trained; the scale", "is α / r; at the start A is", "random and B is zero"),
        draw=_draw_lora,
    ),
    Method(name="rsLoRA", lines=("the scale: α / √r", "instead of α / r"), draw=_draw_rslora),
    Method(
        name="DoRA",
        lines=("a trained magnitude vector:", "one number per output"),
        draw=_draw_dora,
    ),
    Method(
        name="LoRA+",
        lines=("the learning rate of B:", "about 16 times that of A"),
        draw=_draw_lora_plus,
    ),
    Method(
        name="PiSSA",
        lines=("the start: A and B take the", "largest singular directions", "of W, and W keeps the rest"),
        draw=partial(_draw_other_start, base="rest"),
    ),
    Method(
        name="LoftQ",
        lines=("the start: A and B make up for", "the error of quantization, so", "that Q + B A is near W"),
        draw=partial(_draw_other_start, base="Q"),
    ),
    Method(
        name="AdaLoRA",
        lines=("the rank of each matrix: what", "matters little is pruned until", "a budget is met"),
        draw=_draw_adalora,
    ),
    Method(
        name="VeRA",
        lines=(
            "A and B are random, frozen and",
            "shared by all layers; two",
            "vectors, b and d, are trained",
        ),
        draw=_draw_vera,
    ),
)
