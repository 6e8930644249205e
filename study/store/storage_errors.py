"""What the disk and the database refuse, in words: full, read-only, locked, damaged, unreachable."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from study.base.errors import StorageError, StorageKind, classify_refusal

_MESSAGES: tuple[tuple[str, StorageKind], ...] = (
    ("disk is full", "full"),
    ("no space left", "full"),
    ("readonly database", "read-only"),
    ("unable to open database file", "read-only"),
    ("permission denied", "read-only"),
    ("database is locked", "locked"),
    ("database table is locked", "locked"),
    ("malformed", "damaged"),
    ("file is not a database", "damaged"),
    ("disk i/o error", "damaged"),
    ("no such table", "damaged"),
    ("no such column", "damaged"),
    ("connection refused", "unreachable"),
    ("connection failed", "unreachable"),
    ("server closed the connection", "unreachable"),
    ("terminating connection", "unreachable"),
)


def classify_storage_error(error: BaseException) -> StorageKind | None:
    """Return why the storage refused; None for an error that has another cause."""
    if isinstance(error, OSError):
        return classify_refusal(error)
    if isinstance(error, DBAPIError | sqlite3.Error):
        said = str(getattr(error, "orig", error)).lower()
        return next((kind for words, kind in _MESSAGES if words in said), None)
    return None


@contextmanager
def translate_storage_errors() -> Iterator[None]:
    """Raise StorageError instead of what the disk or the database raises; other errors pass."""
    try:
        yield
    except (OSError, DBAPIError) as error:
        kind = classify_storage_error(error)
        if kind is None:
            raise
        raise StorageError(kind) from error
