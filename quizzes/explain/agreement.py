"""How well the grader and people agree: Cohen's kappa over concepts that both have judged."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from study.store.explains import ExplainAttempt

LABELS_NEEDED = 20


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Over how many concepts judged by both; `kappa` is None while they are too few or all alike."""

    labels: int
    agreed: int
    kappa: float | None

    @property
    def enough(self) -> bool:
        """Whether a figure means anything yet."""
        return self.labels >= LABELS_NEEDED


def agreement(attempts: Iterable[ExplainAttempt]) -> Agreement:
    """Whether a concept is covered: the grader's word against a person's, a teacher's before the learner's.

    Where the grader is unsure it has no word to compare.
    """
    pairs = [pair for attempt in attempts for pair in _pairs(attempt)]
    return Agreement(
        labels=len(pairs),
        agreed=sum(one == other for one, other in pairs),
        kappa=kappa(pairs) if len(pairs) >= LABELS_NEEDED else None,
    )


def kappa(pairs: Sequence[tuple[bool, bool]]) -> float | None:
    """Agreement beyond chance: 1 is perfect, 0 is chance. None when both always say the same one thing.

    Cohen, "A coefficient of agreement for nominal scales", 1960.
    """
    if not pairs:
        return None
    observed = sum(one == other for one, other in pairs) / len(pairs)
    first, second = (sum(side) / len(pairs) for side in zip(*pairs, strict=True))
    by_chance = first * second + (1 - first) * (1 - second)
    return None if by_chance == 1 else (observed - by_chance) / (1 - by_chance)


def _pairs(attempt: ExplainAttempt) -> Iterable[tuple[bool, bool]]:
    for concept_id in dict.fromkeys(each.concept_id for each in attempt.judgements):
        grader = attempt.newest(concept_id, "grader")
        human = attempt.newest(concept_id, "teacher") or attempt.newest(concept_id, "learner")
        if grader and human and grader.verdict != "unsure":
            yield grader.verdict == "covered", human.verdict == "covered"
