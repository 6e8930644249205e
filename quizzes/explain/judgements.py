"""People's judgements: the learner's own verdict, a reply to the grader, a teacher's override, an undo."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from quizzes.explain.concept_status import build_opinion
from quizzes.grader.prompts import Prompt
from study.base.errors import LearnerError
from study.ports.classes import ConceptVerdict
from study.ports.context import Visit
from study.store.logs.explains import ExplainAttempt, ExplainLog
from study.web import form_event

REPLY_LIMIT = 500
REASON_LIMIT = 500
MARKING = frozenset({"claim", "clarify", "override", "take-back"})
"""The form events that are handled here."""

TEACHER_VERDICTS = tuple(verdict for verdict in get_args(ConceptVerdict) if verdict != "unsure")


@dataclass(frozen=True, kw_only=True)
class Marks:
    """The handlers of form events that append a person's judgement to the log."""

    log: ExplainLog

    def handle_event(
        self, visit: Visit, prompt: Prompt, attempt: ExplainAttempt, event: Mapping[str, Any]
    ) -> bool:
        """Handle a form event and append it to the log; return False when it isn't one of `MARKING`."""
        match event.get("act"):
            case "claim":
                self._claim(visit, prompt, attempt, event)
            case "clarify":
                self._clarify(visit, prompt, attempt, event)
            case "override":
                self._override(visit, prompt, attempt, event)
            case "take-back":
                verdict_id = form_event.read_whole(event, "verdict")
                self.log.take_back(visit.profile.id, attempt.id, verdict_id, at=visit.now)
            case _:
                return False
        return True

    def read_concept(self, event: Mapping[str, Any]) -> str:
        """Return the concept that a form event is about; empty for other events."""
        match event.get("act"):
            case "claim" | "clarify":
                return form_event.read_text(event, "concept")
            case "override":
                return form_event.read_field(event, "concept")
        return ""

    def _claim(self, visit: Visit, prompt: Prompt, attempt: ExplainAttempt, event: Mapping[str, Any]) -> None:
        """Record that the learner disagrees with the grader; the same event again undoes it."""
        concept_id = _require_concept(prompt, form_event.read_text(event, "concept"))
        last, grader = attempt.newest(concept_id, "learner"), attempt.newest(concept_id, "grader")
        if grader is None:
            raise LearnerError("The grader has not read this yet.", do_next="Wait for its verdict.")
        verdict = reverse_verdict(grader.verdict)
        if last is not None and last.verdict == verdict:
            self.log.take_back(visit.profile.id, attempt.id, last.id, at=visit.now)
        else:
            said = build_opinion(prompt, concept_id, verdict)
            self.log.record(visit.profile.id, attempt.id, [said], by="learner", at=visit.now)

    def _clarify(
        self, visit: Visit, prompt: Prompt, attempt: ExplainAttempt, event: Mapping[str, Any]
    ) -> None:
        """Record a reply to the grader's question; it is graded together with the text."""
        concept_id = _require_concept(prompt, form_event.read_text(event, "concept"))
        text = form_event.read_field(event, "reply", limit=REPLY_LIMIT).strip()
        if not text:
            raise LearnerError("The reply is empty.", do_next="Answer in a sentence, or leave it unsure.")
        if any(reply.concept_id == concept_id for reply in attempt.replies):
            raise LearnerError("You have already answered this one.", do_next="Write it again to say more.")
        self.log.reply(visit.profile.id, attempt.id, concept_id, text, at=visit.now)

    def _override(
        self, visit: Visit, prompt: Prompt, attempt: ExplainAttempt, event: Mapping[str, Any]
    ) -> None:
        """Record a teacher's verdict with its reason."""
        concept_id = _require_concept(prompt, form_event.read_field(event, "concept"))
        verdict = form_event.read_field(event, "verdict")
        reason = form_event.read_field(event, "reason", limit=REASON_LIMIT).strip()
        if verdict not in TEACHER_VERDICTS:
            raise LearnerError("No verdict is chosen.", do_next=f"Choose {', '.join(TEACHER_VERDICTS)}.")
        if not reason:
            raise LearnerError("A teacher's mark needs a reason.", do_next="Write one the learner can use.")
        said = build_opinion(prompt, concept_id, verdict, reason=reason)
        self.log.record(visit.profile.id, attempt.id, [said], by="teacher", at=visit.now)


def reverse_verdict(verdict: str) -> ConceptVerdict:
    """Return the verdict of a learner who disagrees with the grader: not said, or said."""
    return "missing" if verdict == "covered" else "covered"


def _require_concept(prompt: Prompt, concept_id: str) -> str:
    if all(concept.id != concept_id for concept in prompt.concepts):
        raise LearnerError(f"{concept_id!r} is not part of this prompt.", do_next="Choose what is listed.")
    return concept_id
