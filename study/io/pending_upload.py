"""The file that a learner has uploaded and not yet imported or dropped: one per profile.

One that was left behind goes with the first upload after a day, or earlier where others need its room.
"""

import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from study.base.errors import LearnerError
from study.base.import_limits import PACKAGE_BYTES, check_size

KINDS = ("file", "name", "part")
KEPT_SECONDS = 24 * 3600
GIVES_WAY_SECONDS = 600
FOLDER_BYTES = 1_000_000_000
FILES_AT_MOST = 1_000


@dataclass(frozen=True, kw_only=True)
class PendingUpload:
    """The name of an uploaded file, and a digest that identifies its content."""

    name: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class PendingUploads:
    """The folder of pending uploads. The app generates profile ids, so they are safe as file names."""

    folder: Path

    async def receive(self, profile_id: str, name: str, chunks: AsyncIterator[bytes]) -> None:
        """Store a file chunk by chunk. Raises LearnerError when it is too large, and then stores nothing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._make_room(profile_id)
        part = self._path(profile_id, f"{secrets.token_hex(4)}.part")  # another window may send one as well
        size, digest = 0, hashlib.sha256()
        try:
            with part.open("wb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    check_size(name, size, package=True)
                    file.write(chunk)
                    digest.update(chunk)
            waiting = json.dumps({"name": name[:200], "digest": digest.hexdigest()[:16]})
            self._path(profile_id, "name").write_text(waiting, encoding="utf-8")
            part.replace(self._path(profile_id, "file"))
        finally:
            part.unlink(missing_ok=True)

    def find(self, profile_id: str) -> PendingUpload | None:
        """Find the pending file; None without one."""
        if not self.locate_pending(profile_id).exists():
            return None
        try:
            return PendingUpload(**json.loads(self._path(profile_id, "name").read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def locate_pending(self, profile_id: str) -> Path:
        """Return where the pending file is, for the process that reads it."""
        return self._path(profile_id, "file")

    def drop(self, profile_id: str) -> None:
        for kind in ("file", "name"):
            self._path(profile_id, kind).unlink(missing_ok=True)

    def _make_room(self, profile_id: str) -> None:
        """Delete what was left behind. Raises LearnerError when the folder is full of files of others."""
        self._drop_older(KEPT_SECONDS)
        if not self._has_room(profile_id):
            self._drop_older(GIVES_WAY_SECONDS)
        if not self._has_room(profile_id):
            raise LearnerError(
                "Many files wait to be imported at the moment.",
                do_next=f"Try again in {GIVES_WAY_SECONDS // 60} minutes.",
            )

    def _has_room(self, profile_id: str) -> bool:
        sizes = [size for path, _, size in self._list_stored() if path.stem != profile_id]
        return len(sizes) < FILES_AT_MOST and sum(sizes) + PACKAGE_BYTES <= FOLDER_BYTES

    def _drop_older(self, seconds: float) -> None:
        for path, changed_at, _ in self._list_stored():
            if time.time() - changed_at > seconds:
                path.unlink(missing_ok=True)

    def _list_stored(self) -> Iterator[tuple[Path, float, int]]:
        """List every file with its time and size; one that goes meanwhile is left out."""
        for kind in KINDS:
            for path in self.folder.glob(f"*.{kind}"):
                try:
                    found = path.stat()
                except FileNotFoundError:
                    continue
                yield path, found.st_mtime, found.st_size

    def _path(self, profile_id: str, kind: str) -> Path:
        return self.folder / f"{profile_id}.{kind}"
