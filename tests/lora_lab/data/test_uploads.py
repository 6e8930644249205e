"""Data sets that learners brought: kept under the digest of their text, found by nothing else."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from lora_lab.data.datasets import build_own_dataset
from lora_lab.data.uploads import Uploads
from lora_lab.spec import OWN_DATA
from study.base.errors import LearnerError
from tests.lora_lab.data.pairs import PAIRS, jsonl


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    """An empty folder that is not there yet."""
    return Uploads(tmp_path / "lab" / "data")


def test_a_file_is_found_again_under_the_name_a_setting_gives_it(uploads: Uploads) -> None:
    added = uploads.add("mine.jsonl", jsonl(PAIRS))
    assert Uploads(uploads.folder).find(added.digest) == added
    assert uploads.with_damaged()[0] == [(added.digest, "mine.jsonl")]


def test_a_file_with_one_bad_line_is_not_kept(uploads: Uploads) -> None:
    with pytest.raises(LearnerError, match="line 25: not JSON"):
        uploads.add("mine.jsonl", jsonl(PAIRS) + b"?\n")
    assert uploads.with_damaged()[0] == []


def test_the_same_text_is_kept_once_under_its_latest_name(uploads: Uploads) -> None:
    first = uploads.add("first.jsonl", jsonl(PAIRS))
    again = uploads.add("again.jsonl", jsonl(PAIRS))
    assert first.digest == again.digest
    assert uploads.with_damaged()[0] == [(first.digest, "again.jsonl")]


def test_the_newest_file_is_listed_first(uploads: Uploads) -> None:
    older, newer = (uploads.add(f"{n}.jsonl", jsonl(PAIRS[n:])) for n in (1, 2))
    os.utime(uploads.folder / f"{older.digest}.json", (1, 1))
    assert [label for _, label in uploads.with_damaged()[0]] == ["2.jsonl", "1.jsonl"]
    os.utime(uploads.folder / f"{newer.digest}.json", (0, 0))
    assert [label for _, label in uploads.with_damaged()[0]] == ["1.jsonl", "2.jsonl"]


def test_the_apps_own_cards_are_always_there(uploads: Uploads) -> None:
    assert uploads.find(OWN_DATA) == build_own_dataset()
    assert uploads.with_damaged()[0] == []


@pytest.mark.parametrize(
    "name", ["0123456789ab", "", "..", "../../spec", "/etc/hostname", "0123456789AB", "0123456789ab\n", "*"]
)
def test_a_data_set_that_is_not_here_says_what_to_do(uploads: Uploads, name: str) -> None:
    uploads.add("mine.jsonl", jsonl(PAIRS))
    with pytest.raises(
        LearnerError, match=r"not on this machine\. Choose your file again, or the app's cards"
    ):
        uploads.find(name)


def test_a_run_brings_its_data_past_a_damaged_copy_and_is_given_the_stored_ones(uploads: Uploads) -> None:
    brought = uploads.add("mine.jsonl", jsonl(PAIRS))
    (uploads.folder / "0123456789ab.json").write_text("{}", "utf-8")
    assert uploads.adopt(replace(brought, label="theirs.jsonl")) == brought
    assert uploads.adopt(replace(build_own_dataset(), label="cards")) == build_own_dataset()
    other = replace(brought, digest="ba9876543210", train=brought.train[1:])
    assert uploads.adopt(other) == other
    assert uploads.find(other.digest) == other


def test_a_damaged_copy_counts_as_not_here(uploads: Uploads) -> None:
    added = uploads.add("mine.jsonl", jsonl(PAIRS))
    (uploads.folder / f"{added.digest}.json").write_text('{"label"')
    with pytest.raises(LearnerError, match="not on this machine"):
        uploads.find(added.digest)
    assert uploads.with_damaged() == ([], [uploads.folder / f"{added.digest}.json"])


def test_stored_files_are_read_again_only_when_they_change(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each opening of Lab and Grid lists them, and a file has up to 2 MB."""
    added = uploads.add("mine.jsonl", jsonl(PAIRS))
    listed = uploads.with_damaged()
    with monkeypatch.context() as patched:
        patched.setattr("lora_lab.data.uploads.read_json", lambda path: pytest.fail(f"{path} was read"))
        assert uploads.with_damaged() == listed
    os.utime(uploads.folder / f"{added.digest}.json", (1, 1))
    uploads.add("again.jsonl", jsonl(PAIRS))
    assert uploads.with_damaged() == ([(added.digest, "again.jsonl")], [])
