"""Decks in our own schema, as YAML or JSON: hand-written deck files, imports and exports."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from flashcards.interchange.entry import CardEntry, CardReading
from study.content.yaml_reader import Problem, parse_content
from study.io.exchange import File, reject_item, shorten

_LISTS = ("concepts", "tags", "accept")
_TEXTS = ("id", "kind", "front", "back", "text", "why", "source")


def write_deck(title: str, entries: Iterable[CardEntry]) -> str:
    """Format a deck file as imports write it: JSON, which is valid YAML and loads a hundred times faster."""
    return json.dumps(
        {"deck": title, "cards": [entry.to_mapping() for entry in entries]}, ensure_ascii=False, indent=1
    )


def read_schema(file: File) -> CardReading:
    """Read the cards of a deck file; incomplete ones are rejected with their line."""
    problems: list[Problem] = []
    found = parse_content(file.name, file.content, problems)
    if isinstance(found, dict) and isinstance(found.get("cards"), list):
        title = str(found.get("deck") or file.stem)
        read = [_read_entry(title, card, problems, file.name) for card in found["cards"]]
    else:
        read = []
        if not problems:
            problems.append(
                Problem(file=file.name, line=1, item="deck", text="needs `deck:` and a list `cards:`")
            )
    rejected = [reject_item(problem.item, str(problem)) for problem in problems]
    return CardReading(entries=tuple(entry for entry in read if entry), rejected=tuple(rejected))


def _read_entry(title: str, card: Any, problems: list[Problem], file: str) -> CardEntry | None:
    line = getattr(card, "line", 0)
    if not isinstance(card, Mapping):
        problems.append(
            Problem(file=file, line=line, item="card", text=f"must be a mapping, got {shorten(str(card))}")
        )
        return None
    name = str(card.get("id") or shorten(str(card.get("front", "")), limit=40))
    wrong = [field for field in _LISTS if not _is_list(card.get(field, []))]
    wrong += [field for field in _TEXTS if not isinstance(card.get(field, ""), str)]
    if wrong:
        text = f"`{'`, `'.join(wrong)}` has the wrong form"
        problems.append(Problem(file=file, line=line, item=f"card {name}", text=text))
        return None
    lists = {field: tuple(card.get(field, ())) for field in _LISTS}
    texts = {field: card[field].strip() for field in _TEXTS if field in card}
    fields: dict[str, Any] = {**lists, **texts}
    fields["extra"] = {name: card[name] for name in card if name not in (*_LISTS, *_TEXTS, "level")}
    return CardEntry(deck=title, level=str(card.get("level", "")), line=line, **fields)


def _is_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and item for item in value)
