"""Bring a database to today's tables. `alembic/versions` holds the steps from older ones.

An empty database gets today's tables at once; that the steps lead to the same ones is tested. Alembic is only
imported when there is a step to take.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Column, Connection, MetaData, String, Table, insert, inspect, select, text

from study.base.errors import LearnerError
from study.store.database import AdvisoryLock, Database, wait_for_turn
from study.store.schema import metadata

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0007"
BASELINE = "0001"
SCRIPTS = Path(__file__).parent / "alembic"
STEPS_BEFORE_ALEMBIC = 8
"""Numbered steps of our own that led to the tables of the baseline."""

version_table = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))


def migrate_database(database: Database, *, before_upgrade: Callable[[], None] | None = None) -> None:
    """Upgrade the tables in one transaction. Of two processes that do this at once, one waits for the other.

    `before_upgrade` is called before older tables are changed, outside the transaction. Raises LearnerError
    when the data is from a newer app, or from before the versions that can be upgraded.
    """
    with database.read() as connection:
        version, _ = _find_version(connection)
    if version == HEAD:
        return
    if version is not None:
        _require_known(version)
        if before_upgrade is not None:
            before_upgrade()
    with database.write() as connection:
        wait_for_turn(connection, AdvisoryLock.MIGRATION)
        version = read_version(connection)
        if version == HEAD:
            return
        if version is None:
            metadata.create_all(connection)
            _write_version(connection, HEAD)
        else:
            from alembic import command

            command.upgrade(build_alembic_config(connection), "head")


def read_version(connection: Connection) -> str | None:
    """The revision of the tables, None when there are none. A store from before Alembic gets its revision."""
    version, is_stamped = _find_version(connection)
    if version is not None and not is_stamped:
        connection.execute(text("DROP TABLE schema_steps"))
        _write_version(connection, version)
    return version


def _find_version(connection: Connection) -> tuple[str | None, bool]:
    """The revision, and whether it is written in Alembic's table."""
    tables = set(inspect(connection).get_table_names())
    if version_table.name in tables:
        return connection.scalar(select(version_table.c.version_num)), True
    if "schema_steps" not in tables:
        return None, False
    step = connection.scalar(text("SELECT max(number) FROM schema_steps"))
    if step != STEPS_BEFORE_ALEMBIC:
        raise LearnerError(
            f"This study data is from a version that was never released (step {step}).",
            do_next="Choose another folder with --data-folder.",
        )
    return BASELINE, False


def _write_version(connection: Connection, version: str) -> None:
    version_table.create(connection)
    connection.execute(insert(version_table).values(version_num=version))


def _require_known(version: str) -> None:
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    try:
        ScriptDirectory(str(SCRIPTS)).get_revision(version)
    except CommandError as error:
        raise LearnerError(
            f"This study data is from a newer version of the app (revision {version}; this one knows "
            f"{HEAD}).",
            do_next="Update the app, or choose another folder with --data-folder.",
        ) from error


def build_alembic_config(connection: Connection) -> "Config":
    """Alembic's settings for one open connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.attributes["connection"] = connection
    return config
