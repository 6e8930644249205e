"""The store: append-only logs in one database, SQLite by default, PostgreSQL otherwise."""

from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError

from study.base.errors import LearnerError, StorageError, StorageKind, first_line
from study.store import schema as t
from study.store.classes import ClassLog
from study.store.database import Database, StoreLog, cache_reads, open_database, put_row
from study.store.logs.card_operations import CardOperationLog
from study.store.logs.cards import CardLog
from study.store.logs.explains import ExplainLog
from study.store.logs.fits import FitLog
from study.store.logs.five_minute_reviews import FiveMinuteReviews
from study.store.logs.imports import ImportLog
from study.store.logs.lessons import LessonLog
from study.store.logs.own_prompts import OwnPromptLog
from study.store.logs.predictions import PredictionLog
from study.store.logs.preferences import PreferenceLog
from study.store.logs.projects import ProjectLog
from study.store.logs.quizzes import QuizLog
from study.store.logs.tasks import TaskLog
from study.store.migrations import migrate_database
from study.store.notices import Notices
from study.store.profiles import Profiles
from study.store.snapshots import find_snapshots
from study.store.storage_errors import classify_storage_error

DRAFT_LIMIT = 20_000  # characters; more than anyone explains, far below what would slow a page


class Drafts(StoreLog):
    """Unfinished texts of each profile, by key."""

    def save(self, profile_id: str, key: str, text: str, *, at: datetime) -> None:
        """Keep an unfinished text; the newest one counts."""
        if len(text) > DRAFT_LIMIT:
            raise LearnerError(
                f"This text has {len(text):,} characters.", do_next=f"Shorten it to at most {DRAFT_LIMIT:,}."
            )
        with self._database.write(profile_id) as connection:
            put_row(
                connection, t.drafts, {"profile_id": profile_id, "key": key}, {"text": text, "saved_at": at}
            )

    @cache_reads
    def read(self, profile_id: str, key: str) -> str:
        """The unfinished text under a key; empty if there is none."""
        wanted = select(t.drafts.c.text).where(t.drafts.c.profile_id == profile_id, t.drafts.c.key == key)
        with self._database.read() as connection:
            return connection.scalar(wanted) or ""


class Store:
    """What was studied, by whom. Safe to use from several threads and several processes at once."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.profiles = Profiles(database)
        self.cards = CardLog(database)
        self.card_operations = CardOperationLog(database)
        self.quizzes = QuizLog(database)
        self.explains = ExplainLog(database)
        self.own_prompts = OwnPromptLog(database)
        self.drafts = Drafts(database)
        self.preferences = PreferenceLog(database)
        self.five_minute_reviews = FiveMinuteReviews(database)
        self.predictions = PredictionLog(database)
        self.fits = FitLog(database)
        self.imports = ImportLog(database)
        self.lessons = LessonLog(database)
        self.projects = ProjectLog(database)
        self.tasks = TaskLog(database)
        self.classes = ClassLog(database)
        self._notices: list[Notices] = []

    @property
    def is_shared(self) -> bool:
        """Whether a database server keeps it, which several processes may use for the same class."""
        return self.database.is_shared

    def list_answer_times(self, profile_id: str) -> list[datetime]:
        """Return when each card was rated and each question and prompt answered."""
        return [
            *(review.reviewed_at for review in self.cards.history(profile_id)),
            *(answer.answered_at for answer in self.quizzes.history(profile_id)),
            *(attempt.submitted_at for attempt in self.explains.attempts(profile_id)),
        ]

    def open_notices(self) -> Notices:
        """Messages to and from other processes, until the store is closed. Only where it `is_shared`."""
        assert self.is_shared
        self._notices.append(Notices(self.database))
        return self._notices[-1]

    def close(self) -> None:
        """Give the connections back."""
        for each in self._notices:
            each.close()
        self.database.close()


def open_store(database_url: str, *, home: Path | None = None) -> Store:
    """Open a database, creating or upgrading its tables where needed.

        store = open_store("sqlite:///study.sqlite3")

    `home` is the data folder, where the backup before an upgrade goes: the database's own unless it is given.
    Raises StorageError when the file is damaged, locked or can't be written, and LearnerError when the URL
    or the version of the data is wrong.
    """
    try:
        with ExitStack() as on_failure:
            database = open_database(database_url)
            on_failure.callback(database.engine.dispose)  # Windows moves no file that is open
            database.check()
            migrate_database(database, before_upgrade=lambda: _back_up(database_url, home))
            database.check_writing()
            on_failure.pop_all()
    except (ArgumentError, DatabaseError, ModuleNotFoundError) as error:
        shown = _without_password(database_url)
        if isinstance(error, DBAPIError) and (kind := classify_storage_error(error)):
            raise _build_open_error(kind, shown) from error
        reason = first_line(getattr(error, "orig", None) or error).rstrip(".")
        raise LearnerError(
            f"The study data in {shown} can't be opened: {reason}.",
            do_next="Check DATABASE_URL if you set it, or choose another folder with --data-folder.",
        ) from error
    return Store(database)


def _back_up(database_url: str, home: Path | None) -> None:
    snapshots = find_snapshots(database_url, home)
    if snapshots is not None:
        snapshots.make("upgrade", now=datetime.now(UTC))


def _build_open_error(kind: StorageKind, shown: str) -> StorageError:
    reasons: dict[StorageKind, tuple[str, str]] = {
        "full": ("the disk is full", "Free some space on it, then try again."),
        "read-only": (
            "it can't be written to, or its folder is missing",
            "Allow writing to the file and its folder, or choose another folder with --data-folder."
            " Check DATABASE_URL if you set it.",
        ),
        "locked": ("another program has locked it", "Close that program, then try again."),
        "damaged": (
            "it is damaged or not a database",
            "Restore a backup, or choose another folder with --data-folder."
            " Check DATABASE_URL if you set it.",
        ),
        "unreachable": (
            "the database server does not answer",
            "Check that it is running and that DATABASE_URL is right, then try again.",
        ),
    }
    reason, do_next = reasons[kind]
    return StorageError(kind, f"The study data in {shown} can't be opened: {reason}.", do_next)


def _without_password(database_url: str) -> str:
    try:
        return make_url(database_url).render_as_string(hide_password=True)
    except ArgumentError:
        return "the given DATABASE_URL"
