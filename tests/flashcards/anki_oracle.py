"""The real Anki, as far as the tests need it: a collection in a folder, its imports and its exports."""

import io
import json
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from anki.collection import (
    Collection,
    ExportAnkiPackageOptions,
    ImportAnkiPackageOptions,
    ImportAnkiPackageRequest,
    ImportCsvRequest,
)


@contextmanager
def collection(folder: Path) -> Iterator[Collection]:
    """An empty collection."""
    folder.mkdir(parents=True, exist_ok=True)
    opened = Collection(str(folder / "collection.anki2"))
    yield opened
    opened.close()


def take_package(anki: Collection, path: Path) -> dict[str, int]:
    """What Anki says of importing a package."""
    request = ImportAnkiPackageRequest(package_path=str(path), options=ImportAnkiPackageOptions())
    return _counts(anki.import_anki_package(request).log)


def take_table(anki: Collection, path: Path) -> dict[str, int]:
    """What Anki says of importing a CSV file with nothing but its header to go by."""
    metadata = anki.get_csv_metadata(path=str(path), delimiter=None)
    return _counts(anki.import_csv(ImportCsvRequest(path=str(path), metadata=metadata)).log)


def give_package(anki: Collection, path: Path, *, legacy: bool) -> bytes:
    """A package of everything with its scheduling, in the old or the new format."""
    options = ExportAnkiPackageOptions(
        with_scheduling=True, with_media=True, with_deck_configs=False, legacy=legacy
    )
    anki.export_anki_package(out_path=str(path), limit=None, options=options)
    return path.read_bytes()


def as_first_generation(package: bytes) -> bytes:
    """A package of the second generation as the first wrote it: the same tables under the older name."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(package)) as given, zipfile.ZipFile(packed, "w") as made:
        made.writestr("collection.anki2", given.read("collection.anki21"))
        made.writestr("media", given.read("media"))
    return packed.getvalue()


def without_templates(package: bytes) -> bytes:
    """A package of the second generation whose note types have lost their templates."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(package)) as given, zipfile.ZipFile(packed, "w") as made:
        database = sqlite3.connect(":memory:")
        database.deserialize(given.read("collection.anki21"))
        [[models]] = database.execute("SELECT models FROM col")
        damaged = {number: {**model, "tmpls": []} for number, model in json.loads(models).items()}
        database.execute("UPDATE col SET models = ?", [json.dumps(damaged)])
        database.commit()
        made.writestr("collection.anki21", database.serialize())
        database.close()
    return packed.getvalue()


def _counts(log: Any) -> dict[str, int]:
    return {name: len(getattr(log, name)) for name in ("new", "updated", "duplicate", "conflicting")}
