"""HTML fragments of an explanation: waiting and self-assessment; what its result says, and its focus."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from quizzes.explain.concept_status import ConceptStatus
from quizzes.grader.prompts import Prompt
from study.base.errors import LearnerError
from study.ports.classes import ConceptVerdict
from study.ports.review import Fragment
from study.store.logs.explains import ExplainAttempt
from study.text.templates import render

RESULT = "#result"
SPOKEN: Mapping[ConceptVerdict, str] = {
    "covered": "said",
    "partial": "partly said",
    "contradicted": "contradicted",
    "missing": "missing",
    "unsure": "unsure",
}


def render_reading(prompt: Prompt, attempt: ExplainAttempt, *, step: str) -> Fragment:
    """Render the text while it is being graded; `step` names the grader's preparation."""
    html = render("quizzes/explain/reading.html", prompt=prompt, attempt=attempt, step=step)
    return Fragment(html=html, say="Reading your answer.", focus="#reading", key=str(attempt.id))


def render_rubric(
    prompt: Prompt, attempt: ExplainAttempt, trouble: LearnerError | None, *, can_retry: bool
) -> Fragment:
    """Render the text next to the concepts to tick, and why the grader is unavailable."""
    html = render(
        "quizzes/explain/rubric.html", prompt=prompt, attempt=attempt, trouble=trouble, can_retry=can_retry
    )
    said = "Saved. Now tick what your explanation says."
    return Fragment(html=html, say=said, focus="#rubric", key=str(attempt.id))


def focus_concept(fragment: Fragment, prompt: Prompt, concept_id: str) -> Fragment:
    """Return the fragment with the focus on the concept that the event was about, not at the top."""
    for number, concept in enumerate(prompt.concepts, start=1):
        if concept.id == concept_id and fragment.focus == RESULT:
            return replace(fragment, focus=f"#idea-{number}", say=f"Kept. {fragment.say}")
    return fragment


def announce_result(found: Sequence[ConceptStatus], count: int) -> str:
    """Format the result for a screen reader's live region; `count` is of the covered concepts."""
    parts = [f"{one.concept.label}: {SPOKEN[one.verdict]}" for one in found]
    return f"{count} of {len(found)} concepts. {'; '.join(parts)}."
