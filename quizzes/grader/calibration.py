"""How sure the grader must be of each verdict, set on answers it has not learnt from."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from quizzes.grader.grading import Limits, Scores, decide
from quizzes.grader.labelled_answers import NOISE, LabelledAnswer
from quizzes.grader.verdicts import Verdict

TEMPERATURES = tuple(0.6 + 0.1 * step for step in range(25))
COVERED = (0.4, 0.5, 0.6, 0.7)
DOUBT = (0.06, 0.09, 0.12, 0.14, 0.16, 0.18, 0.2, 0.25, 0.3, 0.4)
CONTRADICTED = (0.35, 0.45, 0.55)
MISSING = (0.4, 0.5, 0.6)
PARTIAL = (0.35, 0.45, 0.55)

MOST_FALSE_ACCEPTED = 0.075
MOST_NOISE_ACCEPTED = 0.01
MOST_UNSURE = 0.12
"""A little inside 10 %, 2 % and 20 %, the least to be reached: on other answers it does slightly worse."""

UNSURE_COUNTS = 0.6
"""An unsure verdict is worth this much of a right one: better than guessing below three in five."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One labelled pair and its likelihoods."""

    label: Verdict
    scores: Scores
    noise: bool


def cases(answers: Sequence[LabelledAnswer], weighed: Sequence[Sequence[Scores]]) -> Iterator[Case]:
    """Pairs of answers and what was weighed of them."""
    for answer, row in zip(answers, weighed, strict=True):
        for label, scores in zip(answer.verdicts, row, strict=True):
            yield Case(label=label, scores=scores, noise=answer.kind in NOISE)


def fitting_temperature(labelled: Sequence[tuple[Verdict, Scores]]) -> float:
    """The temperature under which the labels are likeliest."""
    return min(TEMPERATURES, key=lambda temperature: _surprise(labelled, temperature))


def _surprise(labelled: Sequence[tuple[Verdict, Scores]], temperature: float) -> float:
    return sum(-math.log(getattr(cooled(scores, temperature), label)) for label, scores in labelled)


def cooled(scores: Scores, temperature: float) -> Scores:
    """Likelihoods at another temperature than the one they were computed at."""
    values = (scores.missing, scores.partial, scores.covered, scores.contradicted)
    powers = [max(value, 1e-9) ** (1 / temperature) for value in values]
    return Scores(*(power / sum(powers) for power in powers))


def fitting_limits(pairs: Sequence[Case], start: Limits) -> Limits:
    """The limits with most right verdicts among those that keep a grader's worst mistakes within bounds."""
    tried = [
        replace(
            start, covered=covered, doubt=doubt, contradicted=contradicted, missing=missing, partial=partial
        )
        for covered, doubt, contradicted, missing, partial in product(
            COVERED, DOUBT, CONTRADICTED, MISSING, PARTIAL
        )
    ]
    return max(tried, key=lambda limits: _worth(pairs, limits))


def _worth(pairs: Sequence[Case], limits: Limits) -> tuple[float, float]:
    """First how far the bounds are broken, then how much is right."""
    said = [(pair, decide(pair.scores, limits)[0]) for pair in pairs]
    false = [verdict == "covered" for pair, verdict in said if pair.label == "contradicted"]
    noise = [verdict == "covered" for pair, verdict in said if pair.noise]
    unsure = _mean([verdict == "unsure" for _, verdict in said])
    broken = max(0.0, _mean(false) - MOST_FALSE_ACCEPTED) + max(0.0, _mean(noise) - MOST_NOISE_ACCEPTED)
    right = 2 * sum(pair.label == verdict == "covered" for pair, verdict in said)
    f1 = right / max(1, sum((pair.label == "covered") + (verdict == "covered") for pair, verdict in said))
    exact = _mean([pair.label == verdict for pair, verdict in said])
    return -round(broken + max(0.0, unsure - MOST_UNSURE), 3), f1 + exact + UNSURE_COUNTS * unsure


def _mean(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits) if hits else 0.0
