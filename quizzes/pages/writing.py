"""The form for a question of the learner's own, its draft, and what takes it back; the Quiz page shows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from quizzes.interchange.written_question import FIELDS, WRONG, QuestionWriter
from study.ports.context import Context, Visit
from study.text.templates import render
from study.web import form_event
from study.web.written_form import FormDraft, undo_written

ADDRESS = "/quiz?write=new"
SHOWN = 3
"""Wrong answers that are on the form at once; the others unfold."""


@dataclass(frozen=True, kw_only=True)
class QuestionDone:
    """A question that was written, and the import that can be undone."""

    question: str
    import_id: int
    topic: str


@dataclass(frozen=True, kw_only=True)
class QuestionWriting:
    """The form and its events."""

    context: Context
    writer: QuestionWriter

    @property
    def draft(self) -> FormDraft:
        """What is in the form until the question is saved."""
        return FormDraft(context=self.context, name="question", fields=FIELDS)

    def render_form(self, visit: Visit) -> Markup:
        """Render the form with the draft, or why this learner can't write a question."""
        return render(
            "quizzes/quiz/write.html", form=self.draft.collect_values(visit), wrong=WRONG, shown=SHOWN
        )

    def write(self, visit: Visit, typed: Mapping[str, str]) -> QuestionDone:
        """Store the question and end its draft."""
        question_id, import_id = self.writer.write(
            visit.profile.id, typed, may_change_files=visit.is_owner, now=visit.now
        )
        self.draft.replace(visit, {})
        return QuestionDone(question=question_id, import_id=import_id, topic=self.writer.topic)

    def take_back(self, visit: Visit, event: Mapping[str, Any]) -> None:
        """Undo the writing of a question; its text is a draft again, if there is no other draft."""
        typed = self.writer.read_typed(form_event.read_text(event, "question"))
        undo_written(self.writer.imports, visit, event)
        self.draft.refill(visit, typed)
