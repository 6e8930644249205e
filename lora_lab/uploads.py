"""Data sets that learners brought: kept under their digest, so that a setting can name them."""

import base64
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from lora_lab.datasets import MAX_FILE_BYTES, Dataset, Example, own_dataset, read_upload
from lora_lab.home import read_json, write_json
from lora_lab.spec import OWN_DATA
from study.errors import LearnerError

BASE64_LIMIT = MAX_FILE_BYTES * 2  # letters; base64 takes a third more than the bytes
DIGEST = re.compile(r"^[0-9a-f]{12}$")


@dataclass(frozen=True)
class Uploads:
    """One JSON file for each data set."""

    folder: Path

    def add(self, name: str, content: bytes) -> Dataset:
        """Check and keep a file. Raises LearnerError that names every bad line."""
        dataset = read_upload(name, content)
        write_json(self.folder / f"{dataset.digest}.json", json.loads(json.dumps(asdict(dataset))))
        return dataset

    def receive(self, name: str, base64_content: str) -> Dataset:
        """Check and keep a file as a page sends it. Raises LearnerError as `add` does."""
        try:
            content = base64.b64decode(base64_content, validate=True)
        except ValueError as error:
            raise LearnerError(f"{name} did not arrive whole.", do_next="Choose it again.") from error
        return self.add(name, content)

    def find(self, data: str) -> Dataset:
        """The data set that a setting names. Raises LearnerError when it is not here."""
        own = own_dataset()
        if data == OWN_DATA:
            return own
        kept = read_json(self.folder / f"{data}.json") if DIGEST.match(data) else {}
        if not kept:
            raise LearnerError(
                "That data set is not on this machine.", do_next="Choose your file again, or the app's cards."
            )
        train, held_out = (tuple(Example(**item) for item in kept[part]) for part in ("train", "held_out"))
        return Dataset(label=kept["label"], digest=kept["digest"], train=train, held_out=held_out)

    def labels(self) -> list[tuple[str, str]]:
        """Digest and file name of every data set kept, newest first."""
        found = sorted(self.folder.glob("*.json"), key=_changed, reverse=True)
        return [(path.stem, str(read_json(path).get("label", path.stem))) for path in found]


def _changed(path: Path) -> float:
    return path.stat().st_mtime
