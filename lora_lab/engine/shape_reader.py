"""Reads shapes of configurations that are not in the catalogue, with a worker process that has torch."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lora_lab.engine.worker_process import build_worker_environment
from lora_lab.parameters.catalogue import read_entries
from lora_lab.parameters.shapes import ModelShape, find_shape, parse_shape
from lora_lab.spec import parse_object
from study.base.errors import LearnerError
from study.base.json_lines import RequestProcess
from study.base.short_queue import ShortQueue

MODEL_KINDS = ("causal", "encoder", "base", "seq2seq", "asr", "seqcls", "imgcls", "vlm", "tokencls", "qa")
"""`base` and `encoder` are a model without a head; `vlm` is a text model with a vision tower."""

LARGEST_SIZES = (
    (re.compile(r"(layers?|depths?|blocks)$"), 1_000),
    (re.compile(r"experts$"), 10_000),
    (re.compile(r"labels$"), 100_000),
    (re.compile(r"vocab"), 100_000_000),
    (re.compile(r"(size|dim|width|channels|heads|hidden|d_model|d_ff|d_kv|n_embd|n_inner)$"), 1_000_000),
)
"""By the end of a field's name. The largest published: 126 layers, 2,048 experts, a width of 53,248 and a
vocabulary of 262,144.
"""

CLOCK_SECONDS = 120.0
"""For one configuration, with the seconds in which the worker starts. Its own limits are in read_shape.py."""

SHAPES_KEPT = 64

REMOTE_TYPES = frozenset((
    "BTLM", "RefinedWeb", "RefinedWebModel", "aquila", "baichuan", "chatglm", "codeshell", "internlm",
    "internlm2", "minicpm", "mixformer-sequential", "moss", "orion", "phi-msft", "qwen", "skywork",
    "stablelm_epoch", "xverse",
))  # fmt: skip
"""Types whose code is beside their weights and not in transformers."""


class RemoteCode(LearnerError):
    """The error when a configuration's own code is not in transformers, so that nothing here can build it."""


def parse_config(text: str) -> dict[str, Any]:
    """Parse a config.json. Raises LearnerError when it is not a model's configuration."""
    do_next = "Give a model's whole config.json."
    config = parse_object(text, "A config.json", do_next=do_next)
    if not isinstance(config.get("model_type"), str):
        raise LearnerError("That has no model_type.", do_next=do_next)
    return config


class ShapeReader:
    """A client of one worker process for any number of configurations, started for the first one.

    The shape of a configuration is cached. `named` finds models by name, in the catalogue or elsewhere; it
    raises LearnerError on an unknown name.
    """

    def __init__(self, named: Callable[[str], ModelShape] = find_shape) -> None:
        self._named = named
        self._known: dict[str, ModelShape] = {}
        self._process = RequestProcess("lora_lab.worker", "--shapes", environment=build_worker_environment())
        self._queue = ShortQueue("Other configurations")  # a page's handlers run in several threads

    def read(self, config: Mapping[str, Any], *, kind: str | None = None, anew: bool = False) -> ModelShape:
        """Read the shape of a Hugging Face config with its `model_type`, built as `kind` or the usual kind.

        `anew` ignores the catalogue's shape. Raises LearnerError when the config describes no model, or one
        that is larger than any, and while too many others are read.
        """
        if kind is not None and kind not in MODEL_KINDS:
            raise LearnerError(
                f"kind must be one of {', '.join(MODEL_KINDS)}, got {kind!r}.",
                do_next=f"Write one of them, such as {next(iter(MODEL_KINDS))}.",
            )
        kept = None if anew else _find_in_catalogue(config, kind)
        if kept is not None:
            return kept
        _check_sizes(config)
        request = {"config": dict(config), "kind": kind}
        key = json.dumps(request, sort_keys=True)
        shape = self._known.get(key)
        if shape is None:
            with self._queue.turn():
                shape = self._known.pop(key, None) or self._read(request)
                self._known[key] = shape
                for oldest in list(self._known)[:-SHAPES_KEPT]:
                    del self._known[oldest]
        return shape

    def find(self, name: str, *, kind: str | None = None) -> ModelShape:
        """Find a catalogue model, built as `kind` where the catalogue holds another kind."""
        shape = self._named(name)
        if kind is None:
            return shape
        entry = next((each for each in read_entries() if each.name == shape.name), None)
        if entry is None and kind == "causal":  # what papers describe without a configuration are decoders
            return shape
        if entry is None:
            raise LearnerError(f"{name} has no configuration to build it from.", do_next="Pass a config.")
        return self.read(entry.config, kind=kind)

    def _read(self, request: Mapping[str, Any]) -> ModelShape:
        answer = self._process.ask(request, seconds=CLOCK_SECONDS)
        if answer is None:
            raise LearnerError(
                "This configuration takes too long or too much memory to read.",
                do_next="Check how many layers and experts it has, or try again.",
            )
        config = request["config"]
        is_remote = str(config.get("model_type")) in REMOTE_TYPES or "auto_map" in config
        if is_remote and "Unrecognized model" in answer.get("error", ""):
            raise RemoteCode(
                f"{config['model_type']} brings its own code; only code that is part of transformers is run.",
                do_next="Describe its modules as module_layout, with base_total.",
            )
        if "error" in answer:
            raise LearnerError(
                f"That configuration describes no model ({answer['error']}).",
                do_next="Paste a whole config.json with its model_type.",
            )
        return parse_shape(answer["shape"])

    def close(self) -> None:
        """End the worker, if it was started: it stores nothing."""
        self._process.close()


def _check_sizes(config: Mapping[str, Any]) -> None:
    """Raise LearnerError on a size that no model has: its modules would fill the memory."""
    for name, size in _list_sizes(config):
        most = next((most for ending, most in LARGEST_SIZES if ending.search(name)), None)
        if most is not None and size > most:
            raise LearnerError(
                f"{name} is {size:,}, and no model has more than {most:,}."
                if size < 10**15
                else f"{name} is larger than any model's.",
                do_next=f"Correct {name} in the configuration.",
            )


def _list_sizes(config: Mapping[str, Any]) -> Iterator[tuple[str, int | float]]:
    """Yield each number of a configuration with the field that holds it, also those in lists."""
    waiting: list[tuple[str, Any]] = [("", config)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += ((str(key), inner) for key, inner in value.items())
        elif isinstance(value, list | tuple):
            waiting += ((name, inner) for inner in value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield name, value


def _find_in_catalogue(config: Mapping[str, Any], kind: str | None) -> ModelShape | None:
    """Find the catalogue's shape of a configuration that equals an entry's, which needs no worker."""
    for entry in read_entries():
        is_kind = kind == entry.kind or (kind == "causal" and entry.kind is None)
        if is_kind and entry.config == config:
            return find_shape(entry.name)
    return None
