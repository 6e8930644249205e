"""What an adapter costs over a whole model: at a glance, and beside training every number."""

from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup

from lora_lab.charts.drawing import Scale, draw_box, draw_hatched, draw_words, render_drawing
from lora_lab.figures.adapters import lora_to_scale
from lora_lab.figures.components import tabulate_components
from lora_lab.figures.described import build_figure
from lora_lab.figures.models import RANKS, list_all_models
from lora_lab.memory.ledger import Ledger, find_upper_bound, predict_ledger
from lora_lab.parameters.counts import Count, count_parameters
from lora_lab.parameters.shapes import find_shape
from lora_lab.quantities import trainable_state_bytes
from lora_lab.runs.cost_preview import PredictedStep
from lora_lab.spec import EMBEDDED_MODEL, RunSpec
from study.base.units import as_bytes, as_percent
from study.figures.controls import define_choice, define_slider
from study.figures.figure import Figure, FigureTable, FigureView, build_computed_origin

PredictStep = Callable[[int, str], PredictedStep]
"""Maps a rank and target matrices to the memory of a training step."""

NUMBERS_PER_WEIGHT = 4  # the weight, its gradient, and AdamW's two running averages
BYTES_PER_NUMBER = 4  # fp32
BAR = 24.0
TARGETS = (("q+v", "query and value only"), ("all-linear", "all linear layers"))
PARTS = (
    ("the weights", "w"),
    ("their gradients", "m-gradients"),
    ("averages of the gradients", "m-optimizer"),
    ("averages of their squares", "m-optimizer"),
)


@dataclass(frozen=True, kw_only=True)
class GlanceSettings:
    rank: int = define_slider("Rank r", default=8, stops=RANKS)


@dataclass(frozen=True, kw_only=True)
class FullSettings:
    model: str = define_choice("Model", list_all_models, default=EMBEDDED_MODEL)


@dataclass(frozen=True, kw_only=True)
class WholeSettings:
    rank: int = define_slider("Rank r", default=8, stops=RANKS)
    targets: str = define_choice("Adapters on", TARGETS, default="all-linear")


def predict_step(rank: int, targets: str) -> PredictedStep:
    """Predict the memory of a training step with every row at full length, in bf16 on a CPU."""
    spec = RunSpec(rank=rank, targets=targets)
    return PredictedStep(ledger=predict_ledger(find_shape(spec.model), spec, find_upper_bound(spec), "bf16"))


def count_adapter_params(rank: int, targets: str = "all-linear") -> Count:
    """Count the trained and all numbers of the embedded model with adapters."""
    return count_parameters(find_shape(EMBEDDED_MODEL), rank=rank, targets=targets)


def build_glance_figure(predict: PredictStep = predict_step) -> Figure[GlanceSettings]:
    """Return the figure of a newcomer's page."""

    def show(settings: GlanceSettings) -> FigureView:
        return show_glance(settings, predict(settings.rank, "all-linear"))

    return build_figure("lora-at-a-glance", show)


def show_glance(settings: GlanceSettings, step: PredictedStep) -> FigureView:
    """Build the view at one rank, for the memory of a training step."""
    peak = step.ledger.total_bytes
    found = count_adapter_params(settings.rank)
    one = lora_to_scale.compute_numbers(lora_to_scale.MatrixSettings(rank=settings.rank))
    return FigureView(
        finding=(
            f"At rank {settings.rank}, the adapter makes up {as_percent(found.percent)} of all numbers. Only "
            f"the adapter is trained, and a training step needs about {as_bytes(peak)}."
            f"{_say_provisional(step)}"
        ),
        numbers=(("trained", as_percent(found.percent)), ("memory", as_bytes(peak))),
        picture=lora_to_scale.draw_matrices(one),
        alt=(
            f"To scale: one frozen matrix W of {one.d_out} by {one.d_in}, hatched, plus a tall strip B of "
            f"{settings.rank} columns times a flat strip A of {settings.rank} rows."
        ),
        origins=(
            build_computed_origin(
                text=(
                    "SmolLM2-135M with adapters on all linear layers and its frozen matrices in 4 bits; "
                    "memory is the peak of a training step with the lab's usual settings"
                ),
                formula=f"{found.trainable:,} of {found.total:,} numbers",
            ),
        ),
    )


def show_full(settings: FullSettings) -> FigureView:
    """Build the figure of what full fine-tuning keeps."""
    numbers = find_shape(settings.model).total_parameters
    each, whole = BYTES_PER_NUMBER * numbers, trainable_state_bytes(numbers)
    return FigureView(
        finding=f"Training all {numbers:,} numbers keeps four sets of that many: {as_bytes(whole)}.",
        numbers=(("numbers", f"{numbers:,}"), ("one set", as_bytes(each)), ("four sets", as_bytes(whole))),
        picture=_draw_copies(each),
        alt=f"Four bars of {as_bytes(each)} each: {', '.join(name for name, _ in PARTS)}.",
        origins=(
            build_computed_origin(
                text=f"{settings.model}, every number in fp32, AdamW; activations come on top",
                formula=f"{NUMBERS_PER_WEIGHT} × {BYTES_PER_NUMBER} bytes × {numbers:,}",
            ),
        ),
    )


