"""Checks of a project's question: answers computed from the cells of a learner's own runs."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from lora_lab.grids.findings import AXIS_WORDS, Axis, list_findings, name_level
from lora_lab.grids.results import GridCell, GridLevels, GridSetting, group_by_setting, read_levels
from lora_lab.memory.ledger import COMPONENTS, Ledger
from lora_lab.parameters import counts
from lora_lab.parameters.shapes import ModelShape
from lora_lab.projects.content import CheckName, ProjectCheck
from lora_lab.runs.predicted_vs_measured import percent_above
from study.base.units import as_bytes, as_count

CLOSE_PERCENT = 5.0
"""On a CPU they agree within half a percent, on a GPU mostly within 2 (docs/guide/memory.md)."""

SIDE_BY_SIDE = "were trained side by side, so that none has a measured peak of its own"
SAME_MODEL = 1e-4  # relative to the logits' size: fp32 rounding, summed over the layers
WAYS = {
    "decoded": "decoded, then merged, kept in fp32",
    "bf16": "decoded, then merged, kept in bf16",
    "requantized": "merged and rounded to 4 bits again",
}

Answer = Literal["yes", "no", "open"]


@dataclass(frozen=True, kw_only=True)
class Result:
    title: str
    """A question that can be answered by yes or no."""

    answer: Answer
    """`open` while too little has finished, or when the seeds can't decide."""

    text: str
    rows: Sequence[tuple[str, str]] = ()
    """The numbers behind the answer."""


@dataclass(frozen=True, kw_only=True)
class ProjectEvidence:
    """The data that a check can use."""

    cells: Sequence[GridCell]
    shape: ModelShape
    ledgers: Sequence[Ledger]
    """Computed for each cell, in the same order; empty until the model's data is read."""

    afterwards: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Extra measurements of finished runs, by the run's id (lora_lab/runs/extra_measurements.py)."""

    @property
    def finished(self) -> list[GridCell]:
        """The cells that ended without a failure."""
        return [cell for cell in self.cells if cell.status == "finished"]


def run_checks(checks: Iterable[ProjectCheck], evidence: ProjectEvidence) -> list[Result]:
    return [found for check in checks for found in _CHECKS[check.check](evidence, check.axis)]


def _check_differences(evidence: ProjectEvidence, axis: Axis | None) -> list[Result]:
    assert axis is not None
    title = f"Does the {AXIS_WORDS[axis]} change the held-out loss beyond what seeds do?"
    about = [found for found in list_findings(group_by_setting(evidence.cells)) if found.axis == axis]
    if not about:
        return [_report_waiting(title)]
    answers: Mapping[str, Answer] = {"differ": "yes", "noise": "no", "unknown": "open"}
    rows = _list_losses_by_level(evidence, axis)
    return [Result(title=title, answer=answers[found.verdict], text=found.text, rows=rows) for found in about]


def _check_peaks(evidence: ProjectEvidence, axis: Axis | None) -> list[Result]:
    assert axis is not None
    title = f"Does the {AXIS_WORDS[axis]} change the peak memory?"
    peaks = {
        setting: peak
        for setting in group_by_setting(evidence.cells)
        if (peak := setting.peak_bytes) is not None
    }
    if len({getattr(setting.levels, axis) for setting in peaks}) < 2:
        return [_report_waiting(title)]
    low, high = min(peaks, key=peaks.__getitem__), max(peaks, key=peaks.__getitem__)
    saved = peaks[high] - peaks[low]
    text = (
        f"{name_level(low.levels, axis)} peaks at {as_bytes(peaks[low])} and "
        f"{name_level(high.levels, axis)} at "
        f"{as_bytes(peaks[high])}: {as_bytes(saved)} apart, {100 * saved / peaks[high]:.0f} % of the larger."
    )
    if any(setting.measured_peak_bytes is None for setting in peaks):
        text += f" Computed where they {SIDE_BY_SIDE}."
    rows = [
        (
            name_level(setting.levels, axis),
            f"{as_bytes(peak)} {'measured' if setting.measured_peak_bytes else 'computed'}",
        )
        for setting, peak in peaks.items()
    ]
    return [Result(title=title, answer="yes" if saved else "no", text=text, rows=rows)]


