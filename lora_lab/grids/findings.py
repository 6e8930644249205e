"""The findings of a grid, in sentences that its spread over seeds supports.

Two settings differ when the confidence interval of the difference of their mean held-out losses
(welch_test.py) excludes zero. The intervals of one sentence hold jointly at 95 %: a sentence that compares k
settings makes k (k - 1) / 2 comparisons and divides the 5 % among them (Bonferroni correction). Settings
without a spread (one seed, or seeds with exactly equal losses) are named and not compared.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from lora_lab.grids.results import GridLevels, GridSetting, list_rates, select_best_rates
from lora_lab.grids.welch_test import Comparison, SeedVerdict, compare_groups
from lora_lab.settings.grid import place_of_targets
from lora_lab.spec import BITS, VARIANTS

Axis = Literal["rank", "bits", "targets", "variant", "learning_rate"]
COMPARED_AXES: tuple[Axis, ...] = ("rank", "bits", "targets", "variant")
"""What is compared at the best learning rate of each setting."""
AXIS_WORDS: dict[str, str] = {
    "rank": "rank",
    "bits": "bit width",
    "targets": "set of matrices",
    "variant": "variant",
    "learning_rate": "learning rate",
}
SHOWN_DIFFERENCES = 3  # per sentence


ComparedPair = tuple[GridSetting, GridSetting, Comparison]


# ---- sentences


@dataclass(frozen=True, kw_only=True)
class GridFinding:
    """One sentence about one axis, all else equal."""

    axis: Axis
    context: str
    """The row of the grid, such as `nf4, attention`; empty if the grid has only one row."""

    claim: str
    """Short enough for a title, without the context and without a full stop."""

    rate: str = ""
    """The learning rate at which the settings are compared; empty if the grid has only one."""

    detail: str
    """The numbers behind it."""

    remark: str = ""
    """What had to be omitted."""

    verdict: SeedVerdict
    """`differ` if at least one pair differs."""

    gap: float = 0.0
    """The largest difference of two means."""

    noise: float = 0.0
    """Half the confidence interval of that difference; 0 without a spread."""

    @property
    def headline(self) -> str:
        """`No difference beyond seed noise between r=8 and r=64 at nf4`."""
        return f"{self.claim} at {self.context}" if self.context else self.claim

    @property
    def text(self) -> str:
        return f"{self.headline}{self.rate}{self.detail}{self.remark}"


def list_findings(settings: Iterable[GridSetting]) -> list[GridFinding]:
    """Build one finding per axis and row of the grid along it, at every setting's best learning rate.

    Rows of one axis with the same claim share a sentence, unless they differ.
    """
    tried = list(settings)
    best = [setting for setting in select_best_rates(tried) if setting.losses]
    rate = _say_rate(best) if len(list_rates(tried)) > 1 else ""
    return [
        replace(finding, rate=rate)
        for axis in COMPARED_AXES
        for finding in _merge_findings(list(_list_rows(axis, best)), _list_varied(axis, best))
    ]


def list_rate_findings(settings: Iterable[GridSetting]) -> list[GridFinding]:
    """Compare the learning rates at the setting that ends lowest; empty unless seeds tell two apart."""
    tried = [setting for setting in settings if setting.losses]
    if not tried:
        return []
    lowest = min(select_best_rates(tried), key=_mean).levels
    row = [
        setting for setting in tried if replace(setting.levels, learning_rate=lowest.learning_rate) == lowest
    ]
    context = ", ".join(name_level(lowest, axis) for axis in _list_varied("learning_rate", tried))
    found = _build_finding(
        "learning_rate",
        context,
        sorted(row, key=lambda setting: _rank_place(setting.levels, "learning_rate")),
    )
    return [replace(found, claim=f"Learning rate {found.claim}")] if found.verdict == "differ" else []


def _say_rate(best: Sequence[GridSetting]) -> str:
    rates = list_rates(best)
    if len(rates) == 1:
        return f" at the best learning rate, {rates[0]:g}"
    return ", each at its best learning rate"


def _list_varied(axis: Axis, settings: Sequence[GridSetting]) -> list[Axis]:
    """Return the other axes that have more than one value."""
    return [
        each
        for each in COMPARED_AXES
        if each != axis and len({getattr(setting.levels, each) for setting in settings}) > 1
    ]


def _merge_findings(found: Sequence[GridFinding], varied: Sequence[Axis]) -> Iterator[GridFinding]:
    alike: dict[tuple[str, str], list[GridFinding]] = {}
    for finding in found:
        alike.setdefault((finding.claim, finding.remark), []).append(finding)
    for group in alike.values():
        if len(group) == 1 or group[0].verdict == "differ":
            yield from group
            continue
        widest = max(group, key=lambda finding: finding.gap)
        whole = len(group) == len(found)
        rows = f"any {' and '.join(AXIS_WORDS[axis] for axis in varied)}" if whole else _list_contexts(group)
        if widest.verdict == "unknown":
            yield replace(widest, context=rows)
            continue
        gap = f": the largest gap is {widest.gap:.3f}, at {widest.context}, where seeds alone explain up to"
        yield replace(widest, context=rows, detail=f"{gap} {widest.noise:.3f}.")


def _list_contexts(group: Sequence[GridFinding]) -> str:
    return " and at ".join(finding.context for finding in group)


def _list_rows(axis: Axis, settings: Sequence[GridSetting]) -> Iterator[GridFinding]:
    others = [other for other in COMPARED_AXES if other != axis]
    varied = _list_varied(axis, settings)
    rows: dict[tuple[object, ...], list[GridSetting]] = {}
    for setting in settings:
        rows.setdefault(tuple(getattr(setting.levels, other) for other in others), []).append(setting)
    for row in rows.values():
        if len(row) > 1:
            context = ", ".join(name_level(row[0].levels, other) for other in varied)
            yield _build_finding(
                axis, context, sorted(row, key=lambda setting: _rank_place(setting.levels, axis))
            )


def _build_finding(axis: Axis, context: str, row: Sequence[GridSetting]) -> GridFinding:
    spread = [setting for setting in row if len(set(setting.losses)) > 1]
    if len(spread) < 2:
        claim, detail = _say_unknown(axis, row)
        return GridFinding(axis=axis, context=context, claim=claim, detail=detail, verdict="unknown")
    pairs = list(itertools.combinations(spread, 2))
    number = math.comb(len(spread), 2)
    judged = [(a, b, compare_groups(a.losses, b.losses, comparisons=number)) for a, b in pairs]
    judged.sort(key=lambda pair: -abs(pair[2].difference))
    apart = [pair for pair in judged if pair[2].verdict == "differ"]
    claim, detail = _say_apart(axis, apart, len(pairs)) if apart else _say_alike(axis, spread, judged[0])
    left_out = [setting for setting in row if setting not in spread]
    _, _, widest = judged[0]
    return GridFinding(
        axis=axis,
        context=context,
        claim=claim,
        detail=detail,
        remark=f" Not compared, having no spread over seeds: {_list_names(left_out, axis)}."
        if left_out
        else "",
        verdict="differ" if apart else "noise",
        gap=abs(widest.difference),
        noise=widest.noise,
    )


def _mean(setting: GridSetting) -> float:
    return setting.mean_loss if setting.mean_loss is not None else math.inf


def _say_unknown(axis: Axis, row: Sequence[GridSetting]) -> tuple[str, str]:
    if any(not cell.ended for setting in row for cell in setting.cells):
        best = min(row, key=_mean)
        claim = f"So far {name_level(best.levels, axis)} ends lowest of {_list_names(row, axis)}"
        return claim, f", at {_mean(best):.3f}. The seeds to come will tell whether that is luck."
    if all(len(setting.losses) < 2 for setting in row):
        return f"One seed can't tell {_list_names(row, axis)} apart", ". Add two seeds or more."
    return f"Too few seeds finished to tell {_list_names(row, axis)} apart", "."


def _say_alike(axis: Axis, row: Sequence[GridSetting], widest: ComparedPair) -> tuple[str, str]:
    a, b, found = widest
    join, whose = "between", ""
    if len(row) > 2:
        join, whose = "among", f" ({name_level(a.levels, axis)} and {name_level(b.levels, axis)})"
    gap = f": the largest gap{whose} is {abs(found.difference):.3f}, and seeds alone explain up to"
    claim = f"No difference beyond seed noise {join} {_list_names(row, axis)}"
    return claim, f"{gap} {found.noise:.3f} ({_count_seeds(row)})."


def _say_apart(axis: Axis, apart: Sequence[ComparedPair], pairs: int) -> tuple[str, str]:
    first, *more_apart = (_say_difference(axis, *pair) for pair in apart)
    detail = "".join(f"; {other}" for other in more_apart[: SHOWN_DIFFERENCES - 1])
    more, rest = len(apart) - SHOWN_DIFFERENCES, pairs - len(apart)
    if more > 0:
        detail += f"; {more} more"
    detail += f" ({_count_seeds([setting for pair in apart for setting in pair[:2]])})."
    if rest:
        others = "pair" if rest == 1 else f"{rest} pairs"
        detail += f" No difference beyond seed noise in the other {others}."
    return first, detail


def _say_difference(axis: Axis, a: GridSetting, b: GridSetting, found: Comparison) -> str:
    low, high = (a, b) if found.difference < 0 else (b, a)
    gap = f"{abs(found.difference):.3f} ± {found.noise:.3f}"
    return f"{name_level(low.levels, axis)} ends {gap} lower than {name_level(high.levels, axis)}"


def _count_seeds(settings: Sequence[GridSetting]) -> str:
    counts = [len(setting.losses) for setting in settings]
    fewest, most = min(counts), max(counts)
    return f"{fewest} seeds" if fewest == most else f"{fewest} to {most} seeds"


def _list_names(row: Sequence[GridSetting], axis: Axis) -> str:
    *first, last = (name_level(setting.levels, axis) for setting in row)
    return f"{', '.join(first)} and {last}" if first else last


def name_level(levels: GridLevels, axis: Axis) -> str:
    """Return `r=8`, `nf4-dq`, `attention`, `dora` or `0.01`."""
    value = getattr(levels, axis)
    if axis == "learning_rate":
        return f"{value:g}"
    return f"r={value}" if axis == "rank" else str(value)


PLACES: dict[Axis, Callable[[Any], Any]] = {
    "bits": BITS.index,
    "targets": place_of_targets,
    "variant": VARIANTS.index,
}
"""The order of levels that are not numbers."""


def _rank_place(levels: GridLevels, axis: Axis) -> Any:
    value = getattr(levels, axis)
    return PLACES[axis](value) if axis in PLACES else value


def compare_ends(settings: Sequence[GridSetting]) -> Comparison:
    """Compare the highest with the lowest mean loss.

    Both are selected by their loss, so every pair of settings counts as a comparison (multiple testing).
    """
    low, high = min(settings, key=_mean), max(settings, key=_mean)
    return compare_groups(high.losses, low.losses, comparisons=math.comb(len(settings), 2))


def find_lowest(settings: Sequence[GridSetting]) -> GridSetting | None:
    """Return the setting that ends lower than each of the others; None where the seeds don't show one."""
    if any(len(set(setting.losses)) < 2 for setting in settings):
        return None
    lowest, verdicts = compare_with_lowest(settings)
    return lowest if all(verdict == "differ" for verdict in verdicts) else None


