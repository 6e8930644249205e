"""The rows of one profile in every table that has some, read from the schema: a new table needs nothing here.

A row is a JSON object under the column names, without `profile_id`. Numbers that the database gave out, and
what points to them, are those of the database it was read from; `row_verdicts.py` finds their rows here, and
`merge.py` makes them.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import JSON, BindParameter, Column, ColumnElement, Connection, ForeignKey, Table, select

from study.store import schema as t
from study.store.class_schema import CLASS_TABLES

Row = Mapping[str, Any]
Tables = Mapping[str, Iterable[Row]]


@dataclass(frozen=True)
class RowTexts:
    """Rows as the JSON that they were read from; each is parsed when it is asked for."""

    texts: Sequence[str]

    def __iter__(self) -> Iterator[Row]:
        return map(json.loads, self.texts)

    def __len__(self) -> int:
        return len(self.texts)


# A profile is what rows are put into; browsers and records of imports mean something in one place only; a
# class belongs to its teacher's machine and its students.
LEFT_OUT = {"profiles", "browsers", "imports", "import_undos", *(table.name for table in CLASS_TABLES)}


INTEGER_LIMIT = 2**31
"""PostgreSQL's integers have 32 bits."""

_EXPECTED: Mapping[type, Any] = {int: int, bool: bool, float: (int, float), str: str}
"""What JSON has for a column, by its type in Python. A column of another type needs an entry of its own."""


def list_owned_tables() -> list[Table]:
    """The tables whose rows belong to a profile, directly or through a parent; parents first."""
    owned = [t.profiles]
    for table in t.metadata.sorted_tables:
        if table.name not in LEFT_OUT and any(key.column.table in owned for key in table.foreign_keys):
            owned.append(table)
    return owned[1:]


def match_profile(table: Table, profile_id: str | BindParameter[Any]) -> ColumnElement[bool]:
    """Match a profile: the condition that a row belongs to a profile."""
    if "profile_id" in table.c:
        return table.c.profile_id == profile_id
    key = list_parents(table)[0]
    return key.parent.in_(select(key.column).where(match_profile(key.column.table, profile_id)))


def list_parents(table: Table) -> list[ForeignKey]:
    """The columns that point to another row of the profile."""
    keys = [key for key in table.foreign_keys if key.column.table is not t.profiles]
    return sorted(keys, key=lambda key: key.parent.name)


def read_rows(connection: Connection, profile_id: str) -> dict[str, list[dict[str, Any]]]:
    """All rows of a profile, in the order they were written."""
    rows = {}
    for table in list_owned_tables():
        wanted = select(table).where(match_profile(table, profile_id)).order_by(*table.primary_key.columns)
        rows[table.name] = [encode_row(table, row) for row in connection.execute(wanted).mappings()]
    return rows


def encode_row(table: Table, row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row as JSON."""
    written = {column.name: row[column.name] for column in table.c if column.name != "profile_id"}
    moments = {name: at.isoformat() for name, at in written.items() if isinstance(at, datetime)}
    return written | moments


def decode_row(table: Table, row: Row) -> dict[str, Any]:
    """A row as the database takes it; raises `ValueError` on a value that does not fit its column."""
    unknown = sorted(set(row) - {column.name for column in table.c})
    if unknown:
        raise ValueError(f"this app has no {', '.join(unknown)} there")
    return {name: _from_json(table.c[name], value) for name, value in row.items() if name != "profile_id"}


def _from_json(column: Column[Any], value: Any) -> Any:
    if value is None:
        # JSON has a null of its own, where nothing else is said of the column.
        may_be_null = column.nullable or (isinstance(column.type, JSON) and "holds" not in column.info)
        if not may_be_null:
            raise ValueError(f"{column.name} is missing")
        return None
    if isinstance(column.type, t.UtcDateTime):
        return _decode_moment(column.name, value)
    expected = object if isinstance(column.type, JSON) else _EXPECTED[column.type.python_type]
    fits = isinstance(value, expected) and (expected in (bool, object) or not isinstance(value, bool))
    longest = getattr(column.type, "length", None)
    too_long = isinstance(value, str) and longest and len(value) > longest
    too_large = expected is int and fits and abs(value) >= INTEGER_LIMIT
    if not fits or too_long or too_large or not _is_storable(value) or not _is_held(column, value):
        raise ValueError(f"{column.name} can't be {ascii(value)[:40]}")
    return value


def _is_held(column: Column[Any], value: Any) -> bool:
    """Return whether a value is what the schema says that a JSON column holds."""
    if "holds" in column.info:
        try:
            column.info["holds"].validate_python(value)
        except ValidationError:
            return False
    return True


def _is_storable(value: Any) -> bool:
    """Return whether every database takes a value: no number beyond 64 bit, no half of a character."""
    if isinstance(value, bool) or value is None:
        return True
    if isinstance(value, int):
        return abs(value) < 2**63
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
    inside = [*value, *value.values()] if isinstance(value, dict) else value
    return all(map(_is_storable, inside))


def _decode_moment(name: str, value: Any) -> datetime:
    try:
        read = datetime.fromisoformat(value)
        has_zone = read.tzinfo is not None
        read = read.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        has_zone = False
    if not has_zone:
        raise ValueError(f"{name} isn't a time with a time zone")
    if not 1970 <= read.year <= 2200:  # days are added to and taken from it
        raise ValueError(f"{name} is not between 1970 and 2200")
    return read
