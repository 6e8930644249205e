"""Applying an import and undoing it: files of the data folder and rows of the log, all or nothing."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from study.base.errors import LearnerError
from study.content.user_files import digest, read_own_file, write_own_file
from study.io.exchange import Entry, Group, Plan, Report
from study.store import Store
from study.store.imports import ImportRecord, record_import, record_undo
from study.store.merge import Found, add, compare, take_back


@dataclass(frozen=True, kw_only=True)
class Imports:
    """The imports of one app. One import is one record and one undo."""

    store: Store
    home: Path

    def report(self, profile_id: str, plan: Plan) -> Report:
        """Return what a plan would do now (a dry run)."""
        with self.store.database.read() as connection:
            return _report(plan, compare(connection, profile_id, plan.tables))

    def apply(self, profile_id: str, plan: Plan, *, file_name: str, now: datetime) -> Report:
        """Apply a plan in one transaction and record it. When anything raises, the files are restored."""
        written: dict[str, str | None] = {}
        try:
            with self.store.database.write(profile_id) as connection:
                found = compare(connection, profile_id, plan.tables)
                report = _report(plan, found)
                changes = add(connection, profile_id, found)
                changes["files"] = _write_files(self.home, plan.files, written)
                record_import(
                    connection,
                    profile_id,
                    file_name=file_name,
                    counts=report.counts,
                    changes=changes,
                    at=now,
                )
        except BaseException:
            for name, before in written.items():
                write_own_file(self.home, name, before)
            raise
        return report

    def undo(self, profile_id: str, import_id: int, *, now: datetime) -> ImportRecord:
        """Undo one import: everything is as it was before it.

        Raises LearnerError when it was undone already, or when a file was changed after it.
        """
        record = next((r for r in self.standing(profile_id) if r.id == import_id), None)
        if record is None:
            raise LearnerError("That import was taken back already.", do_next="Reload the page.")
        files = record.changes.get("files", {})
        with self.store.database.write(profile_id) as connection:
            _refuse_changed(self.home, files)
            take_back(connection, profile_id, record.changes)
            record_undo(connection, record.id, at=now)
            for name, kept in files.items():
                write_own_file(self.home, name, kept["before"])
        return record

    def standing(self, profile_id: str) -> list[ImportRecord]:
        """Read the imports that can be undone, newest first."""
        return self.store.imports.standing(profile_id)


def _refuse_changed(home: Path, files: Mapping[str, Any]) -> None:
    for name, kept in files.items():
        if digest(read_own_file(home, name)) != kept["after"]:
            raise LearnerError(
                f"{name} was changed after this import, so it can't be taken back.",
                do_next="Take back the later import first, or change the file by hand.",
            )


def _write_files(home: Path, files: Mapping[str, str], written: dict[str, str | None]) -> dict[str, Any]:
    """Write the files; `written` receives their former texts, for a rollback when a later one fails."""
    kept = {}
    for name, text in files.items():
        before = read_own_file(home, name)
        if before == text:
            continue
        written[name] = before
        write_own_file(home, name, text)
        kept[name] = {"before": before, "after": digest(text)}
    return kept


def _report(plan: Plan, found: list[Found]) -> Report:
    by_table: dict[str, list[Entry]] = defaultdict(list)
    for row in found:
        by_table[row.table.name].append(Entry(verdict=row.verdict, item="", why=row.why))
    rows = tuple(
        Group(title=name.replace("_", " ").capitalize(), entries=tuple(entries))
        for name, entries in by_table.items()
    )
    return Report(groups=(*plan.groups, *rows), notes=plan.notes)
