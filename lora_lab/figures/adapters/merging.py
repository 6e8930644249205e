"""One trained adapter merged in three ways, and how far each merged model is from base plus adapter."""

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from lora_lab.charts.drawing import Scale, draw_box, draw_line, draw_words, render_drawing
from lora_lab.figures.recorded import ROUNDED_BEFORE, describe_recording, read_recording
from study.base.html import join_html
from study.base.units import as_percent, as_two_digits
from study.figures.controls import define_choice, define_slider
from study.figures.figure import FigureTable, FigureView

STEPS = (5, 10, 20, 40)
WAYS = {
    "fp32": "decode, add, keep in 32 bits",
    "bf16": "decode, add, keep in 16 bits",
    "nf4": "decode, add, quantize again",
}
LOOKS = {"fp32": "good", "bf16": "w", "nf4": "bad"}
MEASURES = {
    "logit_error": "error of the logits",
    "weight_error_over_update": "error of the weights / update",
}
GAP = 58.0
ACROSS = Scale(low=1e-7, high=4, start=8, end=392, log=True)


@dataclass(frozen=True, kw_only=True)
class MergingSettings:
    steps: int = define_slider("Steps trained", default=STEPS[-1], stops=STEPS, only_stops=True)
    measure: str = define_choice("Bars show", list(MEASURES.items()), default="logit_error")


@dataclass(frozen=True, kw_only=True)
class Way:
    id: str
    logit_error: float
    """||logits - logits of base plus adapter|| / ||the latter||, at answer tokens of held-out examples."""

    weight_error_over_update: float
    """||merged - (W + ΔW)|| / ||ΔW|| over all adapted matrices; at 1 the error is as large as the update."""

    loss: float


def list_ways(steps: int) -> tuple[Way, ...]:
    """Return the recorded results of each way of merging after `steps` steps."""
    return tuple(Way(id=way, **values) for way, values in read_snapshot(steps)["ways"].items())


def compute_gain_kept(way: Way, taken: dict[str, Any]) -> float:
    """Compute how many percent of the adapter's gain in loss over the base are left after merging."""
    base = read_recording("merging")["base_loss"]
    return float(100 * (base - way.loss) / (base - taken["unmerged_loss"]))


def read_snapshot(steps: int) -> dict[str, Any]:
    """Return the recording after `steps` steps."""
    found: dict[str, Any] = next(
        one for one in read_recording("merging")["snapshots"] if one["steps"] == steps
    )
    return found


def show(settings: MergingSettings) -> FigureView:
    kept, taken = read_recording("merging"), read_snapshot(settings.steps)
    found = list_ways(settings.steps)
    exact, _, again = found
    return FigureView(
        finding=(
            f"After {settings.steps} steps the adapter takes the held-out loss from {kept['base_loss']:.2f} "
            f"to {taken['unmerged_loss']:.2f}. In 32 bits it stays at {exact.loss:.2f}; quantized again "
            f"to NF4 it is {again.loss:.2f}, and {as_percent(compute_gain_kept(again, taken))} of the "
            "gain is left: most of so small an update is rounded away."
        ),
        numbers=(
            ("loss, base alone", f"{kept['base_loss']:.3f}"),
            ("base and adapter", f"{taken['unmerged_loss']:.3f}"),
            *((f"merged, {_shorten_name(way.id)}", f"{way.loss:.3f}") for way in found),
        ),
        picture=_draw_picture(settings, found),
        alt=(
            f"{MEASURES[settings.measure].capitalize()} on a logarithmic scale. "
            + " ".join(f"{WAYS[way.id]}: {as_two_digits(_read_value(way, settings))}." for way in found)
        ),
        origins=(
            describe_recording(
                "merging",
                f"SmolLM2-135M-Instruct in {kept['bits']}, rank {kept['rank']}, alpha {kept['alpha']:g}, "
                "all linear layers, "
                f"batch {kept['batch']}, learning rate {kept['learning_rate']:g}, seed {kept['seed']}, "
                f"{kept['held_out_examples']} held-out examples of the app's own cards. {ROUNDED_BEFORE}",
            ),
        ),
        table=FigureTable(
            columns=(
                "way",
                "error of the logits",
                "error of the weights / update",
                "held-out loss",
                "gain kept",
            ),
            rows=tuple(
                (
                    WAYS[way.id],
                    f"{way.logit_error:.3g}",
                    f"{way.weight_error_over_update:.3g}",
                    f"{way.loss:.4f}",
                    as_percent(compute_gain_kept(way, taken)),
                )
                for way in found
            ),
        ),
    )


def _shorten_name(way: str) -> str:
    return {"fp32": "32 bits", "bf16": "16 bits", "nf4": "NF4"}[way]


def _read_value(way: Way, settings: MergingSettings) -> float:
    return float(getattr(way, settings.measure))


def _draw_picture(settings: MergingSettings, found: tuple[Way, ...]) -> Markup:
    """Render bars on a scale of powers of ten, because the three errors differ by orders of magnitude."""
    bottom = 12 + GAP * len(found)
    grid = join_html(
        draw_line([(ACROSS(10.0**power), 12), (ACROSS(10.0**power), bottom)], "rule")
        + draw_words(ACROSS(10.0**power), bottom + 16, label, anchor="middle", soft=True)
        for power, label in ((-6, "one millionth"), (-4, "1/10,000"), (-2, "1/100"), (0, "1"))
    )
    bars = []
    for at, way in enumerate(found):
        y, value = 12 + GAP * at, _read_value(way, settings)
        bars.append(draw_words(8, y + 18, WAYS[way.id]))
        bars.append(draw_words(392, y + 18, as_two_digits(value), anchor="end", bold=True))
        bars.append(draw_box(8, y + 26, ACROSS.clip(value) - 8, 20, LOOKS[way.id]))
    label = f"{MEASURES[settings.measure]}; each line is 100 times the one before"
    return render_drawing(
        bottom + 44, grid, *bars, draw_words(200, bottom + 38, label, anchor="middle", soft=True)
    )
