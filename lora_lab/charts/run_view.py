"""A run as its panel shows it: key figures, learning curves and settings."""

from functools import partial
from typing import Any

from markupsafe import Markup

from lora_lab.charts.captions import shorten_model_name
from lora_lab.charts.live_chart import NARROW, WIDE, Mark, Series, build_loss_series, draw_line_chart
from lora_lab.runs.folder import RunFolder
from lora_lab.runs.state import RunState
from lora_lab.spec import BITS_LABELS, OPTIMIZER_LABELS, OWN_DATA, TARGET_LABELS, VARIANT_NAMES, RunSpec
from study.base.units import as_bytes, as_reading
from study.plots.sheet import shorten_text

Window = tuple[float, float]
ZOOM_SHARE = 0.5
MIN_WINDOW_STEPS = 4
DATA_POINTS = 190.0  # about 27 characters: names of files are longer than a list can take


def format_title(spec: RunSpec) -> str:
    """Return `r=8 nf4-dq on smollm2-135m`."""
    variant = "" if spec.variant == "lora" else f" {VARIANT_NAMES[spec.variant]}"
    return f"r={spec.rank}{variant} {spec.bits} on {shorten_model_name(spec.model)}"


def describe_detail(run: RunFolder, state: RunState) -> str:
    """Return what else distinguishes runs: `40 steps · lr 0.002 · seed 0`; `4 of 40 steps` of a short one.

    A data set that isn't the app's own cards is named, too.
    """
    spec = run.spec
    cut_short = state.ended and len(state.steps) < spec.steps
    steps = f"{len(state.steps)} of {spec.steps}" if cut_short else spec.steps
    data = "" if spec.data == OWN_DATA else f" · data {shorten_text(run.data_label, DATA_POINTS)}"
    return f"{steps} steps · lr {spec.learning_rate:g} · seed {spec.seed}{data}"


def build_full_name(run: RunFolder, state: RunState) -> str:
    """Return the name in a list to choose from: typing `r=4` finds it, and what is cut off last is the time,
    because only equal runs differ in nothing else.
    """
    return f"{format_title(run.spec)} · {describe_detail(run, state)} · {run.started_at}"


def list_setting_rows(spec: RunSpec) -> list[tuple[str, str]]:
    """Return every setting as name and value, in the form's order."""
    return [
        ("model", shorten_model_name(spec.model)),
        ("weights", BITS_LABELS[spec.bits]),
        ("rank", str(spec.rank)),
        ("adapted", TARGET_LABELS[spec.targets]),
        ("alpha", f"{spec.alpha:g} (scale {spec.scaling:g})"),
        ("steps", str(spec.steps)),
        ("batch", f"{spec.batch} examples"),
        ("length", f"at most {spec.seq_len_tokens} tokens"),
        ("learning rate", f"{spec.learning_rate:g}"),
        ("variant", VARIANT_NAMES[spec.variant]),
        ("optimizer", OPTIMIZER_LABELS[spec.optimizer]),
        ("checkpointing", "on" if spec.checkpointing else "off"),
        ("seed", str(spec.seed)),
    ]


SETTING_NAMES = {"bits": "weights", "targets": "adapted", "seq_len_tokens": "length"}
"""What `list_setting_rows` calls a field of a spec, where the two differ."""


def render_curves(
    state: RunState, spec: RunSpec, *, window: Window | None, narrow: bool
) -> dict[str, Markup]:
    """Render loss, memory and learning rate over the steps, on axes that are fixed from the start."""
    shown = window or (1, max(2, spec.steps))
    chart = partial(draw_line_chart, x_label="step", window=shown, width=NARROW if narrow else WIDE)
    loss = chart(
        build_loss_series("smoothed", list_points(state, "loss")),
        title="Loss on the answers, step by step",
        y_label="training loss; thin: each step, bold: smoothed",
        y_format=as_reading,
        marks=_list_marks(state),
    )
    rate = chart(
        [Series(label="learning rate", points=list_points(state, "learning_rate"), colour="green")],
        title="Learning rate, step by step",
        y_label="learning rate",
        y_format="{:.3g}".format,
        from_zero=True,
    )
    together = f"Memory of {state.shared_by} runs side by side"
    memory = chart(
        _list_memory(state, shown),
        title=together if state.shared_by > 1 else "Memory of the training process",
        y_label="bytes of live tensors",
        y_format=as_bytes,
        from_zero=True,
    )
    return {"loss": loss, "memory": memory, "rate": rate}


