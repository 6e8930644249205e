"""The draft of a form with several fields: each is kept while it is typed, until the form is handed in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from study.ports.context import Visit
from study.store.logs.preferences_and_drafts import Notes
from study.web import form_event


@dataclass(frozen=True, kw_only=True)
class FormDraft:
    """The draft of one form, in each profile.

        <textarea name="front" data-autosave="draft" data-field="front" data-draft="...">

    sends the act `draft`, which `save` takes.
    """

    notes: Notes
    name: str
    fields: Sequence[str]

    def read(self, visit: Visit) -> dict[str, str]:
        """Return what is in each field; empty where nothing was typed."""
        return {field: self.notes.draft(visit.profile.id, self._key(field)) for field in self.fields}

    def save(self, visit: Visit, event: Mapping[str, Any]) -> None:
        """Keep what a field sent."""
        field = form_event.read_text(event, "field")
        text = form_event.read_text(event, "value", limit=form_event.ANY_LENGTH)
        if field in self.fields:
            self.notes.save_draft(visit.profile.id, self._key(field), text, at=visit.now)

    def replace(self, visit: Visit, texts: Mapping[str, str]) -> None:
        """Make these texts the draft; fields that are not given are emptied."""
        for field, before in self.read(visit).items():
            text = texts.get(field, "")
            if text != before:
                self.notes.save_draft(visit.profile.id, self._key(field), text, at=visit.now)

    def refill(self, visit: Visit, texts: Mapping[str, str]) -> None:
        """Make these texts the draft if there is no other one."""
        if texts and not any(self.read(visit).values()):
            self.replace(visit, texts)

    def name_in_browser(self, visit: Visit) -> str:
        """Return the name under which the browser keeps what isn't sent yet."""
        return f"{visit.profile.id}:{self.name}"

    def read_form(self, event: Mapping[str, Any]) -> dict[str, str]:
        """Return the fields as they were handed in, of any length."""
        typed = {
            field: form_event.read_field(event, field, limit=form_event.ANY_LENGTH) for field in self.fields
        }
        return {field: text.replace("\r\n", "\n").strip() for field, text in typed.items()}

    def _key(self, field: str) -> str:
        return f"{self.name}:{field}"
