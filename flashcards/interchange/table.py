"""Cards as CSV or tab-separated text with Anki's header lines.

The header names the columns for Anki, so importing the file again updates notes by their guid. A cell that a
spreadsheet would evaluate as a formula begins with an HTML entity instead, which no spreadsheet evaluates and
every HTML reader decodes.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from html import escape

from flashcards.interchange.anki_read import decode_guid
from flashcards.interchange.anki_write import DECK_PREFIX, accept_to_html, build_guid
from flashcards.interchange.entry import CardEntry, CardReading, format_tags, read_tags
from study.base.errors import LearnerError
from study.base.import_limits import check_items, limit_csv_fields
from study.base.spreadsheets import build_row_error, decode_table, is_formula
from study.io.exchange import File, reject_item, shorten
from study.text.html_import import convert_html, escape_plain, to_html

COLUMNS = ("guid", "deck", "Front", "Back", "tags", "Why", "Source", "Id", "Kind", "Accept")
_HEADER = {"separator": "Comma", "html": "true", "notetype": "Basic", "guid column": "1", "deck column": "2",
           "tags column": "5", "columns": ",".join(COLUMNS)}  # fmt: skip
_SEPARATORS = {"comma": ",", "tab": "\t", "semicolon": ";", "pipe": "|", "colon": ":", "space": " "}
_HEADER_LINE = re.compile(r"#([a-z ]+):(.*)")
_NAMES = {
    "front": {"front", "question", "term", "prompt", "q"},
    "back": {"back", "answer", "definition", "a"},
    "why": {"why", "extra", "explanation"},
    "source": {"source"},
    "id": {"id"},
    "guid": {"guid"},
    "deck": {"deck"},
    "tags": {"tags", "tag"},
    "kind": {"kind"},
    "accept": {"accept"},
}


def write_csv(entries: Iterable[CardEntry]) -> bytes:
    """Write all entries to one file that Anki, a spreadsheet and this app read."""
    text = io.StringIO()
    text.writelines(f"#{name}:{value}\n" for name, value in _HEADER.items())
    writer = csv.writer(text, lineterminator="\n")
    for entry in entries:
        cells = (
            build_guid(entry),
            escape(f"{DECK_PREFIX}{entry.deck}", quote=False),
            to_html(entry.front or entry.text),
            to_html(entry.back),
            " ".join(format_tags(entry)),
            to_html(entry.why),
            to_html(entry.source),
            entry.id,
            entry.kind,
            accept_to_html(entry),
        )
        writer.writerow([_neutralize(cell) for cell in cells])
    return text.getvalue().encode()


def read_csv(file: File, *, known: Mapping[str, CardEntry], concepts: Iterable[str]) -> CardReading:
    """Read the cards of a file with Anki's headers, a row of names, or neither: then front, back, tags."""
    header, rows = _read_rows(file)
    names = _take_column_names(header, rows)
    html = header.get("html", "false").strip().lower() == "true"
    ours = {build_guid(entry): entry.id for entry in known.values()}
    entries, rejected = [], []
    for line, row in rows:
        cells = {name: cell for name, cell in zip(names, row, strict=False) if name}
        entry = _read_entry(cells, html=html, line=line, deck=header.get("deck", "").strip() or file.stem)
        if not (entry.front and entry.back) and entry.kind != "cloze":
            why = f"{file.name}:{line}  the {'back' if entry.front else 'front'} is empty"
            rejected.append(reject_item(shorten(entry.front or entry.back), why))
            continue
        guid = convert_html(cells.get("guid", ""))
        entry_id = entry.id or ours.get(guid) or (decode_guid(guid) if guid else "")
        tags = convert_html(cells.get("tags", "")).split() + header.get("tags", "").split()
        entries.append(replace(entry, id=entry_id, **read_tags(tags, concepts)))
    return CardReading(entries=tuple(entries), rejected=tuple(rejected))


