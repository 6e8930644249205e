"""Reference: the method on one sheet, and the glossary; made for printing as well."""

from dataclasses import dataclass

import gradio as gr
from markupsafe import Markup

from study.content.glossary import read_glossary
from study.lessons.lesson_text import LessonText, Terms
from study.lessons.reference import read_reference
from study.ports.context import Context
from study.text.templates import render
from study.web import frame


@dataclass(frozen=True, kw_only=True)
class ReferencePage:
    place = frame.IslandPlace(elem_id="reference", title="Reference", path="/reference", under="/learn")
    act = None

    context: Context
    terms: Terms

    def load(self, request: gr.Request) -> Markup:
        """Render all lines and all words; they are the same for every learner."""
        frame.open_visit(self.context, request)
        return render(
            "study/reference/reference.html",
            sections=read_reference(),
            words=read_glossary(),
            lesson=LessonText(self.terms, ""),
        )
