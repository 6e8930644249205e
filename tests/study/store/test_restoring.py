"""What others write while a backup is being restored is refused: it is in no backup, and would be lost."""

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from study.store import open_store
from study.store.snapshots import Snapshots


def test_nobody_writes_between_the_backup_of_the_present_and_its_replacement(
    tmp_path: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "study.sqlite3"
    store = open_store(f"sqlite:///{path}")
    store.profiles.add("a", "Ana", now=now)
    snapshots = Snapshots(path)
    made = snapshots.make("daily", now=now)
    pack, refused = snapshots._pack, []

    def write_meanwhile(*arguments: Path) -> None:
        with closing(sqlite3.connect(path, timeout=0.1)) as other:
            try:
                other.execute("UPDATE profiles SET name = 'Anna'")
                other.commit()
            except sqlite3.OperationalError as error:
                refused.append(str(error))
        pack(*arguments)

    monkeypatch.setattr(snapshots, "_pack", write_meanwhile)
    snapshots.restore(made.name, now=now + timedelta(hours=1))
    assert refused == ["database is locked"]
    assert [profile.name for profile in store.profiles.all()] == ["Ana"]
    store.close()
