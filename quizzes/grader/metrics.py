"""Accuracy metrics of a grader on labelled answers (docs/grader.md), with 95 % confidence intervals."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from quizzes.grader.labelled_answers import NOISE, RIGHT_NEGATIONS, LabelledAnswer
from study.base.confidence_intervals import Share
from study.ports.classes import ConceptVerdict

RESAMPLES = 400


@dataclass(frozen=True, kw_only=True)
class JudgedAnswer:
    """A labelled answer and a grader's verdicts on its four concepts."""

    answer: LabelledAnswer
    verdicts: tuple[ConceptVerdict, ...]

    @property
    def pairs(self) -> Iterator[tuple[ConceptVerdict, ConceptVerdict]]:
        """The (label, verdict) pair of each concept."""
        return zip(self.answer.verdicts, self.verdicts, strict=True)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric with its 95 % confidence interval and the number of pairs behind it."""

    value: float
    low: float
    high: float
    pairs: int

    def __str__(self) -> str:
        if not self.pairs:
            return "no pairs"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] n={self.pairs}"


NO_PAIRS = Metric(value=math.nan, low=math.nan, high=math.nan, pairs=0)


@dataclass(frozen=True, kw_only=True)
class GraderReport:
    """The metrics of a grader on labelled answers, and their components."""

    f1: Metric
    precision: Metric
    recall: Metric
    false_accepted: Metric
    noise_accepted: Metric
    negations_refused: Metric
    unsure: Metric
    exact: Metric


def compute_report(judged: Sequence[JudgedAnswer]) -> GraderReport:
    """Compute all metrics over these answers."""
    said = [pair for one in judged for pair in one.pairs]
    noise = [pair for one in judged if one.answer.kind in NOISE for pair in one.pairs]
    negated = [pair for one in judged if one.answer.kind in RIGHT_NEGATIONS for pair in one.pairs]
    return GraderReport(
        f1=_compute_f1(judged),
        precision=_compute_share([label == "covered" for label, verdict in said if verdict == "covered"]),
        recall=_compute_share([verdict == "covered" for label, verdict in said if label == "covered"]),
        false_accepted=_compute_share(
            [verdict == "covered" for label, verdict in said if label == "contradicted"]
        ),
        noise_accepted=_compute_share([verdict == "covered" for _, verdict in noise]),
        negations_refused=_compute_share(
            [verdict != "covered" for label, verdict in negated if label == "covered"]
        ),
        unsure=_compute_share([verdict == "unsure" for _, verdict in said]),
        exact=_compute_share([verdict == label for label, verdict in said]),
    )


def _compute_share(hits: Sequence[bool]) -> Metric:
    """Compute a share with Wilson's score interval."""
    if not hits:
        return NO_PAIRS
    share = Share(hits=sum(hits), trials=len(hits))
    low, high = share.interval
    return Metric(value=share.value, low=low, high=high, pairs=share.trials)


def _compute_f1(judged: Sequence[JudgedAnswer]) -> Metric:
    """Compute F1 of `covered` over all pairs.

    The interval is a bootstrap over answers, because the four pairs of an answer are correlated.
    """
    if not judged:
        return NO_PAIRS
    counts = [_count_hits(one) for one in judged]
    rng = Random(0)
    drawn = sorted(_compute_f1_of_counts(rng.choices(counts, k=len(counts))) for _ in range(RESAMPLES))
    low, high = drawn[int(0.025 * RESAMPLES)], drawn[int(0.975 * RESAMPLES)]
    return Metric(value=_compute_f1_of_counts(counts), low=low, high=high, pairs=4 * len(judged))


def _count_hits(one: JudgedAnswer) -> tuple[int, int]:
    """Return the true positives of `covered`, and its count by label plus by verdict."""
    right = sum(label == verdict == "covered" for label, verdict in one.pairs)
    return right, sum((label == "covered") + (verdict == "covered") for label, verdict in one.pairs)


def _compute_f1_of_counts(counts: Sequence[tuple[int, int]]) -> float:
    right, both = (sum(column) for column in zip(*counts, strict=True))
    # F1 = 2 TP / ((TP + FN) + (TP + FP)); `both` is that sum
    return 2 * right / both if both else math.nan
