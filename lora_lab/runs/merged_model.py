"""A run's merged model on disk: where it is, how far it is, and as a zip that is sent while it is made."""

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from lora_lab.data.lab_folder import read_json
from lora_lab.runs.folder import RunFolder

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Merged:
    """Beside the run's adapter: `merged/`, and `merged.json` while and after a worker makes it."""

    run: RunFolder

    @property
    def folder(self) -> Path:
        """Safetensors and tokenizer, as transformers opens them."""
        return self.run.path / "merged"

    @property
    def partial(self) -> Path:
        """Where it is built."""
        return self.run.path / "merged.partial"

    @property
    def state_path(self) -> Path:
        """What the worker last said."""
        return self.run.path / "merged.json"

    @property
    def state(self) -> dict[str, Any]:
        """`state` is empty, working, done or failed; `text` says more."""
        found = {"state": "", "text": ""} | read_json(self.state_path)
        if found["state"] == "working" and not _is_alive(int(found.get("pid", 0))):
            return {"state": "failed", "text": "The process that merged it was ended before it was done."}
        if found["state"] == "done" and not self.folder.is_dir():
            return {"state": "", "text": ""}
        return found

    def zipped(self) -> Iterator[bytes]:
        """The folder as an uncompressed zip, in pieces: it may be larger than the memory."""
        sink = _Sink()
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
            for path in sorted(self.folder.iterdir()):
                with path.open("rb") as source, archive.open(f"merged/{path.name}", "w") as target:
                    while piece := source.read(CHUNK_BYTES):
                        target.write(piece)
                        yield sink.taken()
        yield sink.taken()


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


class _Sink(io.RawIOBase):
    """What the archive writes, until it is taken. It can't seek, so sizes follow each file's bytes."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        """Everything since the last time."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)
