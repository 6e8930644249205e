"""A full disk, a folder that can't be written to, a locked or damaged database: in words, with ways out."""

import ctypes
import os
import sqlite3
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import psutil
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from study.base.errors import StorageError
from study.base.settings import Settings
from study.store import Store, open_store
from study.store.database import Database
from study.store.snapshots import Snapshots
from study.store.storage_errors import translate_storage_errors
from study.web import documents, page_files, storage_troubles
from study.web.serving.rescue import Rescue

ROOT = Path(__file__).parents[3]
GETTING_READY = "<h1>Getting ready</h1>"


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


def fill_up(database: Database) -> None:
    with database.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")


def refuse_writing(database: Database) -> None:
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA query_only = ON")


@pytest.mark.parametrize(
    ("refuse", "words"), [(fill_up, "The disk is full"), (refuse_writing, "can't be written to")]
)
def test_what_the_database_refuses_is_said_in_words_and_harms_nothing(
    refuse: Callable[[Database], None], words: str, store: Store, now: datetime
) -> None:
    for number in range(40):
        store.profiles.add(f"before-{number}", f"Before {number}", now=now)
    refuse(store.database)

    def write_on() -> None:
        for number in range(2000):
            store.profiles.add(f"browser-{number}", f"{number:040}", now=now)

    with pytest.raises(StorageError, match=words), translate_storage_errors():
        write_on()
    assert len(store.profiles.all()) >= 40, "reading goes on"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_route_says_in_words_that_the_disk_is_full() -> None:
    site = FastAPI()
    storage_troubles.register(site)

    @site.get("/")
    def write() -> None:
        with open("/dev/full", "wb", buffering=0) as full:
            full.write(b"x")

    answer = TestClient(site).get("/")
    assert answer.status_code == 507
    assert answer.text.startswith("The disk is full, so this was not saved.")


@pytest.mark.parametrize("folder", ["docs", "assets"])
def test_a_name_that_no_file_can_have_is_not_found(folder: str) -> None:
    site = FastAPI()
    storage_troubles.register(site)
    page_files.register(site)
    documents.register(site, places=())
    answer = TestClient(site).get(f"/{folder}/{'a' * 300}")
    assert (answer.status_code, answer.text) == (404, "There is nothing at that address.")


def test_other_errors_are_left_alone() -> None:
    with pytest.raises(FileNotFoundError), translate_storage_errors():
        Path("/no/such/file").read_bytes()


# ---- start


def obey_file_rights() -> None:
    """For root on Linux: lose the right to write into files whatever their rights say."""
    if sys.platform == "linux" and os.geteuid() == 0:
        drop_from_bounding_set, dac_override = 24, 1
        if ctypes.CDLL(None).prctl(drop_from_bounding_set, dac_override) != 0:
            os._exit(1)


