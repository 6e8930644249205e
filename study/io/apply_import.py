"""Applying an import and undoing it: files of the data folder and rows of the log, all or nothing."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from study.base.errors import LearnerError, StaleError
from study.base.yaml_loader import load_yaml
from study.content.user_files import compute_digest, read_own_file, write_own_file
from study.io.exchange import ImportEntry, ImportGroup, ImportPlan, ImportReport
from study.io.row_titles import OTHER, name_table
from study.io.unfinished_import import (
    FileChange,
    forget_changes,
    list_changes,
    note_changes,
    restore_unfinished,
    take_back_files,
)
from study.store import Store
from study.store.database import AdvisoryLock, wait_for_turn
from study.store.logs.imports import ImportRecord, record_import, record_undo
from study.store.merge import add_rows, take_back
from study.store.row_verdicts import MergedRow, RowVerdict, compare_rows

VerdictCounts = Counter[tuple[str, RowVerdict, str]]
"""How many rows of a table have a verdict, for a reason."""


@dataclass(frozen=True, kw_only=True)
class UndoneImport:
    """An import that was undone, and what stays of it and of the time since."""

    record: ImportRecord
    stays: Mapping[str, int]
    """Imported rows that the learner has continued or changed since, counted by table; undo leaves them."""

    answered: int
    """Ratings and answers given since to cards and questions that are gone now; they stay in the log."""


@dataclass(frozen=True, kw_only=True)
class Imports:
    """The imports of one app. One import is one record and one undo."""

    store: Store
    home: Path

    def report(self, profile_id: str, plan: ImportPlan) -> ImportReport:
        """Return what a plan would do now (a dry run)."""
        counts: VerdictCounts = Counter()
        with self.store.database.read() as connection:
            for _ in _count_rows(compare_rows(connection, profile_id, plan.tables), counts):
                pass
        return _build_report(plan, counts)

    def apply(self, profile_id: str, plan: ImportPlan, *, file_name: str, now: datetime) -> ImportReport:
        """Apply a plan in one transaction and record it. If anything raises, the files are restored.

        Raises StaleError when a file is no longer what the plan was made from.
        """
        files: dict[str, FileChange] = {}
        restore_unfinished(self.store, self.home)
        try:
            with self.store.database.write(profile_id) as connection:
                wait_for_turn(connection, AdvisoryLock.OWN_FILES)
                _refuse_stale(self.home, plan)
                counts: VerdictCounts = Counter()
                found = compare_rows(connection, profile_id, plan.tables)
                changes = add_rows(connection, profile_id, _count_rows(found, counts))
                report = _build_report(plan, counts)
                files = list_changes(self.home, plan.files)
                note_changes(self.home, profile_id, files, imported_at=now)
                for name in files:
                    write_own_file(self.home, name, plan.files[name])
                changes["files"] = {name: asdict(change) for name, change in files.items()}
                import_id = record_import(
                    connection, profile_id, file_name=file_name, counts=report.counts, changes=changes, at=now
                )
        except BaseException:
            take_back_files(self.home, files)
            forget_changes(self.home, profile_id)
            raise
        forget_changes(self.home, profile_id)
        return replace(report, import_id=import_id)

    def undo(self, profile_id: str, import_id: int, *, now: datetime) -> UndoneImport:
        """Undo one import: what it added goes, what it changed is restored, no answer given since is lost.

        Raises LearnerError when it was undone already, or when a file was changed after it.
        """
        restore_unfinished(self.store, self.home)
        with self.store.database.write(profile_id) as connection:
            wait_for_turn(connection, AdvisoryLock.OWN_FILES)
            record = self.store.imports.find_undoable(profile_id, import_id)  # another window may undo it
            if record is None:
                raise LearnerError("That import has already been undone.", do_next="Reload the page.")
            files = record.changes.get("files", {})
            _refuse_changed(self.home, files)
            gone = {
                item
                for name, kept in files.items()
                for item in _read_ids(read_own_file(self.home, name)) - _read_ids(kept["before"])
            }
            stays = take_back(connection, profile_id, record.changes)
            record_undo(connection, record.id, at=now)
            former = {name: kept["before"] for name, kept in files.items()}
            note_changes(self.home, profile_id, list_changes(self.home, former), undone=record.id)
            for name, text in former.items():
                write_own_file(self.home, name, text)
        forget_changes(self.home, profile_id)
        answered = self._count_answered(profile_id, gone, since=record.imported_at)
        return UndoneImport(record=record, stays=stays, answered=answered)

    def _count_answered(self, profile_id: str, items: set[str], *, since: datetime) -> int:
        rated = [review.card_id for review in self.store.cards.history(profile_id, since=since)]
        answers = self.store.quizzes.history(profile_id)
        asked = [answer.question_id for answer in answers if answer.answered_at >= since]
        # A cloze note's cards are `note--1`, `note--2`; a question's id has no such suffix.
        return sum(item.partition("--")[0] in items for item in (*rated, *asked))


def _refuse_stale(home: Path, plan: ImportPlan) -> None:
    for name, digest in plan.read_from.items():
        if compute_digest(read_own_file(home, name)) != digest:
            raise StaleError(
                f"{name} has just been changed elsewhere, so nothing was saved.", do_next="Try again."
            )


def _refuse_changed(home: Path, files: Mapping[str, Any]) -> None:
    for name, kept in files.items():
        if compute_digest(read_own_file(home, name)) != kept["after"]:
            raise LearnerError(
                f"{name} was changed after this import, so undoing it would lose that change.",
                do_next="Undo the later import first, or change the file by hand.",
            )


def _read_ids(text: str | None) -> set[str]:
    """Read the ids of the cards or questions of a file; none if it is not in our own form."""
    try:
        found = load_yaml(text or "")  # reads JSON as well
    except yaml.YAMLError:
        return set()
    listed = [] if not isinstance(found, dict) else [*found.get("cards", ()), *found.get("questions", ())]
    return {str(item["id"]) for item in listed if isinstance(item, dict) and "id" in item}


def _count_rows(found: Iterable[MergedRow], counts: VerdictCounts) -> Iterator[MergedRow]:
    """Count the rows' verdicts as they pass, so that they needn't be held in memory."""
    for row in found:
        counts[row.table.name, row.verdict, row.why] += 1
        yield row


def _build_report(plan: ImportPlan, counts: VerdictCounts) -> ImportReport:
    by_title: dict[str, list[ImportEntry]] = defaultdict(list)
    for (name, verdict, why), count in counts.items():
        by_title[name_table(name)].append(ImportEntry(verdict=verdict, item="", why=why, count=count))
    listed = sorted(by_title.items(), key=lambda each: each[0] == OTHER)
    rows = tuple(ImportGroup(title=title, entries=tuple(entries)) for title, entries in listed)
    return ImportReport(groups=(*plan.groups, *rows), notes=plan.notes)
