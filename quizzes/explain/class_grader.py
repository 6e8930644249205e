"""Explain prompts for a live class, and the grader that reads a class's answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quizzes.grader.grader_client import GraderClient
from quizzes.grader.grading import ConceptGrade
from quizzes.grader.prompts import Prompt
from study.base.errors import LearnerError
from study.ports.classes import ClassConcept, ClassGrade, ClassPrompt
from study.text.markup import to_html


@dataclass(frozen=True, kw_only=True)
class QuizClassGrader:
    """Implements `study.ports.classes.ClassGrader` on the app's prompts and its grader."""

    prompts: Mapping[str, Prompt]
    client: GraderClient | None

    def prompt(self, prompt_id: str) -> ClassPrompt | None:
        found = self.prompts.get(prompt_id)
        if found is None:
            return None
        return ClassPrompt(
            id=found.id,
            html=to_html(found.text),
            text=found.text,
            about=found.links,
            concepts=tuple(
                ClassConcept(id=concept.id, label=concept.label, definition=concept.said)
                for concept in found.concepts
            ),
        )

    @property
    def is_on(self) -> bool:
        """Whether the app was started with its grader."""
        return self.client is not None

    def grade(self, prompt_id: str, answers: Sequence[str]) -> list[dict[str, ClassGrade]]:
        prompt = self.prompts.get(prompt_id)
        if self.client is None or prompt is None:
            raise LearnerError("The grader is off in this app.", do_next="Judge the answers yourself.")
        gradings = self.client.grade_all(prompt, answers)
        return [
            {
                grade.concept_id: ClassGrade(verdict=grade.verdict, quote=_quote(grade))
                for grade in each.concepts
            }
            for each in gradings
        ]


def _quote(grade: ConceptGrade) -> tuple[int, int] | None:
    """The evidence from its first to its last passage."""
    if not grade.evidence:
        return None
    return min(span.start for span in grade.evidence), max(span.end for span in grade.evidence)
