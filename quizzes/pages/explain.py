"""The Explain page: choose a prompt, write, see what the grader read in it, write again; own prompts."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import gradio as gr
from markupsafe import Markup

from quizzes.explain.own_prompts import LINE_LIMIT, TEXT_LIMIT
from quizzes.explain.presenter import ExplainExercise
from quizzes.grader.limits import describe_limits
from quizzes.grader.prompts import CONCEPTS, Prompt
from quizzes.grader.verdicts import count_covered
from study.base.errors import LearnerError, StaleError
from study.base.html import NO_HTML
from study.ports.context import Context, Visit
from study.ports.review import Fragment
from study.store.logs.explains import ExplainAttempt, draft_key
from study.text.templates import render
from study.web import form_event, frame
from study.web.frame import Reply

NEW = "new"


@dataclass(frozen=True, kw_only=True)
class ExplainPage:
    """Event handlers of the Explain page: the list; `?prompt=explain-lora`, `&attempt=3`; `?own=new`."""

    place = frame.IslandPlace(elem_id="explain", title="Explain", path="/explain")

    context: Context
    exercise: ExplainExercise

    def load(self, request: gr.Request) -> Markup:
        """Render the list, or what the URL names."""
        visit = frame.open_visit(self.context, request)
        self.exercise.prepare()
        if own := visit.query.get("own", ""):
            return self._render_own(visit, own)
        prompt_id = visit.query.get("prompt", "")
        if not prompt_id:
            return self._list(visit)
        prompt = self.exercise.prompt(visit, prompt_id)
        notice = "Saved. Try it on an answer now." if visit.query.get("saved") else ""
        return self._wrap(visit, prompt, self._open(visit, prompt), notice=notice).get("html", NO_HTML)

    def _open(self, visit: Visit, prompt: Prompt) -> Fragment:
        """Render an unfinished text first, then what the URL names, then what isn't graded yet."""
        attempts = self._read_attempts(visit, prompt)
        if self.context.store.drafts.read(visit.profile.id, draft_key(prompt.id)):
            return self.exercise.render_box(visit, prompt)
        asked = visit.query.get("attempt", "")
        waiting = str(attempts[0].id) if attempts and attempts[0].verdicts is None else ""
        for attempt in attempts:
            if str(attempt.id) == (asked or waiting):
                return self.exercise.look(visit, prompt, attempt)
        return self.exercise.render_box(visit, prompt)

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        visit = frame.open_visit(self.context, request, event)
        match event.get("act"):
            case "own-save":
                return self._save_own(visit, event)
            case "own-withdraw":
                self.exercise.own.withdraw(
                    visit.profile.id, form_event.read_text(event, "prompt"), at=visit.now
                )
                return {"goto": "/explain"}
        try:
            fragment = self.exercise.handle_event(visit, event)
        except StaleError as stale:
            prompt = self.exercise.prompt(visit, form_event.read_text(event, "prompt"))
            return {**self._wrap(visit, prompt, self._open(visit, prompt)), "error": str(stale)}
        if fragment is None and event.get("act") == "draft":
            return {}
        if fragment is None:
            raise form_event.build_unknown_act_error(event)
        return self._wrap(visit, self.exercise.prompt(visit, form_event.read_text(event, "prompt")), fragment)

    def _wrap(self, visit: Visit, prompt: Prompt, fragment: Fragment, *, notice: str = "") -> Reply:
        html = render(
            "quizzes/explain/explain.html",
            fragment=fragment.html,
            prompt=prompt,
            notice=notice,
            shown=fragment.key,
            history=[
                (
                    attempt,
                    visit.format_days_ago(attempt.submitted_at),
                    count_covered(attempt.verdicts.values()),
                )
                for attempt in self._read_attempts(visit, prompt)
                if attempt.verdicts is not None and str(attempt.id) != fragment.key
            ],
        )
        place = {"prompt": prompt.id} | ({"attempt": fragment.key} if fragment.key else {})
        return {
            "html": html,
            "say": fragment.say,
            "focus": fragment.focus,
            "url": f"/explain?{urlencode(place)}",
        }

    def _list(self, visit: Visit) -> Markup:
        store, own = self.context.store, self.exercise.own.read_all(visit.profile.id)
        prompts = self.exercise.list_prompts(visit)
        attempts = store.explains.attempts(visit.profile.id)
        best: dict[str, int] = {}
        for attempt in attempts:
            if attempt.verdicts:
                covered = count_covered(attempt.verdicts.values())
                best[attempt.prompt_id] = max(best.get(attempt.prompt_id, 0), covered)
        drafts = {one: bool(store.drafts.read(visit.profile.id, draft_key(one))) for one in prompts}
        groups = [("", list(self.exercise.prompts.values())), ("Your own prompts", list(own.values()))]
        handed_in = {attempt.prompt_id for attempt in attempts}
        return render(
            "quizzes/explain/prompts.html", groups=groups, best=best, drafts=drafts, handed_in=handed_in
        )

    def _render_own(self, visit: Visit, prompt_id: str) -> Markup:
        """Render the form for a new prompt, or for changing one."""
        own = self.exercise.own.read_all(visit.profile.id)
        if prompt_id != NEW and prompt_id not in own:
            raise LearnerError("That prompt is not in this profile.", do_next="Choose one from the list.")
        prompt = own.get(prompt_id)
        return render(
            "quizzes/explain/own.html",
            prompt=prompt,
            lines=[concept.definition for concept in prompt.concepts] if prompt else [""] * CONCEPTS,
            warning=describe_limits(self.exercise.measured_own, own=True),
            text_limit=TEXT_LIMIT,
            line_limit=LINE_LIMIT,
        )

    def _save_own(self, visit: Visit, event: dict[str, Any]) -> Reply:
        prompt_id = self.exercise.own.save(visit.profile.id, event, at=visit.now)
        self.exercise.read_again(visit, self.exercise.prompt(visit, prompt_id))
        return {"goto": f"/explain?{urlencode({'prompt': prompt_id, 'saved': 'yes'})}"}

    def _read_attempts(self, visit: Visit, prompt: Prompt) -> list[ExplainAttempt]:
        return self.context.store.explains.attempts(visit.profile.id, prompt.id)
