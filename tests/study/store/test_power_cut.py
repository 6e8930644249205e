"""A power cut at any moment: the write-ahead log ends anywhere, and every answer before that is there."""

import shutil
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from study.store import database, open_store
from tests.conftest import PREPARE_SQLITE

WAL_HEADER_BYTES, FRAME_HEADER_BYTES = 32, 24
ANSWERS = 12


def saved(folder: Path) -> list[str]:
    """The drafts in a copied database, which must be whole."""
    with closing(sqlite3.connect(folder / "study.sqlite3")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [text for (text,) in connection.execute("SELECT text FROM drafts ORDER BY text")]


def test_a_commit_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_prepare_sqlite", PREPARE_SQLITE)  # other tests don't wait
    store = open_store(f"sqlite:///{tmp_path / 'study.sqlite3'}")
    with store.database.read() as connection:
        full = 2
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == full
    store.close()


def test_a_log_that_is_cut_at_any_frame_keeps_every_answer_that_was_acknowledged_before_it(
    tmp_path: Path, now: datetime
) -> None:
    url = f"sqlite:///{tmp_path / 'study.sqlite3'}"
    store = open_store(url)
    ana = store.profiles.add("browser", "Ana", now=now).id
    store.database.checkpoint()
    wal = tmp_path / "study.sqlite3-wal"
    acknowledged: list[int] = []
    for number in range(ANSWERS):
        store.drafts.save(ana, f"draft-{number:02}", f"{number:02}", at=now)
        acknowledged.append(wal.stat().st_size)
    whole = wal.read_bytes()
    page_bytes = int.from_bytes(whole[8:12], "big")
    frame_bytes = FRAME_HEADER_BYTES + page_bytes
    ends = range(WAL_HEADER_BYTES, len(whole) + 1, frame_bytes)
    assert len(ends) > ANSWERS
    for end in ends:
        for cut in {end, max(0, end - frame_bytes // 2)}:
            copy = tmp_path / f"cut-{cut}"
            copy.mkdir()
            shutil.copyfile(tmp_path / "study.sqlite3", copy / "study.sqlite3")
            (copy / "study.sqlite3-wal").write_bytes(whole[:cut])
            found = saved(copy)
            expected = sum(size <= cut for size in acknowledged)
            assert found[:expected] == [f"{number:02}" for number in range(expected)], cut
            assert len(found) <= ANSWERS
    store.close()