@contextmanager
def started(home: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The app, and the address that it names once it answers, whatever it answers."""
    app = subprocess.Popen(
        [sys.executable, "app.py", "--port", "0", "--no-worker", "--data-folder", str(home)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=obey_file_rights,
    )
    assert app.stdout is not None
    too_late = threading.Timer(90, app.kill)  # a test that waits for a line fails then
    too_late.start()
    try:
        line = next(line for line in app.stdout if "http://" in line)
        yield app, "http://" + line.split("http://")[1].strip()
    finally:
        too_late.cancel()
        app.kill()
        app.communicate()


def text_of(address: str, **form: str) -> tuple[int, str]:
    body = urllib.parse.urlencode(form).encode() if form else None
    request = urllib.request.Request(address, body, {"Origin": address.rpartition("/rescue")[0] or address})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def ready(app: "subprocess.Popen[str]") -> bool:
    assert app.stdout is not None
    return any(line.startswith("Ready:") for line in app.stdout)


def damage(home: Path) -> None:
    """Overwrite pages in the middle of the database."""
    path = home / "study.sqlite3"
    with path.open("r+b") as file:
        file.seek(4096 * 2)
        file.write(os.urandom(4096 * 12))


@pytest.fixture
def home(settings: Settings, now: datetime) -> Path:
    store = open_store(settings.database_url)
    for number in range(200):
        store.profiles.add(f"browser-{number}", f"Learner {number}", now=now)
    store.close()
    return settings.home


def profiles_in(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM profiles").fetchone()[0])


def test_a_damaged_database_starts_the_app_and_its_backup_is_one_press_away(
    home: Path, now: datetime
) -> None:
    backup = Snapshots(home / "study.sqlite3").make("daily", now=now)
    damage(home)
    with started(home) as (app, address):
        status, page = text_of(address)
        assert status == 503
        assert "it is damaged or not a database" in page
        assert "Restore the backup of 4 March 2026, 10:00 UTC" in page
        assert GETTING_READY in text_of(f"{address}/rescue", choice="restore", name=backup.name)[1]
        assert ready(app)
        assert text_of(address)[0] == 200
    assert profiles_in(home / "study.sqlite3") >= 200
    assert len(list((home / "set-aside").glob("*/study.sqlite3"))) == 1


def test_a_damaged_database_without_a_backup_can_be_set_aside(home: Path) -> None:
    (home / "study.sqlite3").write_bytes(b"not a database at all, but long enough" * 100)
    with started(home) as (app, address):
        page = text_of(address)[1]
        assert "There is no backup yet." in page
        assert text_of(f"{address}/rescue", choice="restore", name="x.zip")[0] == 409
        assert (home / "study.sqlite3").read_bytes().startswith(b"not a database")
        assert GETTING_READY in text_of(f"{address}/rescue", choice="aside")[1]
        assert ready(app)
        assert text_of(address)[0] == 200


def test_a_database_that_can_not_be_opened_is_let_go(home: Path, settings: Settings) -> None:
    """Windows moves no file that is open."""
    damage(home)
    with pytest.raises(StorageError):
        open_store(settings.database_url)
    assert not [file for file in psutil.Process().open_files() if Path(file.path).parent == home]


def test_a_locked_database_is_opened_once_the_other_program_lets_go(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORA_STUDY_BUSY_SECONDS", "1")
    with closing(sqlite3.connect(home / "study.sqlite3", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with started(home) as (app, address):
            assert "another program has locked it" in text_of(address)[1]
            other.execute("COMMIT")
            other.close()
            assert GETTING_READY in text_of(f"{address}/rescue", choice="again")[1]
            assert ready(app)


def test_a_choice_is_made_once_and_every_connection_leads_to_the_app(
    settings: Settings, store: Store, now: datetime
) -> None:
    """A browser keeps connections, and opens some ahead: the page of the trouble is over on them as well."""
    store.close()
    backup = Snapshots(settings.home / "study.sqlite3").make("daily", now=now)
    left: list[int] = []
    site = Rescue(settings, StorageError("damaged"), leave=lambda: left.append(1)).build_site(
        hosts=("127.0.0.1",)
    )
    browser = TestClient(
        site, base_url="http://127.0.0.1", client=("127.0.0.1", 50_000), follow_redirects=False
    )
    assert browser.get("/").status_code == 503
    form = urllib.parse.urlencode({"choice": "restore", "name": backup.name})
    for answer in (*(browser.post("/rescue", content=form) for _ in range(2)), browser.get("/")):
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert answer.headers["connection"] == "close"
    assert left
    assert len(list((settings.home / "set-aside").glob("*"))) == 1


def test_who_comes_through_a_proxy_reads_what_is_wrong_and_chooses_nothing(
    settings: Settings, store: Store, now: datetime
) -> None:
    backup = Snapshots(settings.home / "study.sqlite3").make("daily", now=now)
    behind_a_proxy = replace(settings, public_names=("study.example.org",))
    site = Rescue(behind_a_proxy, StorageError("damaged"), leave=lambda: None).build_site(
        hosts=("127.0.0.1",)
    )
    visitor = TestClient(site, base_url="https://study.example.org", client=("127.0.0.1", 50_000))
    shown, refused = visitor.get("/"), visitor.post("/rescue", content="choice=again")
    assert (shown.status_code, refused.status_code) == (503, 403)
    for page in (shown.text, refused.text):
        assert "The database file is damaged" in page
        assert "<button" not in page
        assert backup.name not in page


@pytest.mark.skipif(os.name != "posix", reason="file rights of Linux and macOS")
def test_a_folder_that_can_not_be_written_to_is_said_in_words(home: Path) -> None:
    (home / "study.sqlite3").chmod(0o444)
    home.chmod(0o555)
    try:
        with started(home) as (app, address):
            status, page = text_of(address)
            assert status == 503
            assert "it can&#39;t be written to" in page
            home.chmod(0o755)
            (home / "study.sqlite3").chmod(0o644)
            assert GETTING_READY in text_of(f"{address}/rescue", choice="again")[1]
            assert ready(app)
    finally:
        home.chmod(0o755)
