"""The store: append-only logs in one database, SQLite by default, any SQLAlchemy URL otherwise."""

from dataclasses import dataclass

from study.store.cards import CardLog
from study.store.database import Database, open_database
from study.store.explains import ExplainLog
from study.store.migrations import migrate
from study.store.notes import Notes
from study.store.profiles import Profiles
from study.store.quizzes import QuizLog
from study.store.runs import ReviewRuns


@dataclass(frozen=True, kw_only=True)
class Store:
    """What was studied, by whom. Safe to use from several threads and several processes at once."""

    database: Database
    profiles: Profiles
    cards: CardLog
    quizzes: QuizLog
    explains: ExplainLog
    notes: Notes
    runs: ReviewRuns

    def close(self) -> None:
        """Give the connections back."""
        self.database.close()


def open_store(database_url: str) -> Store:
    """Open a database, creating or upgrading its tables where needed.

    store = open_store("sqlite:///study.sqlite3")
    """
    database = open_database(database_url)
    migrate(database)
    return Store(
        database=database,
        profiles=Profiles(database),
        cards=CardLog(database),
        quizzes=QuizLog(database),
        explains=ExplainLog(database),
        notes=Notes(database),
        runs=ReviewRuns(database),
    )
