"""Several runs side by side: four overlaid charts, the settings in which they differ, and their answers."""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from markupsafe import Markup

from lora_lab.charts import run_view
from lora_lab.charts.live_chart import NARROW, WIDE, Series, draw_line_chart, smooth_points
from lora_lab.charts.live_frame import COLOURS, Colour
from lora_lab.lab import Lab
from lora_lab.runs.folder import RunFolder
from lora_lab.runs.state import RunState
from lora_lab.spec import RunSpec
from lora_lab.views.held_out import say_too_few
from study.base.units import as_bytes, as_reading

MOST_RUNS = 6
ANSWERS_BESIDE = 4
CLOSE_LOSSES = 0.05  # nats: below it, losses are shown with a third digit
LETTERS = "ABCDEF"
LINE_COLOURS: tuple[Colour, ...] = ("blue", "orange", "green", "purple", "brown", "ink")


@dataclass(frozen=True, kw_only=True)
class ComparedRun:
    """One run with the letter and colour that identify it on the page."""

    letter: str
    colour: Colour
    run: RunFolder
    state: RunState

    @property
    def title(self) -> str:
        """Its settings in short form."""
        return run_view.format_title(self.run.spec)

    @property
    def detail(self) -> str:
        """What distinguishes it from others of the same title."""
        return run_view.describe_detail(self.run, self.state)

    @property
    def css_colour(self) -> str:
        """The colour of the swatch next to its letter."""
        return COLOURS[self.colour]


@dataclass(frozen=True, kw_only=True)
class ComparisonChart:
    """One measured quantity of all runs; the title states the finding."""

    name: str
    title: str
    svg: Markup


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One prompt that all runs were asked, with each run's answer."""

    prompt: str
    reference: str
    base: tuple[str, ...]
    tuned: tuple[str, ...]

    @property
    def one_base(self) -> str | None:
        """The base model's answer if it is the same for all runs, else None."""
        return self.base[0] if len(set(self.base)) == 1 else None


def find_compared(lab: Lab, run_ids: Sequence[str]) -> list[ComparedRun]:
    """Return the runs of an address in its order, without unknown ones and those after the sixth."""
    found: list[ComparedRun] = []
    for run_id in dict.fromkeys(run_ids):
        run = lab.find_run(run_id)
        if run is not None and len(found) < MOST_RUNS:
            at = len(found)
            item = ComparedRun(letter=LETTERS[at], colour=LINE_COLOURS[at], run=run, state=run.state())
            found.append(item)
    return found


def say_held_out(runs: Sequence[ComparedRun]) -> str:
    """Say which run ends lowest on held-out examples, and what warns of a hasty finding.

    Empty before a run's held-out loss is measured. Losses of other models or other data name no winner.
    """
    losses = {item.letter: (item.state.loss_before, item.state.loss_after) for item in runs}
    measured = {
        letter: (before, after)
        for letter, (before, after) in losses.items()
        if before is not None and after is not None and math.isfinite(after)
    }
    if not measured:
        return ""
    of = [item for item in runs if item.letter in measured]
    cautions = list(_list_cautions(of)) if len(of) > 1 else list(filter(None, [say_too_few(of[0].state)]))
    return " ".join((f"Held-out loss: {_rank_held_out(of, measured)}.", *cautions))


def _rank_held_out(runs: Sequence[ComparedRun], losses: Mapping[str, tuple[float, float]]) -> str:
    digits = 3 if 0 < _compute_span(losses) < CLOSE_LOSSES else 2
    said = {letter: f"{before:.{digits}f} → {after:.{digits}f}" for letter, (before, after) in losses.items()}
    if len(set(said.values())) == 1:
        return f"{next(iter(said.values()))}{' in each' if len(said) > 1 else ''}"
    lowest = min(losses, key=lambda letter: losses[letter][1])
    ends = {f"{after:.{digits}f}" for _, after in losses.values()}
    if not _are_of_same_examples(runs) or len(ends) == 1:
        return ", ".join(f"{letter} {each}" for letter, each in said.items())
    rest = ", ".join(f"{letter} {each}" for letter, each in said.items() if letter != lowest)
    return f"{lowest} ends {_say_lowest(said)}, {said[lowest]}; {rest}"


def _say_lowest(compared: Collection[str]) -> str:
    return "lowest" if len(compared) > 2 else "lower"


def _compute_span(losses: Mapping[str, tuple[float, float]]) -> float:
    """Compute the distance of the highest loss after training from the lowest."""
    ends = [after for _, after in losses.values()]
    return max(ends) - min(ends)


