"""Migrations: an empty database becomes today's tables, once, and a newer one is left alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.exc import OperationalError

from study.errors import LearnerError
from study.store.database import Database, open_database
from study.store.migrations import STEPS, migrate, version_of
from study.store.schema import metadata


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(f"sqlite:///{tmp_path / 'study.sqlite3'}")
    yield opened
    opened.close()


def test_the_steps_lead_to_the_tables_that_the_code_uses(database: Database) -> None:
    migrate(database)
    found = inspect(database.engine)
    for table in metadata.sorted_tables:
        columns = {c["name"]: (str(c["type"]), c["nullable"]) for c in found.get_columns(table.name)}
        dialect = database.engine.dialect
        assert columns == {c.name: (c.type.compile(dialect), bool(c.nullable)) for c in table.columns}
        indexes = {index["name"] for index in found.get_indexes(table.name)}
        assert indexes == {index.name for index in table.indexes}


def test_steps_are_numbered_without_a_gap() -> None:
    assert [number for number, _ in STEPS] == list(range(1, len(STEPS) + 1))


def test_migrating_twice_changes_nothing(database: Database) -> None:
    assert version_of(database) == 0
    assert migrate(database) == migrate(database) == version_of(database) == STEPS[-1][0]


def test_data_of_a_newer_app_is_left_alone(database: Database) -> None:
    migrate(database)
    with database.write() as connection:
        connection.execute(text("INSERT INTO schema_steps VALUES (99, '2030-01-01 00:00:00')"))
    with pytest.raises(LearnerError, match="Update the app"):
        migrate(database)


def test_a_step_that_fails_leaves_the_database_as_it_was(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("CREATE TABLE other (x INTEGER)"))
        connection.execute(text("CREATE INDEX quiz_sessions_by_profile ON other (x)"))
    with pytest.raises(OperationalError, match="already exists"):
        migrate(database)
    assert version_of(database) == 0
    assert inspect(database.engine).get_table_names() == ["other"]
