"""Reading pasted configurations: none of them fills the memory, and none holds the others up for long."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lora_lab.engine import shape_reader
from lora_lab.engine.shape_reader import SHAPES_KEPT, ShapeReader
from lora_lab.parameters.catalogue import read_entries
from lora_lab.parameters.shapes import ModelShape, find_shape
from study.base import json_lines
from study.base.errors import LearnerError
from study.base.short_queue import ShortQueue

LLAMA: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": 777,
}  # fmt: skip


class Slow:
    """A worker that answers nothing until it is killed."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.ended = threading.Event()

    def send(self, message: object) -> None:
        pass

    def read(self) -> Iterator[Any]:
        self.ended.wait(60)
        yield from ()

    def kill(self) -> None:
        self.ended.set()

    close = kill


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (
            {"num_hidden_layers": 3_000_000},
            "num_hidden_layers is 3,000,000, and no model has more than 1,000",
        ),
        ({"num_local_experts": 10**6}, "num_local_experts is 1,000,000"),
        ({"hidden_size": 10**12}, "hidden_size is 1,000,000,000,000"),
        ({"vocab_size": 10**40}, "vocab_size is larger than any model's"),
        ({"num_labels": 10**9}, "num_labels"),
        ({"text_config": {"num_hidden_layers": 5000}}, "num_hidden_layers is 5,000"),
        ({"vision_config": [{"depths": [2, 2, 10**6]}]}, "depths is 1,000,000"),
    ],
)
def test_a_size_that_no_model_has_is_named_before_a_worker_starts(
    monkeypatch: pytest.MonkeyPatch, size: dict[str, Any], said: str
) -> None:
    reader = ShapeReader()
    monkeypatch.setattr(reader, "_read", lambda request: pytest.fail("a worker was asked"))
    with pytest.raises(LearnerError, match=said):
        reader.read(LLAMA | size)


def test_every_model_of_the_catalogue_has_sizes_that_are_read() -> None:
    for entry in read_entries():
        shape_reader._check_sizes(entry.config)


def test_a_configuration_within_the_sizes_ends_at_the_workers_limits(
    monkeypatch: pytest.MonkeyPatch, reader: ShapeReader
) -> None:
    assert reader.read(LLAMA).layers == 2  # the worker has started, which takes longer than the clock below
    monkeypatch.setattr(shape_reader, "CLOCK_SECONDS", 2.0)
    monster = {
        "model_type": "switch_transformers", "num_experts": 9_999, "num_layers": 999,
        "num_sparse_encoder_layers": 500,
    }  # fmt: skip
    with pytest.raises(LearnerError, match="takes too long or too much memory"):
        reader.read(monster, kind="seq2seq")
    monkeypatch.setattr(shape_reader, "CLOCK_SECONDS", 300.0)
    assert reader.read(LLAMA | {"vocab_size": 778}).layers == 2  # by a new worker


def test_whoever_waits_behind_a_slow_one_is_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "JsonLinesProcess", Slow)
    monkeypatch.setattr(shape_reader, "CLOCK_SECONDS", 1.5)
    reader = ShapeReader()
    reader._queue = ShortQueue("Other configurations", wait_seconds=2.0)
    said: list[str] = []

    def ask(number: int) -> None:
        try:
            reader.read(LLAMA | {"vocab_size": number})
        except LearnerError as error:
            said.append(str(error))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, 47)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    while len(said) < 38 and time.monotonic() - begun < 2:
        time.sleep(0.01)
    assert len(said) == 38  # the others take no thread of the server
    assert all("Other configurations are being read at the moment. Try again" in one for one in said)
    for thread in threads:
        thread.join(60)
    assert sum("takes too long" in one for one in said) >= 1
    assert len(said) == 46


def test_only_the_newest_shapes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, read = ShapeReader(), []

    def note(request: dict[str, Any]) -> ModelShape:
        read.append(request["config"]["vocab_size"])
        return find_shape("llama-2-7b")

    monkeypatch.setattr(reader, "_read", note)
    for number in (*range(1, SHAPES_KEPT + 2), SHAPES_KEPT + 1, 1):
        reader.read(LLAMA | {"vocab_size": number})
    assert read == [*range(1, SHAPES_KEPT + 2), 1]
    assert len(reader._known) == SHAPES_KEPT
