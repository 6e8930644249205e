"""The Browse page: search the cards, see the state of each, change single ones, write or delete one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import gradio as gr
from markupsafe import Markup

from flashcards.decks.pictures import render_picture
from flashcards.decks.typed_answers import render_back
from flashcards.interchange.written_card import DECK
from flashcards.pages.editing import edit_form, save_edit
from flashcards.pages.writing import ADDRESS, CardWriting
from flashcards.review.card_status import FLAG_NAMES
from flashcards.review.presenter import CardExercise, format_interval
from flashcards.review.search import STATES, FoundCard, Search, find_cards
from flashcards.review.session import CardFilter
from flashcards.review.snapshot import CardSnapshot
from flashcards.review.urls import FILTERS, build_mode_query, build_url, list_filters, parse_filter
from study.base.html import format_html
from study.content.yaml_reader import LEVELS
from study.ports.context import Context, Visit
from study.text.templates import render
from study.web import form_event, frame
from study.web.frame import Reply

AT_ONCE = 40  # rows; more are one click away


@dataclass(frozen=True, kw_only=True)
class BrowseState:
    """The state of the page: the search, the open row, and whether it is being edited."""

    search: Search
    open: str = ""
    editing: bool = False
    all: bool = False


@dataclass(frozen=True, kw_only=True)
class CardDone:
    """What was done with a card of the learner's own: the import that can be undone."""

    said: str
    import_id: int
    card: str = ""
    """The card that was written; empty for one that was deleted."""

    study: str = ""


