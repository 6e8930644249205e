r"""Markdown decks as hashcards reads them: `Q:` and `A:`, or `C:` with `[gaps]`; one file per deck.

Fields that the format lacks (id, concepts, why, source) go into an HTML comment under each card, which
Markdown doesn't render. A text line that would begin a new part has a backslash before its colon: `Q\:`.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from itertools import count

from flashcards.decks.note import CLOZE
from flashcards.interchange.entry import CardEntry, CardReading
from study.content.user_files import build_slug
from study.content.yaml_reader import LEVELS
from study.io.exchange import File, ImportEntry, reject_item, shorten

_COMMENT = re.compile(r"<!-- lora-study (?P<json>\{.*\}) -->\s*$")
_PART = re.compile(r"([QAC]):\s?(.*)")
PART = re.compile(r"^[QAC]:", re.MULTILINE)
"""The start of a part of a card; a text without one holds no card."""

_STARTS_PART = re.compile(r"^([QAC])(\\*):", re.MULTILINE)
_ESCAPED_PART = re.compile(r"^([QAC])\\(\\*):", re.MULTILINE)
_GAP = re.compile(r"(?<![!\\])\[((?:[^\[\]\\]|\\.)+)\](?!\()")
_KEPT = ("id", "concepts", "level", "tags", "why", "source", "kind", "accept", "text")


def write_markdown(entries: Iterable[CardEntry]) -> dict[str, bytes]:
    """Return one file per deck, by file name."""
    decks: dict[str, list[CardEntry]] = {}
    for entry in entries:
        decks.setdefault(entry.deck, []).append(entry)
    files = {}
    for deck, cards in decks.items():
        written = f"---\nname = {json.dumps(deck)}\n---\n\n" + "\n".join(map(_write_card, cards))
        files[f"{build_slug(deck) or 'deck'}.md"] = written.encode()
    return files


def read_markdown(file: File) -> CardReading:
    """Read the cards of a deck file. Each problem is reported with its line, and the other cards are read."""
    text = file.content.decode("utf-8-sig", "replace").replace("\r\n", "\n")
    deck, first_line, lines = _split_front_matter(text, file.stem)
    entries: list[CardEntry] = []
    rejected: list[ImportEntry] = []
    for line, parts, kept in _read_cards(lines, first_line):
        problem = _find_problem(parts)
        if problem:
            item = shorten(next(iter(parts.values()), ""))
            rejected.append(reject_item(item, f"{file.name}:{line}  {problem}"))
        else:
            entries.append(_build_entry(deck, parts, kept, line))
    return CardReading(entries=tuple(entries), rejected=tuple(rejected))


def _write_card(card: CardEntry) -> str:
    kept = {name: value for name in _KEPT if (value := card.to_mapping().get(name))}
    comment = json.dumps(kept, ensure_ascii=False).replace("--", "-\\u002d")
    shown = (
        f"C: {_cloze_out(card.text)}" if card.text else f"Q: {_escape(card.front)}\nA: {_escape(card.back)}"
    )
    return f"{shown}\n<!-- lora-study {comment} -->\n"


def _split_front_matter(text: str, stem: str) -> tuple[str, int, list[str]]:
    lines = text.split("\n")
    if lines[0].strip() != "---" or "---" not in [line.strip() for line in lines[1:]]:
        return stem, 1, lines
    end = next(place for place, line in enumerate(lines[1:], 1) if line.strip() == "---")
    named = re.search(r'^\s*name\s*=\s*(".*")\s*$', "\n".join(lines[1:end]), re.MULTILINE)
    try:
        name = str(json.loads(named[1])) if named else stem
    except ValueError:
        name = stem
    return name or stem, end + 2, lines[end + 1 :]


def _read_cards(lines: list[str], first_line: int) -> Iterable[tuple[int, dict[str, str], dict[str, object]]]:
    """Yield each card's line, its parts by letter, and the fields of the comment under it."""
    began, parts, kept, letter = first_line, dict[str, list[str]](), dict[str, object](), ""
    for number, line in enumerate(lines, first_line):
        found = _PART.fullmatch(line)
        if found and (found[1] in "QC" or found[1] in parts or not parts):
            if parts:
                yield began, _join_parts(parts), kept
            began, parts, kept = number, {}, {}
        if found:
            letter = found[1]
            parts[letter] = [found[2]]
        elif comment := _COMMENT.fullmatch(line):
            kept = _parse_kept(comment["json"])
        elif parts and not kept:
            parts[letter].append(line)
    if parts:
        yield began, _join_parts(parts), kept


def _join_parts(parts: dict[str, list[str]]) -> dict[str, str]:
    return {letter: "\n".join(lines) for letter, lines in parts.items()}


def _parse_kept(text: str) -> dict[str, object]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _find_problem(parts: dict[str, str]) -> str:
    if "C" in parts:
        return "" if "A" not in parts and _GAP.search(parts["C"]) else "a `C:` card needs a [gap] and no `A:`"
    if "Q" not in parts:
        return "an `A:` without its `Q:`"
    if not parts.get("A", "").strip():
        return "a `Q:` without its `A:`"
    return "" if parts["Q"].strip() else "the question is empty"


def _build_entry(deck: str, parts: dict[str, str], kept: dict[str, object], line: int) -> CardEntry:
    def read_texts(name: str) -> tuple[str, ...]:
        value = kept.get(name)
        return tuple(str(item) for item in value) if isinstance(value, list) else ()

    level = kept.get("level")
    entry = CardEntry(
        deck=deck,
        id=str(kept.get("id", "")),
        kind="cloze" if "C" in parts else str(kept.get("kind", "basic")),
        concepts=read_texts("concepts"),
        level=level if isinstance(level, str) and level in LEVELS else "",
        tags=read_texts("tags"),
        accept=read_texts("accept"),
        why=str(kept.get("why", "")),
        source=str(kept.get("source", "")),
        line=line,
    )
    if "C" not in parts:
        return replace(entry, front=_unescape(parts["Q"]), back=_unescape(parts["A"]))
    # The format lacks hints and numbers of gaps; ours come from the comment if the text is the same.
    written, text = _unescape(parts["C"]), str(kept.get("text", ""))
    return replace(
        entry, text=text if text and _unescape(_cloze_out(text)) == written else _convert_cloze(written)
    )


def _escape(text: str) -> str:
    return _STARTS_PART.sub(r"\1\\\2:", text)


def _unescape(text: str) -> str:
    return _ESCAPED_PART.sub(r"\1\2:", text.strip())


def _cloze_out(text: str) -> str:
    pieces = CLOZE.split(text)  # plain text, number, gap and hint, in turns
    plain, gaps = pieces[0::4], pieces[2::4]
    escaped = [re.sub(r"([\[\]])", r"\\\1", piece) for piece in plain]
    filled = [f"[{gap}]" for gap in gaps] + [""]
    return _escape("".join(piece + gap for piece, gap in zip(escaped, filled, strict=True)))


def _convert_cloze(text: str) -> str:
    numbers = count(1)
    return re.sub(r"\\([\[\]])", r"\1", _GAP.sub(lambda gap: f"{{{{c{next(numbers)}::{gap[1]}}}}}", text))
