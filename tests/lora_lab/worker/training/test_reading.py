"""A data set read once by a worker: lengths of all examples, pieces of the first, or why it can't be."""

from dataclasses import replace
from pathlib import Path

from lora_lab.data.datasets import build_own_dataset
from lora_lab.data.lab_folder import LabHome
from lora_lab.spec import OWN_DATA, TINY_MODEL
from lora_lab.worker.model.load import build_tiny_tokenizer
from lora_lab.worker.training.packing import encode_example, list_lengths
from lora_lab.worker.training.tokenize import SHOWN_EXAMPLES, read_dataset


def test_what_is_kept_is_what_training_encodes(tmp_path: Path, models_dir: Path) -> None:
    home, dataset = LabHome(tmp_path), build_own_dataset()
    read_dataset(TINY_MODEL, OWN_DATA, home, models_dir)
    encoded = [encode_example(build_tiny_tokenizer(), example) for example in dataset.train]
    assert home.read_lengths(TINY_MODEL, dataset.digest) == list_lengths(encoded)
    kept = home.read_examples(TINY_MODEL, dataset.digest)
    assert len(kept) == SHOWN_EXAMPLES
    for example, item, shown in zip(dataset.train, encoded, kept, strict=False):
        assert len(shown.pieces) == len(item.ids)
        assert shown.answer_tokens == item.answer_tokens
        if example.answer.isascii():  # a token of the tiny model is a byte
            assert "".join(shown.pieces[-item.answer_tokens : -1]) == example.answer
    assert home.read_token_problem(TINY_MODEL, dataset.digest) == ""


def test_lengths_of_an_older_version_are_replaced(tmp_path: Path, models_dir: Path) -> None:
    """It knew no shared prefix, and a peak predicted without it would be too high."""
    home, dataset = LabHome(tmp_path), build_own_dataset()
    read_dataset(TINY_MODEL, OWN_DATA, home, models_dir)
    lengths = home.read_lengths(TINY_MODEL, dataset.digest)
    assert lengths[0].shared > 0
    home.save_lengths(TINY_MODEL, dataset.digest, [replace(length, shared=0) for length in lengths])
    read_dataset(TINY_MODEL, OWN_DATA, home, models_dir)
    assert home.read_lengths(TINY_MODEL, dataset.digest) == lengths


def test_a_model_without_a_tokenizer_says_why(tmp_path: Path, models_dir: Path) -> None:
    home = LabHome(tmp_path)
    read_dataset(str(tmp_path / "nowhere"), OWN_DATA, home, models_dir)
    digest = build_own_dataset().digest
    assert "There is no folder" in home.read_token_problem(str(tmp_path / "nowhere"), digest)
    assert home.read_examples(str(tmp_path / "nowhere"), digest) == []
