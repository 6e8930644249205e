"""The file a learner has uploaded and not yet imported or put away: one a profile, kept until then."""

import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from study.base.import_limits import check_size
from study.io.exchange import File


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """The uploaded file, and the digest that says it is still the same one."""

    file: File
    digest: str


@dataclass(frozen=True, kw_only=True)
class Pending:
    """Where uploads wait. A profile's id is a name that we made, so it is safe as a file's name."""

    folder: Path

    async def receive(self, profile_id: str, name: str, chunks: AsyncIterator[bytes]) -> None:
        """Take a file in, piece by piece; one that is too large is not kept."""
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
        """The file that waits, if one does."""
        try:
            content = self._path(profile_id, "file").read_bytes()
            name = json.loads(self._path(profile_id, "name").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return Waiting(
            file=File(name=str(name), content=content), digest=hashlib.sha256(content).hexdigest()[:16]
        )

    def drop(self, profile_id: str) -> None:
        """Forget the file."""
        for kind in ("file", "name"):
            self._path(profile_id, kind).unlink(missing_ok=True)

    def _path(self, profile_id: str, kind: str) -> Path:
        return self.folder / f"{profile_id}.{kind}"