def build_whole_figure(predict: PredictStep = predict_step) -> Figure[WholeSettings]:
    """Return the figure that puts an adapter on a base in 4 bits beside full fine-tuning."""

    def show(settings: WholeSettings) -> FigureView:
        return show_whole(settings, predict(settings.rank, settings.targets))

    return build_figure("adapter-of-a-model", show)


def _say_provisional(step: PredictedStep) -> str:
    return f" {step.provisional}" if step.provisional else ""


def show_whole(settings: WholeSettings, predicted: PredictedStep) -> FigureView:
    """Build the view at one setting, for the memory of a training step."""
    step = predicted.ledger
    found = count_adapter_params(settings.rank, settings.targets)
    frozen = found.total - found.trainable
    full, base, kept = trainable_state_bytes(frozen), step.weights + step.constants, step.resident_bytes
    return FigureView(
        finding=(
            f"Rank {settings.rank} trains {found.trainable:,} of {found.total:,} numbers, "
            f"{as_percent(found.percent)}. Training keeps {as_bytes(kept)}, not {as_bytes(full)}: the frozen "
            f"base in 4 bits and {as_bytes(kept - base)} for the adapter. With activations and the rest, a "
            f"step needs {as_bytes(step.total_bytes)} at its peak.{_say_provisional(predicted)}"
        ),
        numbers=(
            ("trained", f"{found.trainable:,}"),
            ("share", as_percent(found.percent)),
            ("kept for training", as_bytes(kept)),
            ("peak of a step", as_bytes(step.total_bytes)),
        ),
        picture=_draw_shares(found, step, full),
        alt=(
            f"Bars to scale. Numbers: {frozen:,} frozen and {found.trainable:,} trained. Kept between two "
            f"steps: {as_bytes(full)} if all were trained; {as_bytes(base)} for the frozen base in 4 bits "
            f"plus {as_bytes(kept - base)} for the adapter. With activations and the rest, a step needs "
            f"{as_bytes(step.total_bytes)} at its peak."
        ),
        origins=(
            build_computed_origin(
                text=(
                    f"{EMBEDDED_MODEL} with the lab's usual settings; what is trained is kept in fp32, with "
                    "its gradients and AdamW's two averages; the embedding is frozen too, but not in 4 bits"
                ),
                formula=f"16 bytes × {found.trainable:,} and 16 bytes × {frozen:,}",
            ),
        ),
        table=FigureTable(columns=("component", "at the peak of a step"), rows=tabulate_components([step])),
    )


def _draw_copies(each: int) -> Markup:
    across = Scale(low=0, high=each, start=8, end=392)
    parts = []
    for at, (name, look) in enumerate(PARTS):
        y = 4.0 + 48 * at
        parts.append(draw_words(8, y + 12, name))
        parts.append(draw_words(392, y + 12, as_bytes(each), anchor="end", bold=True))
        parts.append(_draw_bar(look, across, y + 18, each))
    return render_drawing(4.0 + 48 * len(PARTS), *parts)


def _draw_shares(found: Count, step: Ledger, full: int) -> Markup:
    numbers = Scale(low=0, high=found.total, start=8, end=392)
    memory = Scale(low=0, high=max(full, step.total_bytes), start=8, end=392)
    frozen = found.total - found.trainable
    base, kept = step.weights + step.constants, step.resident_bytes
    return render_drawing(
        332,
        draw_words(8, 14, "All numbers of the model", bold=True),
        draw_words(8, 34, f"frozen: {frozen:,}", soft=True),
        _draw_bar("w", numbers, 40, frozen),
        draw_words(8, 82, f"trained: {found.trainable:,}", soft=True),
        _draw_bar("m-adapters", numbers, 88, found.trainable),
        draw_words(8, 136, "What training keeps between two steps", bold=True),
        draw_words(8, 156, f"if all were trained: {as_bytes(full)}", soft=True),
        draw_box(memory(0), 162, memory(full) - memory(0), BAR, "outline dashed"),
        draw_words(
            8, 204, f"frozen base in 4 bits: {as_bytes(base)}, adapter: {as_bytes(kept - base)}", soft=True
        ),
        _draw_bar("w", memory, 210, base),
        draw_box(memory(base), 210, max(1.0, memory(kept) - memory(base)), BAR, "m-adapters"),
        draw_words(8, 258, "What a step needs at its peak, with activations", bold=True),
        draw_words(
            8,
            278,
            f"adapter: {as_bytes(step.total_bytes)}; if all were trained: over {as_bytes(full)}",
            soft=True,
        ),
        _draw_bar("w", memory, 284, base),
        draw_box(memory(base), 284, max(1.0, memory(kept) - memory(base)), BAR, "m-adapters"),
        draw_box(memory(kept), 284, memory(step.total_bytes) - memory(kept), BAR, "m-activations"),
    )


def _draw_bar(look: str, across: Scale, y: float, value: float) -> Markup:
    start, width = across(0), max(1.0, across(value) - across(0))
    return draw_hatched(start, y, width, BAR) if look == "w" else draw_box(start, y, width, BAR, look)
