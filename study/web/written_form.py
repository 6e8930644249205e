"""The form for a card or question of the learner's own: its draft, and the undo of what it has stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from study.io.apply_import import Imports
from study.io.planning import build_shared_content_error
from study.io.written_item import check_may_write
from study.ports.context import Context, Visit
from study.web import form_event


@dataclass(frozen=True, kw_only=True)
class FormDraft:
    """The draft of one form, in each profile: each field is kept while it is typed, until it is handed in.

    `study/templates/shared/written_form.html` has the fields; they send the act `draft`, which `save` takes.
    """

    context: Context
    name: str
    fields: Sequence[str]

    def collect_values(self, visit: Visit) -> dict[str, Any]:
        """Collect what the macros of `written_form.html` read of a form."""
        return {
            "id": f"write-{int(visit.now.timestamp())}",
            "may_write": visit.is_owner,
            "draft": self._read(visit),
            "draft_name": f"{visit.profile.id}:{self.name}",
            "concepts": self.context.concepts.by_id.values(),
        }

    def save(self, visit: Visit, event: Mapping[str, Any]) -> None:
        """Keep what a field sent. Raises LearnerError for a learner who may not write."""
        check_may_write(visit.is_owner)
        field = form_event.read_text(event, "field")
        text = form_event.read_text(event, "value", limit=form_event.ANY_LENGTH)
        if field in self.fields:
            self._save(visit, field, text)

    def replace(self, visit: Visit, texts: Mapping[str, str]) -> None:
        """Make these texts the draft; fields that are not given are emptied."""
        for field, before in self._read(visit).items():
            if (text := texts.get(field, "")) != before:
                self._save(visit, field, text)

    def refill(self, visit: Visit, texts: Mapping[str, str]) -> None:
        """Make these texts the draft if there is no other one."""
        if texts and not any(self._read(visit).values()):
            self.replace(visit, texts)

    def read_form(self, event: Mapping[str, Any]) -> dict[str, str]:
        """Return the fields as they were handed in, of any length."""
        typed = {
            field: form_event.read_field(event, field, limit=form_event.ANY_LENGTH) for field in self.fields
        }
        return {field: text.replace("\r\n", "\n").strip() for field, text in typed.items()}

    def _read(self, visit: Visit) -> dict[str, str]:
        drafts = self.context.store.drafts
        return {field: drafts.read(visit.profile.id, f"{self.name}:{field}") for field in self.fields}

    def _save(self, visit: Visit, field: str, text: str) -> None:
        self.context.store.drafts.save(visit.profile.id, f"{self.name}:{field}", text, at=visit.now)


def undo_written(imports: Imports, visit: Visit, event: Mapping[str, Any]) -> None:
    """Undo one writing or deletion. Raises LearnerError for a learner who may not, or if it was undone."""
    if not visit.is_owner:
        raise build_shared_content_error("change", do_next="Ask the owner.")
    imports.undo(visit.profile.id, form_event.read_whole(event, "import"), now=visit.now)
