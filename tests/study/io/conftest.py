"""What tests of imports share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from study.store import Store, open_store


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Store]:
    """The store of another machine."""
    opened = open_store(f"sqlite:///{tmp_path / 'other.sqlite3'}")
    yield opened
    opened.close()
