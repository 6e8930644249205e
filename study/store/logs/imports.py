"""The log of imports: what each brought, and what takes it back."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, exists, insert, select

from study.store import schema as t
from study.store.database import StoreLog, read_row


@dataclass(frozen=True, kw_only=True)
class ImportRecord:
    """One import of one file. `changes` is what undo reads."""

    id: int
    file_name: str
    counts: Mapping[str, int]
    changes: Mapping[str, Any]
    imported_at: datetime


class ImportLog(StoreLog):
    """Imports and their undos, appended, never changed."""

    def list_undoable(self, profile_id: str) -> list[ImportRecord]:
        """The imports that were not undone, newest first."""
        return self._read(t.imports.c.profile_id == profile_id)

    def find_undoable(self, profile_id: str, import_id: int) -> ImportRecord | None:
        """Return None when the import was undone already."""
        found = self._read(t.imports.c.profile_id == profile_id, t.imports.c.id == import_id)
        return found[0] if found else None

    def _read(self, *wanted: ColumnElement[bool]) -> list[ImportRecord]:
        undone = exists().where(t.import_undos.c.import_id == t.imports.c.id)
        query = select(t.imports).where(*wanted, ~undone).order_by(t.imports.c.id.desc())
        return [read_row(ImportRecord, row) for row in self._read_rows(query)]


def record_import(
    connection: Connection,
    profile_id: str,
    *,
    file_name: str,
    counts: Mapping[Any, int],
    changes: Mapping[str, Any],
    at: datetime,
) -> int:
    """Record an import inside the transaction that makes its changes, and return its id."""
    recorded = insert(t.imports).values(
        profile_id=profile_id,
        file_name=file_name[:200],
        counts=dict(counts),
        changes=dict(changes),
        imported_at=at,
    )
    import_id: int = connection.execute(recorded.returning(t.imports.c.id)).scalar_one()
    return import_id


def record_undo(connection: Connection, import_id: int, *, at: datetime) -> None:
    """Record an undo inside the transaction that makes it."""
    connection.execute(insert(t.import_undos).values(import_id=import_id, undone_at=at))


def is_recorded(connection: Connection, profile_id: str, at: datetime) -> bool:
    """Return whether an import of that moment was committed."""
    wanted = select(t.imports.c.id).where(t.imports.c.profile_id == profile_id, t.imports.c.imported_at == at)
    return connection.execute(wanted).first() is not None


def is_undone(connection: Connection, import_id: int) -> bool:
    """Return whether the undo of an import was committed."""
    wanted = select(t.import_undos.c.import_id).where(t.import_undos.c.import_id == import_id)
    return connection.execute(wanted).first() is not None
