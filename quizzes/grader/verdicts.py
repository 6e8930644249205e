"""The grader interface: a function from a prompt and an answer to a verdict per concept.

The learner's own ticks are one implementation; a page calls the one it has and stores the result.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from quizzes.grader.prompts import Prompt
from study.base.errors import LearnerError

# The labels of the public grader contract; `unsure` is for graders only, a learner always decides.
Verdict = Literal["covered", "partial", "contradicted", "missing", "unsure"]

Grader = Callable[[Prompt, str], Mapping[str, Verdict]]


@dataclass(frozen=True, kw_only=True)
class SelfGrader:
    """A grader from the learner's ticks: a ticked concept is covered, the others are missing."""

    ticked: frozenset[str]

    def __call__(self, prompt: Prompt, answer: str) -> Mapping[str, Verdict]:
        """Return one verdict per concept of the prompt. Raises LearnerError for an unknown tick."""
        known = {concept.id for concept in prompt.concepts}
        if unknown := sorted(self.ticked - known):
            raise LearnerError(
                f"{', '.join(unknown)} is not part of this prompt.", do_next="Tick what is listed."
            )
        return {
            concept.id: "covered" if concept.id in self.ticked else "missing" for concept in prompt.concepts
        }


def count_covered(verdicts: Iterable[str]) -> int:
    """Count the covered concepts."""
    return sum(verdict == "covered" for verdict in verdicts)