def _read_entry(cells: Mapping[str, str], *, html: bool, line: int, deck: str) -> CardEntry:
    read = convert_html if html else escape_plain
    text = {name: read(cells.get(name, "")) for name in ("front", "back", "why", "source")}
    cloze = cells.get("kind") == "cloze"
    return CardEntry(
        deck=(convert_html(cells.get("deck", "")) or deck).removeprefix(DECK_PREFIX),
        id=cells.get("id", "").strip(),
        kind=cells.get("kind", "").strip() or "basic",
        text=text["front"] if cloze else "",
        front="" if cloze else text["front"],
        back=text["back"],
        why=text["why"],
        source=text["source"],
        accept=tuple(read(cells.get("accept", "")).splitlines()),
        line=line,
    )


def _read_rows(file: File) -> tuple[dict[str, str], list[tuple[int, list[str]]]]:
    header: dict[str, str] = {}
    lines = decode_table(file.name, file.content).splitlines(keepends=True)
    length = 0  # in lines; a name may occur in several of them, the last one counts
    while length < len(lines) and (found := _HEADER_LINE.fullmatch(lines[length].rstrip())):
        header[found[1]] = found[2]
        length += 1
    body = "".join(lines[length:])
    limit_csv_fields()
    separator = _detect_separator(header, file, body)
    if separator == '"':
        raise LearnerError(
            f"{file.name} names a quotation mark as its separator.",
            do_next="Write “#separator:Comma”, then import it again.",
        )
    reader = csv.reader(io.StringIO(body, newline=None), delimiter=separator)
    rows = []
    try:
        for row in reader:
            if any(cell.strip() for cell in row) and not (row[0].startswith("#") and len(row) == 1):
                rows.append((reader.line_num + length, row))
                check_items(file.name, len(rows))
    except csv.Error as error:
        raise build_row_error(file.name, reader.line_num + length, error) from error
    return header, rows


def _detect_separator(header: Mapping[str, str], file: File, body: str) -> str:
    named = header.get("separator", "").strip()
    if named:
        return _SEPARATORS.get(named.lower(), named[:1])
    first = body.partition("\n")[0]
    if file.extension == "txt" and not header and "\t" not in first:
        # A comma in a line of plain notes parts no front from a back; a table has as many in every line.
        rows = [line for line in body.splitlines() if line.strip()]
        counts = {mark: {row.count(mark) for row in rows} for mark in (";", ",")}
        return next((mark for mark, found in counts.items() if len(found) == 1 and 0 not in found), "\t")
    usual = "\t" if file.extension in ("txt", "tsv") else ","
    return max((usual, "\t", ";", ","), key=first.count)


def _take_column_names(header: Mapping[str, str], rows: list[tuple[int, list[str]]]) -> list[str]:
    """Take what each column holds; a first row of names is removed from the rows."""
    if "columns" in header:
        written = next(csv.reader([header["columns"]], delimiter=_SEPARATORS.get(
            header.get("separator", "").strip().lower(), ",")))  # fmt: skip
    elif rows and {_match_column(cell) for cell in rows[0][1]} >= {"front", "back"}:
        written = rows.pop(0)[1]
    else:
        written = ["front", "back", "tags"]
    names = [_match_column(name) for name in written]
    for kind in ("guid", "deck", "tags"):
        column = header.get(f"{kind} column", "").strip()
        if column.isdecimal() and 0 < int(column) <= 100:
            names += [""] * (int(column) - len(names))
            names[int(column) - 1] = kind
    if "front" not in names:  # the other columns are the fields of a note, in order
        free = [place for place, name in enumerate(names) if not name]
        for place, name in zip(free, ("front", "back"), strict=False):
            names[place] = name
    return names


def _match_column(written: str) -> str:
    word = written.strip().lower()
    return next((name for name, words in _NAMES.items() if word in words), "")


def _neutralize(cell: str) -> str:
    return f"&#{ord(cell[0])};{cell[1:]}" if is_formula(cell) else cell
