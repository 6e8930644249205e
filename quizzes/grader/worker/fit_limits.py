"""Calibration of newly trained weights: temperature and thresholds, on answers outside the training set."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from quizzes.grader.calibration import (
    MOST_FALSE_ACCEPTED,
    MOST_FALSE_CONTRADICTED,
    OWN_MOST_FALSE_ACCEPTED,
    OWN_MOST_FALSE_CONTRADICTED,
    fit_limits,
    fit_temperature,
    list_cases,
)
from quizzes.grader.grading import Scorer, Scores, decide_verdict, format_concept, weigh_passages
from quizzes.grader.labelled_answers import LabelledAnswer
from quizzes.grader.metrics import JudgedAnswer
from quizzes.grader.prompts import Prompt
from quizzes.grader.weights import UNCALIBRATED, Weights
from quizzes.grader.worker.reader import Reader

BOUNDS = {"most_false": MOST_FALSE_ACCEPTED, "most_false_contradicted": MOST_FALSE_CONTRADICTED}
OWN_BOUNDS = {"most_false": OWN_MOST_FALSE_ACCEPTED, "most_false_contradicted": OWN_MOST_FALSE_CONTRADICTED}


def build_scorer(reader: Reader) -> Scorer:
    """Wrap an in-process reader as the scorer that grading needs."""

    def score(concepts: Sequence[str], texts: Sequence[str]) -> list[list[Scores]]:
        return [[Scores(*row) for row in rows] for rows in reader.score(concepts, texts)] if texts else []

    return score


def calibrate(
    reader: Reader,
    weights: Weights,
    prompts: Mapping[str, Prompt],
    answers: Sequence[LabelledAnswer],
    *,
    own: bool = False,
    keep_temperature: bool = False,
) -> tuple[Weights, list[JudgedAnswer]]:
    """Fit temperature and thresholds to these answers: those of the app's prompts, or those of own prompts.

    With `keep_temperature` thresholds alone, at the stored temperature.

    Return the calibrated weights, and verdicts for evaluation: those on each half of the prompts under
    thresholds fitted to the other half.
    """
    score = build_scorer(reader)
    if keep_temperature:
        temperature = weights.own_temperature if own else weights.temperature
    else:
        temperature = _fit_reader(reader, score, prompts, answers, own=own)
    _set_temperature(reader, temperature, own=own)
    weighed = [
        [
            one.scores
            for one in weigh_passages(
                prompts[answer.prompt_id], answer.text, score, relevant=UNCALIBRATED.relevant
            )
        ]
        for answer in answers
    ]
    bounds = OWN_BOUNDS if own else BOUNDS
    limits = fit_limits(list(list_cases(answers, weighed)), UNCALIBRATED, **bounds)
    fitted = (
        replace(weights, own_temperature=temperature, own_limits=limits)
        if own
        else replace(weights, temperature=temperature, limits=limits)
    )
    return fitted, cross_validate(answers, weighed, bounds)


def _fit_reader(
    reader: Reader,
    score: Scorer,
    prompts: Mapping[str, Prompt],
    answers: Sequence[LabelledAnswer],
    *,
    own: bool,
) -> float:
    """Fit the temperature to whole answers."""
    _set_temperature(reader, 1.0, own=own)  # else the new one would be on top of the stored one
    labelled = []
    for prompt_id, prompt in prompts.items():
        of_it = [answer for answer in answers if answer.prompt_id == prompt_id]
        concepts = [format_concept(concept) for concept in prompt.concepts]
        for answer, row in zip(of_it, score(concepts, [answer.text for answer in of_it]), strict=True):
            labelled += list(zip(answer.verdicts, row, strict=True))
    return round(fit_temperature(labelled), 2)


def _set_temperature(reader: Reader, temperature: float, *, own: bool) -> None:
    if own:
        reader.own_temperature = temperature
    else:
        reader.temperature = temperature


def cross_validate(
    answers: Sequence[LabelledAnswer], weighed: Sequence[Sequence[Scores]], bounds: Mapping[str, float]
) -> list[JudgedAnswer]:
    """Return the verdicts under thresholds fitted to the other half of the prompts (cross-validation)."""
    ids = sorted({answer.prompt_id for answer in answers})
    judged = []
    for half in (ids[::2], ids[1::2]):
        set_on = [(a, row) for a, row in zip(answers, weighed, strict=True) if a.prompt_id not in half]
        cases = list(list_cases(*zip(*set_on, strict=True)))
        limits = fit_limits(cases, UNCALIBRATED, **bounds)
        judged += [
            JudgedAnswer(answer=answer, verdicts=tuple(decide_verdict(scores, limits)[0] for scores in row))
            for answer, row in zip(answers, weighed, strict=True)
            if answer.prompt_id in half
        ]
    return judged
