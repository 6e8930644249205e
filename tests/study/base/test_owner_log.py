"""The owner's log: what it writes once a minute, what it leaves out, who reads it, and how large it gets."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from study.base import owner_log
from study.base.owner_log import FILE, FILE_BYTES, OLDER_FILES, OwnerLog, note, note_error, read_last

SECRET = "Ana's answer: W = W0 + BA"


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that the test moves."""
    now = [1000.0]
    monkeypatch.setattr(owner_log, "_REPEATS", owner_log._Repeats(lambda: now[0]))
    return now


@pytest.fixture
def home(moment: list[float], tmp_path: Path) -> Iterator[Path]:
    log = OwnerLog(tmp_path)
    yield tmp_path
    log.close()


def test_what_happened_is_read_newest_first(home: Path) -> None:
    note("start", "The app was started.")
    note("import", "A file of 3 kB\nwas not read.")
    newest, oldest = read_last(home)
    assert (newest.kind, newest.text) == ("import", "A file of 3 kB was not read.")
    assert (oldest.kind, oldest.text) == ("start", "The app was started.")
    assert oldest.at[:2] == "20"


def test_a_flood_is_one_line_a_minute(home: Path, moment: list[float]) -> None:
    for _ in range(500):
        note("limit", "A browser asked too often.")
    note("refused", "Another host name.")
    moment[0] += 61
    note("limit", "A browser asked too often.")
    assert [entry.text for entry in read_last(home)] == [
        "A browser asked too often. (repeated 499 more times since the last line)",
        "Another host name.",
        "A browser asked too often.",
    ]


def test_one_repetition_is_said_in_the_singular(home: Path, moment: list[float]) -> None:
    note("limit", "A browser asked too often.")
    note("limit", "A browser asked too often.")
    moment[0] += 61
    note("limit", "A browser asked too often.")
    assert read_last(home)[0].text == "A browser asked too often. (repeated 1 more time since the last line)"


def test_an_error_is_noted_by_its_place_without_its_words(home: Path) -> None:
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        note_error("POST /act/cards", error)
    (entry,) = read_last(home)
    assert entry.text.startswith("POST /act/cards: ValueError in tests/study/base/test_owner_log.py, line ")
    assert SECRET not in (home / FILE).read_text("utf-8")


def test_only_its_user_reads_the_file(home: Path) -> None:
    note("start", "The app was started.")
    assert (home / FILE).stat().st_mode & 0o077 == 0


def test_the_log_takes_a_bounded_place_and_the_newest_lines_stay(home: Path) -> None:
    for number in range(9_000):
        note("error", f"{number} {'x' * 90}")
    files = sorted(home.glob(f"{FILE}*"))
    assert len(files) == 1 + OLDER_FILES
    assert all(file.stat().st_size <= FILE_BYTES for file in files)
    assert all(file.stat().st_mode & 0o077 == 0 for file in files)
    assert [entry.text.split()[0] for entry in read_last(home, at_most=3)] == ["8999", "8998", "8997"]


def test_a_folder_that_can_not_be_written_costs_lines_and_nothing_else(
    moment: list[float], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = OwnerLog(tmp_path / "gone")
    note("start", "The app was started.")
    log.close()
    assert capfd.readouterr().err == ""
    assert read_last(tmp_path / "gone") == []


def test_damaged_lines_are_left_out(home: Path) -> None:
    (home / FILE).write_bytes(b"\xff\xfe\nno tabs\n2026-03-04 10:00:00\tstart\tThe app was started.\n")
    assert [entry.text for entry in read_last(home)] == ["The app was started."]
