"""The Explain page: choose a prompt, write, tick what you said, compare with a model answer."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from quizzes.explain.exercise import ExplainExercise
from quizzes.explain.grade import covered
from quizzes.explain.prompts import Prompt
from study import events, frame
from study.context import Context, Visit
from study.errors import LearnerError
from study.frame import Reply
from study.stations import Piece
from study.store.explains import ExplainAttempt
from study.templates import render


def build(app: gr.Blocks, context: Context, exercise: ExplainExercise) -> None:
    """Add the page to the app."""
    page = ExplainPage(context=context, exercise=exercise)
    with frame.page(app, context, title="Explain", path="/explain"):
        frame.island(page.act, page.load, "explain", waiting=frame.waiting("Explain"))


@dataclass(frozen=True, kw_only=True)
class ExplainPage:
    """Handlers of the Explain page: `/explain` lists the prompts, `/explain?prompt=explain-lora` is one."""

    context: Context
    exercise: ExplainExercise

    def load(self, request: gr.Request) -> str:
        """The list, or the prompt that the address names."""
        visit = frame.visit_of(self.context, request)
        prompt_id = visit.query.get("prompt", "")
        if not prompt_id:
            return self._list(visit)
        prompt = self.exercise.prompt(prompt_id)
        attempts = self._attempts(visit, prompt)
        waiting = [attempt for attempt in attempts[:1] if attempt.verdicts is None]
        piece = self.exercise.rubric(prompt, waiting[0]) if waiting else self.exercise.box(visit, prompt)
        return self._wrap(visit, prompt, piece).get("html", "")

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        """One press."""
        visit = frame.visit_of(self.context, request, event)
        if event.get("act") == "draft":
            self.exercise.save_draft(visit, event)
            return {}
        prompt = self.exercise.prompt(events.text(event, "prompt"))
        match event.get("act"):
            case "hint":
                piece = self.exercise.box(visit, prompt, hint=True)
            case "submit":
                piece = self.exercise.submit(visit, event)
            case "judge":
                return self._wrap(visit, prompt, self.exercise.judge(visit, event), compared=True)
            case "again":
                piece = self.exercise.box(visit, prompt)
            case other:
                raise LearnerError(f"This page has no {other!r}.", do_next="Reload the page.")
        return self._wrap(visit, prompt, piece)

    def _wrap(self, visit: Visit, prompt: Prompt, piece: Piece, *, compared: bool = False) -> Reply:
        html = render(
            "quizzes/explain.html",
            piece=piece.html,
            prompt=prompt,
            compared=compared,  # the piece shows the model answer itself
            history=[
                (attempt, self._ago(visit, attempt), covered(attempt.verdicts.values()))
                for attempt in self._attempts(visit, prompt)
                if attempt.verdicts is not None
            ],
        )
        return {"html": html, "say": piece.say, "focus": piece.focus}

    def _list(self, visit: Visit) -> str:
        attempts = self.exercise.store.explains.attempts(visit.profile.id)
        best = {
            prompt_id: max(
                (covered(a.verdicts.values()) for a in attempts if a.prompt_id == prompt_id and a.verdicts),
                default=None,
            )
            for prompt_id in self.exercise.prompts
        }
        drafts = {
            prompt_id: bool(self.exercise.store.notes.draft(visit.profile.id, f"explain:{prompt_id}"))
            for prompt_id in self.exercise.prompts
        }
        return render(
            "quizzes/prompts.html", prompts=self.exercise.prompts.values(), best=best, drafts=drafts
        )

    def _attempts(self, visit: Visit, prompt: Prompt) -> list[ExplainAttempt]:
        return self.exercise.store.explains.attempts(visit.profile.id, prompt.id)

    def _ago(self, visit: Visit, attempt: ExplainAttempt) -> str:
        days = visit.days.between(attempt.submitted_at, visit.now)
        return "today" if days <= 0 else "yesterday" if days == 1 else f"{days} days ago"
