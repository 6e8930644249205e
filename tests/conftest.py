"""What tests share: a store of their own, a moment that stands still, and the app's real content."""

import gc
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import hypothesis
import pytest
from sqlalchemy import event

from flashcards.decks.deck import load_decks
from flashcards.interchange import user_decks
from quizzes.bank.bank import load_bank
from quizzes.interchange import user_bank
from study.base.settings import Settings
from study.content.concepts import ConceptMap, load_concepts
from study.ports.context import Context
from study.ports.places import Place
from study.store import Store, database, open_store
from study.store.database import open_database
from study.web.stub_files import disable_stub_writing
from tests.postgres import empty_tables, new_database, throwaway_server

# One copy of the embedded model for all tests, kept between runs.
os.environ.setdefault("LORA_STUDY_MODELS", str(Path(__file__).parents[1] / ".cache" / "models"))

# As in a worker (docs/traps.md 13); read when torch is imported, by whichever test is collected first.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Test processes share the cores. With a thread for each core in every process, a product waits for those of
# the others: two processes take a tenth more processor time, and half as long again on a busy machine.
if processes := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))

# As lora_lab/worker/__init__.py sets it, for tests that import PEFT, and through it hqq, by themselves.
os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")

# As the app does it.
disable_stub_writing()

# How long one generated example takes says more about a busy machine than about our code. The same examples
# each time, so that a commit that passed passes again; HYPOTHESIS_PROFILE=explore draws new ones.
hypothesis.settings.register_profile("app", deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "app"))

SERVER = "TEST_DATABASE_URL"
"""Names a PostgreSQL server on which the tests may create databases. `--postgres` starts one."""

LONG_FILES = (
    "tests/fuzz/test_imports.py",
    "tests/test_damaged_data.py",
    "tests/lora_lab/worker/training/test_gradient_gate.py",
    "tests/lora_lab/worker/model/test_models.py",
    "tests/lora_lab/worker/model/test_other_families.py",
    "tests/lora_lab/worker/training/test_grouped.py",
    "tests/lora_lab/worker/training/test_predicted_memory.py",
    "tests/study/io/test_import_process.py",
    "tests/quizzes/grader/test_grade_command.py",
    "tests/lora_lab/engine/test_sweep_engine.py",
    "tests/lora_lab/worker/model/test_quantization.py",
    "tests/lora_lab/parameters/test_adapters.py",
    "tests/lora_lab/parameters/test_counts.py",
    "tests/lora_lab/worker/training/test_run_settings.py",
    "tests/test_roles.py",
    "tests/test_architecture.py",
    "tests/browser/lab/test_lab_runs.py",
    "tests/browser/test_introduction.py",
    "tests/browser/test_study_frame.py",
    "tests/browser/test_no_script.py",
    "tests/browser/lab/test_lab.py",
    "tests/browser/test_compare.py",
    "tests/browser/test_classroom.py",
    "tests/browser/test_study_learn.py",
    "tests/browser/test_study_profiles.py",
    "tests/browser/test_microscope.py",
    "tests/browser/test_grid.py",
)
"""What takes long, the longest first by and large; the others are done in the order of their names."""

