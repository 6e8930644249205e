"""Data sets that learners upload: stored under their digest, by which a setting names them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from lora_lab.data.datasets import Dataset, Example, build_own_dataset, read_upload
from lora_lab.data.lab_folder import read_json, write_json
from lora_lab.spec import OWN_DATA
from study.base.errors import LearnerError

ReadDataset = Callable[[str, bytes], Dataset]
DIGEST = re.compile(r"^[0-9a-f]{12}$")


@dataclass(frozen=True)
class Uploads:
    """A folder with one JSON file per data set."""

    folder: Path

    def add(self, name: str, content: bytes, *, read: ReadDataset = read_upload) -> Dataset:
        """Check and store a file. Raises LearnerError that names every bad line."""
        return self._store(read(name, content))

    def adopt(self, dataset: Dataset) -> Dataset:
        """Store a data set that came with a run; if one with the same examples exists, return that one."""
        stored = (parse_stored(read_json(path)) for path in sorted(self.folder.glob("*.json")))
        parts = (dataset.train, dataset.held_out)
        known = (own for own in (build_own_dataset(), *stored) if own and (own.train, own.held_out) == parts)
        return next(known, None) or self._store(dataset)

    def name_dataset(self, dataset: Dataset) -> str:
        """Name the data set as a setting refers to it."""
        return OWN_DATA if dataset.digest == build_own_dataset().digest else dataset.digest

    def find_digest(self, data: str) -> str:
        """Find the digest of the data set that a setting names, whether it still exists or not."""
        return build_own_dataset().digest if data == OWN_DATA else data

    def _store(self, dataset: Dataset) -> Dataset:
        write_json(self.folder / f"{dataset.digest}.json", asdict(dataset))
        return dataset

    def find(self, data: str) -> Dataset:
        """Find the data set that a setting names. Raises LearnerError when it doesn't exist here."""
        own = build_own_dataset()
        if data == OWN_DATA:
            return own
        kept = read_json(self.folder / f"{data}.json") if DIGEST.match(data) else {}
        found = parse_stored(kept)
        if found is None:
            raise LearnerError(
                "That data set is not on this machine.", do_next="Choose your file again, or the app's cards."
            )
        return found

    def with_damaged(self) -> tuple[list[tuple[str, str]], list[Path]]:
        """List digest and file name of every data set, and all that can't be read; each newest first."""
        labels, damaged = [], []
        written_ns = {path: path.stat().st_mtime_ns for path in self.folder.glob("*.json")}
        for path in sorted(written_ns, key=written_ns.__getitem__, reverse=True):
            try:
                labels.append((path.stem, _read_label(path, written_ns[path])))
            except ValueError:
                damaged.append(path)
        return labels, damaged


@lru_cache(maxsize=1024)  # each opening of Lab and Grid lists them, and a data set has up to 2 MB
def _read_label(path: Path, _written_ns: int) -> str:
    """Read the file name of a stored data set. Raises ValueError, which is not cached, for a damaged one."""
    stored = parse_stored(read_json(path))
    if stored is None:
        raise ValueError(f"{path.name} is damaged")
    return stored.label


def parse_stored(kept: Mapping[str, Any]) -> Dataset | None:
    """Parse a data set as JSON has it; None for a missing or damaged one."""
    try:
        train, held_out = (tuple(Example(**item) for item in kept[part]) for part in ("train", "held_out"))
        label, digest = kept["label"], kept["digest"]
    except (KeyError, TypeError):
        return None
    texts = [label, digest, *(text for item in (*train, *held_out) for text in (item.prompt, item.answer))]
    if not all(isinstance(text, str) for text in texts) or not train or not held_out:
        return None
    return Dataset(label=label, digest=digest, train=train, held_out=held_out)