def _check_counted(evidence: ProjectEvidence, axis: Axis | None) -> list[Result]:
    title = "Did each run train as many parameters as the formula says?"
    ran = {read_levels(cell.spec): cell for cell in evidence.finished if cell.trainable is not None}
    if not ran:
        return [_report_waiting(title)]
    expected = {
        setting: counts.count_parameters(
            evidence.shape, rank=setting.rank, targets=setting.targets, variant=setting.variant
        ).trainable
        for setting in ran
    }
    wrong = [setting for setting, cell in ran.items() if cell.trainable != expected[setting]]
    rows = tuple(
        (
            _name_levels(setting),
            f"{as_count(cell.trainable or 0)} counted in the run, {as_count(expected[setting])} computed",
        )
        for setting, cell in ran.items()
    )
    text = (
        f"{len(wrong)} of {len(ran)} settings trained another number than r (d_in + d_out), added up, gives."
        if wrong
        else f"All {len(ran)} settings trained exactly r (d_in + d_out), added up over the adapted matrices."
    )
    return [Result(title=title, answer="no" if wrong else "yes", text=text, rows=rows)]


def _check_predicted(evidence: ProjectEvidence, axis: Axis | None) -> list[Result]:
    title = f"Is each measured peak within {CLOSE_PERCENT:.0f} % of the computed one?"
    known = {
        _name_levels(read_levels(cell.spec)): (cell.peak_bytes, cell.predicted_bytes)
        for cell in evidence.finished
        if cell.peak_bytes and cell.predicted_bytes
    }
    if not known:
        if any(cell.shared_by > 1 for cell in evidence.finished):
            text = f"They {SIDE_BY_SIDE}. Vary bits or adapted matrices only."
            return [Result(title=title, answer="open", text=text)]
        return [_report_waiting(title)]
    errors = {name: percent_above(measured, computed) for name, (measured, computed) in known.items()}
    widest = max(errors, key=lambda name: abs(errors[name]))
    close = abs(errors[widest]) <= CLOSE_PERCENT
    rows = [
        (name, f"{as_bytes(measured)} measured, {as_bytes(computed)} computed, {errors[name]:+.2f} %")
        for name, (measured, computed) in known.items()
    ]
    text = f"The largest difference is {errors[widest]:+.2f} %, at {widest}."
    return [Result(title=title, answer="yes" if close else "no", text=text, rows=rows)]


def _check_components(evidence: ProjectEvidence, axis: Axis | None) -> list[Result]:
    """Check which part of the computed peak changes most from the grid's first cell to its last."""
    title = "Is the largest part also the one that changes most?"
    if len(evidence.ledgers) < 2 or not evidence.finished:
        return [_report_waiting(title)]
    first, last = evidence.ledgers[0], evidence.ledgers[-1]
    names = dict(COMPONENTS)
    change = {part: getattr(last, part) - getattr(first, part) for part in names}
    largest = max(names, key=lambda part: int(getattr(first, part)))
    moved = max(change, key=lambda part: abs(change[part]))
    rows = tuple(
        (names[part], f"{as_bytes(getattr(first, part))}, then {as_bytes(getattr(last, part))}")
        for part in names
        if getattr(first, part) or getattr(last, part)
    )
    begins, ends = (_name_levels(read_levels(evidence.cells[at].spec)) for at in (0, -1))
    sign = "more" if change[moved] > 0 else "less"
    text = (
        f"At {begins} the largest part is {names[largest]}, "
        f"{100 * getattr(first, largest) / first.total_bytes:.0f} % of the computed peak. From there to "
        f"{ends}, {names[moved]} change most: {as_bytes(abs(change[moved]))} {sign}."
    )
    return [Result(title=title, answer="yes" if moved == largest else "no", text=text, rows=rows)]


