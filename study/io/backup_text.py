"""A backup as text: a line for each row, read row by row, and split where one file would be too large.

A parsed row takes five times the memory of its text, and a backup may hold hundreds of thousands.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from study.store.rows import Row, RowTexts, list_owned_tables, list_parents

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


def write_document(document: Mapping[str, Any]) -> bytes:
    tables = ",\n".join(
        f"{json.dumps(name)}: [\n{_join_rows(rows)}\n]" for name, rows in document["tables"].items()
    )
    rest = [
        f"{json.dumps(name)}: {json.dumps(value)}" for name, value in document.items() if name != "tables"
    ]
    return ("{" + ",\n".join([*rest, f'"tables": {{\n{tables}\n}}']) + "}\n").encode()


def read_document(text: str) -> dict[str, Any]:
    """Return a backup whose `tables` hold RowTexts. Raises ValueError or RecursionError for other JSON."""
    source, document = _Source(text), {}
    for key in source.take_members():
        document[key] = _read_tables(source) if key == "tables" else source.take_value()
    source.end()
    return document


def split_document(document: Mapping[str, Any], *, most_bytes: int) -> Iterator[dict[str, Any]]:
    """Yield backups of so many bytes that together hold everything; they may be imported in any order.

    What belongs together stays together: all ratings of a card, and a row with the rows that point to it.
    """
    used = len(json.dumps({**document, "tables": {}}))
    tables: dict[str, list[Row]] = {}
    for family in _group_families(document["tables"]):
        size = sum(len(_write_row(row)) + 2 for _, row in family)
        if tables and used + size > most_bytes:
            yield {**document, "tables": tables}
            document, tables, used = {**document, "files": {}}, {}, 0
        used += size
        for name, row in family:
            tables.setdefault(name, []).append(row)
    yield {**document, "tables": tables}


def _group_families(tables: Mapping[str, list[Row]]) -> list[list[tuple[str, Row]]]:
    found: dict[Any, list[tuple[str, Row]]] = {}
    of_row: dict[tuple[str, Any], Any] = {}  # by table and number: the key of a row's family
    for table in list_owned_tables():
        for row in tables.get(table.name, ()):
            parents = ((key.column.table.name, row[key.parent.name]) for key in list_parents(table))
            parent = next((each for each in parents if each[1] is not None), None)
            own = (table.name, row.get("id", len(found)))
            card = ("card", row["card_id"]) if table.name == "card_reviews" else own
            family = of_row[own] = of_row[parent] if parent else card
            found.setdefault(family, []).append((table.name, row))
    return list(found.values())


def _join_rows(rows: list[Row]) -> str:
    return ",\n".join(map(_write_row, rows))


def _write_row(row: Row) -> str:
    return json.dumps(row, separators=(",", ":"))


def _read_tables(source: "_Source") -> Any:
    if source.peek() != "{":
        return source.take_value()
    tables: dict[str, Any] = {}
    for name in source.take_members():
        is_list = source.peek() == "["
        tables[name] = (
            RowTexts([source.take_raw() for _ in source.take_items()]) if is_list else source.take_value()
        )
    return tables


class _Source:
    """JSON that is read from its front, value by value."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def peek(self) -> str:
        """Return the character with which the next value begins; empty at the end."""
        self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]  # it matches nothing too
        return self._text[self._at : self._at + 1]

    def take_value(self) -> Any:
        """Take the next value."""
        self.peek()
        found, self._at = _DECODER.raw_decode(self._text, self._at)
        return found

    def take_raw(self) -> str:
        """Take the next value as it is written."""
        self.peek()
        begin = self._at
        self.take_value()
        return self._text[begin : self._at]

    def take_members(self) -> Iterator[str]:
        """Take an object: yield each key, after which its value has to be taken."""
        for _ in self._take_between("{", "}"):
            key = self.take_value()
            if not isinstance(key, str):
                raise ValueError(f"a name was expected, not {key!r}")
            self._take(":")
            yield key

    def take_items(self) -> Iterator[None]:
        """Take a list: yield before each item, which has to be taken."""
        return self._take_between("[", "]")

    def end(self) -> None:
        """Take nothing more. Raises ValueError when there is more."""
        if self.peek():
            raise ValueError(f"there is more after its end, at character {self._at:,}")

    def _take_between(self, opening: str, closing: str) -> Iterator[None]:
        self._take(opening)
        if self.peek() == closing:
            self._take(closing)
            return
        yield
        while self._take(f",{closing}") == ",":
            yield

    def _take(self, expected: str) -> str:
        found = self.peek()
        if not found or found not in expected:
            raise ValueError(f"one of {expected} was expected at character {self._at:,}, not {found!r}")
        self._at += 1
        return found