def render_first_loss(state: RunState, spec: RunSpec) -> Markup:
    """Render the loss of a learner's first run, and the held-out losses that its text names."""
    unseen = (
        ("unseen, before", 1.0, state.loss_before),
        ("unseen, after", float(len(state.steps)), state.loss_after),
    )
    return draw_line_chart(
        [
            Series(label="training loss", points=list_points(state, "loss"), colour="blue"),
            *(
                Series(label=label, points=[(step, loss)], colour="orange")
                for label, step, loss in unseen
                if loss is not None
            ),
        ],
        title="Loss on the training pairs, step by step, and on unseen pairs before and after",
        x_label="step",
        y_label="loss on training pairs, and on unseen ones",
        window=(1, max(2, spec.steps)),
        y_format=as_reading,
        marks=_list_marks(state),
    )


def _list_memory(state: RunState, window: Window) -> list[Series]:
    """Return the memory of the run, or of all runs together when it shares its steps with others."""
    group = "group_" if state.shared_by > 1 else ""
    series = [
        Series(label="peak", points=list_points(state, f"{group}peak_bytes"), colour="orange"),
        Series(label="between steps", points=list_points(state, f"{group}live_bytes"), colour="blue"),
    ]
    if state.started:
        computed = float(state.started[f"{group}predicted_bytes"])
        ends = [(window[0], computed), (window[1], computed)]
        series.append(
            Series(label="computed peak", points=ends, colour="orange", dashed=True, measured=False)
        )
    return series


def list_points(state: RunState, field: str) -> list[tuple[float, float]]:
    """Return step number and one measured value for each step that has it."""
    return [(float(event["step"]), float(event[field])) for event in state.steps if field in event]


def _list_marks(state: RunState) -> list[Mark]:
    if not state.ended or not state.steps:
        return []
    last = float(state.steps[-1]["step"])
    if state.status == "stopped":
        return [Mark(x=last, label="stopped")]
    return [Mark(x=last, label="failed")] if state.status == "failed" else []


def zoom_window(window: Window | None, steps: int, direction: str) -> Window | None:
    """Return the next window; None is the whole range.

    `in` halves it, `out` doubles it, `earlier` and `later` move it by half its width, `all` resets it.
    """
    first, last = window or (1.0, float(max(2, steps)))
    width = last - first
    if direction == "in":
        width = max(MIN_WINDOW_STEPS, width * ZOOM_SHARE)
        first = last - width
    elif direction == "out":
        width /= ZOOM_SHARE
        first = last - width
    elif direction == "earlier":
        first -= width / 2
    elif direction == "later":
        first += width / 2
    first = max(1.0, min(first, steps - width))
    last = min(float(steps), first + width)
    return None if direction == "all" or (first <= 1 and last >= steps) else (round(first), round(last))


def read_progress(state: RunState, spec: RunSpec, *, stopping: bool = False) -> dict[str, Any]:
    """Return the key figures under a run in progress. Only steps to come have a time left."""
    is_stepping = state.status == "training" and not stopping
    latest: dict[str, Any] = state.steps[-1] if state.steps else {}
    return {
        "running": not state.ended,
        "step": len(state.steps),
        "steps": spec.steps,
        "loss": latest.get("loss"),
        "learning_rate": latest.get("learning_rate"),
        "tokens_per_second": state.tokens_per_second,
        "seconds_left": state.estimate_seconds_left(spec.steps) if is_stepping else None,
        "live_bytes": state.live_bytes,
        "peak_bytes": state.peak_bytes,
    }
