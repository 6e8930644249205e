"""HTML fragments of an explanation: text box, waiting, self-assessment and result."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from quizzes.explain.advice import Advices
from quizzes.explain.agreement import LABELS_NEEDED, measure_agreement
from quizzes.explain.concept_status import (
    ConceptStatus,
    is_unreadable,
    list_gained,
    list_statuses,
    mark_evidence,
)
from quizzes.explain.judgements import reverse_verdict
from quizzes.grader.limits import MeasuredAccuracy, describe_limits, describe_trust
from quizzes.grader.passages import is_cut
from quizzes.grader.prompts import Prompt
from quizzes.grader.verdicts import count_covered
from study.base.errors import LearnerError
from study.ports.classes import ConceptVerdict
from study.ports.review import Fragment
from study.store.logs.explains import ExplainAttempt
from study.text.markup import to_plain
from study.text.templates import render

RESULT = "#result"
NEED_WORK = ("missing", "contradicted")
SPOKEN: Mapping[ConceptVerdict, str] = {
    "covered": "said",
    "partial": "partly said",
    "contradicted": "contradicted",
    "missing": "missing",
    "unsure": "unsure",
}


def render_box(prompt: Prompt, *, hint: bool, **values: Any) -> Fragment:
    """Render the prompt with a text box that holds the draft; `values` are what else its template shows."""
    html = render("quizzes/explain/box.html", prompt=prompt, hint=hint, **values)
    return Fragment(html=html, say=f"Hint: {to_plain(prompt.hint)}" if hint else "", focus="#answer")


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


def render_result(
    prompt: Prompt,
    attempt: ExplainAttempt,
    attempts: Sequence[ExplainAttempt],
    *,
    advices: Advices,
    measured: MeasuredAccuracy | None,
    **values: Any,
) -> Fragment:
    """Render all verdicts per concept, their evidence, what is new, and a model answer.

    `attempts` are all of this learner's, the newest first; `values` are what else the template shows.
    """
    tries = [one for one in attempts if one.prompt_id == prompt.id and one.id < attempt.id]
    before = next((one for one in tries if one.verdicts), None)
    found = list_statuses(prompt, attempt, before=before, advices=advices)
    count = count_covered(one.counted or "" for one in found)
    html = render(
        "quizzes/explain/result.html",
        prompt=prompt,
        attempt=attempt,
        statuses=found,
        pieces=mark_evidence(attempt, found),
        opposite=reverse_verdict,
        count=count,
        gained=list_gained(found) if before else None,
        graded=any(one.grader for one in found),
        silent=is_unreadable(attempt.said, (one.grader.verdict for one in found if one.grader)),
        cut=is_cut(attempt.said),
        to_cards=any(one.advice and one.verdict in NEED_WORK for one in found),
        trust=describe_trust(measured),
        limits=describe_limits(measured, own=prompt.own),
        agreement=measure_agreement(attempts),
        labels_needed=LABELS_NEEDED,
        **values,
    )
    return Fragment(html=html, say=_announce_result(found, count), focus=RESULT, key=str(attempt.id))


def focus_concept(fragment: Fragment, prompt: Prompt, concept_id: str) -> Fragment:
    """Return the fragment with the focus on the concept that the event was about, not at the top."""
    for number, concept in enumerate(prompt.concepts, start=1):
        if concept.id == concept_id and fragment.focus == RESULT:
            return replace(fragment, focus=f"#idea-{number}", say=f"Kept. {fragment.say}")
    return fragment


def _announce_result(found: Sequence[ConceptStatus], count: int) -> str:
    parts = [f"{one.concept.label}: {SPOKEN[one.verdict]}" for one in found]
    return f"{count} of {len(found)} concepts. {'; '.join(parts)}."