def _rate_or_rank(evidence: ProjectEvidence, axis: Axis | None) -> list[Result]:
    """Compare the spread of the best losses along each axis, with the other axis at its best."""
    title = "Does the learning rate move the held-out loss more than the rank?"
    settings = [setting for setting in group_by_setting(evidence.cells) if setting.mean_loss is not None]
    by_rate, by_rank = _find_best(settings, "learning_rate"), _find_best(settings, "rank")
    if len(by_rate) < 2 or len(by_rank) < 2:
        return [_report_waiting(title)]
    rates, ranks = (max(best.values()) - min(best.values()) for best in (by_rate, by_rank))
    text = (
        f"With the rank at its best, the loss moves by {rates:.3f} over the learning rates; with the "
        f"learning rate at its best, by {ranks:.3f} over the ranks."
    )
    if all(len(setting.losses) < 2 for setting in settings):
        text += " One seed each: the seed alone may move it as well."
    rows = [(f"learning rate {rate:g}", f"{loss:.3f} at its best rank") for rate, loss in by_rate.items()]
    rows += [(f"r={rank:g}", f"{loss:.3f} at its best rate") for rank, loss in by_rank.items()]
    return [Result(title=title, answer="yes" if rates > ranks else "no", text=text, rows=rows)]


def _check_broken(evidence: ProjectEvidence, axis: Axis | None) -> list[Result]:
    broke, mend = "Did any run end above where it began?", "Did any run learn?"
    ended = [cell for cell in evidence.cells if cell.status in ("finished", "failed")]
    if not ended:
        return [_report_waiting(broke), _report_waiting(mend)]
    bad = [cell for cell in ended if _is_broken(cell)]
    good = [cell for cell in ended if not _is_broken(cell)]
    rows = tuple((f"learning rate {cell.spec.learning_rate:g}", _describe_course(cell)) for cell in ended)
    said = _find_harmful(
        {cell.spec.learning_rate for cell in bad}, {cell.spec.learning_rate for cell in good}
    )
    found = [Result(title=broke, answer="yes" if bad else "no", text=said, rows=rows)]
    if good:
        best = min(good, key=lambda cell: cell.loss_after or 0.0)
        text = f"Best at {best.spec.learning_rate:g}: held-out loss {_describe_course(best)}."
        return [*found, Result(title=mend, answer="yes", text=text)]
    return [*found, Result(title=mend, answer="no", text="None did. Go down with the rate.")]


def _check_forgotten(evidence: ProjectEvidence, axis: Axis | None) -> list[Result]:
    title = "Did the runs get worse at general questions that they were not trained on?"
    known = [(cell, evidence.afterwards[cell.run_id]) for cell in _read_measured(evidence, "general_after")]
    if not known:
        return [_report_unmeasured(title, evidence)]
    rises = {cell.run_id: values["general_after"] - values["general_before"] for cell, values in known}
    worse = [rise for rise in rises.values() if rise > 0]
    rows = tuple(
        (
            f"learning rate {cell.spec.learning_rate:g}, r={cell.spec.rank}, seed {cell.spec.seed}",
            f"general questions {values['general_before']:.3f} → {values['general_after']:.3f}, "
            f"the cards {values['before']:.3f} → {values['after']:.3f}",
        )
        for cell, values in known
    )
    text = f"{len(worse)} of {len(known)} did; the loss on them moved by {min(rises.values()):+.3f} to "
    text += f"{max(rises.values()):+.3f}."
    answer: Answer = "yes" if len(worse) == len(known) else "open" if worse else "no"
    found = [Result(title=title, answer=answer, text=text, rows=rows)]
    if len(known) < 2:
        return found
    learnt = {cell.run_id: values["before"] - values["after"] for cell, values in known}
    most, least = max(learnt, key=learnt.__getitem__), min(learnt, key=learnt.__getitem__)
    more = rises[most] > rises[least]
    text = (
        f"The run that learned most ({learnt[most]:.3f} off its held-out loss) moved by {rises[most]:+.3f} "
        f"on general questions, the one that learned least ({learnt[least]:.3f}) by {rises[least]:+.3f}."
    )
    asked = "Did the run that learned most also forget more than the one that learned least?"
    return [*found, Result(title=asked, answer="yes" if more else "no", text=text)]


