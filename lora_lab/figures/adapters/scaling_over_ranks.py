"""alpha/r against alpha/√r over ranks: how strongly an adapter's product is scaled."""

from dataclasses import dataclass

from markupsafe import Markup

from lora_lab.charts.drawing import build_chart, draw_dots, draw_line, draw_words, render_drawing
from lora_lab.figures.models import RANKS
from lora_lab.spec import RunSpec
from study.figures.controls import define_slider
from study.figures.figure import FigureTable, FigureView, build_computed_origin

HEIGHT = 260
ALPHAS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True, kw_only=True)
class ScalingSettings:
    rank: int = define_slider("Rank r", default=8, stops=RANKS)
    alpha: int = define_slider("alpha", default=16, stops=ALPHAS)


@dataclass(frozen=True, kw_only=True)
class ScalingNumbers:
    rank: int
    lora: float
    rslora: float


def compute_numbers(rank: int, alpha: int) -> ScalingNumbers:
    """Compute both factors from the settings of a run."""
    return ScalingNumbers(
        rank=rank,
        lora=RunSpec(rank=rank, alpha=alpha).scaling,
        rslora=RunSpec(rank=rank, alpha=alpha, variant="rslora").scaling,
    )


def show(settings: ScalingSettings) -> FigureView:
    found = compute_numbers(settings.rank, settings.alpha)
    curve = [compute_numbers(rank, settings.alpha) for rank in RANKS]
    far = curve[-1]
    return FigureView(
        finding=(
            f"At rank {found.rank} and alpha {settings.alpha}, LoRA multiplies the product B·A by "
            f"{found.lora:.3g}. rsLoRA, a variant that divides alpha by √r instead of r, multiplies it by "
            f"{found.rslora:.3g}. By rank {far.rank} they are at {far.lora:.3g} and {far.rslora:.3g}."
        ),
        numbers=(
            ("alpha / r", f"{found.lora:.3g}"),
            ("alpha / √r", f"{found.rslora:.3g}"),
            ("rsLoRA / LoRA", f"{found.rslora / found.lora:.3g}"),
        ),
        picture=_draw_picture(found, curve),
        alt=(
            f"Two falling lines over ranks 1 to {far.rank}, both {settings.alpha} at rank 1. At rank "
            f"{found.rank}, alpha/r is {found.lora:.3g} and alpha/√r is {found.rslora:.3g}."
        ),
        origins=(
            build_computed_origin(
                text="the factor that a run of the lab uses; arXiv:2106.09685 section 4.1, arXiv:2312.03732",
                formula=f"{settings.alpha} / {found.rank} and {settings.alpha} / √{found.rank}",
            ),
        ),
        table=FigureTable(
            columns=("rank", "alpha / r", "alpha / √r"),
            rows=tuple((str(one.rank), f"{one.lora:.3g}", f"{one.rslora:.3g}") for one in curve),
        ),
    )


def _draw_picture(found: ScalingNumbers, curve: list[ScalingNumbers]) -> Markup:
    frame = build_chart(
        x_span=(1, curve[-1].rank), y_span=(curve[-1].lora * 0.7, curve[0].lora * 1.5),
        x_log=True, y_log=True,
        x_label="rank r", y_label="what the product B·A is multiplied by", height=HEIGHT, right=104,
        x_ticks=[(rank, str(rank)) for rank in (1, 4, 16, 64, 256)],
    )  # fmt: skip
    lora = frame.map_points((one.rank, one.lora) for one in curve)
    rslora = frame.map_points((one.rank, one.rslora) for one in curve)
    at = frame.x(found.rank)
    return render_drawing(
        HEIGHT,
        frame.render_axes(),
        draw_line([(at, frame.y.start), (at, frame.y.end)], "rule"),
        draw_line(lora, "line w dashed"),
        draw_line(rslora, "line good dashed"),
        draw_dots([(at, frame.y(found.lora))], "ring w", radius=5),
        draw_dots([(at, frame.y(found.rslora))], "ring good", radius=5),
        *_name_line(lora[-1], "LoRA", "alpha / r"),
        *_name_line(rslora[-1], "rsLoRA", "alpha / √r"),
    )


def _name_line(end: tuple[float, float], name: str, formula: str) -> tuple[Markup, Markup]:
    x, y = end[0] + 6, end[1]
    return draw_words(x, y - 10, name, bold=True), draw_words(x, y + 6, formula, soft=True)
