"""Changed files of every format: each is read or refused in words and in time, and every page still opens.

    make fuzz                                   20,000 changed files of each format
    make fuzz CASES=500                         fewer
    pytest tests/fuzz                           500, as in `make test`
    FUZZ_FORMATS=apkg,gift pytest tests/fuzz    only some formats

What once went wrong is kept as a file in `seeds/FORMAT/` and is read again every time.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flashcards.interchange.backup_rows import check_row
from flashcards.interchange.exchange import build_card_exchange
from flashcards.interchange.user_decks import LiveDecks
from lora_lab.data.datasets import Dataset
from lora_lab.data.lab_folder import LabHome
from lora_lab.data.uploads import Uploads
from lora_lab.runs.folder import create_run, delete_run
from lora_lab.runs.run_file import read_run_file
from lora_lab.settings.run_form import build_address
from lora_lab.spec import RunSpec
from quizzes.interchange.exchange import build_question_exchange
from study.base.errors import LearnerError
from study.base.settings import Settings
from study.content.concepts import load_concepts
from study.io.apply_import import Imports
from study.io.backup import BackupExchange
from study.io.exchange import Exchange, ImportPlan, choose_exchange
from study.store import Store, open_store
from tests.flashcards.builders import NOW
from tests.fuzz.formats import FORMATS, file_of, first_files
from tests.lora_lab import run_builders
from tests.time_limit import cpu_time_limit
from tests.whole_app import WholeApp, whole_app

CASES = int(os.environ.get("FUZZ_CASES", "500"))
CHOSEN = os.environ.get("FUZZ_FORMATS", ",".join(FORMATS)).split(",")
SEEDS = Path(__file__).parent / "seeds"
SECONDS = 10
OPEN_PAGES_AFTER = 400
FEW = 10
OPENED_OF_LAB = 10
"""Of so many accepted runs and data sets one is opened, which takes as long as reading twenty."""

READER = "browser-of-fuzz-reader"
PAGES = ("/", "/learn", "/cards", "/browse", "/quiz", "/explain", "/review", "/progress", "/io", "/settings",
         "/lab", "/grid", "/compare", "/start", "/practise")  # fmt: skip
"""The pages that show what was imported; a concept's page does as well."""

# Python's hint about a regular expression among a run's settings; the pages only print it.
pytestmark = pytest.mark.filterwarnings("ignore:Possible:FutureWarning")


