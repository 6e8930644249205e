"""The form for a card of the learner's own, its draft, and what takes the card back; Browse shows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from flashcards.decks.note import Note
from flashcards.interchange.written_card import FIELDS, REQUIRED, TEXTS, CardWriter
from study.ports.context import Context, Visit
from study.text.templates import render
from study.web.written_form import FormDraft, undo_written

ADDRESS = "/browse?write=new"
LABELS = {
    "front": ("Front: the question", 2),
    "back": ("Back: the answer", 3),
    "why": ("Why, if you like: the reason in a sentence", 2),
}
"""The label and the rows of each text."""


@dataclass(frozen=True, kw_only=True)
class CardWriting:
    """The form and its events."""

    context: Context
    writer: CardWriter

    @property
    def draft(self) -> FormDraft:
        """What is in the form until the card is saved."""
        return FormDraft(context=self.context, name="card", fields=FIELDS)

    def render_form(self, visit: Visit) -> Markup:
        """Render the form with the draft, or why this learner can't write a card."""
        fields = [(name, *LABELS[name], name in REQUIRED) for name in TEXTS]
        return render("flashcards/browse/write.html", form=self.draft.collect_values(visit), fields=fields)

    def write(self, visit: Visit, typed: Mapping[str, str]) -> tuple[str, int]:
        """Store the card and end its draft; return its id and that of its import."""
        written = self.writer.write(visit.profile.id, typed, may_change_files=visit.is_owner, now=visit.now)
        self.draft.replace(visit, {})
        return written

    def take_back(self, visit: Visit, event: Mapping[str, Any], note: Note | None) -> None:
        """Undo the writing of a card; its text is a draft again, if there is no other draft."""
        self.undo(visit, event)
        if note is not None:
            self.draft.refill(visit, {**note.texts, "concept": next(iter(note.concepts), "")})

    def undo(self, visit: Visit, event: Mapping[str, Any]) -> None:
        """Undo what one press has written or deleted."""
        undo_written(self.writer.imports, visit, event)
