"""Migrations: an empty database becomes today's tables, once, and a newer one is left alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.exc import OperationalError

from study.base.errors import LearnerError
from study.base.settings import load_settings
from study.store import open_store
from study.store.database import Database, open_database
from study.store.migrations import STEPS, applied_steps, m0001_first_tables, migrate, version_of
from study.store.quizzes import QuizLog
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


def test_what_was_learnt_before_a_step_is_there_after_it(database: Database) -> None:
    with database.write() as connection:
        m0001_first_tables.upgrade(connection)
        connection.execute(text("INSERT INTO profiles VALUES ('p', 'Ana', 1, '2026-03-04 10:00:00')"))
        for number in (1, 2):
            rating = f"({number}, 'p', 'c', 3, '2026-03-04 10:00:00', 1200, NULL, '{{}}')"
            connection.execute(text(f"INSERT INTO card_reviews VALUES {rating}"))
        connection.execute(text("INSERT INTO review_undos VALUES (1, 2, '2026-03-04 10:00:00')"))
        applied_steps.create(connection)
        connection.execute(text("INSERT INTO schema_steps VALUES (1, '2026-03-04 10:00:00')"))
    migrate(database)
    assert version_of(database) == STEPS[-1][0]
    with database.read() as connection:
        assert connection.scalar(text("SELECT name FROM profiles")) == "Ana"
        assert connection.scalar(text("SELECT count(*) FROM predictions")) == 0


def test_a_rating_of_before_the_verbs_can_still_be_undone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.sqlite3'}"
    database = open_database(url)
    test_what_was_learnt_before_a_step_is_there_after_it(database)
    database.close()
    store = open_store(url)
    last = store.verbs.last("p")
    assert last is not None
    assert (last.name, last.review_id, last.value) == ("rate", 1, None)
    store.verbs.undo("p", expected_id=last.id, undone_at=last.at)
    assert store.cards.history("p") == []
    store.close()


def test_answers_from_before_there_were_kinds_are_read_as_options_with_all_or_no_points(
    database: Database,
) -> None:
    with database.write() as connection:
        m0001_first_tables.upgrade(connection)
        moment = "2026-03-04 10:00:00"
        choice = '{"topic": "lora", "level": "", "concept": "", "length": 10}'
        for statement in (
            f"INSERT INTO profiles VALUES ('p', 'Ana', 1, '{moment}')",
            f"""INSERT INTO quiz_sessions VALUES ('s', 'p', 7, '["q"]', '{choice}', '{moment}')""",
            f"INSERT INTO answers VALUES (1, 's', 'q', 'right', 1, '{moment}', 900)",
        ):
            connection.exec_driver_sql(statement)
        applied_steps.create(connection)
        connection.execute(text(f"INSERT INTO schema_steps VALUES (1, '{moment}')"))
    migrate(database)
    log = QuizLog(database)
    [answer] = log.history("p")
    assert (answer.given, answer.score, answer.confidence, answer.attempt) == (
        {"option": "right"},
        1,
        None,
        1,
    )
    assert log.answers("s") == [answer]


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


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("sqlite:///{folder}/not-a-database", "file is not a database"),
        ("sqlite:///{folder}/no/such/folder/x.sqlite3", "unable to open database file"),
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