def _check_merged(evidence: ProjectEvidence, axis: Axis | None) -> list[Result]:
    title = "Merged and kept in fp32, is it the trained model?"
    known = [(cell, evidence.afterwards[cell.run_id]) for cell in _read_measured(evidence, "decoded_error")]
    if not known:
        return [_report_unmeasured(title, evidence)]
    found = []
    for cell, values in known:
        ways = [way for way in WAYS if f"{way}_error" in values]
        best, worst = (pick(ways, key=lambda way: values[f"{way}_error"]) for pick in (min, max))
        rows = [("adapter beside its base", f"held-out loss {values['after']:.4f}")]
        rows += [
            (
                WAYS[way],
                f"logits off by {values[f'{way}_error']:.2g}, held-out loss {values[f'{way}_loss']:.4f}"
                + _format_left(values, way),
            )
            for way in ways
        ]
        text = (
            f"{WAYS[best].capitalize()}, the logits are off by {values[f'{best}_error']:.2g} of their size; "
            f"{WAYS[worst]}, by {values[f'{worst}_error']:.2g}{_format_left(values, worst)}."
        )
        same = values["decoded_error"] < SAME_MODEL
        found.append(
            Result(
                title=f"{title} ({cell.spec.bits})",
                answer="yes" if same else "no",
                text=text,
                rows=rows,
            )
        )
    return found


def _format_left(values: Mapping[str, float], way: str) -> str:
    """Format the share of the held-out loss reduction by training that a merged model keeps."""
    gained = values.get("before", values["after"]) - values["after"]
    if gained <= 0:
        return ""
    return f", {100 * (values['before'] - values[f'{way}_loss']) / gained:.0f} % of what was learned is left"


def _read_measured(evidence: ProjectEvidence, name: str) -> list[GridCell]:
    return [cell for cell in evidence.finished if name in evidence.afterwards.get(cell.run_id, {})]


def _is_broken(cell: GridCell) -> bool:
    before, after = cell.loss_before, cell.loss_after
    return after is None or (before is not None and after >= before)


def _find_harmful(broken: set[float], learnt: set[float]) -> str:
    if not broken:
        return "None of these did harm."
    if learnt and max(learnt) >= min(broken):
        rates = ", ".join(f"{rate:g}" for rate in sorted(broken))
        return f"At a learning rate of {rates}, but not in every run from {min(broken):g} on."
    return f"From a learning rate of {min(broken):g} on."


def _describe_course(cell: GridCell) -> str:
    if cell.status == "failed":
        return "failed"
    before, after = (("no number" if x is None else f"{x:.3f}") for x in (cell.loss_before, cell.loss_after))
    return f"{before} → {after}"


def _find_best(settings: Iterable[GridSetting], name: Literal["learning_rate", "rank"]) -> dict[float, float]:
    best: dict[float, float] = {}
    for setting in settings:
        value, loss = getattr(setting.levels, name), setting.mean_loss
        if loss is not None:
            best[value] = min(loss, best.get(value, loss))
    return dict(sorted(best.items()))


def _list_losses_by_level(evidence: ProjectEvidence, axis: Axis) -> list[tuple[str, str]]:
    groups: dict[str, list[float]] = {}
    for setting in group_by_setting(evidence.cells):
        if setting.losses:
            groups.setdefault(name_level(setting.levels, axis), []).extend(setting.losses)
    return [(name, _describe_losses(losses)) for name, losses in groups.items()]


def _describe_losses(losses: Sequence[float]) -> str:
    runs = "1 run" if len(losses) == 1 else f"{len(losses)} runs"
    return f"{statistics.fmean(losses):.4f}, {runs} from {min(losses):.4f} to {max(losses):.4f}"


def _name_levels(levels: GridLevels) -> str:
    return f"r={levels.rank} {levels.bits} {levels.targets}"


def _report_waiting(title: str) -> Result:
    return Result(title=title, answer="open", text="Too little has finished to say.")


def _report_unmeasured(title: str, evidence: ProjectEvidence) -> Result:
    if not evidence.finished:
        return _report_waiting(title)
    return Result(title=title, answer="open", text="The finished runs are not measured for this yet.")


_CHECKS: Mapping[CheckName, Callable[[ProjectEvidence, Axis | None], list[Result]]] = {
    "differences": _check_differences,
    "counts": _check_counted,
    "peaks": _check_peaks,
    "predicted": _check_predicted,
    "parts": _check_components,
    "rate-or-rank": _rate_or_rank,
    "broken": _check_broken,
    "forgotten": _check_forgotten,
    "merged": _check_merged,
}
