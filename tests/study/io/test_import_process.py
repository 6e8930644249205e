"""The process that reads files of strangers: what it may cost, how it is stopped, and that it comes back."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from flashcards.interchange.backup_rows import check_row
from flashcards.interchange.exchange import open_exchange as open_cards
from flashcards.scheduling.scheduler import preview_outcomes
from quizzes.interchange.exchange import open_exchange as open_questions
from study.base.errors import LearnerError
from study.base.import_limits import HTML_CHARACTERS, HTML_TAGS, PACKAGE_BYTES
from study.io import import_process
from study.io.backup_text import write_document
from study.io.import_jobs import ImportJobs
from study.io.import_process import ProcessPlanner
from study.io.planning import PlannedImport, Upload
from study.io.reading_process import raise_error
from study.store import open_store
from study.text.html_import import convert_html
from tests.data_folder import settings_in
from tests.study.io.bombs import FILES
from tests.waiting import wait_for

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
CPU_SECONDS = 5
PEAK_BYTES = 500_000_000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("imports")


@pytest.fixture(scope="module")
def planner(home: Path) -> Iterator[ProcessPlanner]:
    settings = settings_in(home)
    opened = ProcessPlanner(
        settings, [open_cards, open_questions], modules=["lora_lab.quantities"], row_problem=check_row
    )
    opened.warm_up()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def profile(home: Path) -> str:
    store = open_store(f"sqlite:///{home / 'study.sqlite3'}")
    made = store.profiles.add("browser-of-ana", "Ana", now=NOW)
    store.close()
    return made.id


def upload(home: Path, profile: str, name: str, content: bytes) -> Upload:
    path = home / "pending.file"
    path.write_bytes(content)
    return Upload(profile_id=profile, path=path, name=name)


def read(planner: ProcessPlanner, home: Path, profile: str, name: str, content: bytes) -> PlannedImport:
    return planner.plan(upload(home, profile, name, content), now=NOW, progress=lambda done, of: None)


def test_an_ordinary_file_is_planned_as_in_this_process(
    planner: ProcessPlanner, home: Path, profile: str
) -> None:
    found = read(planner, home, profile, "deck.md", b"Q: What is r?\nA: The rank.\n")
    assert found.report.counts == {"new": 1, "changed": 0, "same": 0, "rejected": 0}
    [(name, text)] = found.plan.files.items()
    assert name.startswith("decks/")
    assert "The rank." in text
    with pytest.raises(LearnerError, match="not a kind of file that can be imported"):
        read(planner, home, profile, "a.xyz", b"x")


@pytest.fixture
def costs(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the process's last answer says of its costs, which nothing but these tests reads."""
    answered: dict[str, Any] = {}

    def note_costs(answer: dict[str, Any]) -> None:
        answered.update(answer)
        raise_error(answer)

    monkeypatch.setattr(import_process, "raise_error", note_costs)
    return answered


def test_bombs_cost_little_and_the_process_goes_on(
    planner: ProcessPlanner, home: Path, profile: str, costs: dict[str, Any]
) -> None:
    """Every one is read or refused in words, within 5 s of processor time and 500 MB."""
    assert len(FILES) >= 77
    costly = {}
    for title, (name, content) in FILES.items():
        costs.clear()
        with suppress(LearnerError):
            read(planner, home, profile, name, content())
        seconds, peak = costs.get("cpu_seconds", 999), costs.get("peak_bytes", 10**12)
        if seconds > CPU_SECONDS or peak > PEAK_BYTES:
            costly[title] = (seconds, peak)
    assert costly == {}
    assert read(planner, home, profile, "deck.md", b"Q: a?\nA: b.\n").report.counts["new"] == 1


def test_a_backup_of_the_largest_size_is_read_and_the_next_file_as_well(
    planner: ProcessPlanner, home: Path, profile: str, costs: dict[str, Any]
) -> None:
    """100 ratings per day for three years; each takes 560 bytes of the file with what it did to the card.

    The next one has a third of them: with what the first took, if it were kept, it would need too much.
    """
    content = _backup_of(102_000)
    assert PACKAGE_BYTES * 0.85 < len(content) < PACKAGE_BYTES
    for ratings, text in ((102_000, content), (34_000, _backup_of(34_000))):
        planned = read(planner, home, profile, "backup.json", text)
        assert planned.report.counts["new"] == 2 * ratings
        assert costs["peak_bytes"] < PEAK_BYTES
    reviews = planned.plan.tables["card_reviews"]
    assert next(iter(reviews))["card_id"] == "lora-card-0"


