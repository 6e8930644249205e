"""A run as JSON and back: the same settings, the same examples in the same order, and refusals in words."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lora_lab.data.datasets import build_own_dataset
from lora_lab.data.uploads import Uploads
from lora_lab.runs.folder import create_run
from lora_lab.runs.run_file import MAX_RUN_FILE_BYTES, read_run_file, run_file
from lora_lab.spec import OWN_DATA
from study.base.errors import LearnerError
from study.web.security.middleware import BODY_LIMIT_BYTES
from tests.lora_lab import run_builders
from tests.lora_lab.data.pairs import PAIRS, jsonl


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path / "data")


def test_a_run_on_the_apps_cards_comes_back_as_it_was(tmp_path: Path, uploads: Uploads) -> None:
    run = run_builders.finished(tmp_path / "runs", replace(run_builders.TINY, rank=5, seed=11))
    spec, dataset = read_run_file("run.json", run_file(run).encode(), uploads)
    assert (spec, dataset) == (run.spec, build_own_dataset())
    assert uploads.with_damaged()[0] == []


def test_a_run_on_own_data_brings_its_examples_in_their_order(tmp_path: Path, uploads: Uploads) -> None:
    mine = uploads.add("mine.jsonl", jsonl(PAIRS))
    run = create_run(
        tmp_path / "runs", replace(run_builders.TINY, data=mine.digest), mine, now=run_builders.NOW
    )
    content = run_file(run).encode()
    assert read_run_file("run.json", content, uploads) == (run.spec, mine)
    elsewhere = Uploads(tmp_path / "another machine")
    spec, brought = read_run_file("run.json", content, elsewhere)
    assert (brought.train, brought.held_out) == (mine.train, mine.held_out)
    assert elsewhere.find(spec.data) == brought
    assert read_run_file("run.json", content, elsewhere) == (spec, brought)
    assert len(elsewhere.with_damaged()[0]) == 1


def test_the_apps_cards_of_an_earlier_version_are_kept_beside_todays(
    tmp_path: Path, uploads: Uploads
) -> None:
    found = json.loads(run_file(run_builders.finished(tmp_path / "runs")))
    found["data"]["train"][0]["answer"] = "As it was answered then."
    spec, dataset = read_run_file("run.json", json.dumps(found).encode(), uploads)
    assert spec.data not in (OWN_DATA, build_own_dataset().digest)
    assert uploads.find(spec.data).train[0].answer == dataset.train[0].answer == "As it was answered then."


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"spec": None}, "There is no run in"),
        ({"spec": {"rank": 0}}, "rank must be 1 to 256, got 0"),
        ({"spec": {"epochs": 3}}, "Unknown setting: epochs"),
        ({"data": None}, "settings but no data"),
        ({"data": {"train": [], "held_out": []}}, "no examples under train"),
        ({"data": {"train": [{"prompt": "p"}], "held_out": []}}, "train: example 1: answer is missing"),
        ({"data": {"train": [{"prompt": "p", "answer": "a"}], "held_out": [7]}}, "example 1: not an object"),
    ],
)
def test_what_is_no_run_is_refused_in_words(
    tmp_path: Path, uploads: Uploads, changed: dict[str, object], said: str
) -> None:
    found = json.loads(run_file(run_builders.finished(tmp_path / "runs"))) | changed
    with pytest.raises(LearnerError, match=said):
        read_run_file("run.json", json.dumps(found).encode(), uploads)
    assert uploads.with_damaged()[0] == []


@pytest.mark.parametrize("content", [b"", b"\x80\x04N.", b"[1]", b"PK\x03\x04", b"[" * 100_000])
def test_another_file_is_refused_unopened(uploads: Uploads, content: bytes) -> None:
    with pytest.raises(LearnerError, match=r"is not JSON|There is no run in"):
        read_run_file("run.json", content, uploads)


def test_a_file_over_the_limit_says_so_and_the_limit_can_be_sent(uploads: Uploads) -> None:
    with pytest.raises(LearnerError, match="2,900,001 bytes; the limit is 2,900,000"):
        read_run_file("run.json", b" " * (MAX_RUN_FILE_BYTES + 1), uploads)
    assert MAX_RUN_FILE_BYTES * 4 / 3 < BODY_LIMIT_BYTES - 100_000
