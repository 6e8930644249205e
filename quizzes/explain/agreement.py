"""Agreement between the grader and people: Cohen's kappa over the concepts that both have judged."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from study.store.logs.explains import ExplainAttempt, Judgement

LABELS_NEEDED = 20


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """The agreement over concepts that both judged; `kappa` is None while they are too few or all alike."""

    labels: int
    agreed: int
    kappa: float | None

    @property
    def enough(self) -> bool:
        return self.labels >= LABELS_NEEDED


def measure_agreement(attempts: Iterable[ExplainAttempt]) -> Agreement:
    """Compare the grader's `covered` with the teacher's, or else with ticks made before the grader's verdict.

    A learner who has seen the verdict can only disagree with it, so such a judgement measures nothing.
    Concepts on which the grader is unsure are skipped.
    """
    pairs = [pair for attempt in attempts for pair in _list_pairs(attempt)]
    return Agreement(
        labels=len(pairs),
        agreed=sum(one == other for one, other in pairs),
        kappa=compute_kappa(pairs) if len(pairs) >= LABELS_NEEDED else None,
    )


def compute_kappa(pairs: Sequence[tuple[bool, bool]]) -> float | None:
    """Return the agreement beyond chance (1 perfect, 0 chance); None if both always give one same verdict.

    Cohen, "A coefficient of agreement for nominal scales", 1960.
    """
    if not pairs:
        return None
    # kappa = (p_o - p_e) / (1 - p_e): observed agreement p_o, agreement expected by chance p_e
    observed = sum(one == other for one, other in pairs) / len(pairs)
    first, second = (sum(side) / len(pairs) for side in zip(*pairs, strict=True))
    by_chance = first * second + (1 - first) * (1 - second)
    return None if by_chance == 1 else (observed - by_chance) / (1 - by_chance)


def _list_pairs(attempt: ExplainAttempt) -> Iterable[tuple[bool, bool]]:
    for concept_id in dict.fromkeys(each.concept_id for each in attempt.judgements):
        grader = attempt.newest(concept_id, "grader")
        human = attempt.newest(concept_id, "teacher") or _find_unseen_tick(attempt, concept_id)
        if grader and human and grader.verdict != "unsure":
            yield grader.verdict == "covered", human.verdict == "covered"


def _find_unseen_tick(attempt: ExplainAttempt, concept_id: str) -> Judgement | None:
    """Find the learner's verdict if it was given before the grader's first one."""
    learner = attempt.newest(concept_id, "learner")
    seen = min((each.id for each in attempt.of(concept_id) if each.by == "grader"), default=None)
    return learner if learner and (seen is None or learner.id < seen) else None
