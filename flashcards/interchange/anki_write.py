"""Export of Anki packages (.apkg) with genanki; fixed type, deck and note ids let later exports update."""

import hashlib
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import genanki

from flashcards.interchange.entry import CardEntry, format_tags
from study.text.html_import import to_html

DECK_PREFIX = "LoRA study::"
NAMESPACE = "lora-study"

_FROM_ANKI = re.compile(r"anki-((?:[0-9a-f]{2})+)")
_AGAIN: tuple[tuple[str, ...], ...] = ((), *((str(number),) for number in range(1, 40)))
_WHY = "{{#Why}}<p class=why>{{Why}}</p>{{/Why}}{{#Source}}<p class=source>{{Source}}</p>{{/Source}}"
_STYLE = """
.card { font: 20px system-ui, sans-serif; text-align: left; max-width: 34em; margin: 0 auto; }
.why, .source { font-size: 16px; color: #55606b; }
.nightMode .why, .nightMode .source { color: #aab1b9; }
"""


@dataclass(frozen=True, kw_only=True)
class OurType:
    """One of our note types in Anki. Its id was drawn once, because another id is another type to Anki."""

    model_id: int
    name: str
    fields: tuple[str, ...]
    sides: tuple[tuple[str, str], ...]
    cloze: bool = False


OUR_TYPES: Mapping[str, OurType] = {
    "basic": OurType(
        model_id=1_607_392_319,
        name="LoRA study",
        fields=("Front", "Back", "Why", "Source", "Id"),
        sides=(("{{Front}}", "{{Front}}<hr id=answer>{{Back}}"),),
    ),
    "reversed": OurType(
        model_id=1_607_392_320,
        name="LoRA study (both ways)",
        fields=("Front", "Back", "Why", "Source", "Id"),
        sides=(
            ("{{Front}}", "{{Front}}<hr id=answer>{{Back}}"),
            ("{{Back}}", "{{Back}}<hr id=answer>{{Front}}"),
        ),
    ),
    "typed": OurType(
        model_id=1_607_392_321,
        name="LoRA study (typed)",
        fields=("Front", "Back", "Why", "Source", "Id", "Accept"),
        sides=(("{{Front}}{{type:Back}}", "{{Front}}<hr id=answer>{{type:Back}}"),),
    ),
    "cloze": OurType(
        model_id=1_607_392_322,
        name="LoRA study (cloze)",
        fields=("Text", "Why", "Source", "Id"),
        sides=(("{{cloze:Text}}", "{{cloze:Text}}"),),
        cloze=True,
    ),
}


def write_apkg(entries: Iterable[CardEntry], *, now: datetime) -> bytes:
    """Return a package of all entries, one deck per title. Anki updates a note only from a later package."""
    models = {kind: _build_model(ours) for kind, ours in OUR_TYPES.items()}
    decks: dict[str, genanki.Deck] = {}
    for entry in entries:
        deck = decks.setdefault(
            entry.deck, genanki.Deck(hash_deck_id(entry.deck), f"{DECK_PREFIX}{entry.deck}")
        )
        kind = entry.kind if entry.kind in OUR_TYPES else "basic"
        note = genanki.Note(
            model=models[kind],
            fields=[_write_field(entry, name) for name in OUR_TYPES[kind].fields],
            guid=build_guid(entry),
            tags=format_tags(entry),
        )
        deck.add_note(note)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cards.apkg"
        genanki.Package(list(decks.values())).write_to_file(str(path), timestamp=now.timestamp())
        return path.read_bytes()


def build_guid(entry: CardEntry) -> str:
    """Return the note's id for Anki. It doesn't depend on the text, so an edited card updates its note."""
    from_anki = _FROM_ANKI.fullmatch(entry.id)
    if from_anki:
        return bytes.fromhex(from_anki[1]).decode("utf-8", "replace")
    guids = (str(genanki.guid_for(NAMESPACE, entry.deck, entry.id, *again)) for again in _AGAIN)
    # In a table, a guid that begins like a formula would be escaped and so become another note.
    return next(guid for guid in guids if guid[0].isalnum())


def hash_deck_id(title: str) -> int:
    """Return the same number for the same title, in the range that Anki uses."""
    digest = hashlib.sha256(f"{NAMESPACE}/{title}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % (1 << 30) + (1 << 30)


def _build_model(ours: OurType) -> genanki.Model:
    return genanki.Model(
        ours.model_id,
        ours.name,
        fields=[{"name": name} for name in ours.fields],
        templates=[
            {"name": f"Card {number}", "qfmt": question, "afmt": answer + _WHY}
            for number, (question, answer) in enumerate(ours.sides, 1)
        ],
        css=_STYLE,
        model_type=genanki.Model.CLOZE if ours.cloze else genanki.Model.FRONT_BACK,
    )


def _write_field(entry: CardEntry, name: str) -> str:
    if name == "Id":
        return entry.id
    if name == "Accept":
        return accept_to_html(entry)
    return to_html(str(getattr(entry, name.lower())))


def accept_to_html(entry: CardEntry) -> str:
    """Return the other accepted answers of a typed card, one per line."""
    return "<br>".join(to_html(variant) for variant in entry.accept)
