"""Singular values of real weight matrices, and what the best matrix of rank r keeps of them."""

from dataclasses import dataclass
from math import sqrt

from markupsafe import Markup

from lora_lab.charts.drawing import build_chart, draw_beside, draw_line, render_drawing
from lora_lab.figures.matrices import FIRST, Matrix, list_matrix_options, read_matrices
from lora_lab.figures.models import RANKS
from lora_lab.figures.recorded import ROUNDED_BEFORE, describe_recording
from lora_lab.parameters.counts import lora_parameters_matrix
from study.base.units import as_percent
from study.figures.controls import define_choice, define_slider
from study.figures.figure import FigureView, build_computed_origin

HEIGHT = 270
WIDEST = 576


@dataclass(frozen=True, kw_only=True)
class TruncationSettings:
    rank: int = define_slider("Rank kept", default=8, stops=(*RANKS, 320, 384, 448, 512, WIDEST))
    matrix: str = define_choice("Matrix", list_matrix_options, default=FIRST)


@dataclass(frozen=True, kw_only=True)
class TruncationNumbers:
    matrix: Matrix
    rank: int

    @property
    def kept_percent(self) -> float:
        """The percentage kept of the sum of squares, which is the matrix's squared norm."""
        values = self.matrix.singular_values
        return 100 * sum(s * s for s in values[: self.rank]) / sum(s * s for s in values)

    @property
    def error_percent(self) -> float:
        """||W - best W of this rank|| / ||W|| (Eckart and Young)."""
        return 100 * sqrt(max(0.0, 1 - self.kept_percent / 100))

    @property
    def factors(self) -> int:
        return lora_parameters_matrix(d_in=self.matrix.d_in, d_out=self.matrix.d_out, rank=self.rank)


def compute_numbers(settings: TruncationSettings) -> TruncationNumbers:
    """Truncate the matrix; the rank is limited to the matrix's own."""
    matrix = read_matrices()[settings.matrix]
    return TruncationNumbers(matrix=matrix, rank=min(settings.rank, len(matrix.singular_values)))


def show(settings: TruncationSettings) -> FigureView:
    found = compute_numbers(settings)
    matrix = found.matrix
    full = matrix.d_in * matrix.d_out
    return FigureView(
        finding=(
            f"The best matrix of rank {found.rank} keeps {as_percent(found.kept_percent)} of this one's "
            f"squared norm; what it loses has {as_percent(found.error_percent)} of the norm. LoRA does not "
            "cut W like this: it assumes that the change of W needs few directions."
        ),
        numbers=(
            ("largest value", f"{matrix.singular_values[0]:.3g}"),
            (f"value {found.rank}", f"{matrix.singular_values[found.rank - 1]:.3g}"),
            ("kept", as_percent(found.kept_percent)),
            ("error", as_percent(found.error_percent)),
            ("numbers in both factors", f"{found.factors:,} for {full:,}"),
        ),
        picture=_draw_picture(found),
        alt=(
            f"{len(matrix.singular_values)} singular values of {matrix.name}, falling from "
            f"{matrix.singular_values[0]:.3g} to {matrix.singular_values[-1]:.3g}. The first {found.rank} "
            f"keep {as_percent(found.kept_percent)} of the sum of squares."
        ),
        origins=(
            describe_recording("weights", f"{matrix.name} of SmolLM2-135M-Instruct. {ROUNDED_BEFORE}"),
            build_computed_origin(
                text="kept and error, from these values",
                formula="kept = Σ s² of the first r / Σ s² of all; error = √(1 - kept)",
            ),
        ),
    )


def _draw_picture(found: TruncationNumbers) -> Markup:
    values = found.matrix.singular_values
    floor = max(values[0] / 1e4, values[-1])
    frame = build_chart(
        x_span=(1, len(values)), y_span=(floor * 0.8, values[0] * 1.3), x_log=True, y_log=True,
        x_label="number of the singular value", y_label="singular value", height=HEIGHT,
        x_ticks=[(tick, str(tick)) for tick in (1, 4, 16, 64, 256) if tick < len(values)],
    )  # fmt: skip
    points = [(frame.x(number), frame.y.clip(value)) for number, value in enumerate(values, start=1)]
    cut = frame.x(found.rank)
    return render_drawing(
        HEIGHT,
        frame.render_axes(),
        draw_line(points[found.rank - 1 :], "line w"),
        draw_line(points[: found.rank], "line good thick"),
        draw_line([(cut, frame.y.end), (cut, frame.y.start)], "line ink dashed"),
        draw_beside(cut, frame.y.end + 12, f"r = {found.rank}", gap=6, left=cut > 250, bold=True),
    )
