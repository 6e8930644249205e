"""An explanation as it is asked for: a box, then the concepts to tick, then a model answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from markupsafe import Markup

from quizzes.explain.grade import SelfGrader, covered
from quizzes.explain.prompts import Prompt, load_prompts
from study import events
from study.concepts import ConceptMap
from study.context import Context, Visit
from study.errors import LearnerError
from study.markup import to_plain
from study.stations import Piece, Steps
from study.store import Store
from study.store.explains import ExplainAttempt, draft_key
from study.store.notes import DRAFT_LIMIT
from study.store.runs import ReviewRun
from study.templates import render

SECONDS_AN_EXPLANATION = 90.0


@dataclass(frozen=True, kw_only=True)
class ExplainExercise:
    """Asks for an explanation and lets the learner judge it; the Explain page and the review use it."""

    store: Store
    prompts: Mapping[str, Prompt]
    concepts: ConceptMap
    label: str = "explanation"

    @property
    def subjects(self) -> Mapping[str, tuple[str, ...]]:
        """Which concepts each prompt is about."""
        return {prompt.id: prompt.links for prompt in self.prompts.values()}

    def prompt(self, prompt_id: str) -> Prompt:
        """A prompt by its id."""
        if prompt_id not in self.prompts:
            raise LearnerError(f"There is no prompt {prompt_id!r}.", do_next="Choose one from the list.")
        return self.prompts[prompt_id]

    def box(self, visit: Visit, prompt: Prompt, *, hint: bool = False) -> Piece:
        """The prompt with a box to write in, holding the draft."""
        html = render(
            "quizzes/box.html",
            prompt=prompt,
            draft=self.store.notes.draft(visit.profile.id, draft_key(prompt.id)),
            draft_name=f"{visit.profile.id}:{prompt.id}",
            limit=DRAFT_LIMIT,
            hint=hint,
        )
        said = f"Hint: {to_plain(prompt.hint)}" if hint else ""
        return Piece(html=Markup(html), say=said, focus="#answer")

    def rubric(self, prompt: Prompt, attempt: ExplainAttempt) -> Piece:
        """The learner's text beside the concepts to tick."""
        html = render("quizzes/rubric.html", prompt=prompt, attempt=attempt)
        return Piece(html=Markup(html), say="Saved. Now tick what your explanation says.", focus="#rubric")

    def result(self, prompt: Prompt, attempt: ExplainAttempt, *, history: bool = True) -> Piece:
        """What was ticked, and a model answer to compare with."""
        count = covered((attempt.verdicts or {}).values())
        html = render(
            "quizzes/result.html",
            prompt=prompt,
            attempt=attempt,
            count=count,
            concepts=self.concepts,
            alone=history,
        )
        return Piece(html=Markup(html), say=f"{count} of {len(prompt.concepts)} concepts.", focus="#result")

    def save_draft(self, visit: Visit, event: Mapping[str, Any]) -> None:
        """Keep what is typed so far."""
        prompt = self.prompt(events.text(event, "prompt"))
        text = events.text(event, "value", limit=DRAFT_LIMIT)
        self.store.notes.save_draft(visit.profile.id, draft_key(prompt.id), text, at=visit.now)

    def submit(self, visit: Visit, event: Mapping[str, Any]) -> Piece:
        """Store the explanation, then ask what it says."""
        prompt = self.prompt(events.text(event, "prompt"))
        text = events.field(event, "answer", limit=DRAFT_LIMIT).strip()
        if not text:
            raise LearnerError("The box is empty.", do_next="Write a sentence or two, in any words you like.")
        self.store.explains.submit(visit.profile.id, prompt.id, text, at=visit.now)
        return self.rubric(prompt, self._newest(visit, prompt))

    def judge(self, visit: Visit, event: Mapping[str, Any], *, history: bool = True) -> Piece:
        """Store the learner's ticks."""
        prompt = self.prompt(events.text(event, "prompt"))
        attempt_id = events.whole(event, "attempt")
        attempts = self.store.explains.attempts(visit.profile.id, prompt.id)
        attempt = next((attempt for attempt in attempts if attempt.id == attempt_id), None)
        if attempt is None:
            raise LearnerError("That explanation is not in this profile.", do_next="Reload the page.")
        grader = SelfGrader(ticked=frozenset(events.fields(event, "concept")))
        verdicts = grader(prompt, attempt.text)
        self.store.explains.judge(visit.profile.id, attempt.id, verdicts, by="learner", at=visit.now)
        return self.result(prompt, self._newest(visit, prompt), history=history)

    def _newest(self, visit: Visit, prompt: Prompt) -> ExplainAttempt:
        return self.store.explains.attempts(visit.profile.id, prompt.id)[0]

    # ---- as a station of the five-minute review ----

    def seconds_each(self, visit: Visit) -> float:
        """What an explanation takes; a text is not timed."""
        return SECONDS_AN_EXPLANATION

    def chosen(self, visit: Visit) -> str:
        """The prompt explained least often; among equals, the one written first."""
        attempts = [attempt.prompt_id for attempt in self.store.explains.attempts(visit.profile.id)]
        return min(self.prompts, key=attempts.count)

    def steps(self, visit: Visit, run: ReviewRun) -> Steps:
        """Done when an explanation of this run is judged."""
        attempt = self._in_run(visit, run)
        return Steps(done=int(attempt is not None and attempt.verdicts is not None), total=1)

    def show(self, visit: Visit, run: ReviewRun) -> Piece:
        """The box; or the concepts, if the text is already there."""
        prompt = self.prompt(run.prompt_id)
        attempt = self._in_run(visit, run)
        return self.rubric(prompt, attempt) if attempt else self.box(visit, prompt)

    def act(self, event: dict[str, Any], visit: Visit, run: ReviewRun) -> Piece | None:
        """Save a draft, give a hint, submit, judge."""
        match event.get("act"):
            case "draft":
                self.save_draft(visit, event)
            case "hint":
                return self.box(visit, self.prompt(run.prompt_id), hint=True)
            case "submit":
                return self.submit(visit, event)
            case "judge":
                return self.judge(visit, event, history=False)
        return None

    def summary(self, visit: Visit, run: ReviewRun) -> str:
        """How the explanation went."""
        attempt = self._in_run(visit, run)
        if attempt is None or attempt.verdicts is None:
            return "No explanation written."
        total = len(self.prompt(run.prompt_id).concepts)
        return f"{covered(attempt.verdicts.values())} of {total} concepts explained."

    def _in_run(self, visit: Visit, run: ReviewRun) -> ExplainAttempt | None:
        attempts = self.store.explains.attempts(visit.profile.id, run.prompt_id)
        return next((attempt for attempt in attempts if _since(attempt, run.started_at)), None)


def explain_exercise(context: Context) -> ExplainExercise:
    """The prompts of an app, read and checked, on its store."""
    prompts = load_prompts(context.concepts)
    return ExplainExercise(store=context.store, prompts=prompts, concepts=context.concepts)


def _since(attempt: ExplainAttempt, moment: datetime) -> bool:
    return attempt.submitted_at >= moment
