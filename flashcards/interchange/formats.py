"""The reader of each file format, for uploads and for files in the data folder."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from flashcards.interchange.anki_read import read_apkg
from flashcards.interchange.archive import Archive
from flashcards.interchange.entry import CardEntry, CardReading
from flashcards.interchange.markdown import PART, read_markdown
from flashcards.interchange.schema import read_schema
from flashcards.interchange.table import read_csv
from study.base.errors import LearnerError
from study.base.import_limits import FILE_BYTES, check_items, check_size
from study.io.exchange import File

ENDINGS = ("apkg", "colpkg", "csv", "tsv", "txt", "md", "yaml", "yml", "json", "zip")
READABLE = "Anki decks (.apkg), tables (.csv, .txt), Markdown (.md), and decks in our own form (.yaml, .json)"
TEXT_ENDINGS = ("md", "txt")
PACKAGES = ("apkg", "colpkg", "zip")


def read_cards(file: File, *, known: Mapping[str, CardEntry], concepts: Iterable[str]) -> CardReading:
    """Read the cards of a file of any format. Raises LearnerError when it is too large or can't be read."""
    check_size(file.name, len(file.content), package=file.extension in PACKAGES)
    reading = _read_file(file, known=known, concepts=concepts)
    check_items(file.name, len(reading.entries) + len(reading.rejected))
    return reading


def _read_file(file: File, *, known: Mapping[str, CardEntry], concepts: Iterable[str]) -> CardReading:
    match file.extension:
        case "apkg" | "colpkg":
            return read_apkg(file, known=known, concepts=concepts)
        case "txt" if PART.search(file.content.decode("utf-8", "replace")):
            return read_markdown(file)
        case "csv" | "tsv" | "txt":
            return read_csv(file, known=known, concepts=concepts)
        case "md":
            return read_markdown(file)
        case "yaml" | "yml" | "json":
            return read_schema(file)
        case "zip":
            return _read_zip(file, known=known, concepts=concepts)
    raise LearnerError(f"{file.name} is not a kind of file that holds cards.", do_next=f"Choose {READABLE}.")


def _read_zip(file: File, *, known: Mapping[str, CardEntry], concepts: Iterable[str]) -> CardReading:
    """Read several deck files from one archive, such as the Markdown export."""
    archive = Archive(file)
    whole = CardReading()
    for name in archive.names:
        inside = File(name=name, content=b"")
        if inside.extension in ENDINGS and inside.extension != "zip":
            content = archive.read(name, limit_bytes=FILE_BYTES)
            read = read_cards(File(name=name, content=content), known=known, concepts=concepts)
            whole = replace(
                whole,
                entries=whole.entries + read.entries,
                rejected=whole.rejected + read.rejected,
                notes=whole.notes + read.notes,
                histories={**whole.histories, **read.histories},
                suspended=whole.suspended + read.suspended,
            )
    return whole
