"""A process that ends between the files of an import and its commit leaves neither."""

import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from study.base.settings import Settings
from study.content.user_files import compute_digest, read_own_file, write_own_file
from study.io.apply_import import Imports
from study.io.exchange import ImportEntry, ImportGroup, ImportPlan
from study.io.unfinished_import import FileChange, note_changes, restore_unfinished
from study.store import Store

NAME = "decks/mine.imported.json"
NEW = '{"cards": [{"id": "one"}]}'
KILLED = """
import os, sys
from datetime import datetime
from pathlib import Path
from study.io import apply_import
from study.store import open_store
from tests.study.io.test_unfinished_import import plan_of

def end(*arguments, **values):
    os._exit(9)

apply_import.record_import = end
url, home, profile, now = sys.argv[1:]
imports = apply_import.Imports(store=open_store(url), home=Path(home))
imports.apply(profile, plan_of(), file_name="mine.csv", now=datetime.fromisoformat(now))
"""


def plan_of() -> ImportPlan:
    group = ImportGroup(title="Cards", entries=(ImportEntry(verdict="new", item="one"),))
    return ImportPlan(groups=(group,), files={NAME: NEW})


@pytest.fixture
def imports(store: Store, settings: Settings) -> Imports:
    return Imports(store=store, home=settings.home)


def notes(home: Path) -> list[Path]:
    return list((home / "imports").glob("unfinished-*"))


def test_files_of_a_killed_import_are_taken_back(
    imports: Imports, store: Store, settings: Settings, ana: str, now: datetime
) -> None:
    arguments = (settings.database_url, str(settings.home), ana, now.isoformat())
    ended = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False)
    assert ended.returncode == 9
    assert read_own_file(settings.home, NAME) == NEW
    assert imports.store.imports.list_undoable(ana) == []
    restore_unfinished(store, settings.home)
    assert read_own_file(settings.home, NAME) is None
    assert notes(settings.home) == []


def test_a_finished_import_and_undo_leave_no_note(
    imports: Imports, settings: Settings, ana: str, now: datetime
) -> None:
    imports.apply(ana, plan_of(), file_name="mine.csv", now=now)
    assert notes(settings.home) == []
    [record] = imports.store.imports.list_undoable(ana)
    imports.undo(ana, record.id, now=now)
    assert notes(settings.home) == []
    assert read_own_file(settings.home, NAME) is None


def test_an_import_that_was_committed_stays(
    imports: Imports, store: Store, settings: Settings, ana: str, now: datetime
) -> None:
    imports.apply(ana, plan_of(), file_name="mine.csv", now=now)
    change = FileChange(before=None, after=compute_digest(NEW))
    note_changes(settings.home, ana, {NAME: change}, imported_at=now)
    restore_unfinished(store, settings.home)
    assert read_own_file(settings.home, NAME) == NEW
    assert notes(settings.home) == []


def test_an_undo_that_was_cut_off_has_not_happened(
    imports: Imports, store: Store, settings: Settings, ana: str, now: datetime
) -> None:
    imports.apply(ana, plan_of(), file_name="mine.csv", now=now)
    [record] = imports.store.imports.list_undoable(ana)
    change = FileChange(before=NEW, after=compute_digest(None))
    note_changes(settings.home, ana, {NAME: change}, undone=record.id)
    write_own_file(settings.home, NAME, None)
    restore_unfinished(store, settings.home)
    assert read_own_file(settings.home, NAME) == NEW
    imports.undo(ana, record.id, now=now)
    assert read_own_file(settings.home, NAME) is None


def test_a_file_that_was_changed_since_stays_as_it_is(
    store: Store, settings: Settings, ana: str, now: datetime
) -> None:
    change = FileChange(before=None, after=compute_digest(NEW))
    note_changes(settings.home, ana, {NAME: change}, imported_at=now + timedelta(days=1))
    write_own_file(settings.home, NAME, '{"cards": []}')
    restore_unfinished(store, settings.home)
    assert read_own_file(settings.home, NAME) == '{"cards": []}'
