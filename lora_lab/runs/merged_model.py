"""A run's merged model on disk: its folder, its progress, and a zip that is streamed while it is built."""

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_lab.data.lab_folder import read_json
from lora_lab.runs import owner
from lora_lab.runs.folder import RunFolder

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Merged:
    """A run's merged model in `merged/`, and `merged.json` while and after a worker makes it."""

    run: RunFolder

    @property
    def folder(self) -> Path:
        """The folder with safetensors and tokenizer, as transformers opens them."""
        return self.run.path / "merged"

    @property
    def partial(self) -> Path:
        """The folder in which it is built."""
        return self.run.path / "merged.partial"

    @property
    def state_path(self) -> Path:
        """The file with the worker's last state."""
        return self.run.path / "merged.json"

    @property
    def state(self) -> dict[str, Any]:
        """`state` is empty, working, done or failed; `text` has the details."""
        found = {"state": "", "text": ""} | read_json(self.state_path)
        if found["state"] == "working" and not self._is_at_work(int(found.get("pid", 0))):
            return {"state": "failed", "text": "The process that merged it was ended before it was done."}
        if found["state"] == "done" and not self.folder.is_dir():
            return {"state": "", "text": ""}
        return found

    def _is_at_work(self, pid: int) -> bool:
        """Return whether the process that wrote the state is alive."""
        try:
            written_at = self.state_path.stat().st_mtime
        except OSError:
            return False
        return owner.is_alive(pid, since=written_at)

    def stream_zip(self, card: str) -> Iterator[bytes]:
        """Stream folder and model card as an uncompressed zip, in pieces: it may be larger than the
        memory.
        """
        sink = _Sink()
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr("merged/README.md", card.encode(errors="replace"))
            for path in sorted(self.folder.iterdir()):
                name = f"merged/{path.name}"
                # The size is known at the file's end only, and may be above 2 GB.
                with path.open("rb") as source, archive.open(name, "w", force_zip64=True) as target:
                    while piece := source.read(CHUNK_BYTES):
                        target.write(piece)
                        yield sink.take()
        yield sink.take()


class _Sink(io.RawIOBase):
    """A buffer of what the archive writes. It can't seek, so sizes follow each file's bytes."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """Take everything since the last call."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)
