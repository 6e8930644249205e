"""Training memory of full fine-tuning, LoRA and QLoRA for any catalogue model, with published values."""

from dataclasses import dataclass
from functools import lru_cache

from markupsafe import Markup

from lora_lab.charts.drawing import Scale, draw_diamond, draw_words, render_drawing
from lora_lab.figures.components import draw_legend, draw_stacked, tabulate_components
from lora_lab.figures.models import RANKS, list_all_models
from lora_lab.memory.frameworks.forecast import forecast_step
from lora_lab.memory.frameworks.setting import StepSetting
from lora_lab.memory.ledger import Ledger
from lora_lab.papers.tables import find_printed
from lora_lab.parameters.shapes import find_shape
from study.base.units import as_bytes
from study.figures.controls import define_choice, define_slider
from study.figures.figure import FigureTable, FigureView, Origin, build_computed_origin

METHODS = (
    ("full", "Full fine-tuning, 16-bit"),
    ("lora", "LoRA, 16-bit base"),
    ("qlora", "QLoRA, NF4 + double quant"),
)
PUBLISHED_MODEL = "llama-65b"
PAPER = "qlora-memory"
PUBLISHED = {
    "full": "Full fine-tuning of 65B in 16 bits: more than",
    "qlora": "QLoRA fine-tuning of 65B: less than",
}
OPTIMIZER = "paged_adamw_32bit"  # two fp32 moments per parameter, as in arXiv:2305.14314
LENGTHS = (128, 256, 512, 1024, 2048, 4096)
BAR, GAP = 26.0, 62.0


@dataclass(frozen=True, kw_only=True)
class MemorySettings:
    rank: int = define_slider("Rank r", default=64, stops=RANKS)
    seq_len: int = define_slider("Tokens in a step", default=512, stops=LENGTHS)
    model: str = define_choice("Model", list_all_models, default=PUBLISHED_MODEL)
    checkpointing: str = define_choice("Checkpointing", [("on", "on"), ("off", "off")], default="on")


@lru_cache(maxsize=512)
def predict_ledgers(settings: MemorySettings) -> tuple[Ledger, ...]:
    """Predict one ledger per method, for one training step on a GPU."""
    return tuple(forecast_step(_build_setting(settings, method)) for method, _ in METHODS)


def _build_setting(settings: MemorySettings, method: str) -> StepSetting:
    shape = find_shape(settings.model)
    return StepSetting(
        shape=shape,
        adapted=() if method == "full" else shape.linears,
        rank=settings.rank,
        bits="nf4-dq" if method == "qlora" else "bf16",
        framework="trl",
        seq_len=settings.seq_len,
        checkpointing=settings.checkpointing == "on",
        optimizer=OPTIMIZER,
    )


def find_published(model: str, method: str) -> float | None:
    """Return the bytes that the QLoRA paper states for this model and method, or None."""
    if model != PUBLISHED_MODEL or method not in PUBLISHED:
        return None
    return find_printed(PAPER, PUBLISHED[method]).value


def show(settings: MemorySettings) -> FigureView:
    found = predict_ledgers(settings)
    named = [(name, as_bytes(one.total_bytes)) for (_, name), one in zip(METHODS, found, strict=True)]
    full, lora, qlora = (size for _, size in named)
    stated = settings.model == PUBLISHED_MODEL
    fused = find_shape(settings.model).fused_experts
    return FigureView(
        finding=(
            f"{settings.model}: {full} to train every weight, {lora} with LoRA, {qlora} with QLoRA at rank "
            f"{settings.rank}."
            + (" Its experts are fused tensors, which bitsandbytes does not quantize." if fused else "")
        ),
        numbers=tuple(named),
        picture=_draw_picture(settings, found),
        alt=(
            f"Three stacked bars. {' '.join(f'{name}: {size}.' for name, size in named)}"
            + (f" Diamonds, published: {_as_published()}." if stated else "")
        ),
        origins=(
            build_computed_origin(
                text=(
                    f"the peak of a step of {settings.seq_len:,} tokens on a GPU, AdamW with 32-bit moments, "
                    f"all linear layers at rank {settings.rank}; derivation: Lab, Will it fit?"
                ),
                formula=(
                    "full, per parameter: 2 bytes of weight + 2 of gradient + 8 of moments; activations come "
                    "on top"
                ),
            ),
            Origin(
                kind="published",
                text=(
                    f"{_as_published()}: arXiv:2305.14314 section 1"
                    + ("" if stated else f" (drawn for {PUBLISHED_MODEL})")
                ),
            ),
        ),
        table=FigureTable(
            columns=("component", *(name for _, name in METHODS)), rows=tabulate_components(found)
        ),
    )


def _as_published() -> str:
    full, qlora = (find_printed(PAPER, row).printed.replace("GB", " GB") for row in PUBLISHED.values())
    return (
        f"more than {full} to fine-tune 65B in 16 bits, less than {qlora} with QLoRA, whose adapters are in "
        "bf16 there and in fp32 in the bar"
    )


def _draw_picture(settings: MemorySettings, found: tuple[Ledger, ...]) -> Markup:
    most = max(one.total_bytes for one in found)
    across = Scale(low=0, high=most * 1.02, start=8, end=392)
    parts = []
    for at, ((method, name), ledger) in enumerate(zip(METHODS, found, strict=True)):
        y = 8 + GAP * at
        parts.append(draw_words(8, y + 12, name))
        parts.append(draw_words(392, y + 12, as_bytes(ledger.total_bytes), anchor="end", bold=True))
        parts.append(draw_stacked(ledger, across, y + 18, BAR))
        stated = find_published(settings.model, method)
        if stated is not None:
            parts.append(draw_diamond(across.clip(stated), y + 18 + BAR / 2))
    names, bottom = draw_legend(found, 8 + GAP * len(METHODS) + 22)
    return render_drawing(bottom, *parts, names)
