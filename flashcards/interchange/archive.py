"""Untrusted archives: names and unpacked sizes are checked before anything is read (zip bombs)."""

import io
import zipfile
import zlib

import zstandard

from study.base.errors import LearnerError
from study.base.units import as_bytes
from study.io.exchange import File

MOST_FILES = 50_000
ALL_BYTES = 2_000_000_000  # media are counted but never read
ONE_BYTES = 100_000_000
MOST_RATIO = 300  # a collection compresses 5 to 50 times, a bomb a thousand times

_ZSTD = b"\x28\xb5\x2f\xfd"


class Archive:
    """A zip file whose names and sizes have been checked."""

    def __init__(self, file: File) -> None:
        self._name = file.name
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(file.content))
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise self._build_error("is not a whole archive") from error
        infos = self._zip.infolist()
        if len(infos) > MOST_FILES:
            raise self._build_error(f"holds {len(infos):,} files; {MOST_FILES:,} are the limit")
        if any(not _stays_inside(info.filename) for info in infos):
            raise self._build_error("has a file name that leads out of it")
        whole = sum(info.file_size for info in infos)
        if whole > ALL_BYTES or whole > MOST_RATIO * max(len(file.content), 100_000):
            raise self._build_error(f"would unpack to {as_bytes(whole)}")
        self.names = tuple(info.filename for info in infos)

    def read(self, name: str, *, limit_bytes: int = ONE_BYTES) -> bytes:
        """Read one file, zstd also unpacked. Raises LearnerError when it is damaged or too large."""
        try:
            with self._zip.open(name) as packed:
                content = packed.read(limit_bytes + 1)
            if content.startswith(_ZSTD):
                with zstandard.ZstdDecompressor().stream_reader(content) as stream:
                    content = stream.read(limit_bytes + 1)
        except (zipfile.BadZipFile, zlib.error, zstandard.ZstdError, RuntimeError, EOFError) as error:
            raise self._build_error(f"is damaged at {name}") from error
        if len(content) > limit_bytes:
            raise self._build_error(f"would unpack {name} to more than {as_bytes(limit_bytes)}")
        return content

    def _build_error(self, why: str) -> LearnerError:
        return LearnerError(
            f"{self._name} {why}.", do_next="Nothing was imported. Export it again, or choose another file."
        )


def _stays_inside(name: str) -> bool:
    """Return whether a path is relative, has no drive and doesn't lead up."""
    parts = name.replace("\\", "/").split("/")
    return not name.startswith(("/", "\\")) and ".." not in parts and ":" not in parts[0] and "\0" not in name
