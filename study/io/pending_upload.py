"""The file that a learner has uploaded and not yet imported or dropped: one per profile."""

import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from study.base.import_limits import check_size
from study.io.exchange import File


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """The uploaded file, and a digest that identifies its content."""

    file: File
    digest: str


@dataclass(frozen=True, kw_only=True)
class Pending:
    """The folder of pending uploads. The app generates profile ids, so they are safe as file names."""

    folder: Path

    async def receive(self, profile_id: str, name: str, chunks: AsyncIterator[bytes]) -> None:
        """Store a file chunk by chunk. Raises LearnerError when it is too large, and then stores nothing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self._path(profile_id, "part")
        size = 0
        try:
            with part.open("wb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    check_size(name, size, package=True)
                    file.write(chunk)
            self._path(profile_id, "name").write_text(json.dumps(name[:200]), encoding="utf-8")
            part.replace(self._path(profile_id, "file"))
        finally:
            part.unlink(missing_ok=True)

    def of(self, profile_id: str) -> Waiting | None:
        """Read the pending file; None without one."""
        try:
            content = self._path(profile_id, "file").read_bytes()
            name = json.loads(self._path(profile_id, "name").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return Waiting(
            file=File(name=str(name), content=content), digest=hashlib.sha256(content).hexdigest()[:16]
        )

    def path_of(self, profile_id: str) -> Path:
        """Return where the pending file is, for the process that reads it."""
        return self._path(profile_id, "file")

    def drop(self, profile_id: str) -> None:
        """Delete the pending file."""
        for kind in ("file", "name"):
            self._path(profile_id, kind).unlink(missing_ok=True)

    def _path(self, profile_id: str, kind: str) -> Path:
        return self.folder / f"{profile_id}.{kind}"