@dataclass
class ImportTarget:
    """One data folder, what reads files into it, and the app that shows it."""

    store: Store
    home: Path
    exchanges: list[Exchange]
    imports: Imports
    profile: str
    app: WholeApp
    firsts: dict[str, bytes]
    uploads: Uploads
    accepted: list[tuple[bytes, ImportPlan]] = field(default_factory=list)
    lab: list[tuple[RunSpec, Dataset]] = field(default_factory=list)

    def read(self, format_name: str, content: bytes) -> None:
        """Read one file. Anything but a LearnerError is a failure."""
        if format_name == "run":
            spec, dataset = read_run_file("run.json", content, self.uploads)
            LabHome(self.home).find_shape(spec.model)  # an unknown model is refused before there is a run
            self.lab.append((spec, dataset))
        elif format_name.startswith("data-"):
            dataset = self.uploads.add(FORMATS[format_name].name, content)
            self.lab.append((RunSpec(data=self.uploads.name_dataset(dataset)), dataset))
        else:
            file = file_of(format_name, content)
            plan = choose_exchange(file, self.exchanges).plan(self.profile, file, now=NOW)
            if self.imports.report(self.profile, plan).does_something:
                self.accepted.append((content, plan))

    def open_lab(self) -> None:
        """Start runs of some of what was accepted, open the pages that show them, then delete everything."""
        chosen, self.lab = self.lab[::OPENED_OF_LAB], []
        runs = []
        for number, (spec, dataset) in enumerate(chosen):
            run = create_run(self.home / "runs", spec, dataset, now=NOW + timedelta(seconds=number))
            run.emit("queued")
            run_builders.train(run, steps=2)
            run.emit("finished", step=2)
            runs.append(run)
        addresses = [build_address(run.spec, run_id=run.run_id) for run in runs]
        addresses += [f"/lab?data={spec.data}" for spec, _ in chosen]
        named = ",".join(run.run_id for run in runs[:4])
        try:
            for address in (*addresses, "/", "/memory", "/grid", f"/compare?runs={named}"):
                path, _, query = address.partition("?")
                self.app.open(path, READER, **dict(parse_qsl(query)))
        finally:
            for run in runs:
                delete_run(run)
            for kept in self.uploads.folder.glob("*.json"):
                kept.unlink()

    def open_pages(self) -> None:
        """Apply what was accepted, open every page that shows it, then take everything back."""
        accepted, self.accepted = self.accepted, []
        for content, plan in accepted:
            try:
                self.imports.apply(self.profile, plan, file_name="fuzz", now=NOW)
            except LearnerError:
                continue
            except Exception as error:
                raise AssertionError(f"{error!r} while {content[:2000]!r} was applied") from error
        try:
            self._open()
        finally:
            for record in self.imports.store.imports.list_undoable(self.profile):
                self.imports.undo(self.profile, record.id, now=NOW)
        self._open()

    def _open(self) -> None:
        for path in PAGES:
            self.app.open(path, READER)
        self.app.open("/concept", READER, id="lora-rank")
        with self.app.client(READER) as client:
            for address in ("/io/backup/json", "/io/cards/csv", "/io/cards/md", "/io/questions/gift"):
                assert client.get(address).status_code == 200, address


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImportTarget]:
    home = tmp_path_factory.mktemp("fuzz")
    database = f"sqlite:///{home / 'study.sqlite3'}"
    store, concepts = open_store(database), load_concepts()
    decks = LiveDecks(concepts, home / "decks")
    questions = build_question_exchange(home, concepts)
    exchanges: list[Exchange] = [
        BackupExchange(store=store, home=home, row_problem=check_row),
        questions,
        build_card_exchange(store, home, concepts, decks),
    ]
    firsts = first_files(store, home, questions)
    reader = store.profiles.add(READER, "Reader", now=NOW)
    with whole_app(Settings(home=home, database_url=database, models_dir=home / "models")) as app:
        yield ImportTarget(
            store=store,
            home=home,
            exchanges=exchanges,
            imports=Imports(store=store, home=home),
            profile=reader.id,
            app=app,
            firsts=firsts,
            uploads=Uploads(home / "lab" / "data"),
        )
    store.close()


def read_or_refuse(target: ImportTarget, format_name: str, content: bytes) -> None:
    """Read a file; a refusal in words is as good. After many accepted ones, open the pages that show them."""
    with suppress(LearnerError), cpu_time_limit(SECONDS):
        target.read(format_name, content)
    if len(target.accepted) >= OPEN_PAGES_AFTER:
        target.open_pages()
    if len(target.lab) >= FEW * OPENED_OF_LAB:
        target.open_lab()


@pytest.mark.parametrize("format_name", CHOSEN)
def test_the_unchanged_file_is_read(target: ImportTarget, format_name: str) -> None:
    target.read(format_name, target.firsts[format_name])


@pytest.mark.parametrize("format_name", CHOSEN)
def test_a_changed_file_is_read_or_refused_and_pages_open(target: ImportTarget, format_name: str) -> None:
    first, mutate = target.firsts[format_name], FORMATS[format_name].mutate
    failed: list[bytes] = []

    def one_case(seed: int) -> None:
        rng = Random(seed)
        content = first
        for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
            content = mutate(content, rng)
        try:
            read_or_refuse(target, format_name, content)
        except BaseException:
            failed[:] = [content]
            raise

    drawn: Callable[[Callable[[int], None]], Any] = given(seed=st.integers(0, 2**64 - 1))
    many = settings(max_examples=CASES, database=None, suppress_health_check=list(HealthCheck))
    try:
        many(drawn(one_case))()
    except BaseException:
        _keep(format_name, failed)
        raise
    target.open_pages()
    target.open_lab()


def _keep(format_name: str, failed: list[bytes]) -> None:
    """Leave the file that failed where a person finds it, for the folder of seeds."""
    for content in failed:
        folder = Path(os.environ.get("FUZZ_FAILED", ".cache/fuzz")) / format_name
        folder.mkdir(parents=True, exist_ok=True)
        name = FORMATS[format_name].name
        (folder / f"{abs(hash(content))}-{name}").write_bytes(content)


@pytest.mark.parametrize(
    "path", sorted(SEEDS.glob("*/*")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_a_file_that_once_went_wrong_is_read_or_refused(target: ImportTarget, path: Path) -> None:
    read_or_refuse(target, path.parent.name, path.read_bytes())
    target.open_pages()
    if target.lab:
        target.open_lab()
