"""The verdicts on concepts of an explanation, and those of a learner who ticks what it says."""

from collections.abc import Iterable, Mapping, Set

from quizzes.grader.prompts import Prompt
from study.base.errors import LearnerError
from study.ports.classes import ConceptVerdict


def judge_ticks(prompt: Prompt, ticked: Set[str]) -> Mapping[str, ConceptVerdict]:
    """Return one verdict per concept: covered if ticked. Raises LearnerError for an unknown tick."""
    known = {concept.id for concept in prompt.concepts}
    if unknown := sorted(ticked - known):
        raise LearnerError(
            f"This prompt has no concept {', '.join(unknown)}.", do_next="Tick only listed concepts."
        )
    return {concept.id: "covered" if concept.id in ticked else "missing" for concept in prompt.concepts}


def count_covered(verdicts: Iterable[str]) -> int:
    """Count the covered concepts."""
    return sum(verdict == "covered" for verdict in verdicts)
