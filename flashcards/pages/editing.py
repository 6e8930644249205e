"""The form in which a learner overrides the deck's text; two pages show it."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from flashcards.review.operations import build_gone_error
from flashcards.review.presenter import CardExercise
from flashcards.review.snapshot import CardSnapshot
from study.ports.context import Visit
from study.text.templates import render
from study.web import form_event


def edit_form(snapshot: CardSnapshot, card_id: str, *, carried: str) -> Markup:
    """Render the form with the current text. Raises LearnerError when the card has left the decks."""
    card = snapshot.decks.by_id.get(card_id)
    note = snapshot.decks.notes.get(card.note_id) if card else None
    if note is None:
        raise build_gone_error()
    last = snapshot.status.edits.get(note.id)
    return render(
        "flashcards/browse/edit.html",
        note=note,
        edit_id=last.id if last else 0,
        siblings=len(note.build_cards()),
        carried=carried,
    )


def save_edit(exercise: CardExercise, visit: Visit, event: Mapping[str, Any]) -> str:
    """Store the form's text, or restore the deck's text; return a sentence on what was done."""
    reviews, note_id = exercise.reviews, form_event.read_text(event, "note")
    expected = form_event.read_whole(event, "edit")
    if event.get("act") == "revert":
        reviews.revert(visit.profile.id, note_id, expected_id=expected, now=visit.now)
        return "The deck's text is back."
    texts = {
        name: form_event.read_field(event, name, limit=20_000) for name in ("front", "back", "text", "why")
    }
    reviews.edit(visit.profile.id, note_id, texts, expected_id=expected, now=visit.now)
    return "Saved. The schedule is as it was."
