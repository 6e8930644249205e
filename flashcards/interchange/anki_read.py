"""Import of Anki packages (.apkg) of all three generations, with scheduling: notes become deck entries."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from flashcards.interchange.anki_file import AnkiCard, AnkiFile, AnkiNote, read_anki
from flashcards.interchange.anki_schedule import History, parse_card_history
from flashcards.interchange.anki_write import DECK_PREFIX, OUR_TYPES, build_guid
from flashcards.interchange.entry import CardEntry, CardReading, read_tags
from study.base.import_limits import HTML_CHARACTERS, check_html
from study.io.exchange import File, ImportEntry, reject_item, shorten
from study.text.html_import import convert_html, list_images

SOURCE = "imported from Anki"
SUSPENDED = -1  # the queue number of suspended cards
LONGEST_GUID = 40  # bytes; Anki's own guids have ten, an id has room for 40
_TAG = re.compile(r"\{\{\s*(?P<sign>[#^/]?)\s*(?P<name>[^{}]+?)\s*\}\}")
_ANSWER = re.compile(r"<hr[^<>]*\bid\s*=\s*[\"']?answer[\"']?[^<>]*>", re.IGNORECASE)


def read_apkg(file: File, *, known: Mapping[str, CardEntry], concepts: Iterable[str]) -> CardReading:
    """Read the cards of a package. `known` are the cards here, by id: ours are recognized by their guid."""
    anki = read_anki(file)
    ours = {build_guid(entry): entry.id for entry in known.values()}
    entries: list[CardEntry] = []
    rejected: list[ImportEntry] = []
    histories: dict[str, History] = {}
    suspended: list[str] = []
    concept_ids = tuple(concepts)
    for note in anki.notes:
        fields = dict(zip(note.type.fields, note.values, strict=False))
        note_id = fields.get("Id", "").strip() or ours.get(note.guid) or decode_guid(note.guid)
        if not note.type.templates:
            why = "its note type has no card template"
            rejected.append(reject_item(_shorten_note(note), why))
            continue
        accepted = len(entries)
        for entry, card in _read_entries(note, fields, note_id):
            if (entry.front and entry.back) or entry.text:
                deck = (card.deck if card else "Imported").removeprefix(DECK_PREFIX)
                entries.append(replace(entry, deck=deck, **read_tags(note.tags, concept_ids)))
            else:
                rejected.append(reject_item(_shorten_note(note), _explain_empty(note)))
        if len(entries) > accepted:
            kind = entries[-1].kind
            histories |= _read_histories(note, note_id, kind, anki.created_at)
            suspended += [build_card_id(note_id, kind, c.number) for c in note.cards if c.queue == SUSPENDED]
    return CardReading(
        entries=tuple(entries),
        rejected=tuple(rejected),
        notes=_list_notices(anki, histories, suspended),
        histories=histories,
        suspended=tuple(suspended),
    )


def decode_guid(guid: str) -> str:
    """Return the id of a note that was made in Anki: its guid as hex, or a hash of a longer one."""
    encoded = guid.encode()
    if len(encoded) > LONGEST_GUID:
        return f"anki-x{hashlib.sha256(encoded).hexdigest()[:32]}"
    return f"anki-{encoded.hex()}"


def build_card_id(note_id: str, kind: str, number: int) -> str:
    """Return the id of a note's card by its number in Anki."""
    if kind == "cloze":
        return f"{note_id}--c{number + 1}"
    if kind == "reversed":
        return f"{note_id}--reversed" if number else note_id
    return f"{note_id}-{number + 1}" if number else note_id


def _read_entries(
    note: AnkiNote, fields: Mapping[str, str], note_id: str
) -> list[tuple[CardEntry, AnkiCard | None]]:
    first = note.cards[0] if note.cards else None
    ours = next((kind for kind, our in OUR_TYPES.items() if our.fields == note.type.fields), None)
    named = next((kind for kind, our in OUR_TYPES.items() if our.name == note.type.name), ours)
    if ours and named:
        return [(_read_own_type(named, fields, note_id), first)]
    if note.type.cloze:
        rest = [convert_html(value) for value in note.values[1:]]
        why = "\n".join(part for part in rest if part)
        text = convert_html(note.values[0])
        return [(CardEntry(deck="", id=note_id, kind="cloze", text=text, why=why, source=SOURCE), first)]
    made = [(_read_rendered(note, fields, card, note_id), card) for card in note.cards]
    if len(made) == 2 and _is_mirror(made[0][0], made[1][0]):
        return [(replace(made[0][0], kind="reversed"), first)]
    return list(made)


def _read_own_type(kind: str, fields: Mapping[str, str], note_id: str) -> CardEntry:
    """Convert a note of one of our own types: every field has its name."""
    text: dict[str, Any] = {
        name.lower(): convert_html(value) for name, value in fields.items() if name not in ("Id", "Accept")
    }
    accept = tuple(convert_html(fields.get("Accept", "")).splitlines())
    return CardEntry(deck="", id=note_id, kind=kind, accept=accept, **text)


