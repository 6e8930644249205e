"""What would become of each row of a backup, or of the ratings of an import, beside the rows that are here.

A row that is there already, whatever number it has here, is the same row. Nothing of a log is overwritten.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Column, Connection, Table, UniqueConstraint, func, select

from study.store import schema as t
from study.store.database import select_live
from study.store.rows import Tables, decode_row, encode_row, list_owned_tables, list_parents, match_profile

RowVerdict = Literal["new", "changed", "same", "rejected"]

_NEW, _GONE = object(), object()


@dataclass(kw_only=True)
class MergedRow:
    """One row, and what became of it beside the rows that are here."""

    table: Table
    values: dict[str, Any]
    verdict: RowVerdict
    why: str = ""
    before: dict[str, Any] | None = None
    old_key: Any = None


@dataclass(kw_only=True)
class _Here:
    same: dict[bytes, list[Any]] = field(default_factory=lambda: defaultdict(list))
    unique: set[tuple[Any, ...]] = field(default_factory=set)
    """Also of the rows that were given and are new: each place is taken once."""

    by_name: dict[str, dict[str, Any]] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)
    """The names of drafts, preferences and reading places that were given already."""


def compare_rows(connection: Connection, profile_id: str, tables: Tables) -> Iterator[MergedRow]:
    """Each row with what would become of it, one table after the other; nothing is written."""
    keys: dict[tuple[str, Any], Any] = {}
    newest = _read_newest_ratings(connection, profile_id)
    for table in list_owned_tables():
        rows = tables.get(table.name, ())
        here = _read_rows_here(connection, table, profile_id) if rows else _Here()
        for row in rows:
            yield _judge_row(table, dict(row), here, keys, newest)


def _judge_row(
    table: Table,
    row: dict[str, Any],
    here: _Here,
    keys: dict[tuple[str, Any], Any],
    newest: Mapping[str, datetime],
) -> MergedRow:
    own_key = row.get(find_row_number(table))
    if not isinstance(own_key, int | str | None):  # no key, and a list can't be looked up
        return MergedRow(table=table, values={}, verdict="rejected", why="its number isn't a number")
    if own_key is not None and (table.name, own_key) in keys:
        return MergedRow(table=table, values={}, verdict="rejected", why="another one has its number")
    try:
        values = decode_row(table, row)
        missing = [c.name for c in table.c if _must_be_given(table, c) and c.name not in values]
        if missing:
            raise ValueError(f"{', '.join(missing)} is missing")
    except (ValueError, TypeError) as problem:
        keys[table.name, own_key] = _GONE
        return MergedRow(table=table, values=row, verdict="rejected", why=str(problem), old_key=own_key)
    found = MergedRow(table=table, values=values, verdict="new", old_key=own_key)
    state = _follow_parents(found, keys)
    if state is _GONE:
        found.verdict, found.why = "rejected", "it belongs to something that is left out"
    elif is_named(table):
        _judge_named(found, here)
    elif state is not _NEW and (same := here.same.get(_select_content(table, values))):
        found.verdict = "same"
        keys[table.name, own_key] = same.pop(0)
        return found
    elif not here.unique.isdisjoint(_list_unique_values(table, values)):
        found.verdict, found.why = "rejected", "another one is in its place"
    elif (
        table is t.card_reviews
        and newest.get(values["card_id"], values["reviewed_at"]) > values["reviewed_at"]
    ):
        found.verdict, found.why = "rejected", "you have rated this card here since"
    else:
        here.unique.update(_list_unique_values(table, values))
    keys[table.name, own_key] = _GONE if found.verdict == "rejected" else _NEW
    return found


def _follow_parents(found: MergedRow, keys: Mapping[tuple[str, Any], Any]) -> object:
    """Put the numbers of this database where a row points to its parents, where they are here already."""
    state: object = None
    for key in list_parents(found.table):
        parent = key.column.table.name, found.values.get(key.parent.name)
        if parent[1] is None:
            continue
        known = keys.get(parent, _GONE)
        if known is _GONE:
            return _GONE
        state = _NEW if known is _NEW else state
        found.values[key.parent.name] = parent if known is _NEW else known
    return state


def _judge_named(found: MergedRow, here: _Here) -> None:
    """A later one overwrites an earlier one; a preference, which has no time, any other."""
    name = _name_row(found.table, found.values)
    before = here.by_name.get(name)
    if name in here.given:
        found.verdict, found.why = "rejected", "another one has its name"
    elif before is None:
        pass
    elif _select_content(found.table, before) == _select_content(found.table, found.values):
        found.verdict = "same"
    elif any(
        before[column.name] > found.values[column.name]
        for column in found.table.c
        if isinstance(column.type, t.UtcDateTime)
    ):
        found.verdict, found.why = "rejected", "what you have here is newer"
    else:
        found.verdict, found.before = "changed", before
    here.given.add(name)


def _read_rows_here(connection: Connection, table: Table, profile_id: str) -> _Here:
    here = _Here()
    key = find_row_number(table)
    for row in connection.execute(select(table).where(match_profile(table, profile_id))).mappings():
        values = dict(row)
        if is_named(table):
            here.by_name[_name_row(table, values)] = values
        else:
            here.same[_select_content(table, values)].append(values[key] if key else None)
            here.unique.update(_list_unique_values(table, values))
    return here


def is_named(table: Table) -> bool:
    """Whether a row is known by its name and overwritten, as a draft, a preference or a reading place is."""
    return "profile_id" in table.primary_key.columns


def find_row_number(table: Table) -> str:
    """The one column that only numbers the rows of its table; empty where the key means something."""
    columns = list(table.primary_key.columns)
    return columns[0].name if len(columns) == 1 and not columns[0].foreign_keys else ""


def _select_content(table: Table, values: Mapping[str, Any]) -> bytes:
    """What makes two rows the same, in few bytes: a profile may have hundreds of thousands."""
    left_out = {"profile_id", find_row_number(table)}
    content = {
        name: value
        for name, value in encode_row(table, pad_row(table, values)).items()
        if name not in left_out
    }
    written = json.dumps(content, sort_keys=True, default=str)
    return hashlib.blake2b(written.encode(), digest_size=16).digest()


def pad_row(table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    return {column.name: values.get(column.name) for column in table.c}


def _name_row(table: Table, values: Mapping[str, Any]) -> str:
    return json.dumps(
        [values.get(c.name) for c in table.primary_key.columns if c.name != "profile_id"], default=str
    )


def _list_unique_values(table: Table, values: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    sets = [tuple(c.columns) for c in table.constraints if isinstance(c, UniqueConstraint)]
    sets += [(column,) for column in table.c if column.unique]
    sets += [] if find_row_number(table) else [tuple(table.primary_key.columns)]
    for columns in sets:
        names = tuple(column.name for column in columns)
        yield (names, *(values.get(name) for name in names))


def _must_be_given(table: Table, column: Column[Any]) -> bool:
    free = column.nullable or column.default is not None or column.server_default is not None
    return not free and column.name not in ("profile_id", find_row_number(table))


def _read_newest_ratings(connection: Connection, profile_id: str) -> dict[str, datetime]:
    log = t.card_reviews.c
    newest = select_live(t.review_undos.c.review_id, profile_id, log.card_id, func.max(log.reviewed_at))
    rows = connection.execute(newest.group_by(log.card_id))
    return {row[0]: row[1] for row in rows}
