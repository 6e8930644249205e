"""What an adapter costs over a whole model: at a glance, and beside training every number."""

from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup

from lora_lab.charts.drawing import Scale, draw_box, draw_hatched, draw_words, render_drawing
from lora_lab.figures.adapters import lora_to_scale
from lora_lab.figures.models import RANKS, every_model
from lora_lab.memory.ledger import predict_ledger, upper_bound
from lora_lab.parameters.counts import Count, count_parameters
from lora_lab.parameters.shapes import find_shape
from lora_lab.spec import EMBEDDED_MODEL, RANK_LIMITS, RunSpec
from study.base.units import as_bytes, as_percent
from study.figures.controls import choice_field, slider_field
from study.figures.figure import Figure, FigureView, Origin

NUMBERS_PER_WEIGHT = 4  # the weight, its gradient, and AdamW's two running averages
BYTES_PER_NUMBER = 4  # fp32
BAR = 24.0
TARGETS = (("q+v", "query and value only"), ("all-linear", "all linear layers"))
PARTS = (
    ("the weights", "w"),
    ("their gradients", "good"),
    ("averages of the gradients", "a"),
    ("averages of their squares", "b"),
)


@dataclass(frozen=True, kw_only=True)
class GlanceSettings:
    """The rank."""

    rank: int = slider_field("Rank r", *RANK_LIMITS, default=8, stops=RANKS)


@dataclass(frozen=True, kw_only=True)
class FullSettings:
    """The model to train in full."""

    model: str = choice_field("Model", every_model, default=EMBEDDED_MODEL)


@dataclass(frozen=True, kw_only=True)
class WholeSettings:
    """The rank, and which matrices get an adapter."""

    rank: int = slider_field("Rank r", *RANK_LIMITS, default=8, stops=RANKS)
    targets: str = choice_field("Adapters on", TARGETS, default="all-linear")


def state_bytes(numbers: int) -> int:
    """Return the bytes that training keeps for `numbers` trained fp32 numbers with AdamW."""
    return NUMBERS_PER_WEIGHT * BYTES_PER_NUMBER * numbers


def step_bytes(rank: int) -> int:
    """Return the peak bytes of a training step at a rank, every row at full length, in bf16 on a CPU."""
    spec = RunSpec(rank=rank)
    return predict_ledger(find_shape(spec.model), spec, upper_bound(spec), "bf16").total_bytes


def adapter_count(rank: int, targets: str = "all-linear") -> Count:
    """Count the trained and all numbers of the embedded model with adapters."""
    return count_parameters(find_shape(EMBEDDED_MODEL), rank=rank, targets=targets)


def glance(peak_bytes: Callable[[int], int] = step_bytes) -> Figure[GlanceSettings]:
    """Return the figure of a newcomer's page; `peak_bytes` maps a rank to the peak of a training step."""
    return Figure(
        id="lora-at-a-glance",
        title="LoRA at a glance: one rank, two numbers",
        minutes=1,
        concepts=("lora-rank", "lora-update"),
        settings=GlanceSettings,
        show=lambda settings: show_glance(settings, peak_bytes(settings.rank)),
    )


def show_glance(settings: GlanceSettings, peak: int) -> FigureView:
    """Build the view at one rank, for `peak` bytes at the peak of a training step."""
    found = adapter_count(settings.rank)
    one = lora_to_scale.compute_numbers(lora_to_scale.MatrixSettings(rank=settings.rank))
    return FigureView(
        finding=(
            f"At rank {settings.rank}, training changes {as_percent(found.percent)} of the model's numbers "
            f"and needs about {as_bytes(peak)}."
        ),
        numbers=(("trained", as_percent(found.percent)), ("memory", as_bytes(peak))),
        picture=lora_to_scale.draw_matrices(one),
        alt=(
            f"To scale: one frozen matrix W of {one.d_out} by {one.d_in}, hatched, plus a tall strip B of "
            f"{settings.rank} columns times a flat strip A of {settings.rank} rows."
        ),
        origins=(
            Origin(
                kind="computed",
                text=(
                    f"{EMBEDDED_MODEL} with adapters on all linear layers and its base in NF4; memory is the "
                    "peak of a training step with the lab's usual settings"
                ),
                formula=f"{found.trainable:,} of {found.total:,} numbers",
            ),
        ),
    )


