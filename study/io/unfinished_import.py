"""An import or an undo that was cut off: its files go back to what they were, unless its rows were committed.

Files and rows belong to one transaction. A process that is killed between writing the files and the commit
leaves changed files without rows, which no undo would find. Hence a note of what the files were stands beside
them until the commit.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter
from sqlalchemy import Connection

from study.base.settings import IMPORTS_FOLDER
from study.content.user_files import compute_digest, read_own_file, replace_file, write_own_file
from study.store import Store
from study.store.database import AdvisoryLock, wait_for_turn
from study.store.logs.imports import is_recorded, is_undone

PREFIX = "unfinished-"


@dataclass(frozen=True, kw_only=True)
class FileChange:
    """One file that is about to change."""

    before: str | None
    """Its text; None if there is no such file."""

    after: str
    """The digest of the text that it gets."""


@dataclass(frozen=True, kw_only=True)
class UnfinishedNote:
    """What stands beside the files until the commit."""

    imported_at: datetime | Literal[""]
    """The moment of the import that the commit brings; empty for an undo."""

    undone: int
    """The id of the import whose undo the commit brings; 0 for an import."""

    files: dict[str, FileChange]


_NOTE = TypeAdapter(UnfinishedNote)


def list_changes(home: Path, texts: Mapping[str, str | None]) -> dict[str, FileChange]:
    """Return what writing these texts would change; files that have them already are left out."""
    return {
        name: FileChange(before=before, after=compute_digest(text))
        for name, text in texts.items()
        if (before := read_own_file(home, name)) != text
    }


def take_back_files(home: Path, changes: Mapping[str, FileChange]) -> None:
    """Give the files their former texts; one that has another text than the change gave it stays."""
    for name, change in changes.items():
        if compute_digest(read_own_file(home, name)) == change.after:
            write_own_file(home, name, change.before)


def note_changes(
    home: Path,
    profile_id: str,
    changes: Mapping[str, FileChange],
    *,
    imported_at: datetime | None = None,
    undone: int = 0,
) -> None:
    """Keep what the files are, before any is written, and what the commit brings: an import or an undo."""
    if changes:
        note = UnfinishedNote(imported_at=imported_at or "", undone=undone, files=dict(changes))
        replace_file(_path(home, profile_id), json.dumps(_NOTE.dump_python(note, mode="json")).encode())


def forget_changes(home: Path, profile_id: str) -> None:
    """Drop the note: everything is committed, or the files are as they were."""
    _path(home, profile_id).unlink(missing_ok=True)


def restore_unfinished(store: Store, home: Path) -> None:
    """Restore the files of imports and undos that never were committed. Files changed since stay."""
    for path in (home / IMPORTS_FOLDER).glob(f"{PREFIX}*.json"):
        if not path.is_file():  # a folder of that name is none of ours
            continue
        profile_id = path.stem.removeprefix(PREFIX)
        # The lock of the writer: an import that is going on in another process is waited for.
        with store.database.write(profile_id) as connection:
            wait_for_turn(connection, AdvisoryLock.OWN_FILES)
            note = _read_note(path)
            if note is not None and not _is_committed(connection, profile_id, note):
                take_back_files(home, note.files)
            path.unlink(missing_ok=True)


def _is_committed(connection: Connection, profile_id: str, note: UnfinishedNote) -> bool:
    if note.imported_at:
        return is_recorded(connection, profile_id, note.imported_at)
    return is_undone(connection, note.undone)


def _read_note(path: Path) -> UnfinishedNote | None:
    """Return what a note says; None when it is gone, damaged, or was cut off before any file was written."""
    try:
        # Not by pydantic's own reader: it refuses surrogates, which stand for bytes that are not UTF-8.
        return _NOTE.validate_python(json.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError, RecursionError):
        return None


def _path(home: Path, profile_id: str) -> Path:
    return home / IMPORTS_FOLDER / f"{PREFIX}{profile_id}.json"
