"""Numbered steps from an empty database to today's tables; each runs once, in order, and is never edited."""

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import Column, Connection, DateTime, Integer, MetaData, Table, func, insert, inspect, select

from study.base.errors import LearnerError
from study.store.database import Database
from study.store.migrations import (
    m0001_first_tables,
    m0002_predictions,
    m0003_card_verbs,
    m0004_parameter_fits,
    m0005_answers_of_all_kinds,
    m0006_imports,
    m0007_explanations,
    m0008_lessons,
)

STEPS: tuple[tuple[int, Callable[[Connection], None]], ...] = (
    (1, m0001_first_tables.upgrade),
    (2, m0002_predictions.upgrade),
    (3, m0003_card_verbs.upgrade),
    (4, m0004_parameter_fits.upgrade),
    (5, m0005_answers_of_all_kinds.upgrade),
    (6, m0006_imports.upgrade),
    (7, m0007_explanations.upgrade),
    (8, m0008_lessons.upgrade),
)

applied_steps = Table(
    "schema_steps",
    MetaData(),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("applied_at", DateTime, nullable=False),
)


def migrate(database: Database) -> int:
    """Bring the tables up to date and return their version. Two processes may do this at once; one waits."""
    newest = STEPS[-1][0]
    with database.write() as connection:
        applied_steps.create(connection, checkfirst=True)
        version = connection.scalar(select(func.max(applied_steps.c.number))) or 0
        if version > newest:
            raise LearnerError(
                f"This study data is from a newer app (step {version}, this one knows {newest}).",
                do_next="Update the app, or choose another folder with --data-folder.",
            )
        for number, upgrade in STEPS:
            if number > version:
                upgrade(connection)
                moment = datetime.now(UTC).replace(tzinfo=None)
                connection.execute(insert(applied_steps).values(number=number, applied_at=moment))
    return newest


def version_of(database: Database) -> int:
    """The newest step that this database has; 0 when it is empty."""
    with database.read() as connection:
        if not inspect(connection).has_table(applied_steps.name):
            return 0
        return connection.scalar(select(func.max(applied_steps.c.number))) or 0
