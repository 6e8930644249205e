"""Putting the rows of a backup, or the ratings of an import, into a profile; and taking them out again.

What is overwritten by nature (drafts, preferences) is kept in the changes, so that undo puts it back.
"""

import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby, islice
from typing import Any

from sqlalchemy import Connection, Integer, Table, delete, exists, insert, select, tuple_

from study.store import schema as t
from study.store.row_verdicts import MergedRow, find_row_number, is_named, pad_row
from study.store.rows import decode_row, encode_row, list_owned_tables, list_parents

Changes = dict[str, Any]
"""`{"added": {table: [key, ...]}, "replaced": {table: [row, ...]}, "given": {table: [row, ...]}}`, as JSON.

`given` holds the imported rows of tables whose rows the app overwrites: undo compares them with today's.
"""

UNDO_TABLES = {t.review_undos.name, t.verb_undos.name, t.explain_verdict_undos.name}
"""An undo of an imported row isn't an answer; it goes with the row."""

AT_ONCE = 400
WRITTEN_AT_ONCE = 2_000
"""Rows that are held in memory while a backup of any size is written."""


def add_rows(connection: Connection, profile_id: str, found: Iterable[MergedRow]) -> Changes:
    """Write what is new or changed, table by table and some rows at a time; return what undo needs."""
    added: dict[str, list[Any]] = defaultdict(list)
    replaced: dict[str, list[Any]] = defaultdict(list)
    given: dict[str, list[Any]] = defaultdict(list)
    keys: dict[tuple[str, Any], Any] = {}
    for name, rows in groupby(found, key=lambda row: row.table.name):
        while some := list(islice(rows, WRITTEN_AT_ONCE)):
            wanted = [row for row in some if row.verdict in ("new", "changed")]
            for row in wanted:
                if is_named(row.table):
                    given[name].append(encode_row(row.table, pad_row(row.table, row.values)))
                if row.before is not None:
                    connection.execute(
                        delete(row.table).where(*_match_key(row.table, profile_id, row.before))
                    )
                    replaced[name].append(encode_row(row.table, row.before))
            if wanted:
                ready = [_resolve_parents(row, keys) for row in wanted]
                made = _insert_rows(connection, wanted[0].table, profile_id, ready)
                keys |= {(name, row.old_key): key[0] for row, key in zip(wanted, made, strict=True)}
                added[name] += made
    return {"added": dict(added), "replaced": dict(replaced), "given": dict(given)}


def take_back(connection: Connection, profile_id: str, changes: Mapping[str, Any]) -> dict[str, int]:
    """Delete what was added, put back what was replaced, and leave what has been continued since.

    An imported row stays if an answer was given to it after the import, together with all rows linked to it;
    a draft or preference stays if it was changed after the import. Returns how many rows stay, by table.
    """
    added = {name: {tuple(key) for key in keys} for name, keys in changes.get("added", {}).items()}
    links = _list_links(connection, added)
    doomed = _Rows(set)
    for name, keys in added.items():
        doomed[name] |= keys
    for child, _ in links:
        doomed[child[0]].add(child[1])
    since = {child for child, _ in links if child[1] not in added.get(child[0], ())}
    stays = _collect_linked({row for row in since if row[0] not in UNDO_TABLES}, links)
    stays |= _find_changed(connection, profile_id, changes)
    for name, key in stays:
        doomed[name].discard(key)
    tables = list_owned_tables()
    for table in reversed(tables):
        for some in _split_batches(sorted(doomed[table.name])):
            connection.execute(delete(table).where(tuple_(*table.primary_key.columns).in_(some)))
    for table in tables:
        rows = [
            row
            for row in changes.get("replaced", {}).get(table.name, [])
            if (table.name, _build_key(table, profile_id, row)) not in stays
        ]
        if rows:
            _insert_rows(connection, table, profile_id, [decode_row(table, row) for row in rows])
    return dict(Counter(name for name, _ in stays))


_Row = tuple[str, tuple[Any, ...]]
"""A table's name and a row's primary key."""

_Rows = defaultdict[str, set[tuple[Any, ...]]]


def _list_links(connection: Connection, added: Mapping[str, set[tuple[Any, ...]]]) -> list[tuple[_Row, _Row]]:
    """List each row that points to an added row, directly or through others, with the row it points to."""
    links: list[tuple[_Row, _Row]] = []
    reached = _Rows(set)
    for name, keys in added.items():
        reached[name] |= keys
    for table in list_owned_tables():
        for key in list_parents(table):
            parent = key.column.table.name
            for some in _split_batches([own[0] for own in sorted(reached[parent])]):
                hung = select(key.parent, *table.primary_key.columns).where(key.parent.in_(some))
                for to, *own in connection.execute(hung):
                    links.append(((table.name, tuple(own)), (parent, (to,))))
                    reached[table.name].add(tuple(own))
    return links


def _collect_linked(seeds: set[_Row], links: list[tuple[_Row, _Row]]) -> set[_Row]:
    """Collect the seeds with everything that is linked to them, in either direction."""
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


def _find_changed(connection: Connection, profile_id: str, changes: Mapping[str, Any]) -> set[_Row]:
    """Find the overwritable rows of an import that are no longer as it left them."""
    changed: set[_Row] = set()
    for table in list_owned_tables():
        for row in changes.get("given", {}).get(table.name, []):
            now = (
                connection.execute(select(table).where(*_match_key(table, profile_id, row)))
                .mappings()
                .first()
            )
            if now is not None and encode_row(table, now) != row:
                changed.add((table.name, _build_key(table, profile_id, row)))
    return changed


def _build_key(table: Table, profile_id: str, row: Mapping[str, Any]) -> tuple[Any, ...]:
    names = [column.name for column in table.primary_key.columns]
    return tuple(profile_id if name == "profile_id" else row.get(name) for name in names)


def _match_key(table: Table, profile_id: str, values: Mapping[str, Any]) -> Iterator[Any]:
    for column in table.primary_key.columns:
        yield column == (profile_id if column.name == "profile_id" else values[column.name])


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
    """Write rows and return their keys; the database gives numbers, a given id stays if it is free."""
    key = find_row_number(table)
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
    key = find_row_number(table)
    ready = {**row, "profile_id": profile_id} if "profile_id" in table.c else dict(row)
    if numbered:
        ready.pop(key, None)
    elif key:
        kept = ready.get(key)
        taken = kept is None or connection.scalar(select(exists().where(table.c[key] == kept)))
        ready[key] = uuid.uuid4().hex if taken else kept
    return ready
