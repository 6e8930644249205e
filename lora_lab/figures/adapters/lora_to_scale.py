"""W + B·A drawn to scale: how many numbers an adapter adds to one matrix."""

from dataclasses import dataclass

from markupsafe import Markup

from lora_lab.charts.drawing import draw_box, draw_hatched, draw_words, render_drawing
from lora_lab.figures.models import RANKS, ROLE_NAMES, ROLES, find_linear, list_usual_models
from lora_lab.parameters.counts import lora_parameters_matrix
from lora_lab.spec import EMBEDDED_MODEL
from study.base.units import as_percent
from study.figures.controls import define_choice, define_slider
from study.figures.figure import FigureView, build_computed_origin

SIDE = 126.0
THINNEST = 1.0
TOP = 44.0
ROW_AT = 0.62  # vertical position of the highlighted row, as a share of W's height
LINE = 17.0


@dataclass(frozen=True, kw_only=True)
class MatrixSettings:
    rank: int = define_slider("Rank r", default=8, stops=RANKS)
    model: str = define_choice("Model", list_usual_models, default=EMBEDDED_MODEL)
    matrix: str = define_choice("Matrix", [(role, ROLE_NAMES[role]) for role in ROLES], default="q")


@dataclass(frozen=True, kw_only=True)
class MatrixNumbers:
    rank: int
    d_in: int
    d_out: int
    trained: int

    @property
    def full(self) -> int:
        """The number of weights in W."""
        return self.d_in * self.d_out

    @property
    def percent(self) -> float:
        """Trained numbers per hundred frozen ones."""
        return 100 * self.trained / self.full


def compute_numbers(settings: MatrixSettings) -> MatrixNumbers:
    """Count the numbers of one A and one B, and of their W."""
    linear = find_linear(settings.model, settings.matrix)
    return MatrixNumbers(
        rank=settings.rank,
        d_in=linear.d_in,
        d_out=linear.d_out,
        trained=lora_parameters_matrix(d_in=linear.d_in, d_out=linear.d_out, rank=settings.rank),
    )


def show(settings: MatrixSettings) -> FigureView:
    found = compute_numbers(settings)
    finding = (
        f"At rank {found.rank}, B and A hold {found.trained:,} numbers beside {found.full:,} frozen ones: "
        f"{as_percent(found.percent)}."
    )
    if found.trained >= found.full:
        finding += " At this rank the pair is no smaller than W itself."
    made_of = f"{found.rank} numbers of B and the {found.rank} rows of A"
    if found.rank == 1:
        made_of = "one number of B and the one row of A"
    return FigureView(
        finding=finding,
        numbers=(
            ("in W, frozen", f"{found.full:,}"),
            ("in B and A, trained", f"{found.trained:,}"),
            ("for each 100 in W", as_percent(found.percent).replace(" %", "")),
        ),
        picture=draw_matrices(found),
        alt=(
            f"To scale: W of {found.d_out:,} by {found.d_in:,}, hatched, plus B of {found.d_out:,} by "
            f"{found.rank}, tall and orange, times A of {found.rank} by {found.d_in:,}, wide and blue. Any "
            f"row of the product is made of {made_of}."
        ),
        origins=(
            build_computed_origin(
                text=(
                    f"the {ROLE_NAMES[settings.matrix]} matrix of one layer of {settings.model}, which calls "
                    f"it {find_linear(settings.model, settings.matrix).suffix}"
                ),
                formula=(
                    f"r × (d_in + d_out) = {found.rank} × ({found.d_in:,} + {found.d_out:,}) = "
                    f"{found.trained:,}"
                ),
            ),
        ),
    )


def draw_matrices(found: MatrixNumbers) -> Markup:
    """Draw W, B and A of one matrix to scale."""
    scale = SIDE / max(found.d_in, found.d_out)
    wide, high, thin = found.d_in * scale, found.d_out * scale, max(THINNEST, found.rank * scale)
    x_w, x_b = 8.0, 8.0 + wide + 34
    x_a = x_b + thin + 10
    row = TOP + ROW_AT * high
    bottom = TOP + max(high, thin)
    one = "1 number of B, times the row of A"
    factors = one if found.rank == 1 else f"{found.rank} numbers of B, each times one row of A"
    lines = [
        f"One row of B·A: {factors}.",
        f"Without the pair, that row would be {found.d_in:,} numbers of its own.",
    ]
    if found.rank * scale < THINNEST:
        lines.append(f"To scale, r is {found.rank * scale:.2f} of a unit; drawn as one.")
    return render_drawing(
        bottom + 14 + LINE * (len(lines) + 1),
        draw_words(x_w, 16, "W, frozen", bold=True),
        draw_words(x_w, 34, f"{found.d_out:,} × {found.d_in:,}", soft=True),
        draw_hatched(x_w, TOP, wide, high),
        draw_words(x_w + wide + 17, TOP + high / 2 + 5, "+", anchor="middle", bold=True),
        draw_words(x_b, 16, "B · A, trained", bold=True),
        draw_words(x_b, 34, f"{found.d_out:,} × {found.rank} · {found.rank} × {found.d_in:,}", soft=True),
        draw_box(x_b, TOP, thin, high, "b"),
        draw_box(x_a, TOP, wide, thin, "a"),
        draw_box(x_w, row - 2, wide, 4, "outline"),
        draw_box(x_b - 2, row - 2, thin + 4, 4, "outline"),
        *(draw_words(x_w, bottom + 26 + LINE * at, text, soft=at > 0) for at, text in enumerate(lines)),
    )