@dataclass(frozen=True, kw_only=True)
class BrowsePage:
    """The event handlers of the card browser."""

    place = frame.IslandPlace(elem_id="browse", title="Browse cards", path="/browse", under="/cards")

    context: Context
    exercise: CardExercise
    writing: CardWriting

    def load(self, request: gr.Request) -> Markup:
        """Render the search of the URL with its results, or the form for a new card."""
        visit = frame.open_visit(self.context, request)
        if visit.query.get("write"):
            return self.writing.render_form(visit)
        return self._render_page(visit, BrowseState(search=_parse_search(visit.query)))

    def _render_page(self, visit: Visit, view: BrowseState, *, done: CardDone | None = None) -> Markup:
        decks = self.exercise.reviews.decks
        # Both lists keep what is chosen: a deck or tag may just have lost its last card.
        wanted, own = view.search.wanted, self.writing.writer.deck
        chosen = {wanted.deck: DECK if wanted.deck == own else wanted.deck} if wanted.deck else {}
        return render(
            "flashcards/browse/browse.html",
            search=view.search,
            done=done,
            may_write=visit.is_owner,
            write=ADDRESS,
            decks={**chosen, **decks.titles},
            levels=LEVELS,
            concepts=self.context.concepts.by_id.values(),
            tags=sorted({tag for card in decks.cards for tag in card.tags} | ({wanted.tag} - {""})),
            states=STATES,
            results=self._render_results(visit, view),
        )

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        """Handle a change of the search, or the choice of a row."""
        visit = frame.open_visit(self.context, request, event)
        view = BrowseState(search=_read_search(event))
        card_id = str(event.get("card", ""))[:120]
        match event.get("act"):
            case "find":
                return self._reply(visit, view, say=True)
            case "all":
                return self._reply(visit, BrowseState(search=view.search, all=True))
            case "open":
                return self._reply(visit, BrowseState(search=view.search, open=card_id), focus="#open")
            case "edit":
                rewriting = BrowseState(search=view.search, open=card_id, editing=True)
                return self._reply(visit, rewriting, focus="#edit textarea")
            case "look" | "close":
                opened = card_id if event.get("act") == "look" else ""
                return self._reply(visit, BrowseState(search=view.search, open=opened))
            case "cram":
                how = build_mode_query("cram", new_today=0, now=visit.now)
                return {"goto": build_url(list_filters(view.search.wanted), **how)}
            case "write":
                return self._write(visit)
            case "draft":
                self.writing.draft.save(visit, event)
                return {}
            case "save-card":
                return self._save_card(visit, event)
            case "take-back":
                note = self.exercise.read_snapshot(visit).decks.notes.get(form_event.read_text(event, "card"))
                self.writing.take_back(visit, event, note)
                return self._write(visit, said="Taken back. Its text is in the form.")
            case "delete":
                return self._delete_card(visit, event, view)
            case "put-back":
                self.writing.undo(visit, event)
                return {"html": self._render_page(visit, view), "say": "The card is back.", "focus": "#main"}
        said = self._change(visit, event, card_id)
        return {**self._reply(visit, BrowseState(search=view.search, open=card_id)), "say": said}

    def _write(self, visit: Visit, *, said: str = "") -> Reply:
        return {"html": self.writing.render_form(visit), "url": ADDRESS, "focus": "#card-front", "say": said}

    def _save_card(self, visit: Visit, event: Mapping[str, Any]) -> Reply:
        typed = self.writing.draft.read_form(event)
        if problems := self.writing.writer.find_problems(visit.profile.id, typed):
            return {"error": " ".join(problems.values()), "beside": f"#card-{next(iter(problems))}"}
        card_id, import_id = self.writing.write(visit, typed)
        own = CardFilter(deck=self.writing.writer.deck)
        how = build_mode_query(
            "new", new_today=self.exercise.read_snapshot(visit).log.new_today, now=visit.now
        )
        said = f"Saved as a new card of the deck “{DECK}”."
        done = CardDone(
            said=said, import_id=import_id, card=card_id, study=build_url(list_filters(own), **how)
        )
        view = BrowseState(search=Search(wanted=own), open=card_id)
        url = f"/browse?{urlencode(list_filters(own))}"
        return {"html": self._render_page(visit, view, done=done), "url": url, "say": said, "focus": "#done"}

    def _delete_card(self, visit: Visit, event: Mapping[str, Any], view: BrowseState) -> Reply:
        note_id = form_event.read_text(event, "note")
        import_id = self.writing.writer.delete(
            visit.profile.id, note_id, may_change_files=visit.is_owner, now=visit.now
        )
        done = CardDone(said="Deleted. Your ratings of it stay in the log.", import_id=import_id)
        return {"html": self._render_page(visit, view, done=done), "say": done.said, "focus": "#done"}

    def _change(self, visit: Visit, event: Mapping[str, Any], card_id: str) -> str:
        reviews, profile_id = self.exercise.reviews, visit.profile.id
        match event.get("act"):
            case "suspend":
                reviews.suspend(profile_id, card_id, now=visit.now)
                return "Suspended."
            case "resume":
                reviews.resume(profile_id, card_id, now=visit.now)
                return "Brought back, with the schedule it had."
            case "bury":
                reviews.bury(profile_id, card_id, now=visit.now)
                return "Buried until tomorrow."
            case "unbury":
                reviews.unbury(profile_id, card_id, now=visit.now)
                return "Shown again when it is due."
            case "flag":
                reviews.flag(profile_id, card_id, form_event.read_text(event, "flag"), now=visit.now)
                return "Flag changed."
            case "save-edit" | "revert":
                return save_edit(self.exercise, visit, event)
            case "undo":
                return self.exercise.undo(visit, event)
        raise form_event.build_unknown_act_error(event)

    def _reply(self, visit: Visit, view: BrowseState, *, focus: str = "", say: bool = False) -> Reply:
        html = self._render_results(visit, view)
        query = urlencode({**list_filters(view.search.wanted), **_list_words(view.search)})
        reply: Reply = {"parts": {"results": html}, "url": f"/browse?{query}" if query else "/browse"}
        if say:
            count = len(find_cards(self.exercise.read_snapshot(visit), view.search))
            reply["say"] = f"{count} {'card' if count == 1 else 'cards'} found."
        return {**reply, "focus": focus} if focus else reply

    def _render_results(self, visit: Visit, view: BrowseState) -> Markup:
        snapshot = self.exercise.read_snapshot(visit)
        found = find_cards(snapshot, view.search)
        first = found[:AT_ONCE]
        further = view.open and view.open not in {row.card.id for row in first}  # opened after "Show more"
        shown = found if view.all or further else first
        return render(
            "flashcards/browse/found.html",
            count=len(found),
            more=len(found) - len(shown),
            rows=[(row, _format_due(snapshot, row)) for row in shown],
            view=view,
            opened=self._open_row(visit, snapshot, view),
            flags=FLAG_NAMES,
            study=build_url(list_filters(view.search.wanted)),
            undo=self.exercise.find_undoable(visit),
        )

    def _open_row(self, visit: Visit, snapshot: CardSnapshot, view: BrowseState) -> dict[str, Any] | None:
        """Build the template values of the open row: both sides, or the form to edit them."""
        card = snapshot.decks.by_id.get(view.open)
        if card is None:
            return None
        carried = format_html('data-card="{}"', card.id)
        return {
            "title": snapshot.decks.titles.get(card.deck, card.deck),
            "back": render_back(card),
            "picture": render_picture(card.picture) if card.picture else "",
            "form": edit_form(snapshot, card.id, carried=carried) if view.editing else "",
            "own": card.own,
            "deletable": visit.is_owner and self.writing.writer.exchange.is_imported(card.note_id),
            "siblings": len(snapshot.decks.notes[card.note_id].build_cards()),
        }


def _parse_search(query: Mapping[str, str]) -> Search:
    words, state = query.get("words", "")[:120], query.get("state", "")[:20]
    return Search(words=words, wanted=parse_filter(query), state=state)


def _read_search(event: Mapping[str, Any]) -> Search:
    names = ("words", "state", *FILTERS)
    if "fields" not in event or "words" not in event["fields"]:  # another form, such as an edit
        return _parse_search(frame.read_event_query(event))
    return _parse_search({name: form_event.read_field(event, name) for name in names})


def _list_words(search: Search) -> dict[str, str]:
    return {name: value for name, value in (("words", search.words), ("state", search.state)) if value}


def _format_due(snapshot: CardSnapshot, row: FoundCard) -> str:
    if row.memory is None:
        return "not seen yet"
    if row.memory.due <= snapshot.now:
        return "due now"
    return f"due in {format_interval(row.memory.due - snapshot.now)}"
