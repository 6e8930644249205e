"""Figures: all live figures on one page, or one by its URL, for a class or a link."""

from dataclasses import dataclass

import gradio as gr
from markupsafe import Markup

from study.base.errors import LearnerError
from study.figures.figure import Figures
from study.ports.context import Context
from study.text.templates import render
from study.web import frame


@dataclass(frozen=True, kw_only=True)
class FiguresPage:
    place = frame.IslandPlace(elem_id="figures", title="Figures", path="/figures", under="/learn")
    act = None

    context: Context
    figures: Figures

    def load(self, request: gr.Request) -> Markup:
        """Render all figures; `?figure=lora-to-scale&rank=16` renders only that one, at that setting."""
        query = frame.open_visit(self.context, request).query
        chosen = query.get("figure", "")
        if chosen and chosen not in self.figures:
            raise LearnerError(f"There is no figure named {chosen}.", do_next="Open Figures for all of them.")
        shown = [self.figures[chosen]] if chosen else list(self.figures.values())
        return render(
            "study/figures/figures.html",
            figures=shown,
            alone=bool(chosen),
            query=query,
            concepts=self.context.concepts,
        )