def _backup_of(ratings: int) -> bytes:
    state = preview_outcomes(None, now=NOW)[2].after.to_json()
    review = {"id": 1, "card_id": "CARD", "rating": 3, "reviewed_at": NOW.isoformat(), "duration_ms": 4_000,
              "before": state, "after": state}  # fmt: skip
    verb = {"id": 1, "verb": "rate", "subject": "CARD", "review_id": 1, "value": None, "at": NOW.isoformat()}
    tables = {"card_reviews": [review], "card_verbs": [verb]}
    document = {"format": "lora-study-backup", "version": 1, "step": 8, "made_at": NOW.isoformat(),
                "profile": "Ana", "files": {}, "tables": tables}  # fmt: skip
    text = write_document(document).decode()
    for row in (review, verb):
        one = json.dumps(row, separators=(",", ":"))
        many = (
            one.replace("CARD", f"lora-card-{number % 900}").replace('id":1', f'id":{number + 1}')
            for number in range(ratings)
        )
        text = text.replace(one, ",\n".join(many))
    return text.encode()


def test_progress_is_told_and_a_learner_can_stop_it(
    planner: ProcessPlanner, home: Path, profile: str
) -> None:
    large = b"".join(
        b"Q: What is $r_{%d}$?\nA: The rank %d.\n\n" % (number, number) for number in range(15_000)
    )
    seen = threading.Event()
    jobs = ImportJobs(planner)
    job = jobs.start(upload(home, profile, "large.md", large), {}, now=NOW)
    watch = threading.Thread(target=lambda: _wait_for_progress(job, seen), daemon=True)
    watch.start()
    assert seen.wait(120)
    assert 0 < job.done < job.of == 15_000
    jobs.stop(profile)
    with pytest.raises(LearnerError, match="was stopped"):
        job.wait_for_plan(30)
    assert jobs.find(profile) is None
    again = jobs.start(upload(home, profile, "deck.md", b"Q: a?\nA: b.\n"), {}, now=NOW)
    found = again.wait_for_plan(120)
    assert found is not None
    assert found.report.counts["new"] == 1


def _wait_for_progress(job: object, seen: threading.Event) -> None:
    while not getattr(job, "done", 0):
        threading.Event().wait(0.01)
    seen.set()


def test_a_process_that_is_only_warmed_up_ends_when_no_file_comes(
    planner: ProcessPlanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    planner.warm_up()
    warm = planner._process
    assert warm is not None
    monkeypatch.setattr(import_process, "IDLE_SECONDS", 0.05)
    planner.warm_up()
    wait_for(lambda: not warm.is_alive, seconds=10)
    assert planner._process is None


def test_a_process_that_is_taken_in_the_moment_of_its_idle_end_goes_on(
    planner: ProcessPlanner, home: Path, profile: str
) -> None:
    read(planner, home, profile, "deck.md", b"Q: What is r?\nA: The rank.\n")
    ends = planner._idle
    assert ends is not None
    taken = planner._ensure_process()
    ends.function(*ends.args, **ends.kwargs)  # its time had come before it was cancelled
    assert taken.is_alive


def test_what_the_process_is_told_of_the_database_stands_in_no_list_of_processes(
    planner: ProcessPlanner, home: Path
) -> None:
    planner.warm_up()
    assert planner._process is not None
    shown = " ".join(psutil.Process(planner._process._process.pid).cmdline())
    assert "study.io.import_worker" in shown
    assert str(home) not in shown


def test_a_file_that_is_gone_is_told_and_the_process_goes_on(
    planner: ProcessPlanner, home: Path, profile: str
) -> None:
    planner.warm_up()
    process = planner._process
    gone = Upload(profile_id=profile, path=home / "gone.file", name="deck.md")
    with pytest.raises(LearnerError, match=r"deck\.md is no longer there"):
        planner.plan(gone, now=NOW, progress=lambda done, of: None)
    assert planner._process is process


def test_a_process_that_dies_is_told_in_words_and_replaced(
    planner: ProcessPlanner, home: Path, profile: str
) -> None:
    planner.warm_up()
    process = planner._process
    assert process is not None
    process.kill()
    process.wait()
    assert read(planner, home, profile, "deck.md", b"Q: a?\nA: b.\n").report.counts["new"] == 1
    assert planner._process is not process


def test_a_file_stopped_by_the_clock_is_told_its_limit(
    planner: ProcessPlanner, home: Path, profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_process, "IMPORT_SECONDS", 0.01)
    endless = home / "endless.file"
    os.mkfifo(endless)  # nobody writes into it
    with pytest.raises(LearnerError, match=r"takes more than 0\.01 s, which is the limit"):
        planner.plan(
            Upload(profile_id=profile, path=endless, name="deck.md"),
            now=NOW,
            progress=lambda done, of: None,
        )


def test_too_much_memory_is_refused_in_words(planner: ProcessPlanner, home: Path, profile: str) -> None:
    rows = b'{"front": "' + b"x" * 19_000 + b'", "back": "b"},'
    content = b'{"deck": "Big", "cards": [' + rows * 3_000 + b'{"front": "a", "back": "b"}]}'
    with pytest.raises(LearnerError, match=r"limit|memory"):
        read(planner, home, profile, "deck.json", content)


def test_one_text_may_not_be_endless() -> None:
    with pytest.raises(LearnerError, match="characters"):
        convert_html("x" * (HTML_CHARACTERS + 1))
    with pytest.raises(LearnerError, match="tags"):
        convert_html("<b>" * (HTML_TAGS + 1))
