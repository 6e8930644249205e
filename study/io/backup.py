"""Export and restore of a whole profile as one JSON file: logs, drafts, preferences and own files."""

import json
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from study.base.days import format_day
from study.base.errors import LearnerError
from study.base.import_limits import PACKAGE_BYTES
from study.content.user_files import OwnFilesCheck, is_safe, read_own_file, read_own_files
from study.io.backup_text import read_document, split_document, write_document
from study.io.exchange import File, Format, ImportEntry, ImportPlan, gather_group, reject_item
from study.io.row_titles import name_table
from study.store import Store
from study.store.logs.preferences import check_preference
from study.store.rows import RowTexts, list_owned_tables, read_rows

FORMAT = "lora-study-backup"
NAME = "lora-study-backup"
FILES_GROUP = "Own decks and questions"
PART_BYTES = PACKAGE_BYTES - 1_000_000
STEP = 8  # version of the tables in it; raise it with a change that an older app can't restore

RowProblem = Callable[[str, Mapping[str, Any]], str]
"""A function that returns what is wrong with a row that only its owner can check; empty if it is valid."""


@dataclass(frozen=True, kw_only=True)
class BackupExchange:
    store: Store
    home: Path
    row_problem: RowProblem
    title: str = "Everything"
    readable: str = "backups of this app (.json, .json.gz)"
    formats: Sequence[Format] = (
        Format(
            name="json",
            label="Backup",
            hint="JSON with every rating, answer, explanation, draft, preference and own deck",
        ),
    )

    def check_own_files(self) -> OwnFilesCheck:
        """Find nothing wrong, because the app doesn't read a backup again after the import."""
        return OwnFilesCheck()

    def reads(self, file: File) -> bool:
        return file.extension in ("json", "gz") and FORMAT.encode() in _unpack(file)[:2000]

    def export(self, profile_id: str, name: str, *, now: datetime) -> list[File]:
        """Return the backup as one file, or as several where one would be too large to import."""
        document, named = build_backup(self.store, self.home, profile_id, now=now), f"{NAME}-{now:%Y-%m-%d}"
        whole = write_document(document)
        if len(whole) <= PART_BYTES:
            return [File(name=f"{named}.{name}", content=whole)]
        parts = list(split_document(document, most_bytes=PART_BYTES))
        return [
            File(name=f"{named}-{number}-of-{len(parts)}.{name}", content=write_document(part))
            for number, part in enumerate(parts, start=1)
        ]

    def plan(self, profile_id: str, file: File, *, now: datetime) -> ImportPlan:
        """Plan the restore; existing data is never lost."""
        found = _read_backup(file)
        entries = [self._judge_file(name, text) for name, text in found["files"].items()]
        wanted = {entry.item for entry in entries if entry.verdict in ("new", "changed")}
        tables, refused = self._read_tables(found["tables"])
        return ImportPlan(
            groups=(*gather_group(FILES_GROUP, entries), *gather_group("Not readable", refused)),
            notes=(f"A backup of {found['profile']}, made on {_format_made(found['made_at'])}.",),
            files={name: found["files"][name] for name in wanted},
            files_group=FILES_GROUP,
            tables=tables,
        )

    def _judge_file(self, name: str, text: object) -> ImportEntry:
        if not is_safe(name) or not isinstance(text, str):
            return reject_item(name, "not a name for a deck or question file of your own")
        here = read_own_file(self.home, name)
        return ImportEntry(
            verdict="same" if here == text else "new" if here is None else "changed", item=name
        )

    def _find_problem(self, name: str, row: Any) -> str:
        if not isinstance(row, dict):
            return "it isn't a row of a table"
        if name == "preferences":  # every page reads them, so an invalid one would break all pages
            return check_preference(row.get("name"), row.get("value"))
        return self.row_problem(name, row)

    def _read_tables(self, given: Mapping[str, Any]) -> tuple[dict[str, RowTexts], list[ImportEntry]]:
        tables: dict[str, RowTexts] = {}
        refused: list[ImportEntry] = []
        known = {table.name for table in list_owned_tables()}
        for name, rows in given.items():
            if name not in known or not isinstance(rows, RowTexts):
                refused.append(reject_item(str(name), "this app keeps no such list"))
                continue
            problems = [self._find_problem(name, row) for row in rows]
            usable = [text for text, problem in zip(rows.texts, problems, strict=True) if not problem]
            tables[name] = RowTexts(usable)
            refused += [
                ImportEntry(verdict="rejected", item=name_table(name), why=problem, count=count)
                for problem, count in Counter(filter(None, problems)).items()
            ]
        return tables, refused


def build_backup(store: Store, home: Path, profile_id: str, *, now: datetime) -> dict[str, Any]:
    with store.database.read() as connection:
        tables = read_rows(connection, profile_id)
    profile = store.profiles.find(profile_id)
    assert profile is not None
    return {
        "format": FORMAT,
        "version": 1,
        "step": STEP,
        "made_at": now.isoformat(),
        "profile": profile.name,
        "tables": tables,
        "files": read_own_files(home),
    }


def _read_backup(file: File) -> dict[str, Any]:
    try:
        content = _unpack(file)
        found = read_document(content.decode(json.detect_encoding(content)))
    except (ValueError, RecursionError) as error:
        raise LearnerError(
            f"{file.name} is damaged or incomplete: {error}.",
            do_next="Download the backup again, or choose another one.",
        ) from error
    shape = {"tables": dict, "files": dict, "profile": str, "made_at": str, "step": int}
    if not all(isinstance(found.get(name), kind) for name, kind in shape.items()):
        raise LearnerError(f"{file.name} is not a backup of this app.", do_next="Choose another file.")
    if found["step"] > STEP or found.get("version") != 1:
        raise LearnerError(
            f"{file.name} is from a newer version of the app.",
            do_next="Update the app, then import it again.",
        )
    return found


def _format_made(written: str) -> str:
    """Format the day of a backup as every page does; a damaged one as it is written."""
    try:
        return format_day(datetime.fromisoformat(written))
    except ValueError:
        return written[:10]


def _unpack(file: File) -> bytes:
    if file.extension != "gz":
        return file.content
    try:
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        content = unpacker.decompress(file.content, PACKAGE_BYTES)
    except zlib.error as error:
        raise LearnerError(f"{file.name} can't be unpacked.", do_next="Choose another file.") from error
    if unpacker.unconsumed_tail:
        raise LearnerError(
            f"{file.name} unpacks to more than {PACKAGE_BYTES // 10**6} MB.", do_next="Choose another file."
        )
    return content
