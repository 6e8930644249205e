"""How many numbers LoRA and its relatives train on the same layers, and which piece each one changes."""

from dataclasses import dataclass
from math import log10

from markupsafe import Markup

from lora_lab.charts.drawing import Scale, draw_box, draw_words, render_drawing
from lora_lab.figures.adapters.relatives_pieces import build_companion
from lora_lab.figures.models import RANKS, list_usual_models
from lora_lab.parameters.adapter_config import AdapterSetting
from lora_lab.parameters.counts import count_adapter
from lora_lab.parameters.shapes import find_shape
from lora_lab.quantities import dora_parameters, lora_parameters, vera_parameters
from study.base.units import as_count, as_percent, as_short
from study.figures.controls import define_choice, define_slider
from study.figures.figure import FigureTable, FigureView, Origin, build_computed_origin

GAP, BAR = 42.0, 14.0
FULL = "full matrices"


@dataclass(frozen=True, kw_only=True)
class RelativesSettings:
    rank: int = define_slider("Rank r", default=16, stops=RANKS)
    model: str = define_choice("Model", list_usual_models, default="llama-3.1-8b")


def count_trained(settings: RelativesSettings) -> dict[str, int]:
    """Count trained numbers by method, all linear layers adapted.

    AdaLoRA is counted at its start, where PEFT's `init_r` is the rank.
    """
    shape = find_shape(settings.model)
    adalora = AdapterSetting(variant="adalora", targets="all-linear")
    return {
        FULL: sum(linear.parameters for linear in shape.linears),
        "DoRA": dora_parameters(settings.model, settings.rank, "all-linear"),
        "AdaLoRA, starting from r": count_adapter(shape, adalora, rank=settings.rank).trainable,
        "LoRA, rsLoRA, LoRA+, PiSSA, LoftQ": lora_parameters(settings.model, settings.rank, "all-linear"),
        "VeRA": vera_parameters(settings.model, settings.rank, "all-linear"),
    }


def show(settings: RelativesSettings) -> FigureView:
    found = count_trained(settings)
    _, dora, adalora, lora, vera = found.values()
    return FigureView(
        finding=(
            f"At rank {settings.rank} LoRA trains {as_count(lora)} numbers; rsLoRA, LoRA+, PiSSA and LoftQ "
            f"train exactly as many. DoRA trains {as_percent(100 * dora / lora - 100)} more, for one "
            f"magnitude per output, and AdaLoRA {as_count(adalora - lora)} more if it starts from this rank. "
            f"VeRA trains {as_count(vera)}, one for every {lora / vera:.3g} of LoRA's."
        ),
        numbers=tuple((name, as_short(count)) for name, count in found.items()),
        picture=_draw_picture(found),
        alt=(
            f"Bars on a scale of powers of ten for {settings.model} at rank {settings.rank}. "
            + " ".join(f"{name}: {as_count(count)}." for name, count in found.items())
        ),
        origins=(
            build_computed_origin(
                text=(
                    "all linear layers of the blocks; arXiv:2106.09685 section 4.1, arXiv:2402.09353 section "
                    "4, arXiv:2303.10512 section 3, arXiv:2310.11454 section 3.2"
                ),
                formula=(
                    "LoRA r (d_in + d_out); DoRA + d_out; AdaLoRA + r, where r is init_r; VeRA r + d_out per "
                    "matrix"
                ),
            ),
            Origin(
                kind="published",
                text=(
                    "what each one changes: arXiv:2312.03732, arXiv:2402.09353, arXiv:2402.12354, "
                    "arXiv:2404.02948, arXiv:2310.08659, arXiv:2303.10512, arXiv:2310.11454"
                ),
            ),
        ),
        table=FigureTable(
            columns=("method", "trained numbers"),
            rows=tuple((name, as_count(count)) for name, count in found.items()),
        ),
        companion=build_companion(),
    )


def _draw_picture(found: dict[str, int]) -> Markup:
    low = 10 ** int(log10(min(found.values()))) / 2
    across = Scale(low=low, high=max(found.values()) * 1.1, start=8, end=392, log=True)
    drawn = []
    for at, (name, count) in enumerate(found.items()):
        y = 8 + GAP * at
        drawn.append(draw_words(8, y + 12, name))
        drawn.append(draw_words(392, y + 12, as_short(count), anchor="end", bold=True))
        drawn.append(
            draw_box(across.start, y + 18, across(count) - across.start, BAR, "w" if name == FULL else "good")
        )
    bottom = 8 + GAP * len(found)
    drawn.append(
        draw_words(
            200, bottom + 12, "logarithmic: equal distances are equal factors", anchor="middle", soft=True
        )
    )
    return render_drawing(bottom + 20, *drawn)
