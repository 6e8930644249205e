"""Calibration of the grader: temperature and thresholds, fitted on answers outside its training set."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from quizzes.grader.grading import Limits, Scores, decide_verdict
from quizzes.grader.labelled_answers import NOISE, LabelledAnswer
from study.ports.classes import ConceptVerdict

TEMPERATURES = tuple(0.6 + 0.1 * step for step in range(25))
COVERED = (0.3, 0.4, 0.5, 0.6, 0.7)
DOUBT = (0.06, 0.09, 0.12, 0.14, 0.16, 0.18, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
CONTRADICTED = (0.35, 0.45, 0.55, 0.65, 0.75, 0.85)
MISSING = (0.4, 0.5, 0.6)
PARTIAL = (0.35, 0.45, 0.55)

MOST_FALSE_ACCEPTED = 0.055
MOST_NOISE_ACCEPTED = 0.01
MOST_UNSURE = 0.12
"""The goal for unsure, a little less than that for false statements (.06) and half of that for noise (.02):
on other answers the grader may do slightly worse.
"""

MOST_FALSE_CONTRADICTED = 0.035
"""Of right statements, called contradicted: to be told that is worse than `unsure`, which asks the learner.
A false statement that is no longer called so either becomes `unsure` as well, and is not accepted.
"""

OWN_MOST_FALSE_ACCEPTED = 0.2
"""On subjects that the network hasn't learnt it would otherwise find next to nothing."""

OWN_MOST_FALSE_CONTRADICTED = 0.01
"""Tighter than for the app's prompts: on subjects that are farther away it happens several times as often."""

UNSURE_COUNTS = 0.6
"""An unsure verdict counts as this share of a right one: better than a guess that is right less often."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One labelled (answer, concept) pair and its likelihoods."""

    label: ConceptVerdict
    scores: Scores
    noise: bool


def list_cases(answers: Sequence[LabelledAnswer], weighed: Sequence[Sequence[Scores]]) -> Iterator[Case]:
    """Yield one case per answer and concept from the labels and their scores."""
    for answer, row in zip(answers, weighed, strict=True):
        for label, scores in zip(answer.verdicts, row, strict=True):
            yield Case(label=label, scores=scores, noise=answer.kind in NOISE)


def fit_temperature(labelled: Sequence[tuple[ConceptVerdict, Scores]]) -> float:
    """Fit the temperature: the one with the lowest negative log-likelihood of the labels."""
    return min(TEMPERATURES, key=lambda temperature: _compute_surprise(labelled, temperature))


def _compute_surprise(labelled: Sequence[tuple[ConceptVerdict, Scores]], temperature: float) -> float:
    return sum(-math.log(getattr(rescale_scores(scores, temperature), label)) for label, scores in labelled)


def rescale_scores(scores: Scores, temperature: float) -> Scores:
    """Rescale likelihoods to another temperature."""
    values = (scores.missing, scores.partial, scores.covered, scores.contradicted)
    # p = softmax(z) gives softmax(z / T) proportional to p ** (1 / T)
    powers = [max(value, 1e-9) ** (1 / temperature) for value in values]
    return Scores(*(power / sum(powers) for power in powers))


def fit_limits(
    pairs: Sequence[Case],
    start: Limits,
    *,
    most_false: float = MOST_FALSE_ACCEPTED,
    most_false_contradicted: float = 1.0,
) -> Limits:
    """Grid-search the thresholds with the most right verdicts within the bounds on the worst mistakes."""
    tried = [
        replace(
            start, covered=covered, doubt=doubt, contradicted=contradicted, missing=missing, partial=partial
        )
        for covered, doubt, contradicted, missing, partial in product(
            COVERED, DOUBT, CONTRADICTED, MISSING, PARTIAL
        )
    ]
    return max(tried, key=lambda limits: _rank_worth(pairs, limits, most_false, most_false_contradicted))


def _rank_worth(
    pairs: Sequence[Case], limits: Limits, most_false: float, most_false_contradicted: float
) -> tuple[float, float]:
    """Return the sort key of thresholds: minus the excess over the bounds, then how much is right."""
    said = [(pair, decide_verdict(pair.scores, limits)[0]) for pair in pairs]
    false = [verdict == "covered" for pair, verdict in said if pair.label == "contradicted"]
    false_contradicted = [verdict == "contradicted" for pair, verdict in said if pair.label == "covered"]
    noise = [verdict == "covered" for pair, verdict in said if pair.noise]
    unsure = _compute_mean([verdict == "unsure" for _, verdict in said])
    bounds = (
        (false, most_false),
        (false_contradicted, most_false_contradicted),
        (noise, MOST_NOISE_ACCEPTED),
    )
    broken = sum(max(0.0, _compute_mean(hits) - most) for hits, most in bounds)
    right = 2 * sum(pair.label == verdict == "covered" for pair, verdict in said)
    f1 = right / max(1, sum((pair.label == "covered") + (verdict == "covered") for pair, verdict in said))
    exact = _compute_mean([pair.label == verdict for pair, verdict in said])
    return -round(broken + max(0.0, unsure - MOST_UNSURE), 3), f1 + exact + UNSURE_COUNTS * unsure


def _compute_mean(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits) if hits else 0.0
