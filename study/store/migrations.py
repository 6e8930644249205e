"""Bring a database to today's tables. `alembic/versions` holds the steps from older ones.

An empty database gets today's tables at once; that the steps lead to the same ones is tested. Alembic is only
imported when there is a step to take.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Column, Connection, MetaData, String, Table, insert, inspect, select, text

from study.base.errors import LearnerError
from study.store.database import Database
from study.store.schema import metadata

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0003"
BASELINE = "0001"
SCRIPTS = Path(__file__).parent / "alembic"
STEPS_BEFORE_ALEMBIC = 8
"""Numbered steps of our own that led to the tables of the baseline."""

ADVISORY_LOCK = 7_204_311  # any number that only this app uses

version_table = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))


def migrate(database: Database) -> None:
    """Upgrade the tables in one transaction. Of two processes that do this at once, one waits for the other.

    Raises LearnerError when the data is from a newer app, or from before the versions that can be upgraded.
    """
    with database.write() as connection:
        if connection.dialect.name == "postgresql":  # SQLite's write transaction is a lock itself
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
        version = read_version(connection)
        if version == HEAD:
            return
        if version is None:
            metadata.create_all(connection)
            _write_version(connection, HEAD)
        else:
            _upgrade(connection, version)


def read_version(connection: Connection) -> str | None:
    """The revision of the tables, None when there are none. A store from before Alembic gets its revision."""
    tables = set(inspect(connection).get_table_names())
    if version_table.name in tables:
        return connection.scalar(select(version_table.c.version_num))
    if "schema_steps" not in tables:
        return None
    step = connection.scalar(text("SELECT max(number) FROM schema_steps"))
    if step != STEPS_BEFORE_ALEMBIC:
        raise LearnerError(
            f"This study data is from a version that was never released (step {step}).",
            do_next="Choose another folder with --data-folder.",
        )
    connection.execute(text("DROP TABLE schema_steps"))
    _write_version(connection, BASELINE)
    return BASELINE


def _write_version(connection: Connection, version: str) -> None:
    version_table.create(connection)
    connection.execute(insert(version_table).values(version_num=version))


def _upgrade(connection: Connection, version: str) -> None:
    from alembic import command
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = alembic_config(connection)
    try:
        ScriptDirectory.from_config(config).get_revision(version)
    except CommandError as error:
        raise LearnerError(
            f"This study data is from a newer app (revision {version}, this one knows {HEAD}).",
            do_next="Update the app, or choose another folder with --data-folder.",
        ) from error
    command.upgrade(config, "head")


def alembic_config(connection: Connection) -> "Config":
    """Alembic's settings for one open connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.attributes["connection"] = connection
    return config
