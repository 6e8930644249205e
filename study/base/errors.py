"""The only error that learners see: what happened, and what to do next."""

import errno
from functools import partial
from typing import Any, Literal


class LearnerError(Exception):
    """A problem that the learner can act on; any other exception is a bug.

        raise LearnerError("Rank must be at least 1, got 0.", do_next="Pick 1 to 256; 8 is a good first try.")

    Pages and command lines show it the same way: `str(error)` joins both sentences.
    """

    def __init__(self, what: str, *, do_next: str) -> None:
        super().__init__(f"{what} {do_next}")
        self.what = what
        self.do_next = do_next

    def __reduce__(self) -> Any:  # pickled between processes with its keyword argument
        return partial(type(self), do_next=self.do_next), (self.what,)


class FieldError(LearnerError):
    """What is wrong with one field of a form, so that the page tells it beside that field."""

    def __init__(self, field: str, what: str, *, do_next: str) -> None:
        super().__init__(what, do_next=do_next)
        self.field = field


class StaleError(LearnerError):
    """Another window has changed what this page shows. Nothing was stored; show the current state.

    This is optimistic locking: a page sends what it showed, and the write checks that it is still so.
    """


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its type when it has none."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


StorageKind = Literal["full", "read-only", "locked", "damaged", "unreachable"]

_REFUSALS: dict[int, StorageKind] = {
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
    errno.EFBIG: "full",
    errno.EROFS: "read-only",
    errno.EACCES: "read-only",
    errno.EPERM: "read-only",
}

STORAGE_WORDS: dict[StorageKind, tuple[str, str]] = {
    "full": (
        "The disk is full, so this was not saved. All that was saved before is safe.",
        "Free some space on it, for example by deleting runs that you no longer need, then try again.",
    ),
    "read-only": (
        "The data folder can't be written to, so this was not saved.",
        "Allow writing to it, or start the app with another one: python app.py --data-folder FOLDER",
    ),
    "locked": (
        "Another program has locked the database, so this was not saved.",
        "Close that program, or wait until it is done, then try again.",
    ),
    "damaged": (
        "The database file is damaged, so this can't be read or saved.",
        "Stop the app and start it again: it then offers to restore the last backup.",
    ),
    "unreachable": (
        "The database server does not answer, so this was not saved.",
        "Check that it is running and that DATABASE_URL is right, then try again.",
    ),
}


def classify_refusal(error: OSError) -> StorageKind | None:
    """Return why the system refused to write; None for an error that has another cause."""
    return _REFUSALS.get(error.errno or 0)


class StorageError(LearnerError):
    """The disk or the database refuses. What was acknowledged before is safe."""

    def __init__(self, kind: StorageKind, what: str = "", do_next: str = "") -> None:
        super().__init__(what or STORAGE_WORDS[kind][0], do_next=do_next or STORAGE_WORDS[kind][1])
        self.kind = kind

    def __reduce__(self) -> tuple[type["StorageError"], tuple[StorageKind, str, str]]:
        return type(self), (self.kind, self.what, self.do_next)
