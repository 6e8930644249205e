"""The teacher's app on a PostgreSQL server that workers share."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from study.base.settings import Settings
from study.ports.context import Context
from tests.classroom.rooms import School


@pytest.fixture
def settings(tmp_path: Path, postgres_database: str) -> Settings:
    return Settings(home=tmp_path, database_url=postgres_database, models_dir=tmp_path / "models")


@pytest.fixture
def school(context: Context) -> School:
    """The teacher's app, with the clock of the workers: names are deleted when their time is over."""
    return School(replace(context, clock=lambda: datetime.now(UTC)))