def _are_of_same_examples(runs: Sequence[ComparedRun]) -> bool:
    return len({(item.run.spec.model, item.run.spec.data) for item in runs}) == 1


def _list_cautions(runs: Sequence[ComparedRun]) -> Iterator[str]:
    if not _are_of_same_examples(runs):
        yield "They are of other models or other data, so they can't be ranked."
        return
    seeds = Counter(replace(item.run.spec, seed=0) for item in runs)
    if max(seeds.values()) > 1:
        yield "Runs that differ in their seed alone show how far luck goes."
    else:
        yield "One seed each shows no more than a hint."
    if few := next(filter(None, (say_too_few(item.state) for item in runs)), ""):
        yield few
    yield "Training loss, below, is of the rows that were trained on."


def render_charts(runs: Sequence[ComparedRun], *, narrow: bool) -> Iterator[ComparisonChart]:
    """Render loss, memory, gradient norm and speed over the steps."""
    measured = [item for item in runs if item.state.steps]
    if not measured:
        return
    last_step = max(2, *(item.run.spec.steps for item in runs))
    for name, format_title, unit, read, y_format in CHARTS:
        title = format_title(measured)
        series = [Series(label=item.letter, points=read(item), colour=item.colour) for item in measured]
        svg = draw_line_chart(
            series,
            title=title,
            x_label="step",
            y_label=unit,
            window=(1, last_step),
            y_format=y_format,
            from_zero=name in ("memory", "speed"),
            width=NARROW if narrow else WIDE,
        )
        yield ComparisonChart(name=name, title=title, svg=svg)


Points = list[tuple[float, float]]


def _read_loss(item: ComparedRun) -> Points:
    return smooth_points(run_view.list_points(item.state, "loss"))


def _read_peak(item: ComparedRun) -> Points:
    """Return peaks in bytes of the run, or of all runs together if it shared its steps with others."""
    return run_view.list_points(item.state, "group_peak_bytes" if item.state.shared_by > 1 else "peak_bytes")


def _read_gradient(item: ComparedRun) -> Points:
    return run_view.list_points(item.state, "grad_norm")


def _read_speed(item: ComparedRun) -> Points:
    """Return the speed over the steps so far, so that the line ends at the speed over the whole run."""
    timed = item.state.timed_steps
    tokens = accumulate(step["tokens"] for step in timed)
    seconds = accumulate(step["seconds"] for step in timed)
    return [
        (float(step["step"]), so_far / took)
        for step, so_far, took in zip(timed, tokens, seconds, strict=True)
    ]


def _format_loss_title(runs: Sequence[ComparedRun]) -> str:
    ends = {item.letter: _read_loss(item)[-1][1] for item in runs}
    lowest = min(ends, key=ends.__getitem__)
    if len({f"{loss:.2f}" for loss in ends.values()}) == 1:
        return f"Training loss: {ends[lowest]:.2f}{' in each' if len(ends) > 1 else ''}"
    others = [loss for letter, loss in ends.items() if letter != lowest]
    digits = 3 if f"{ends[lowest]:.2f}" in {f"{loss:.2f}" for loss in others} else 2
    rest = ", ".join(f"{letter} {loss:.{digits}f}" for letter, loss in ends.items() if letter != lowest)
    return f"Training loss: {lowest} is {_say_lowest(ends)} at {ends[lowest]:.{digits}f}; {rest}"


def _format_memory_title(runs: Sequence[ComparedRun]) -> str:
    alone = all(item.state.peak_bytes for item in runs)
    of_what = "" if alone else " of each process (runs side by side share one)"
    peaks = {item.letter: item.state.peak_bytes or item.state.group_peak_bytes for item in runs}
    low, high = min(peaks, key=peaks.__getitem__), max(peaks, key=peaks.__getitem__)
    if peaks[low] == peaks[high]:
        return f"Peak memory{of_what}: {as_bytes(peaks[high])}{' in each' if len(peaks) > 1 else ''}"
    return f"Peak memory{of_what}: from {as_bytes(peaks[low])} ({low}) to {as_bytes(peaks[high])} ({high})"


def _format_gradient_title(runs: Sequence[ComparedRun]) -> str:
    norms = {item.letter: max(y for _, y in _read_gradient(item)) for item in runs}
    value = as_reading(max(norms.values()))
    holders = [letter for letter, norm in norms.items() if as_reading(norm) == value]
    where = "each run" if len(holders) == len(runs) > 1 else ", ".join(holders)
    return f"Gradient norm before clipping: {value} at most, in {where}"