def show_full(settings: FullSettings) -> FigureView:
    """Build the figure of what full fine-tuning keeps."""
    numbers = find_shape(settings.model).total_parameters
    each, whole = BYTES_PER_NUMBER * numbers, state_bytes(numbers)
    return FigureView(
        finding=f"Training all {numbers:,} numbers keeps four copies of that size: {as_bytes(whole)}.",
        numbers=(("numbers", f"{numbers:,}"), ("one copy", as_bytes(each)), ("four copies", as_bytes(whole))),
        picture=_draw_copies(each),
        alt=f"Four bars of {as_bytes(each)} each: {', '.join(name for name, _ in PARTS)}.",
        origins=(
            Origin(
                kind="computed",
                text=f"{settings.model}, every number in fp32, AdamW; activations come on top",
                formula=f"{NUMBERS_PER_WEIGHT} × {BYTES_PER_NUMBER} bytes × {numbers:,}",
            ),
        ),
    )


def show_whole(settings: WholeSettings) -> FigureView:
    """Build the figure that puts an adapter beside full fine-tuning."""
    found = adapter_count(settings.rank, settings.targets)
    frozen = found.total - found.trainable
    adapter, full = state_bytes(found.trainable), state_bytes(frozen)
    return FigureView(
        finding=(
            f"Rank {settings.rank} trains {found.trainable:,} of {found.total:,} numbers, "
            f"{as_percent(found.percent)}. Training keeps {as_bytes(adapter)} for them, not {as_bytes(full)}."
        ),
        numbers=(
            ("trained", f"{found.trainable:,}"),
            ("share", as_percent(found.percent)),
            ("kept for training", as_bytes(adapter)),
        ),
        picture=_draw_shares(found, adapter, full),
        alt=(
            f"Two pairs of bars to scale. Numbers: {frozen:,} frozen and {found.trainable:,} trained. Kept "
            f"for training: {as_bytes(full)} in full fine-tuning and {as_bytes(adapter)} with the adapter."
        ),
        origins=(
            Origin(
                kind="computed",
                text=f"{EMBEDDED_MODEL}; weights, gradients and AdamW's two averages in fp32",
                formula=f"16 bytes × {found.trainable:,} and 16 bytes × {frozen:,}",
            ),
        ),
    )


def _draw_copies(each: int) -> Markup:
    across = Scale(low=0, high=each, start=8, end=392)
    parts = []
    for at, (name, look) in enumerate(PARTS):
        y = 4.0 + 48 * at
        parts.append(draw_words(8, y + 12, name))
        parts.append(draw_words(392, y + 12, as_bytes(each), anchor="end", bold=True))
        parts.append(_bar(look, across, y + 18, each))
    return render_drawing(4.0 + 48 * len(PARTS), *parts)


def _draw_shares(found: Count, adapter: int, full: int) -> Markup:
    numbers = Scale(low=0, high=found.total, start=8, end=392)
    kept = Scale(low=0, high=max(full, adapter), start=8, end=392)
    frozen = found.total - found.trainable
    return render_drawing(
        250,
        draw_words(8, 14, "All numbers of the model", bold=True),
        draw_words(8, 34, f"frozen: {frozen:,}", soft=True),
        _bar("w", numbers, 40, frozen),
        draw_words(8, 82, f"trained: {found.trainable:,}", soft=True),
        _bar("b", numbers, 88, found.trainable),
        draw_words(8, 136, "What training keeps for them", bold=True),
        draw_words(8, 156, f"if all were trained: {as_bytes(full)}", soft=True),
        draw_box(kept(0), 162, kept(full) - kept(0), BAR, "outline dashed"),
        draw_words(8, 204, f"with the adapter: {as_bytes(adapter)}", soft=True),
        _bar("b", kept, 210, adapter),
    )


def _bar(look: str, across: Scale, y: float, value: float) -> Markup:
    start, width = across(0), max(1.0, across(value) - across(0))
    return draw_hatched(start, y, width, BAR) if look == "w" else draw_box(start, y, width, BAR, look)


FULL = Figure(
    id="full-fine-tuning-state",
    title="What full fine-tuning keeps",
    minutes=1,
    concepts=("fine-tuning", "trainable-state", "training-step"),
    settings=FullSettings,
    show=show_full,
)
WHOLE = Figure(
    id="adapter-of-a-model",
    title="An adapter beside full fine-tuning",
    minutes=2,
    concepts=("counting-parameters", "trainable-state", "target-modules"),
    settings=WholeSettings,
    show=show_whole,
)
