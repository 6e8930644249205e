"""Sets temperature and limits of freshly trained weights on answers they have not learnt from."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from quizzes.explain.answers import LabelledAnswer
from quizzes.explain.calibration import cases, fitting_limits, fitting_temperature
from quizzes.explain.grading import Scorer, Scores, concept_text, weigh
from quizzes.explain.prompts import Prompt
from quizzes.explain.weights import Weights
from quizzes.explain.worker.reader import Reader


def scorer(reader: Reader) -> Scorer:
    """A reader in this process, as the grading asks for it."""

    def score(concepts: Sequence[str], texts: Sequence[str]) -> list[list[Scores]]:
        return [[Scores(*row) for row in rows] for rows in reader.score(concepts, texts)] if texts else []

    return score


def calibrated(
    reader: Reader, weights: Weights, prompts: Mapping[str, Prompt], answers: Sequence[LabelledAnswer]
) -> Weights:
    """The weights with the temperature and the limits that suit these answers."""
    score = scorer(reader)
    labelled = []
    for answer in answers:
        [row] = score(
            [concept_text(concept) for concept in prompts[answer.prompt_id].concepts], [answer.text]
        )
        labelled += list(zip(answer.verdicts, row, strict=True))
    weights = replace(weights, temperature=round(fitting_temperature(labelled), 2))
    reader.temperature = weights.temperature
    weighed = [
        [
            one.scores
            for one in weigh(prompts[answer.prompt_id], answer.text, score, relevant=weights.limits.relevant)
        ]
        for answer in answers
    ]
    return replace(weights, limits=fitting_limits(list(cases(answers, weighed)), weights.limits))
