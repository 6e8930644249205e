"""The seam for judging an explanation: a grader is a function from a prompt and an answer to verdicts.

The learner's own ticks are one such function; a page calls whatever it was given and stores what comes back.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from quizzes.grader.prompts import Prompt
from study.base.errors import LearnerError

# The words of the public grader contract; `unsure` is for graders only, a learner always decides.
Verdict = Literal["covered", "partial", "contradicted", "missing", "unsure"]

Grader = Callable[[Prompt, str], Mapping[str, Verdict]]


@dataclass(frozen=True, kw_only=True)
class SelfGrader:
    """A grader that knows what the learner ticked: a ticked concept is covered, the others are missing."""

    ticked: frozenset[str]

    def __call__(self, prompt: Prompt, answer: str) -> Mapping[str, Verdict]:
        """One verdict for each concept of the prompt."""
        known = {concept.id for concept in prompt.concepts}
        if unknown := sorted(self.ticked - known):
            raise LearnerError(
                f"{', '.join(unknown)} is not part of this prompt.", do_next="Tick what is listed."
            )
        return {
            concept.id: "covered" if concept.id in self.ticked else "missing" for concept in prompt.concepts
        }


def covered(verdicts: Iterable[str]) -> int:
    """How many concepts an explanation holds."""
    return sum(verdict == "covered" for verdict in verdicts)
