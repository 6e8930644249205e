"""Putting the rows of a backup, or the ratings of an import, into a profile; and taking them out again.

A row that is there already, whatever number it has here, is the same row. Nothing of a log is overwritten;
what is overwritten by nature (drafts, preferences) is kept in the changes, so that undo puts it back.
"""

import json
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any, Literal

from sqlalchemy import (
    Column,
    Connection,
    Integer,
    Table,
    UniqueConstraint,
    delete,
    exists,
    func,
    insert,
    select,
    tuple_,
)

from study.store import schema as t
from study.store.rows import Tables, decode_row, encode_row, list_parents, of_profile, owned_tables

Verdict = Literal["new", "changed", "same", "rejected"]

Changes = dict[str, Any]
"""`{"added": {table: [key, ...]}, "replaced": {table: [row, ...]}, "given": {table: [row, ...]}}`, as JSON.

`given` holds the imported rows of tables whose rows the app overwrites: undo compares them with today's.
"""

UNDO_TABLES = {t.review_undos.name, t.verb_undos.name, t.explain_verdict_undos.name}
"""An undo of an imported row is no answer; it goes with the row."""

_NEW, _GONE = object(), object()
AT_ONCE = 400


@dataclass(kw_only=True)
class MergedRow:
    """One row, and what became of it beside the rows that are here."""

    table: Table
    values: dict[str, Any]
    verdict: Verdict
    why: str = ""
    before: dict[str, Any] | None = None
    old_key: Any = None


@dataclass(kw_only=True)
class _Here:
    """The rows of one table that this profile has."""

    same: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    unique: set[tuple[Any, ...]] = field(default_factory=set)
    """Also of the rows that were given and are new: each place is taken once."""

    by_name: dict[str, dict[str, Any]] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)
    """The names of drafts, preferences and reading places that were given already."""


def compare_rows(connection: Connection, profile_id: str, tables: Tables) -> list[MergedRow]:
    """Each row with what would become of it; nothing is written."""
    keys: dict[tuple[str, Any], Any] = {}
    newest = _newest_ratings(connection, profile_id)
    known = owned_tables()
    found: list[MergedRow] = []
    for table in known:
        rows = tables.get(table.name, ())
        here = _rows_here(connection, table, profile_id) if rows else _Here()
        found.extend(_judge_row(table, dict(row), here, keys, newest) for row in rows)
    return found


def add_rows(connection: Connection, profile_id: str, found: list[MergedRow]) -> Changes:
    """Write what is new or changed, and return what undo needs."""
    added: dict[str, list[Any]] = {}
    replaced: dict[str, list[Any]] = defaultdict(list)
    given: dict[str, list[Any]] = defaultdict(list)
    keys: dict[tuple[str, Any], Any] = {}
    for name, rows in groupby(found, key=_table_name):
        wanted = [row for row in rows if row.verdict in ("new", "changed")]
        for row in wanted:
            if "profile_id" in row.table.primary_key.columns:
                given[name].append(encode_row(row.table, _pad_row(row.table, row.values)))
            if row.before is not None:
                connection.execute(delete(row.table).where(*_key_is(row.table, profile_id, row.before)))
                replaced[name].append(encode_row(row.table, row.before))
        if wanted:
            made = _insert_rows(
                connection, wanted[0].table, profile_id, [_resolve_parents(row, keys) for row in wanted]
            )
            keys |= {(name, row.old_key): key[0] for row, key in zip(wanted, made, strict=True)}
            added[name] = made
    return {"added": added, "replaced": dict(replaced), "given": dict(given)}


def take_back(connection: Connection, profile_id: str, changes: Mapping[str, Any]) -> dict[str, int]:
    """Delete what was added, put back what was replaced, and leave what has been continued since.

    An imported row stays if an answer was given to it after the import, together with all rows linked to it;
    a draft or preference stays if it was changed after the import. Returns how many rows stay, by table.
    """
    added = {name: {tuple(key) for key in keys} for name, keys in changes.get("added", {}).items()}
    links = _links(connection, added)
    doomed = _Rows(set)
    for name, keys in added.items():
        doomed[name] |= keys
    for child, _ in links:
        doomed[child[0]].add(child[1])
    since = {child for child, _ in links if child[1] not in added.get(child[0], ())}
    stays = _linked({row for row in since if row[0] not in UNDO_TABLES}, links)
    stays |= _changed_since(connection, profile_id, changes)
    for name, key in stays:
        doomed[name].discard(key)
    tables = owned_tables()
    for table in reversed(tables):
        for some in _split_batches(sorted(doomed[table.name])):
            connection.execute(delete(table).where(tuple_(*table.primary_key.columns).in_(some)))
    for table in tables:
        rows = [
            row
            for row in changes.get("replaced", {}).get(table.name, [])
            if (table.name, _whole_key(table, profile_id, row)) not in stays
        ]
        if rows:
            _insert_rows(connection, table, profile_id, [decode_row(table, row) for row in rows])
    return dict(Counter(name for name, _ in stays))


