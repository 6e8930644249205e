"""Texts of an X-ray's panels: what the charts can't show, and what an update amplifies."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt

from lora_lab.papers.tables import read_published_tables
from lora_lab.predictions.judging import FACTOR, is_within_factor
from lora_lab.spec import RANK_LIMITS, RunSpec, Variant
from lora_lab.xray.result import Module, Overlap, RunOverlap, Xray, compute_expected_overlap
from study.base.errors import LearnerError
from study.base.units import as_count, as_three_digits, as_two_digits

PUBLISHED = "lora-amplification"
"""Table 7 of the LoRA paper, in papers.yaml."""


@dataclass(frozen=True, kw_only=True)
class CaptionTable:
    """The paper's table 7 for this matrix, next to the published one."""

    columns: Sequence[tuple[str, str]]
    """Title of a column, and `computed` or `published`."""

    rows: Sequence[tuple[str, Sequence[str]]]
    """Name of a row, and a value per column, or a dash."""

    source: str


def tabulate_amplification(columns: Sequence[tuple[str, Module]]) -> CaptionTable:
    """Build the table: one column per run, then the published ones."""
    printed = next(table for table in read_published_tables() if table.id == PUBLISHED)
    ours = [dict(_describe_amplification(module)) for _, module in columns]
    published = {row.name: [number.printed for number in row.numbers] for row in printed.rows}
    rows = [
        (name, [*(each[name] for each in ours), *(published.get(name) or [""] * len(printed.columns))])
        for name in ours[0]
    ]
    heads = [(title, "computed") for title, _ in columns]
    heads += [(f"GPT-3, {column}", "published") for column in printed.columns]
    return CaptionTable(columns=heads, rows=rows, source=printed.source)


def _describe_amplification(module: Module) -> Iterator[tuple[str, str]]:
    seen = module.seen
    yield "‖UᵀWV‖, ΔW's directions", _format_number(seen.update if seen else None)
    yield "‖UᵀWV‖, W's own directions", _format_number(seen.own if seen else None)
    yield "‖UᵀWV‖, random directions", _format_number(seen.random if seen else None)
    yield "the same by chance, on average: r‖W‖ / √(d_in·d_out)", _format_number(module.random_expected)
    yield "‖W‖", _format_number(module.weight_norm)
    yield "‖ΔW‖", _format_number(module.norm)
    yield "amplification, ‖ΔW‖ / ‖UᵀWV‖", _format_number(module.amplification)


def _format_number(value: float | None) -> str:
    return "–" if value is None else as_three_digits(value)


def describe_amplification(module: Module, place: str) -> str:
    """Return what the table shows for this matrix, in one sentence."""
    seen, factor = module.seen, module.amplification
    if seen is None or factor is None:
        return f"The update of {place} is zero, so it amplifies nothing."
    count = "its one direction" if seen.directions == 1 else f"its {seen.directions} directions"
    adds, has, own, drawn, expected = (
        as_three_digits(value)
        for value in (module.norm, seen.update, seen.own, seen.random, module.random_expected)
    )
    times = as_two_digits(factor)
    beyond_random = as_two_digits(seen.update / seen.random) if seen.random else "∞"
    return (
        f"In {count}, the update of {place} has a norm of {adds} and W one of {has}, so the update is "
        f"{times} times as large. W's norm there is {beyond_random} times the {drawn} of as many random "
        f"directions, drawn once; by chance it is {expected} on average. In as many of W's own strongest "
        f"directions it is {own}."
    )


