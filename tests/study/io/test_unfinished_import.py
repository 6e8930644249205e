"""A process that ends between the files of an import and its commit leaves neither."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import lora_lab.quantities  # noqa: F401 - registers what a `check:` may name
from flashcards.interchange.exchange import build_card_exchange
from study.base.errors import LearnerError, StaleError
from study.base.settings import Settings
from study.content.concepts import ConceptMap
from study.content.user_files import compute_digest, read_own_file, replace_file, write_own_file
from study.io import apply_import
from study.io.apply_import import Imports
from study.io.exchange import File, ImportEntry, ImportGroup, ImportPlan
from study.io.planning import plan_import
from study.io.unfinished_import import FileChange, list_changes, note_changes, restore_unfinished
from study.store import Store, merge

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


def test_of_two_undos_at_once_the_second_is_told_so(
    imports: Imports, settings: Settings, ana: str, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    imports.apply(ana, plan_of(), file_name="mine.csv", now=now)
    [record] = imports.store.imports.list_undoable(ana)
    is_under_way, may_go_on = threading.Event(), threading.Event()
    take_back = merge.take_back

    def take_back_slowly(*arguments: Any) -> dict[str, int]:
        is_under_way.set()
        assert may_go_on.wait(30)
        return take_back(*arguments)

    monkeypatch.setattr(apply_import, "take_back", take_back_slowly)
    with ThreadPoolExecutor(2) as windows:
        first = windows.submit(imports.undo, ana, record.id, now=now)
        assert is_under_way.wait(30)
        second = windows.submit(imports.undo, ana, record.id, now=now)
        wait([second], timeout=0.3)  # it waits for the first one's transaction
        may_go_on.set()
        first.result(30)
        with pytest.raises(LearnerError, match="That import has already been undone"):
            second.result(30)


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


def test_a_file_that_is_not_utf_8_gets_its_bytes_back(
    store: Store, settings: Settings, ana: str, now: datetime
) -> None:
    latin, name = "# caf\xe9".encode("latin-1"), "decks/mine.md"
    replace_file(settings.home / name, latin)
    changes = list_changes(settings.home, {name: NEW})
    note_changes(settings.home, ana, changes, imported_at=now)
    write_own_file(settings.home, name, NEW)
    restore_unfinished(store, settings.home)
    assert (settings.home / name).read_bytes() == latin


@pytest.mark.parametrize(
    "written",
    [
        "",
        '{"imported_at": "2026-',
        "\xff",
        "[" * 100_000,
        "[]",
        "{}",
        '{"imported_at": "today", "undone": 0, "files": {}}',
        '{"imported_at": "", "undone": 1, "files": {"decks/mine.imported.json": null}}',
        '{"imported_at": "", "undone": "x", "files": {}}',
    ],
)
def test_a_note_that_was_cut_off_or_damaged_keeps_no_app_from_starting(
    store: Store, settings: Settings, ana: str, written: str
) -> None:
    write_own_file(settings.home, NAME, NEW)
    (settings.home / "imports").mkdir()
    (settings.home / "imports" / f"unfinished-{ana}.json").write_bytes(written.encode("latin-1"))
    restore_unfinished(store, settings.home)
    assert read_own_file(settings.home, NAME) == NEW
    assert notes(settings.home) == []


def test_a_folder_with_the_name_of_a_note_is_left_alone(
    imports: Imports, store: Store, settings: Settings, ana: str, now: datetime
) -> None:
    folder = settings.home / "imports" / "unfinished-x.json"
    (folder / "inside").mkdir(parents=True)
    change = FileChange(before=None, after=compute_digest(NEW))
    note_changes(settings.home, ana, {NAME: change}, imported_at=now)
    write_own_file(settings.home, NAME, NEW)
    restore_unfinished(store, settings.home)
    assert read_own_file(settings.home, NAME) is None  # the note beside it is read
    assert notes(settings.home) == [folder]
    imports.apply(ana, plan_of(), file_name="mine.csv", now=now)
    assert (folder / "inside").is_dir()


def test_two_imports_planned_from_one_state_of_a_deck_do_not_overwrite_each_other(
    imports: Imports, settings: Settings, ana: str, now: datetime
) -> None:
    first, second = (replace(plan_of(), read_from={NAME: compute_digest(None)}) for _ in range(2))
    imports.apply(ana, first, file_name="mine.csv", now=now)
    with pytest.raises(StaleError, match=r"mine\.imported\.json has just been changed elsewhere"):
        imports.apply(ana, replace(second, files={NAME: "{}"}), file_name="other.csv", now=now)
    assert read_own_file(settings.home, NAME) == NEW
    [record] = imports.store.imports.list_undoable(ana)
    imports.undo(ana, record.id, now=now)
    assert read_own_file(settings.home, NAME) is None


def test_a_plan_knows_what_the_files_were_that_it_changes(
    store: Store, settings: Settings, ana: str, now: datetime, concepts: ConceptMap
) -> None:
    exchange, imports = (
        build_card_exchange(store, settings.home, concepts),
        Imports(store=store, home=settings.home),
    )
    file = File(name="mine.md", content=b"Q: What is r?\nA: The rank.\n")
    planned = plan_import(ana, file, [exchange], imports, now=now)
    assert planned.plan.read_from == {NAME: ""}
    imports.apply(ana, planned.plan, file_name="mine.md", now=now)
    again = File(name="mine.md", content=b"Q: What is r?\nA: The rank of B A.\n")
    planned = plan_import(ana, again, [exchange], imports, now=now)
    assert planned.plan.read_from == {NAME: compute_digest(read_own_file(settings.home, NAME))}


def test_files_that_are_replaced_at_once_are_whole_and_leave_nothing_beside_them(tmp_path: Path) -> None:
    texts = [str(number) * 50_000 for number in range(8)]
    writing = [
        threading.Thread(target=replace_file, args=(tmp_path / "one", text.encode())) for text in texts
    ]
    for each in writing:
        each.start()
    for each in writing:
        each.join()
    assert (tmp_path / "one").read_text() in texts
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_file_that_is_replaced_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_disk = []

    def note_file(descriptor: int) -> None:
        on_disk.append(os.fstat(descriptor).st_size)
        assert not (tmp_path / "one").exists()

    monkeypatch.setattr(os, "fsync", note_file)
    replace_file(tmp_path / "one", b"text")
    assert on_disk == [4]