def _format_speed_title(runs: Sequence[ComparedRun]) -> str:
    speeds = {item.letter: item.state.tokens_per_second for item in runs}
    fastest = max(speeds, key=speeds.__getitem__)
    slowest = min(speeds, key=speeds.__getitem__)
    most, least = f"{speeds[fastest]:,.0f}", f"{speeds[slowest]:,.0f}"
    if most == least:
        return f"Speed over the whole run: {most} tokens per second{' in each' if len(speeds) > 1 else ''}"
    return f"Speed over the whole run: from {least} ({slowest}) to {most} tokens per second ({fastest})"


CHARTS = (
    ("loss", _format_loss_title, "loss, smoothed", _read_loss, as_reading),
    ("memory", _format_memory_title, "peak bytes of live tensors", _read_peak, as_bytes),
    ("gradient", _format_gradient_title, "gradient norm", _read_gradient, as_reading),
    ("speed", _format_speed_title, "tokens/s so far", _read_speed, "{:,.0f}".format),
)


def list_settings(runs: Sequence[ComparedRun]) -> list[tuple[str, list[str], bool]]:
    """Return every setting, and the device: its name, its value in each run, and whether the runs differ."""
    columns = [
        dict(run_view.list_setting_rows(item.run.spec)) | {"data": data, "device": _name_device(item.state)}
        for item, data in zip(runs, _name_data(runs), strict=True)
    ]
    rows = [(name, [column[name] for column in columns]) for name in columns[0]]
    return [(name, values, len(set(values)) > 1) for name, values in rows]


def _name_data(runs: Sequence[ComparedRun]) -> list[str]:
    """Name each run's data as the lab's list does; files of one name are told apart by their digest."""
    named = [(item.run.data_label, item.run.spec.data) for item in runs]
    files = Counter(label for label, _ in set(named))
    return [f"{label} ({digest})" if files[label] > 1 else label for label, digest in named]


IN_TITLE = frozenset({"model", "weights", "rank", "variant", "steps", "learning rate", "seed"})
"""The settings that `format_title` and `describe_detail` name."""


def tell_apart(specs: Sequence[RunSpec]) -> list[str]:
    """Return for each run the settings that most others don't share and that its title doesn't name."""
    rows = [
        [
            (name, value.partition(" (")[0])
            for name, value in run_view.list_setting_rows(spec)
            if name not in IN_TITLE
        ]
        for spec in specs
    ]
    shared = Counter(setting for row in rows for setting in row)
    return [
        " · ".join(f"{name} {value}" for name, value in row if shared[name, value] <= len(rows) / 2)
        for row in rows
    ]


def list_results(runs: Sequence[ComparedRun]) -> list[tuple[str, list[str]]]:
    """Return the results of the runs; they are measured, so differences are not marked."""
    return [
        ("state", [item.state.word for item in runs]),
        ("held-out loss", [_format_held_out(item.state) for item in runs]),
        ("peak memory", [_describe_peak(item.state) for item in runs]),
        ("tokens/s", [f"{item.state.tokens_per_second:,.0f}" if item.state.steps else "–" for item in runs]),
    ]


def _describe_peak(state: RunState) -> str:
    if state.shared_by > 1:
        return f"{as_bytes(state.group_peak_bytes)} for {state.shared_by} side by side"
    return as_bytes(state.peak_bytes) if state.peak_bytes else "–"


def _format_held_out(state: RunState) -> str:
    if state.loss_before is None or state.loss_after is None:
        return "–"
    return f"{state.loss_before:.2f} → {state.loss_after:.2f}"


def _name_device(state: RunState) -> str:
    if state.started is None:
        return "–"
    device = state.started["device"]
    return f"{device['name']}, {device['compute_dtype']}"


def list_answers(runs: Sequence[ComparedRun]) -> tuple[list[ComparedRun], list[Answered]]:
    """Return the first four runs with sample answers, and the prompts that they have in common."""
    beside = [item for item in runs if item.state.ended and item.run.samples()][:ANSWERS_BESIDE]
    asked = [{sample["prompt"]: sample for sample in item.run.samples()} for item in beside]
    if not asked:
        return [], []
    common = [prompt for prompt in asked[0] if all(prompt in each for each in asked)]
    return beside, [
        Answered(
            prompt=prompt,
            reference=asked[0][prompt]["reference"],
            base=tuple(each[prompt]["base"] for each in asked),
            tuned=tuple(each[prompt]["tuned"] for each in asked),
        )
        for prompt in common
    ]