def note_variant(xray: Xray, module: Module, variant: Variant) -> str:
    """Return what the low-rank view omits, or how this variant scales; empty for plain LoRA."""
    if module.whole is not None:
        numbers = (module.whole.norm, module.norm, module.whole.stable_rank)
        norm, low_rank, stable = (as_three_digits(number) for number in numbers)
        return (
            "DoRA also rescales every row of W, so that its whole change is not of low rank. Here that has a "
            f"norm of {norm} against {low_rank} of s·B·A, and 90 % of its square needs {module.whole.used} "
            f"of {min(module.d_in, module.d_out)} directions (stable rank {stable}). Singular values, "
            "overlap and amplification are those of s·B·A; the map of norms is of the whole change."
        )
    if variant == "rslora":
        return (
            "rsLoRA scales by alpha / √r, which is in these values: at rank "
            f"{module.rank} that is {sqrt(module.rank):.3g} times LoRA's scale."
        )
    if xray.method == "ADALORA":
        return "AdaLoRA keeps weights E between B and A; they are in these values, and pruned ones are gone."
    if xray.method == "VERA":
        return "VeRA draws B and A once for all layers; only the two vectors that scale them were learnt."
    return ""


def note_beside(xray: Xray) -> str:
    """Return which tensors were trained in addition to the low-rank updates."""
    if not xray.beside:
        return ""
    few = ", ".join(xray.beside[:3]) + (" and more" if len(xray.beside) > 3 else "")
    if len(xray.beside) == 1:
        return f"1 more trained tensor isn't a low-rank update and isn't shown: {few}."
    return (
        f"{as_count(len(xray.beside))} more trained tensors aren't low-rank updates and aren't shown: {few}."
    )


def describe_overlap(overlap: Overlap) -> str:
    """Return what the map shows compared with the baseline, in one sentence."""
    if overlap.ends is None:
        return "One of the two updates is zero on this side: it has no directions yet."
    first, second = overlap.ends
    whole, chance = overlap.at(first, second), compute_expected_overlap(first, second, overlap.size)
    one, one_chance = overlap.at(1, 1), compute_expected_overlap(1, 1, overlap.size)
    return (
        f"All {overlap.sizes} overlap by {as_two_digits(100 * whole)} %, "
        f"{as_two_digits(whole / chance)} times what chance gives on average; the strongest one of each by "
        f"{as_two_digits(100 * one)} %, {as_two_digits(one / one_chance)} times."
    )


def note_same_start(one: RunSpec, other: RunSpec) -> str:
    """Return a note if both runs started from the same A, which explains most of their overlap."""
    first, second = ((spec.model, spec.rank, spec.seed, spec.targets) for spec in (one, other))
    return (
        "Both runs have the same rank, seed and targets, and so started from the very same A: overlap of A's "
        "and of the update's input directions mainly reflects that."
        if first == second
        else ""
    )


def note_only_one(pair: RunOverlap) -> str:
    """Return a note on matrices that only one run adapts."""
    return f"{len(pair.only_one)} matrices are adapted in only one of the runs." if pair.only_one else ""


@dataclass(frozen=True, kw_only=True)
class JudgedDirections:
    """A predicted number of directions that carry 90 %, and the median measured."""

    guess: float
    result: float
    rank: int

    @property
    def right(self) -> bool:
        """Whether the prediction is within the factor that applies to all predictions."""
        return bool(self.result) and is_within_factor(self.guess, self.result)

    @property
    def factor(self) -> float:
        """The largest ratio that counts as right."""
        return FACTOR


def judge_prediction(xray: Xray, guess: str) -> JudgedDirections | None:
    """Judge the prediction; None if it is unreadable, because an address may contain anything."""
    number = _parse_directions(guess)
    return None if number is None else JudgedDirections(guess=number, result=xray.median_used, rank=xray.rank)


def refuse_slip(written: str) -> None:
    """Raise LearnerError when the prediction is not a valid number of directions; empty is valid."""
    if written.strip() and _parse_directions(written) is None:
        raise LearnerError(
            f"A number of directions is above 0 and at most {RANK_LIMITS[1]}, got {written!r}.",
            do_next="Correct it, or leave it empty.",
        )


def _parse_directions(written: str) -> float | None:
    try:
        number = float(written.strip().replace(",", "."))
    except ValueError:
        return None
    return number if 0 < number <= RANK_LIMITS[1] else None
