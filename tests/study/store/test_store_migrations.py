"""Migrations: an empty database gets today's tables, an older one is upgraded, a newer one is left alone."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, select, text
from sqlalchemy.exc import OperationalError

from study.base.errors import LearnerError
from study.base.settings import load_settings
from study.store import open_store
from study.store.database import Database, open_database
from study.store.migrations import HEAD, build_alembic_config, migrate_database, read_version, version_table
from study.store.schema import metadata
from study.store.snapshots import Snapshots, find_snapshots

STEP_8 = Path(__file__).parent / "files" / "step-8.sql"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(f"sqlite:///{tmp_path / 'study.sqlite3'}")
    yield opened
    opened.close()


def version_of(database: Database) -> str | None:
    with database.read() as connection:
        return read_version(connection)


def test_the_steps_lead_to_the_tables_that_the_code_uses(database: Database) -> None:
    with database.write() as connection:
        command.upgrade(build_alembic_config(connection), "head")
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        head = ScriptDirectory.from_config(build_alembic_config(connection)).get_current_head()
    assert version_of(database) == head == HEAD


def test_an_empty_database_gets_the_same_tables_at_once(database: Database, tmp_path: Path) -> None:
    stepwise = open_database(f"sqlite:///{tmp_path / 'other.sqlite3'}")
    with stepwise.write() as connection:
        command.upgrade(build_alembic_config(connection), "head")
    migrate_database(database)
    assert described(database) == described(stepwise)
    stepwise.close()


def described(database: Database) -> object:
    found = inspect(database.engine)
    return {
        table: (
            [(c["name"], str(c["type"]), c["nullable"]) for c in found.get_columns(table)],
            sorted(str(index["name"]) for index in found.get_indexes(table)),
            sorted(str(unique["column_names"]) for unique in found.get_unique_constraints(table)),
        )
        for table in found.get_table_names()
    }


def test_migrating_twice_changes_nothing(database: Database) -> None:
    assert version_of(database) is None
    migrate_database(database)
    migrate_database(database)
    assert version_of(database) == HEAD


def test_a_store_from_before_alembic_opens_with_all_that_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "study.sqlite3"
    before = sqlite3.connect(path)
    before.executescript(STEP_8.read_text("utf-8"))
    before.close()
    store = open_store(f"sqlite:///{path}")
    [ana] = store.profiles.all()
    [review] = store.cards.history(ana.id)
    assert (ana.name, review.card_id, review.rating) == ("Ana", "lora-name", 3)
    assert store.preferences.read(ana.id).new_cards_a_day == 7
    assert version_of(store.database) == HEAD
    assert "schema_steps" not in inspect(store.database.engine).get_table_names()
    store.close()


def test_a_database_is_backed_up_before_its_tables_are_upgraded(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "study.sqlite3") as connection:
        connection.executescript(STEP_8.read_text("utf-8"))
    connection.close()
    open_store(f"sqlite:///{tmp_path / 'study.sqlite3'}").close()
    assert [made.reason for made in Snapshots(tmp_path / "study.sqlite3").list_snapshots()] == ["upgrade"]


def test_the_backup_before_an_upgrade_lies_in_the_data_folder(tmp_path: Path) -> None:
    database, home = tmp_path / "elsewhere" / "study.sqlite3", tmp_path / "home"
    database.parent.mkdir()
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(STEP_8.read_text("utf-8"))
    open_store(f"sqlite:///{database}", home=home).close()
    found = find_snapshots(f"sqlite:///{database}", home)
    assert found is not None
    assert [made.reason for made in found.list_snapshots()] == ["upgrade"]


def test_data_of_an_unreleased_version_is_left_alone(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("CREATE TABLE schema_steps (number INTEGER)"))
        connection.execute(text("INSERT INTO schema_steps VALUES (3)"))
    with pytest.raises(LearnerError, match="never released"):
        migrate_database(database)


def test_data_of_a_newer_app_is_left_alone(database: Database) -> None:
    migrate_database(database)
    with database.write() as connection:
        connection.execute(version_table.update().values(version_num="9999"))
    with pytest.raises(LearnerError, match="Update the app"):
        migrate_database(database)
    with database.read() as connection:
        assert connection.scalar(select(version_table.c.version_num)) == "9999"


def test_a_step_that_fails_leaves_the_database_as_it_was(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("CREATE TABLE other (x INTEGER)"))
        connection.execute(text("CREATE INDEX quiz_sessions_by_profile ON other (x)"))
    with pytest.raises(OperationalError, match="already exists"):
        migrate_database(database)
    assert version_of(database) is None
    assert inspect(database.engine).get_table_names() == ["other"]


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("sqlite:///{folder}/not-a-database", "it is damaged or not a database"),
        ("sqlite:///{folder}/no/such/folder/x.sqlite3", "it can't be written to, or its folder is missing"),
        ("nonsense", "the given DATABASE_URL can't be opened"),
        ("postgresql+nodriver://ana:secret@host/study", "nodriver"),
    ],
)
def test_a_store_that_cannot_be_opened_says_why_and_what_to_do(tmp_path: Path, url: str, what: str) -> None:
    (tmp_path / "not-a-database").write_text("just a text, long enough to be read as a header of a file" * 30)
    with pytest.raises(LearnerError, match=what) as raised:
        open_store(url.format(folder=tmp_path))
    assert "Check DATABASE_URL" in raised.value.do_next
    assert "secret" not in str(raised.value)


def test_a_data_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(LearnerError, match="Choose another one with --data-folder"):
        load_settings(home=tmp_path / "file" / "folder")
