"""Automatic backups: what is in them, how many are kept, and that a restored one is what was there."""

import shutil
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from study.base.errors import LearnerError, StorageError
from study.base.settings import Settings
from study.store import Store, open_store
from study.store.class_records import ClassRoom
from study.store.class_transaction import JoinJob
from study.store.database import share_view
from study.store.snapshot_copies import copy_database
from study.store.snapshots import DATABASE, KEPT, Snapshot, Snapshots, find_snapshots


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A SQLite file, whatever database the other tests use: a server has backups of its own."""
    database = f"sqlite:///{tmp_path / 'study.sqlite3'}"
    return Settings(home=tmp_path, database_url=database, models_dir=tmp_path / "models")


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    opened = open_store(settings.database_url)
    yield opened
    opened.close()


def test_an_old_backup_that_can_not_be_deleted_spoils_no_new_one(
    snapshots: Snapshots, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in range(KEPT):
        snapshots.make("daily", now=now + timedelta(days=day))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        made = snapshots.make("daily", now=now + timedelta(days=KEPT))
    assert snapshots.list_snapshots()[0] == made
    assert len(snapshots.list_snapshots()) == KEPT + 1
    snapshots.make("daily", now=now + timedelta(days=KEPT + 1))
    assert len(snapshots.list_snapshots()) == KEPT


@pytest.fixture
def snapshots(settings: Settings, store: Store) -> Snapshots:
    found = find_snapshots(settings.database_url, settings.home)
    assert found is not None
    return found


def names(store: Store) -> list[str]:
    return [profile.name for profile in store.profiles.all()]


def test_a_restored_backup_is_what_was_there_and_the_present_is_backed_up_first(
    snapshots: Snapshots, store: Store, settings: Settings, now: datetime
) -> None:
    settings.decks_dir.mkdir()
    (settings.decks_dir / "mine.yaml").write_text("before")
    store.profiles.add("a", "Ana", now=now)
    made = snapshots.make("daily", now=now)
    store.profiles.add("b", "Ben", now=now)
    (settings.decks_dir / "mine.yaml").write_text("after")
    (settings.decks_dir / "later.yaml").write_text("later")

    snapshots.restore(made.name, now=now + timedelta(hours=1))

    assert names(store) == ["Ana"], "the open store sees the restored data"
    assert (settings.decks_dir / "mine.yaml").read_text() == "before"
    assert not (settings.decks_dir / "later.yaml").exists()
    newest = snapshots.list_snapshots()[0]
    assert newest.reason == "restore"
    snapshots.restore(newest.name, now=now + timedelta(hours=2))
    assert names(store) == ["Ana", "Ben"]
    assert (settings.decks_dir / "later.yaml").read_text() == "later"


def test_own_plans_come_back_and_a_backup_from_before_they_were_in_it_leaves_them(
    snapshots: Snapshots, settings: Settings, store: Store, now: datetime
) -> None:
    settings.plans_dir.mkdir()
    (settings.plans_dir / "mine.yaml").write_text("before")
    made = snapshots.make("daily", now=now)
    (settings.plans_dir / "mine.yaml").unlink()
    (settings.plans_dir / "later.yaml").write_text("later")
    snapshots.restore(made.name, now=now + timedelta(hours=1))
    assert [path.name for path in settings.plans_dir.iterdir()] == ["mine.yaml"]

    without = snapshots.folder / "20200101-000000-000000_daily.zip"
    with zipfile.ZipFile(made.path) as new, zipfile.ZipFile(without, "w") as old:
        old.writestr("study.sqlite3", new.read("study.sqlite3"))
    snapshots.restore(without.name, now=now + timedelta(hours=2))
    assert [path.name for path in settings.plans_dir.iterdir()] == ["mine.yaml"]


def test_a_backup_holds_what_is_still_in_the_write_ahead_log(
    snapshots: Snapshots, store: Store, now: datetime, tmp_path: Path
) -> None:
    store.profiles.add("a", "Ana", now=now)
    assert (tmp_path / "study.sqlite3-wal").stat().st_size > 0
    snapshots.restore(snapshots.make("daily", now=now).name, now=now)
    assert names(store) == ["Ana"]


NAME = "Zebulon Quixote"


def open_class(store: Store, code: str, *, now: datetime) -> ClassRoom:
    """A class with one student, and a hundred others, so that names are on pages of their own."""
    room = ClassRoom(
        id=f"room-{code}", code=code, plan_id="p", title="A class", options={}, opened_at=now, names_until=now
    )
    names = [NAME, *(f"Other {number}" for number in range(100))]
    joining = [JoinJob(room_id=room.id, device=f"{code}-{name}", names=(name,), at=now) for name in names]
    store.classes.transact([lambda t: t.open_room(room, [{}]), *joining])
    return room


def names_in(store: Store, code: str) -> list[str]:
    record = store.classes.read_record(code)
    return [student.name for student in record.students][:1] if record else ["no class"]


def database_in(made: Snapshot) -> bytes:
    with zipfile.ZipFile(made.path) as archive:
        return archive.read(DATABASE)


def test_no_backup_has_a_class_and_a_restore_leaves_classes_as_they_are(
    snapshots: Snapshots, store: Store, now: datetime
) -> None:
    gone = open_class(store, "111111", now=now)
    open_class(store, "222222", now=now)
    store.profiles.add("a", "Ana", now=now)
    made = snapshots.make("daily", now=now)
    assert b"Ana" in database_in(made)
    for part in (NAME, "A class", gone.id):
        assert part.encode() not in database_in(made)
    store.profiles.add("b", "Ben", now=now)
    store.classes.transact([lambda t: t.delete_room(gone.id), lambda t: t.forget_names(now=now)])
    open_class(store, "333333", now=now)
    snapshots.restore(made.name, now=now + timedelta(hours=1))
    assert names(store) == ["Ana"]
    assert [names_in(store, code) for code in ("111111", "222222", "333333")] == [["no class"], [""], [NAME]]
    assert NAME.encode() not in database_in(snapshots.list_snapshots()[0]), "made before the restore"


def test_no_backup_has_what_is_left_of_a_deleted_class(
    snapshots: Snapshots, store: Store, settings: Settings, now: datetime
) -> None:
    open_class(store, "111111", now=now)
    with closing(sqlite3.connect(settings.home / DATABASE)) as connection:
        connection.execute("PRAGMA secure_delete = OFF")  # as where SQLite is built without it
        connection.execute("DELETE FROM class_students")
        connection.commit()
    store.database.checkpoint()
    assert NAME.encode() in (settings.home / DATABASE).read_bytes()
    assert NAME.encode() not in database_in(snapshots.make("daily", now=now))


def test_backups_of_earlier_versions_lose_their_classes(
    snapshots: Snapshots, store: Store, settings: Settings, now: datetime
) -> None:
    settings.plans_dir.mkdir()
    (settings.plans_dir / "mine.yaml").write_text("my plan")
    open_class(store, "111111", now=now)
    store.profiles.add("a", "Ana", now=now)
    older = snapshots.folder / "20260101-000000-000000_daily.zip"
    snapshots.folder.mkdir()
    copy_database(settings.home / DATABASE, settings.home / "copy")
    with zipfile.ZipFile(older, "w") as archive:
        archive.write(settings.home / "copy", DATABASE, zipfile.ZIP_DEFLATED)
        archive.mkdir("plans")
        archive.write(settings.plans_dir / "mine.yaml", "plans/mine.yaml")
    damaged = snapshots.folder / "20260102-000000-000000_daily.zip"
    whole = older.read_bytes()
    damaged.write_bytes(whole[:500] + b"damaged" + whole[507:])
    [unreadable, made] = snapshots.list_snapshots()
    assert NAME.encode() in database_in(made)
    elsewhere = Snapshots(settings.home / "elsewhere" / DATABASE)
    elsewhere.folder.mkdir(parents=True)
    shutil.copy(older, elsewhere.folder)
    elsewhere.restore(older.name, now=now)
    there = open_store(f"sqlite:///{elsewhere.folder.parent / DATABASE}")
    assert (names(there), names_in(there, "111111")) == (["Ana"], ["no class"])
    there.close()

    for _ in range(2):
        snapshots.leave_classes_out_of_older()
    assert NAME.encode() not in database_in(made)
    assert b"Ana" in database_in(made)
    with zipfile.ZipFile(older) as archive:
        assert archive.read("plans/mine.yaml") == b"my plan"
    with pytest.raises(LearnerError, match="can't be read"):
        snapshots.restore(unreadable.name, now=now)
    assert damaged.stat().st_size == len(whole)


def test_a_backup_from_before_an_upgrade_is_upgraded_when_it_is_restored(
    tmp_path: Path, now: datetime
) -> None:
    old = (Path(__file__).parent / "files" / "step-8.sql").read_text("utf-8")
    with closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
        connection.executescript(old)
    store = open_store(f"sqlite:///{tmp_path / DATABASE}")
    before = names(store)
    open_class(store, "111111", now=now)
    store.profiles.add("b", "Ben", now=now)
    snapshots = Snapshots(tmp_path / DATABASE)
    [made] = snapshots.list_snapshots()
    assert made.reason == "upgrade"
    snapshots.restore(made.name, now=now)
    assert names(store) == before
    assert names_in(store, "111111") == [NAME]
    store.close()


def test_the_newest_ten_are_kept_and_one_a_day_is_made(snapshots: Snapshots, now: datetime) -> None:
    assert snapshots.make_if_due("daily", now=now) is not None
    assert snapshots.make_if_due("daily", now=now + timedelta(hours=23)) is None
    for day in range(1, 15):
        assert snapshots.make_if_due("daily", now=now + timedelta(days=day)) is not None
    kept = snapshots.list_snapshots()
    assert len(kept) == KEPT
    assert kept[0].made_at == now + timedelta(days=14)


def test_a_backup_of_a_clock_that_was_fast_keeps_none_from_being_made(
    snapshots: Snapshots, now: datetime
) -> None:
    snapshots.make("daily", now=now + timedelta(days=3650))
    assert snapshots.make_if_due("daily", now=now) is not None
    assert snapshots.make_if_due("daily", now=now + timedelta(hours=23)) is None


def test_many_backups_for_one_reason_push_out_none_of_another(snapshots: Snapshots, now: datetime) -> None:
    snapshots.make_if_due("daily", now=now)
    snapshots.make("upgrade", now=now)
    for minute in range(KEPT + 5):
        snapshots.make("import", now=now + timedelta(minutes=minute))
    reasons = [made.reason for made in snapshots.list_snapshots()]
    assert reasons.count("import") == KEPT
    assert {"daily", "upgrade"} < set(reasons)
    assert snapshots.make_if_due("daily", now=now + timedelta(days=1)) is not None, (
        "other backups are no daily ones"
    )


def test_a_damaged_backup_is_refused_and_nothing_is_changed(
    snapshots: Snapshots, store: Store, now: datetime
) -> None:
    made = snapshots.make("daily", now=now)
    store.profiles.add("a", "Ana", now=now)
    made.path.write_bytes(made.path.read_bytes()[:200])
    with pytest.raises(LearnerError, match="can't be read"):
        snapshots.restore(made.name, now=now)
    with pytest.raises(LearnerError, match="no longer there"):
        snapshots.restore("../study.sqlite3", now=now)
    assert names(store) == ["Ana"]


def old_backup(snapshots: Snapshots, *, revision: str = "") -> str:
    """Put a database with the tables of step 8 among the backups; `revision` is what it says of itself."""
    old = (Path(__file__).parent / "files" / "step-8.sql").read_text("utf-8")
    path = snapshots.folder / "20200101-000000-000000_upgrade.zip"
    path.parent.mkdir(exist_ok=True)
    database = path.with_suffix(".sqlite3")
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(old)
        if revision:
            connection.executescript(
                "CREATE TABLE alembic_version (version_num VARCHAR(32));"
                f"INSERT INTO alembic_version VALUES ('{revision}');"
            )
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(database, "study.sqlite3")
    database.unlink()
    return path.name


def test_a_backup_with_older_tables_is_upgraded_before_it_replaces_todays(
    snapshots: Snapshots, store: Store, now: datetime
) -> None:
    store.profiles.add("a", "Ben", now=now)
    with share_view():  # as a press does it
        assert names(store) == ["Ben"]
        snapshots.restore(old_backup(snapshots), now=now)
    [ana] = store.profiles.all()
    assert store.tasks.attempts(ana.id) == [], "a table that the old backup does not have"
    assert store.classes.rooms() == []


def test_a_backup_of_a_newer_app_is_refused_and_nothing_is_changed(
    snapshots: Snapshots, store: Store, now: datetime
) -> None:
    store.profiles.add("a", "Ben", now=now)
    said = r"The backup of 1 January 2020, 00:00 UTC can't be restored\. .*newer version"
    with pytest.raises(LearnerError, match=said):
        snapshots.restore(old_backup(snapshots, revision="9999"), now=now)
    assert names(store) == ["Ben"]
    assert [made.reason for made in snapshots.list_snapshots()] == ["upgrade"]


def test_data_of_a_newer_app_makes_no_backup_at_each_attempt_to_open_it(
    settings: Settings, store: Store
) -> None:
    with closing(sqlite3.connect(settings.home / "study.sqlite3")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(LearnerError, match="newer version"):
        open_store(settings.database_url)
    assert not (settings.home / "backups").exists()


def test_a_restore_gives_up_when_another_program_keeps_the_database(
    snapshots: Snapshots, store: Store, settings: Settings, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.store.snapshot_copies.BUSY_SECONDS", 0.1)
    made = snapshots.make("daily", now=now)
    with closing(sqlite3.connect(settings.home / "study.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="Another program has locked"):
            snapshots.restore(made.name, now=now)
        other.execute("ROLLBACK")
    snapshots.restore(made.name, now=now)


def test_a_database_that_was_set_aside_goes_back_to_where_it_was(tmp_path: Path, now: datetime) -> None:
    database = tmp_path / "elsewhere" / "study.sqlite3"
    database.parent.mkdir()
    database.write_bytes(b"damaged")
    snapshots = Snapshots(database, tmp_path / "home")
    snapshots.put_back(snapshots.set_aside(now=now))
    assert database.read_bytes() == b"damaged"


def test_a_backup_without_room_says_so_and_leaves_nothing(
    snapshots: Snapshots, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        with open("/dev/full", "wb", buffering=0) as full:
            full.write(b"x")

    monkeypatch.setattr(snapshots, "_pack", no_room)
    with pytest.raises(StorageError, match="disk is full"):
        snapshots.make("daily", now=now)
    assert list(snapshots.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("attempt to write a readonly database", "can't be written to"),
        ("unable to open database file", "can't be written to"),
        ("database or disk is full", "disk is full"),
        ("database table is locked", "Another program has locked"),
        ("unknown error", "is damaged"),
    ],
)
def test_what_sqlite_refuses_a_backup_is_told_in_words(
    snapshots: Snapshots, now: datetime, monkeypatch: pytest.MonkeyPatch, said: str, words: str
) -> None:
    def refuse(*_: object) -> None:
        raise sqlite3.OperationalError(said)

    monkeypatch.setattr("study.store.snapshots.copy_database", refuse)
    with pytest.raises(StorageError, match=words):
        snapshots.make("daily", now=now)


@pytest.mark.parametrize("url", ["sqlite://", "postgresql://localhost/x", "nonsense"])
def test_other_databases_have_backup_tools_of_their_own(url: str) -> None:
    assert find_snapshots(url) is None
