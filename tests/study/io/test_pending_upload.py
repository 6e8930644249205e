"""Uploads that wait: what is left behind goes, and no number of browsers fills the disk."""

import os
import time
from pathlib import Path

import pytest

from study.base import import_limits
from study.base.errors import LearnerError
from study.io import pending_upload
from study.io.pending_upload import PendingUploads
from tests.study.pages.importing import receive


def age(folder: Path, seconds: float) -> None:
    for path in folder.iterdir():
        os.utime(path, (time.time() - seconds, time.time() - seconds))


def test_files_left_behind_go_with_the_next_upload_after_a_day(tmp_path: Path) -> None:
    pending = PendingUploads(folder=tmp_path)
    receive(pending, "a", "a.md", b"x")
    (tmp_path / "b.1234.part").write_bytes(b"cut off")
    (tmp_path / "unfinished-c.json").write_bytes(b"a note that is no upload")
    age(tmp_path, pending_upload.KEPT_SECONDS + 60)
    receive(pending, "d", "a.md", b"y")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.file", "d.name", "unfinished-c.json"]


def test_uploads_of_many_browsers_fill_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pending = PendingUploads(folder=tmp_path)
    monkeypatch.setattr(pending_upload, "FOLDER_BYTES", import_limits.PACKAGE_BYTES + 100)
    receive(pending, "a", "a.md", b"x" * 50)
    receive(pending, "b", "a.md", b"x" * 50)
    with pytest.raises(LearnerError, match=r"Many files wait .* Try again in 10 minutes"):
        receive(pending, "c", "a.md", b"x")
    receive(pending, "b", "a.md", b"x")  # in place of one's own
    age(tmp_path, pending_upload.GIVES_WAY_SECONDS + 60)
    receive(pending, "c", "a.md", b"x")
    assert pending.find("a") is None
    monkeypatch.setattr(pending_upload, "FILES_AT_MOST", 2)
    with pytest.raises(LearnerError, match="Many files wait"):
        receive(pending, "d", "a.md", b"x")