def _read_rendered(note: AnkiNote, fields: Mapping[str, str], card: AnkiCard, note_id: str) -> CardEntry:
    """Convert a card of any note type, as its template renders it."""
    template = note.type.templates[min(max(card.number, 0), len(note.type.templates) - 1)]
    typed = find_typed_field(template.question)
    back = (
        convert_html(fields.get(typed, ""))
        if typed
        else convert_html(render_answer_side(template.answer, fields))
    )
    return CardEntry(
        deck="",
        id=build_card_id(note_id, "basic", card.number),
        kind="typed" if typed else "basic",
        front=convert_html(fill_template(template.question, fields)),
        back=back,
        source=SOURCE,
    )


def _is_mirror(one: CardEntry, other: CardEntry) -> bool:
    return (one.kind, one.front, one.back) == (other.kind, other.back, other.front)


def _read_histories(note: AnkiNote, note_id: str, kind: str, created_at: int) -> dict[str, History]:
    found = {
        build_card_id(note_id, kind, card.number): parse_card_history(card, created_at=created_at)
        for card in note.cards
    }
    return {card_id: history for card_id, history in found.items() if history is not None}


def _shorten_note(note: AnkiNote) -> str:
    first = next((value for value in note.values if value.strip()), "an empty note")
    return shorten(convert_html(first) or first)


def _explain_empty(note: AnkiNote) -> str:
    media = any(list_images(value) for value in note.values)
    return "a side has only a picture or a sound, which stay in Anki" if media else "a side is empty"


def _list_notices(
    anki: AnkiFile, histories: Mapping[str, History], suspended: Sequence[str]
) -> tuple[str, ...]:
    """Return sentences on what was imported and what wasn't."""
    found = list(histories.values())
    by_log = [history for history in found if history.ratings]
    by_fsrs = [history for history in by_log if history.schedule.stability]
    without_log = len(found) - len(by_log)
    said = [f"An Anki package of the generation {anki.generation}."]
    if by_log:
        ratings = sum(len(history.ratings) for history in by_log)
        said.append(
            f"{ratings} ratings of {len(by_log)} cards are replayed; due dates are Anki's. Stability and "
            f"difficulty are Anki's for {len(by_fsrs)} of these cards, "
            f"and worked out from the ratings for {len(by_log) - len(by_fsrs)}."
        )
    if without_log:
        said.append(
            f"{without_log} cards have a schedule but no ratings: each gets one Good on the day of its last "
            "review, with stability and difficulty from Anki's interval and ease."
        )
    if left_out := sum(history.left_out for history in found):
        said.append(f"{left_out} ratings of cramming are left out: they had no say in the schedule.")
    if suspended:
        said.append(f"{len(suspended)} cards were suspended in Anki, and stay so if you never saw them here.")
    if anki.media:
        said.append(f"{anki.media} pictures and sounds stay in Anki; texts keep their words.")
    return tuple(said)


def render_answer_side(template: str, fields: Mapping[str, str]) -> str:
    """Render the HTML of an answer without the question that most templates repeat above it."""
    line = _ANSWER.search(template)
    return fill_template(template[line.end() :] if line else template, {**fields, "FrontSide": ""})


def find_typed_field(template: str) -> str:
    """Return the field whose content is to be typed; empty if the template asks for no typing."""
    asked = re.search(r"\{\{\s*type:(?:nc:|cloze:)*\s*([^{}]+?)\s*\}\}", template)
    return asked[1] if asked else ""


def fill_template(template: str, fields: Mapping[str, str]) -> str:
    """Render the HTML of a side in one pass. Raises LearnerError when it is longer than the limit.

    A section shows if its field is filled, one with `^` if it is empty.
    """
    pieces: list[str] = []
    length = end = 0
    open_sections: list[tuple[str, bool]] = []  # name, and whether its content is shown
    for tag in _TAG.finditer(template):
        shown = not open_sections or open_sections[-1][1]
        piece = template[end : tag.start()] if shown else ""
        end = tag.end()
        if tag["sign"] == "/":
            if open_sections and open_sections[-1][0] == tag["name"]:
                open_sections.pop()
        elif tag["sign"]:
            filled = bool(fields.get(tag["name"], "").strip())
            open_sections.append((tag["name"], shown and filled is (tag["sign"] == "#")))
        elif shown:
            piece += _find_value(tag["name"], fields)
        pieces.append(piece)
        length += len(piece)
        if length > HTML_CHARACTERS:
            break
    html = "".join([*pieces, template[end:]])
    check_html(html)
    return html


def _find_value(name: str, fields: Mapping[str, str]) -> str:
    *filters, field = [part.strip() for part in name.split(":")]
    return "" if "type" in filters or field not in fields else fields[field]
