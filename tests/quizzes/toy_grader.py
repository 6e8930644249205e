"""A scorer without a model: "say" and a concept's key word state it, "not" denies it, "maybe" hints at it."""

from collections.abc import Sequence

from quizzes.grader.grading import Limits, Scores
from quizzes.grader.prompts import Prompt, parse_own_prompt

LIMITS = Limits(relevant=0.2, covered=0.6, doubt=0.2, contradicted=0.6, missing=0.6, partial=0.6)
KEYS = ("apple", "brick", "cloud", "daisy")
TOY: Prompt = parse_own_prompt(
    {
        "text": "Explain in your own words what the four things of this toy are good for.",
        "hint": "Think of fruit, of houses, of weather and of flowers.",
        "concepts": [f"{key}: what a {key} does" for key in KEYS],
    }
)


def toy_score(concepts: Sequence[str], texts: Sequence[str]) -> list[list[Scores]]:
    """As the worker answers: for each text, for each concept, four likelihoods."""
    return [[_one(concept.partition(":")[0], text.lower()) for concept in concepts] for text in texts]


def _one(key: str, text: str) -> Scores:
    if f"not {key}" in text:
        return Scores(0.05, 0.05, 0.1, 0.8)
    if f"maybe {key}" in text:
        return Scores(0.1, 0.8, 0.05, 0.05)
    if f"say {key}" in text:
        return Scores(0.05, 0.1, 0.8, 0.05)
    if key in text:
        return Scores(0.3, 0.25, 0.25, 0.2)
    return Scores(0.97, 0.01, 0.01, 0.01)