def compare_with_lowest(settings: Iterable[GridSetting]) -> tuple[GridSetting, list[SeedVerdict]]:
    """Return the setting with the lowest mean loss, and how each other one compares with it.

    It is selected by its loss, so every pair of settings counts as a comparison (multiple testing).
    """
    lowest, *others = sorted(settings, key=_mean)
    pairs = math.comb(len(others) + 1, 2)
    return lowest, [compare_groups(lowest.losses, each.losses, comparisons=pairs).verdict for each in others]


# ---- learning rates


def variants_share_one_rate(settings: Sequence[GridSetting]) -> bool:
    """Return whether variants share a single learning rate, which says little (arXiv:2602.04998)."""
    return len({setting.levels.variant for setting in settings}) > 1 and len(list_rates(settings)) == 1


def find_edge_rates(settings: Sequence[GridSetting]) -> list[GridSetting]:
    """Return settings whose best rate is the lowest or highest tried: the real best may be beyond it."""
    tried = list_rates(settings)
    if len(tried) < 2:
        return []
    return [
        setting
        for setting in select_best_rates(settings)
        if setting.losses and setting.levels.learning_rate in (tried[0], tried[-1])
    ]


def choose_rank_headline(found: Sequence[GridFinding]) -> str:
    """Return the strongest finding about ranks, as a title."""
    about = [each for each in found if each.axis == "rank"]
    order: tuple[SeedVerdict, ...] = ("differ", "noise", "unknown")
    strongest = sorted(about, key=lambda each: (order.index(each.verdict), -each.gap))
    return strongest[0].headline if strongest else "Held-out loss by rank"