_SERVERS = ExitStack()
PLACES = (Place("Today", "/"), Place("Cards", "/cards"), Place("Lab", "/lab"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--postgres`."""
    parser.addoption("--postgres", action="store_true", help="keep tests' stores on a PostgreSQL server")


def pytest_configure(config: pytest.Config) -> None:
    """Keep tests and the apps they start on the CPU, unless `-m gpu` asks for the GPU's own tests.

    A database server is started here, before the processes that share it.
    """
    if not re.search(r"(?<!not )\bgpu\b", config.getoption("markexpr")):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # read when torch first looks for devices
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):  # collects tests
        gc.disable()  # until it has them: a tenth of the time in which libraries are imported
    if config.getoption("--postgres") and not os.environ.get(SERVER):
        os.environ[SERVER] = _SERVERS.enter_context(throwaway_server())


def pytest_collection_finish() -> None:
    """Leave out of every garbage collection what lives as long as the process: the libraries and all tests.

    A run collects before it gives its model back, which here would take longer than its training.
    """
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    """End it."""
    _SERVERS.close()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run browser tests last: Playwright leaves an event loop running in the thread that all tests share.
    Files that take long come first among the others: one that began last would keep one process waiting.

    With `--postgres` leave out what would keep nothing on the server, and what is marked `once` because it
    says nothing of the database: both run in the round without it.
    """
    if config.getoption("--postgres"):
        others = [item for item in items if "settings" not in getattr(item, "fixturenames", ())]
        others = [item for item in others if item.get_closest_marker("postgres") is None]
        others += [item for item in items if item.get_closest_marker("once") is not None]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]
    items.sort(key=lambda item: (item.get_closest_marker("browser") is not None, _turn_of(item)))


def _turn_of(item: pytest.Item) -> int:
    file = item.nodeid.partition("::")[0]
    return LONG_FILES.index(file) if file in LONG_FILES else len(LONG_FILES)


@pytest.fixture
def now() -> datetime:
    """A Wednesday morning."""
    return datetime(2026, 3, 4, 10, 0, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    """A data folder of the test's own; with `--postgres` a new database as well."""
    url = f"sqlite:///{tmp_path / 'study.sqlite3'}"
    if os.environ.get(SERVER):
        url = request.getfixturevalue("postgres_database")
    return Settings(home=tmp_path, database_url=url, models_dir=tmp_path / "models")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The server of `--postgres`, or one of this session's own."""
    with ExitStack() as unless_given:
        yield os.environ.get(SERVER) or unless_given.enter_context(throwaway_server())


@pytest.fixture(scope="session")
def postgres_with_tables(postgres_server: str) -> Iterator[str]:
    """The URL of a database with its tables. Tests take it in turn, because emptying it takes a tenth of the
    processor time of a copy.
    """
    with new_database(postgres_server) as url:
        open_store(url).close()
        yield url


@pytest.fixture
def postgres_database(postgres_server: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database: with empty tables if the test opens a store, a new one without tables if not."""
    if "store" in request.fixturenames:
        url = request.getfixturevalue("postgres_with_tables")
        yield url
        empty_tables(url)
        return
    with new_database(postgres_server) as url:
        yield url


PREPARE_SQLITE = database._prepare_sqlite
"""As the app prepares a connection."""


@pytest.fixture(scope="session", autouse=True)
def nothing_waits_for_the_disk() -> Iterator[None]:
    """Databases and files of tests are worth nothing after a power cut; small tests mostly waited for the
    disk.
    """

    def prepare(connection: Any, record: object) -> None:
        PREPARE_SQLITE(connection, record)
        connection.execute("PRAGMA synchronous=OFF")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(database, "_prepare_sqlite", prepare)
        patched.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables; a copy of it takes an eighth of the time of a new one."""
    path = tmp_path_factory.mktemp("store") / "study.sqlite3"
    open_store(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def store(settings: Settings, request: pytest.FixtureRequest) -> Iterator[Store]:
    """An empty store."""
    if not os.environ.get(SERVER):
        shutil.copyfile(request.getfixturevalue("empty_database"), settings.home / "study.sqlite3")
    opened = Store(open_database(settings.database_url))  # what open_store looks for is known to be there
    yield opened
    opened.close()


@pytest.fixture
def ana(store: Store, now: datetime) -> str:
    """The profile id of a learner called Ana."""
    return store.profiles.add("browser-of-ana", "Ana", now=now).id


@pytest.fixture(scope="session")
def concepts() -> ConceptMap:
    """The app's own concept map."""
    return load_concepts()


@pytest.fixture(scope="session", autouse=True)
def app_content_read_once(concepts: ConceptMap) -> Iterator[None]:
    """The app reads its own decks and questions when it starts; so does a session of tests, in which hundreds
    of apps and pages start.
    """

    def read_once(load: Callable[[ConceptMap], Any]) -> Callable[[ConceptMap], Any]:
        kept = cache(lambda: load(concepts))
        return lambda given: kept() if given == concepts else load(given)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(user_bank, "load_bank", read_once(load_bank))
        patched.setattr(user_decks, "load_decks", read_once(load_decks))
        yield


@pytest.fixture
def context(settings: Settings, store: Store, concepts: ConceptMap, now: datetime) -> Context:
    """What pages are given, with the clock standing still and the random generator known."""

    def clock() -> datetime:
        return now

    return Context(
        settings=settings, store=store, concepts=concepts, clock=clock, rng=Random(1), places=PLACES
    )


@pytest.fixture
def statements(context: Context) -> Iterator[list[str]]:
    """The SQL that is sent to the context's store, as it comes."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(context.store.database.engine, "before_cursor_execute", note)
    yield sent
    event.remove(context.store.database.engine, "before_cursor_execute", note)
