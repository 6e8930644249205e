"""Reads shapes of configurations that are not in the catalogue, with a worker process that has torch."""

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from threading import Lock
from typing import Any

from lora_lab.engine.worker_process import worker_environment
from lora_lab.parameters.catalogue import read_entries
from lora_lab.parameters.shapes import ModelShape, find_shape, shape_from_json
from lora_lab.spec import parse_object
from study.base.errors import LearnerError
from study.base.json_lines import JsonLinesProcess

MODEL_KINDS = ("causal", "encoder", "base", "seq2seq", "asr", "seqcls", "imgcls", "vlm", "tokencls", "qa")
"""`base` and `encoder` are a model without a head; `vlm` is a text model with a vision tower."""


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
        self._lock = Lock()  # a page's handlers run in several threads

    def read(self, config: Mapping[str, Any], *, kind: str | None = None, anew: bool = False) -> ModelShape:
        """Read the shape of a Hugging Face config with its `model_type`, built as `kind` or the usual kind.

        `anew` ignores the catalogue's shape. Raises LearnerError when the config describes no model.
        """
        if kind is not None and kind not in MODEL_KINDS:
            raise LearnerError(
                f"kind must be one of {', '.join(MODEL_KINDS)}, got {kind!r}.",
                do_next=f"Write one of them, such as {next(iter(MODEL_KINDS))}.",
            )
        kept = None if anew else _in_catalogue(config, kind)
        if kept is not None:
            return kept
        request = {"config": dict(config), "kind": kind}
        key = json.dumps(request, sort_keys=True)
        with self._lock:
            if key not in self._known:
                self._known[key] = self._read(request)
            return self._known[key]

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
        self._process.send(request)
        answer = next(self._process.read(), None)
        if answer is None:
            self.close()  # the next configuration gets a new worker
            raise LearnerError("The shape reader ended unexpectedly.", do_next="Try again.")
        if "error" in answer:
            raise LearnerError(
                f"That configuration describes no model ({answer['error']}).",
                do_next="Paste a whole config.json with its model_type.",
            )
        return shape_from_json(answer["shape"])

    def close(self) -> None:
        """End the worker, if it was started: it stores nothing."""
        worker = self.__dict__.pop("_process", None)
        if worker is not None:
            worker.close()

    @cached_property
    def _process(self) -> JsonLinesProcess:
        return JsonLinesProcess("lora_lab.worker", "--shapes", environment=worker_environment())


def _in_catalogue(config: Mapping[str, Any], kind: str | None) -> ModelShape | None:
    """Return the catalogue's shape of a configuration that equals an entry's, which needs no worker."""
    for entry in read_entries():
        is_kind = kind == entry.kind or (kind == "causal" and entry.kind is None)
        if is_kind and entry.config == config:
            return find_shape(entry.name)
    return None
