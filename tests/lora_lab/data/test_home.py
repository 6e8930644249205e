"""What the lab remembers between starts: never half a file, never one model's numbers for another."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.data.batches import Length
from lora_lab.data.lab_folder import LabHome, read_json, write_json
from lora_lab.parameters.shapes import find_shape
from study.base.errors import LearnerError

LENGTHS = [Length(tokens=40, answer_tokens=12), Length(tokens=7, answer_tokens=3)]
DIGEST = "0123456789ab"


@pytest.fixture
def home(tmp_path: Path) -> LabHome:
    """An empty data folder."""
    return LabHome(tmp_path)


def every_file(home: LabHome) -> list[Path]:
    return [path for path in home.folder.rglob("*") if path.is_file()]


def test_the_workers_last_word_is_kept(home: LabHome) -> None:
    assert home.read_worker_state()["state"] == ""
    home.write_worker_state(state="ready", device={"name": "CPU"})
    home.write_worker_state(state="preparing", text="Downloading")
    assert home.read_worker_state()["text"] == "Downloading"
    assert home.read_worker_state()["device"] == {"name": "CPU"}


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '"ready"', "\x00\x01"])
def test_a_damaged_file_counts_as_none(home: LabHome, damage: str) -> None:
    home.write_worker_state(state="ready")
    home.save_lengths("gpt2", DIGEST, LENGTHS)
    home.save_shape(replace(find_shape("gpt2"), name="mine"))
    for path in every_file(home):
        path.write_text(damage)
    assert home.read_worker_state()["state"] == ""
    assert home.read_lengths("gpt2", DIGEST) == []
    with pytest.raises(LearnerError, match="mine"):
        home.find_shape("mine")


def test_a_reader_in_the_middle_of_a_file_reads_on_in_the_same_one(home: LabHome) -> None:
    for number in (1, 2):
        opened = {path: (path.open(), path.read_text()) for path in every_file(home)}
        home.write_worker_state(text=f"{number}")
        home.save_lengths("gpt2", DIGEST, LENGTHS[:number])
        home.save_shape(replace(find_shape("gpt2"), name="mine", layers=number))
        for file, before in opened.values():
            with file:
                assert file.read() == before
    assert len(opened) == 3
    assert not [path for path in every_file(home) if path.suffix != ".json"]


def test_token_lengths_are_kept_for_one_model_and_one_data_set(home: LabHome) -> None:
    home.save_lengths("owner/name", DIGEST, LENGTHS)
    assert home.read_lengths("owner/name", DIGEST) == LENGTHS
    assert home.read_lengths("owner/name", "ba9876543210") == []
    assert home.read_lengths("owner/other", DIGEST) == []


def test_a_shape_read_earlier_is_found_again_and_the_catalogue_comes_first(home: LabHome) -> None:
    mine = replace(find_shape("gpt2"), name="owner/mine")
    home.save_shape(mine)
    home.save_shape(replace(mine, name="gpt2", layers=99))
    assert home.find_shape("owner/mine") == mine
    assert home.find_shape("gpt2") == find_shape("gpt2")


def test_an_unknown_model_lists_the_known_ones(home: LabHome) -> None:
    with pytest.raises(LearnerError, match="Known models: tiny-random"):
        home.find_shape("owner/unknown")


NAMES = st.text(min_size=1, max_size=200) | st.sampled_from(
    ["models/a", "/models/a", "./models/a", "models--a", "models a", "..", "../..", "CON", "a" * 500]
)


@given(st.lists(NAMES, unique=True, min_size=2, max_size=4))
def test_no_two_models_share_a_file_and_none_leaves_the_folder(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    home = LabHome(tmp_path_factory.mktemp("home"))
    for number, name in enumerate(names):
        home.save_lengths(name, DIGEST, [Length(tokens=number, answer_tokens=0)])
    for number, name in enumerate(names):
        assert home.read_lengths(name, DIGEST) == [Length(tokens=number, answer_tokens=0)]
    folder = home.folder / "lab" / "lengths"
    assert {path.parent for path in every_file(home)} == {folder}


def test_json_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "file.json"
    write_json(path, {"é": [1, None, "\u2028"]})
    assert read_json(path) == {"é": [1, None, "\u2028"]}
    assert read_json(tmp_path / "missing.json") == {}
    assert read_json(tmp_path) == {}
