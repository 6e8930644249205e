"""A grader that grades by rule, for tests of what is done with a grading: "We say frozen." covers "frozen".

The key word of an own prompt's concept is the name before its colon. See toy_grader.py for the rules.
"""

from collections.abc import Sequence
from threading import Lock

from quizzes.grader.grading import Grading, Scores, grade_answer
from quizzes.grader.prompts import Prompt
from study.base.errors import LearnerError
from study.base.model_files import Report
from tests.quizzes.toy_grader import LIMITS, toy_score

KEYS = {
    "Base weights stay frozen": "frozen",
    "Low-rank update": "product",
    "Few trainable parameters": "few",
    "Less training memory": "memory",
}


class RuleGrader:
    """Counts what it has read; without its files it says so, as the real one does."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.prepared = 0
        self.has_files = True
        self.busy = Lock()

    def prepare(self, report: Report) -> None:
        """Count it; there is nothing to load."""
        self.prepared += 1

    def grade(
        self, prompt: Prompt, answer: str, *, report: Report, find_words: bool, added_at: int | None
    ) -> Grading:
        if not self.has_files:
            raise LearnerError("The grader's model is not here.", do_next="Connect once, then try again.")
        with self.busy:
            self.read.append(answer)
            return grade_answer(prompt, answer, _score, LIMITS, find_words=find_words, added_at=added_at)


def _score(concepts: Sequence[str], texts: Sequence[str]) -> list[list[Scores]]:
    names = [concept.partition(".")[0].partition(":")[0] for concept in concepts]
    return toy_score([f"{KEYS.get(name, name.lower())}:" for name in names], texts)
