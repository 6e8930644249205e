"""Accuracy metrics of a grader on labelled answers (docs/grader.md), with 95 % confidence intervals."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from quizzes.grader.labelled_answers import NOISE, RIGHT_NEGATIONS, LabelledAnswer
from quizzes.grader.verdicts import Verdict

RESAMPLES = 400
Z95 = 1.96


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A labelled answer and a grader's verdicts on its four concepts."""

    answer: LabelledAnswer
    verdicts: tuple[Verdict, ...]

    @property
    def pairs(self) -> Iterator[tuple[Verdict, Verdict]]:
        """The (label, verdict) pair of each concept."""
        return zip(self.answer.verdicts, self.verdicts, strict=True)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A metric with its 95 % confidence interval and the number of pairs behind it."""

    value: float
    low: float
    high: float
    pairs: int

    def __str__(self) -> str:
        if not self.pairs:
            return "no pairs"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] n={self.pairs}"


@dataclass(frozen=True, kw_only=True)
class Report:
    """The metrics that the goal names (issue: .85, 5 %, 2 %, 10 %, 15 %) and their components."""

    f1: Figure
    precision: Figure
    recall: Figure
    false_accepted: Figure
    noise_accepted: Figure
    negations_refused: Figure
    unsure: Figure
    exact: Figure


def report(judged: Sequence[Judged]) -> Report:
    """Compute all metrics over these answers."""
    said = [pair for one in judged for pair in one.pairs]
    noise = [pair for one in judged if one.answer.kind in NOISE for pair in one.pairs]
    negated = [pair for one in judged if one.answer.kind in RIGHT_NEGATIONS for pair in one.pairs]
    return Report(
        f1=_f1(judged),
        precision=_share([label == "covered" for label, verdict in said if verdict == "covered"]),
        recall=_share([verdict == "covered" for label, verdict in said if label == "covered"]),
        false_accepted=_share([verdict == "covered" for label, verdict in said if label == "contradicted"]),
        noise_accepted=_share([verdict == "covered" for _, verdict in noise]),
        negations_refused=_share([verdict != "covered" for label, verdict in negated if label == "covered"]),
        unsure=_share([verdict == "unsure" for _, verdict in said]),
        exact=_share([verdict == label for label, verdict in said]),
    )


def by(judged: Sequence[Judged], name: Callable[[LabelledAnswer], str]) -> dict[str, Report]:
    """Compute one report per class, prompt or voice."""
    parts: dict[str, list[Judged]] = {}
    for one in judged:
        parts.setdefault(name(one.answer), []).append(one)
    return {part: report(parts[part]) for part in sorted(parts)}


def confusion(judged: Sequence[Judged]) -> dict[Verdict, dict[Verdict, int]]:
    """Return the confusion matrix: the count of each verdict per label."""
    counts: dict[Verdict, dict[Verdict, int]] = {}
    for one in judged:
        for label, verdict in one.pairs:
            row = counts.setdefault(label, {})
            row[verdict] = row.get(verdict, 0) + 1
    return counts


def _share(hits: Sequence[bool]) -> Figure:
    """Compute a share with Wilson's score interval."""
    n = len(hits)
    if not n:
        return Figure(value=math.nan, low=math.nan, high=math.nan, pairs=0)
    value = sum(hits) / n
    # Wilson, with p = value: (p + z²/2n ± z sqrt(p (1 - p) / n + z²/4n²)) / (1 + z²/n)
    middle = (value + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * math.sqrt(value * (1 - value) / n + Z95**2 / (4 * n**2))
    return Figure(value=value, low=max(0.0, middle - half), high=min(1.0, middle + half), pairs=n)


def _f1(judged: Sequence[Judged]) -> Figure:
    """Compute F1 of `covered` over all pairs.

    The interval is a bootstrap over answers, because the four pairs of an answer are correlated.
    """
    counts = [_hits(one) for one in judged]
    dice = Random(0)
    drawn = sorted(_f1_of(dice.choices(counts, k=len(counts))) for _ in range(RESAMPLES if counts else 0))
    low, high = (
        (drawn[int(0.025 * RESAMPLES)], drawn[int(0.975 * RESAMPLES)]) if drawn else (math.nan, math.nan)
    )
    return Figure(value=_f1_of(counts), low=low, high=high, pairs=4 * len(judged))


def _hits(one: Judged) -> tuple[int, int]:
    """Return the true positives of `covered`, and its count by label plus by verdict."""
    right = sum(label == verdict == "covered" for label, verdict in one.pairs)
    return right, sum((label == "covered") + (verdict == "covered") for label, verdict in one.pairs)


def _f1_of(counts: Sequence[tuple[int, int]]) -> float:
    right, both = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0)
    # F1 = 2 TP / ((TP + FN) + (TP + FP)); `both` is that sum
    return 2 * right / both if both else math.nan
