"""The feedback sentence next to a verdict."""

from quizzes.grader.prompts import PromptConcept
from study.ports.classes import ConceptVerdict

TEXTS: dict[ConceptVerdict, str] = {
    "covered": "Your answer says this.",
    "partial": "You touch on this, but only half of it or vaguely. The whole idea: {definition}",
    "contradicted": "What you say seems to contradict this: {definition}",
    "missing": "Nothing in your answer is about this yet: {label}.",
    "unsure": "I can't tell what you mean here. Can you say it in a separate sentence: {label}?",
}


def explain_verdict(verdict: ConceptVerdict, concept: PromptConcept) -> str:
    """Return one sentence: what is missing, or what the highlighted words contradict."""
    return TEXTS[verdict].format(label=concept.label, definition=concept.said)
