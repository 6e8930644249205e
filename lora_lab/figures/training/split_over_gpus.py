"""Weights, gradients and optimizer state per GPU when several GPUs share them, stage by stage."""

from dataclasses import dataclass

from markupsafe import Markup

from lora_lab.charts.drawing import Scale, draw_box, draw_words, render_drawing
from lora_lab.figures.models import list_all_models
from lora_lab.memory.sharding import STAGES, base_bytes_per_gpu, compute_parts_per_gpu
from lora_lab.parameters.shapes import find_shape
from study.base.units import as_bytes
from study.figures.controls import define_choice, define_slider
from study.figures.figure import FigureTable, FigureView, build_computed_origin

GPUS = (1, 2, 4, 8, 16, 32, 64)
LABELS = {
    0: "full, all copied (DDP)",
    1: "full, states split (ZeRO-1)",
    2: "full, gradients too (ZeRO-2)",
    3: "full, weights too (ZeRO-3, FSDP)",
}
QLORA = "QLoRA, 4-bit base split (FSDP)"
LOOKS = {"weights": "m-weights", "gradients": "m-gradients", "optimizer": "m-optimizer"}
GAP, BAR = 46.0, 16.0


@dataclass(frozen=True, kw_only=True)
class ShardingSettings:
    gpus: int = define_slider("GPUs", default=8, stops=GPUS)
    model: str = define_choice("Model", list_all_models, default="llama-3.1-8b")


def split_bytes(settings: ShardingSettings) -> dict[str, dict[str, float]]:
    """Return bytes per GPU by way of splitting and part."""
    shape = find_shape(settings.model)
    found = {
        LABELS[stage]: compute_parts_per_gpu(
            parameters=shape.total_parameters, gpus=settings.gpus, stage=stage
        )
        for stage in STAGES
    }
    found[QLORA] = {"weights": base_bytes_per_gpu(shape, bits="nf4-dq", gpus=settings.gpus)}
    return found


def show(settings: ShardingSettings) -> FigureView:
    found = {label: sum(each.values()) for label, each in split_bytes(settings).items()}
    copied, split = found[LABELS[0]], found[LABELS[3]]
    gpus = "1 GPU" if settings.gpus == 1 else f"{settings.gpus} GPUs"
    return FigureView(
        finding=(
            f"{settings.model} on {gpus}: {as_bytes(copied)} per GPU where everything is copied, "
            f"{as_bytes(split)} "
            f"where everything is split, and {as_bytes(found[QLORA])} for a split 4-bit base."
        ),
        numbers=tuple((label, as_bytes(size)) for label, size in found.items()),
        picture=_draw_picture(settings),
        alt=(
            "Bars of bytes per GPU. "
            + " ".join(f"{label}: {as_bytes(size)}." for label, size in found.items())
        ),
        origins=(
            build_computed_origin(
                text=(
                    "without activations; mixed-precision Adam as arXiv:1910.02054 section 3.1 counts it. "
                    "The QLoRA bar leaves out adapters and their state"
                ),
                formula="16-bit weights 2, gradients 2, fp32 weights and moments 12 bytes per parameter",
            ),
        ),
        table=FigureTable(
            columns=("way", "weights", "gradients", "optimizer state"),
            rows=tuple(
                (label, *(as_bytes(each.get(part, 0)) for part in LOOKS))
                for label, each in split_bytes(settings).items()
            ),
        ),
    )


def _draw_picture(settings: ShardingSettings) -> Markup:
    found = split_bytes(settings)
    across = Scale(low=0, high=max(sum(each.values()) for each in found.values()) * 1.02, start=8, end=392)
    drawn = []
    for at, (label, each) in enumerate(found.items()):
        y, left = 8 + GAP * at, 0.0
        drawn.append(draw_words(8, y + 12, label))
        drawn.append(draw_words(392, y + 12, as_bytes(sum(each.values())), anchor="end", bold=True))
        for part, look in LOOKS.items():
            right = left + each.get(part, 0)
            drawn.append(
                draw_box(across(left), y + 18, across(right) - across(left), BAR, f"{look} outlined")
            )
            left = right
    bottom = 8 + GAP * len(found)
    for place, (part, look) in enumerate(LOOKS.items()):
        drawn.append(draw_box(8 + 130 * place, bottom + 4, 12, 12, f"{look} outlined"))
        drawn.append(draw_words(26 + 130 * place, bottom + 15, part))
    return render_drawing(bottom + 24, *drawn)