_Row = tuple[str, tuple[Any, ...]]
"""A table's name and a row's primary key."""

_Rows = defaultdict[str, set[tuple[Any, ...]]]


def _links(connection: Connection, added: Mapping[str, set[tuple[Any, ...]]]) -> list[tuple[_Row, _Row]]:
    """Return each row that points to an added row, directly or through others, with the row it points to."""
    links: list[tuple[_Row, _Row]] = []
    reached = _Rows(set)
    for name, keys in added.items():
        reached[name] |= keys
    for table in owned_tables():
        for key in list_parents(table):
            parent = key.column.table.name
            for some in _split_batches([own[0] for own in sorted(reached[parent])]):
                hung = select(key.parent, *table.primary_key.columns).where(key.parent.in_(some))
                for to, *own in connection.execute(hung):
                    links.append(((table.name, tuple(own)), (parent, (to,))))
                    reached[table.name].add(tuple(own))
    return links


def _linked(seeds: set[_Row], links: list[tuple[_Row, _Row]]) -> set[_Row]:
    """Return the seeds with everything that is linked to them, in either direction."""
    neighbours: dict[_Row, set[_Row]] = defaultdict(set)
    for child, parent in links:
        neighbours[child].add(parent)
        neighbours[parent].add(child)
    found, waiting = set(seeds), list(seeds)
    while waiting:
        new = neighbours[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def _changed_since(connection: Connection, profile_id: str, changes: Mapping[str, Any]) -> set[_Row]:
    """Return the overwritable rows of an import that are no longer as it left them."""
    changed: set[_Row] = set()
    for table in owned_tables():
        for row in changes.get("given", {}).get(table.name, []):
            now = connection.execute(select(table).where(*_key_is(table, profile_id, row))).mappings().first()
            if now is not None and encode_row(table, now) != row:
                changed.add((table.name, _whole_key(table, profile_id, row)))
    return changed


def _whole_key(table: Table, profile_id: str, row: Mapping[str, Any]) -> tuple[Any, ...]:
    names = [column.name for column in table.primary_key.columns]
    return tuple(profile_id if name == "profile_id" else row.get(name) for name in names)


def _judge_row(
    table: Table,
    row: dict[str, Any],
    here: _Here,
    keys: dict[tuple[str, Any], Any],
    newest: Mapping[str, datetime],
) -> MergedRow:
    own_key = row.get(_given_key(table))
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
    elif "profile_id" in table.primary_key.columns:
        _judge_named(found, here)
    elif state is not _NEW and (same := here.same.get(_select_content(table, values))):
        found.verdict = "same"
        keys[table.name, own_key] = same.pop(0)
        return found
    elif _find_clashes(table, values, here):
        found.verdict, found.why = "rejected", "another one is in its place"
    elif (
        table is t.card_reviews
        and newest.get(values["card_id"], values["reviewed_at"]) > values["reviewed_at"]
    ):
        found.verdict, found.why = "rejected", "you have rated this card here since"
    else:
        here.unique.update(_unique_values(table, values))
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
    """A draft, a preference or a reading place: known by its name; a later one overwrites an earlier one."""
    name = _name_row(found.table, found.values)
    before = here.by_name.get(name)
    if name in here.given:
        found.verdict, found.why = "rejected", "another one has its name"
    elif before is None:
        pass
    elif _select_content(found.table, before) == _select_content(found.table, found.values):
        found.verdict = "same"
    elif any(before[moment] > found.values[moment] for moment in _moments(found.table)):
        found.verdict, found.why = "rejected", "what you have here is newer"
    else:
        found.verdict, found.before = "changed", before
    here.given.add(name)


def _moments(table: Table) -> list[str]:
    return [column.name for column in table.c if isinstance(column.type, t.UtcDateTime)]


def _rows_here(connection: Connection, table: Table, profile_id: str) -> _Here:
    here = _Here()
    key = _given_key(table)
    for row in connection.execute(select(table).where(of_profile(table, profile_id))).mappings():
        values = dict(row)
        here.same[_select_content(table, values)].append(values[key] if key else None)
        here.by_name[_name_row(table, values)] = values
        here.unique.update(_unique_values(table, values))
    return here


def _given_key(table: Table) -> str:
    """The one column that only numbers the rows of its table; empty where the key means something."""
    columns = list(table.primary_key.columns)
    return columns[0].name if len(columns) == 1 and not columns[0].foreign_keys else ""


def _select_content(table: Table, values: Mapping[str, Any]) -> str:
    left_out = {"profile_id", _given_key(table)}
    content = {
        name: value
        for name, value in encode_row(table, _pad_row(table, values)).items()
        if name not in left_out
    }
    return json.dumps(content, sort_keys=True, default=str)


def _pad_row(table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    return {column.name: values.get(column.name) for column in table.c}


def _name_row(table: Table, values: Mapping[str, Any]) -> str:
    return json.dumps(
        [values.get(c.name) for c in table.primary_key.columns if c.name != "profile_id"], default=str
    )


def _unique_values(table: Table, values: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    sets = [tuple(c.columns) for c in table.constraints if isinstance(c, UniqueConstraint)]
    sets += [(column,) for column in table.c if column.unique]
    sets += [] if _given_key(table) else [tuple(table.primary_key.columns)]
    for columns in sets:
        names = tuple(column.name for column in columns)
        yield (names, *(values.get(name) for name in names))


def _find_clashes(table: Table, values: Mapping[str, Any], here: _Here) -> bool:
    return any(unique in here.unique for unique in _unique_values(table, values))


def _must_be_given(table: Table, column: Column[Any]) -> bool:
    free = column.nullable or column.default is not None or column.server_default is not None
    return not free and column.name not in ("profile_id", _given_key(table))


def _key_is(table: Table, profile_id: str, values: Mapping[str, Any]) -> Iterator[Any]:
    for column in table.primary_key.columns:
        yield column == (profile_id if column.name == "profile_id" else values[column.name])


def _table_name(row: MergedRow) -> str:
    return row.table.name


def _split_batches(items: list[Any]) -> Iterator[list[Any]]:
    """Some at a time: no database takes any number of values in one statement."""
    for start in range(0, len(items), AT_ONCE):
        yield items[start : start + AT_ONCE]


def _resolve_parents(row: MergedRow, keys: Mapping[tuple[str, Any], Any]) -> dict[str, Any]:
    """A row with the numbers that its new parents were given."""
    return {name: keys[value] if isinstance(value, tuple) else value for name, value in row.values.items()}


def _insert_rows(
    connection: Connection, table: Table, profile_id: str, rows: list[dict[str, Any]]
) -> list[list[Any]]:
    """Write rows and return their keys; the database gives numbers, an own id stays if it is free."""
    key = _given_key(table)
    numbered = bool(key) and isinstance(table.c[key].type, Integer)
    made: list[list[Any]] = []
    ready = [_prepare_row(connection, table, profile_id, row, numbered=numbered) for row in rows]
    for _, alike in groupby(ready, key=sorted):  # one statement takes rows with the same columns
        some = list(alike)
        if numbered:
            written = insert(table).returning(table.c[key], sort_by_parameter_order=True)
            made += [[number] for number in connection.scalars(written, some)]
        else:
            connection.execute(insert(table), some)
            made += [[row[column.name] for column in table.primary_key.columns] for row in some]
    return made


def _prepare_row(
    connection: Connection, table: Table, profile_id: str, row: Mapping[str, Any], *, numbered: bool
) -> dict[str, Any]:
    key = _given_key(table)
    ready = {**row, "profile_id": profile_id} if "profile_id" in table.c else dict(row)
    if numbered:
        ready.pop(key, None)
    elif key:
        kept = ready.get(key)
        taken = kept is None or connection.scalar(select(exists().where(table.c[key] == kept)))
        ready[key] = uuid.uuid4().hex if taken else kept
    return ready


def _newest_ratings(connection: Connection, profile_id: str) -> dict[str, datetime]:
    log = t.card_reviews.c
    undone = exists().where(t.review_undos.c.review_id == log.id)
    newest = select(log.card_id, func.max(log.reviewed_at)).where(log.profile_id == profile_id, ~undone)
    rows = connection.execute(newest.group_by(log.card_id))
    return {row[0]: row[1] for row in rows}
