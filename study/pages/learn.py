"""Learn: the concept map as a list by area, with prerequisites and how well each concept is known."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from study import frame, progress
from study.agenda import Subjects
from study.context import Context
from study.errors import LearnerError
from study.frame import Reply
from study.mastery import mastery
from study.templates import render


def build(app: gr.Blocks, context: Context, *, subjects: Subjects) -> None:
    """Add the page to the app."""
    page = LearnPage(context=context, subjects=subjects)
    with frame.page(app, context, title="Learn", path="/learn"):
        frame.island(page.act, page.load, "learn", waiting=frame.waiting("Learn"))


@dataclass(frozen=True, kw_only=True)
class LearnPage:
    """Handlers of Learn."""

    context: Context
    subjects: Subjects

    def load(self, request: gr.Request) -> str:
        """The map with this learner's mastery."""
        visit = frame.visit_of(self.context, request)
        return render(
            "study/learn.html",
            areas=self.context.concepts.areas(),
            concepts=self.context.concepts,
            mastery=mastery(self.context.store, visit.profile.id, self.subjects),
            counts={concept: self.subjects.counts(concept) for concept in self.context.concepts.by_id},
            prompts={
                concept: [prompt for prompt, about in self.subjects.of_prompt.items() if concept in about]
                for concept in self.context.concepts.by_id
            },
            rule=progress.MASTERY_RULE,
            level_rule=progress.LEVEL_RULE,
        )

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        """The list has nothing to press but links."""
        raise LearnerError(f"This page has no {event.get('act')!r}.", do_next="Reload the page.")
