"""Tokenization of a data set for a model: token lengths of all examples, and the first ones' pieces."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lora_lab.data.datasets import Dataset
from lora_lab.data.lab_folder import LabHome, ReadExample
from lora_lab.data.uploads import Uploads
from lora_lab.worker.model.load import load_tokenizer
from lora_lab.worker.training.packing import Encoded, encode_example, list_lengths
from study.base.errors import LearnerError

SHOWN_EXAMPLES = 5


def read_dataset(model: str, data: str, home: LabHome, models_dir: Path) -> None:
    """Tokenize a data set of the app and write what the page shows of it, or the reason why that failed."""
    dataset = Uploads(home.uploads_path).find(data)
    try:
        tokenizer = load_tokenizer(model, models_dir)
    except LearnerError as error:
        home.save_unreadable(model, dataset.digest, str(error))
        return
    encoded = [encode_example(tokenizer, example) for example in dataset.train]
    keep_read(home, model, dataset, tokenizer, encoded)


def keep_read(
    home: LabHome, model: str, dataset: Dataset, tokenizer: Any, encoded: Sequence[Encoded]
) -> None:
    """Write lengths and first examples, once per model and data set, because the page has no tokenizer.

    Lengths of an older version, which doesn't know a shared prefix, are replaced.
    """
    lengths = list_lengths(encoded)
    if home.read_lengths(model, dataset.digest) == lengths and home.read_examples(model, dataset.digest):
        return
    shown = [
        ReadExample(
            pieces=tuple(tokenizer.decode([token]) for token in item.ids), answer_tokens=item.answer_tokens
        )
        for item in encoded[:SHOWN_EXAMPLES]
    ]
    home.save_lengths(model, dataset.digest, lengths)
    home.save_read_examples(model, dataset.digest, shown)
