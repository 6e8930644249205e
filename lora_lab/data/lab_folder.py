"""The lab's JSON files in the data folder, without runs: token lengths, model shapes, worker state."""

import hashlib
import json
import os
import platform
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any

from lora_lab.data.batches import Length
from lora_lab.data.machine import NumberType, name_device, parse_number_type
from lora_lab.parameters.shapes import Linear, ModelShape, find_shape, parse_shape
from lora_lab.spec import Compute
from study.base.errors import LearnerError

NO_WORKER: dict[str, Any] = {
    "state": "",
    "text": "",
    "do_next": "",
    "done_bytes": 0,
    "total_bytes": 0,
    "device": None,
}


@dataclass(frozen=True, kw_only=True)
class ReadExample:
    """A training example as text pieces, one per token; the last `answer_tokens` are trained on."""

    pieces: tuple[str, ...]
    answer_tokens: int


CHOSEN_VARIABLE = "LORA_STUDY_CHOSEN_DEVICE"
"""Tells a worker the device that the learner chose on the lab's page, for as long as the process lives."""


@dataclass(frozen=True)
class LabHome:
    """The lab's small JSON files, each written whole and then renamed, so a reader never sees half of one."""

    folder: Path

    @property
    def lab_path(self) -> Path:
        """The folder of these files, and of the app's queue and the inspections."""
        return self.folder / "lab"

    @property
    def uploads_path(self) -> Path:
        """The folder of the learners' data sets."""
        return self.lab_path / "data"

    @property
    def worker_state_path(self) -> Path:
        """The file with the warm worker's state."""
        return self.lab_path / "worker.json"

    def write_worker_state(self, **values: Any) -> None:
        """Replace the worker's state; the device stays known while the next worker gets ready."""
        write_json(self.worker_state_path, {"device": self.read_worker_state()["device"]} | values)

    def read_worker_state(self) -> dict[str, Any]:
        """Read the worker's last state; `state` is empty if a worker never wrote one."""
        found = read_json(self.worker_state_path)
        whole = all(_fits(found[name], usual) for name, usual in NO_WORKER.items() if name in found)
        whole = whole and (not found.get("device") or _is_description(found["device"]))
        return NO_WORKER | found if whole else dict(NO_WORKER)

    def describe_device(self) -> dict[str, Any]:
        """Describe the device of the last worker, with the number type that a run would use now; empty before
        the first worker.
        """
        described: dict[str, Any] = self.read_worker_state()["device"] or {}
        kept = self.number_type()
        if not described or kept is None or kept.device != name_device(described):
            return described
        return described | {"compute_dtype": kept.compute, "because": kept.because}

    def read_chosen_device(self) -> str:
        """Read which device a learner chose on this machine, such as `cuda:1`; empty without a choice."""
        return str(read_json(self._device_path).get(platform.node(), ""))

    def choose_device(self, device_id: str) -> None:
        """Keep a learner's choice of a device. Raises LearnerError when the worker has not found it here."""
        found = [device["id"] for device in self.describe_device().get("devices", [])]
        if device_id not in found:
            raise LearnerError(
                f"This machine has no device {device_id}.",
                do_next=f"Choose one of {', '.join(found)}." if found else "Wait until the worker is ready.",
            )
        write_json(self._device_path, read_json(self._device_path) | {platform.node(): device_id})

    def number_type(self) -> NumberType | None:
        """Read the number type that `auto` stands for on this machine; None before it is decided."""
        return parse_number_type(read_json(self._number_type_path))

    def save_number_type(self, kept: NumberType) -> None:
        """Write the number type, unless it is written already."""
        if kept != self.number_type():
            write_json(self._number_type_path, asdict(kept))

    def choose_number_type(self, chosen: Compute | None) -> NumberType:
        """Keep a learner's choice for this machine; None goes back to the decided type.

        Raises LearnerError before a worker has looked at the machine.
        """
        kept = self.number_type()
        if kept is None:
            raise LearnerError(
                "The training worker has not looked at this machine yet.",
                do_next="Wait until it is ready, or start a run.",
            )
        kept = replace(kept, chosen=None if chosen == kept.decided else chosen)
        self.save_number_type(kept)
        return kept

    def save_lengths(self, model: str, digest: str, lengths: Sequence[Length]) -> None:
        """Write how many tokens a model's tokenizer makes of each example in a data set."""
        write_json(self._lengths_path(model, digest), {"lengths": [asdict(item) for item in lengths]})

    def read_lengths(self, model: str, digest: str) -> list[Length]:
        """Read token lengths in the order of the training examples; empty when not known yet."""
        found = read_json(self._lengths_path(model, digest)).get("lengths")
        try:
            lengths = [Length(**item) for item in found or []]
        except TypeError:  # a damaged file counts as not written yet
            return []
        whole = all(isinstance(value, int) for length in lengths for value in astuple(length))
        return lengths if whole else []

    def save_read_examples(self, model: str, digest: str, examples: "Sequence[ReadExample]") -> None:
        """Write the first training examples as the model's tokens."""
        write_json(self._read_path(model, digest), {"examples": [asdict(item) for item in examples]})

    def save_unreadable(self, model: str, digest: str, problem: str) -> None:
        """Write why a data set could not be tokenized."""
        write_json(self._read_path(model, digest), {"problem": problem})

    def read_examples(self, model: str, digest: str) -> "list[ReadExample]":
        """Read the first training examples as tokens; empty when not known yet."""
        found = read_json(self._read_path(model, digest)).get("examples")
        try:
            return [
                ReadExample(pieces=tuple(map(str, item["pieces"])), answer_tokens=int(item["answer_tokens"]))
                for item in found or []
            ]
        except (TypeError, KeyError, ValueError, OverflowError):  # a damaged file counts as not written yet
            return []

    def read_token_problem(self, model: str, digest: str) -> str:
        """Read why a data set could not be tokenized; empty unless that happened."""
        return str(read_json(self._read_path(model, digest)).get("problem", ""))

    def save_shape(self, shape: ModelShape) -> None:
        """Write the shape of a model that is not in the catalogue."""
        write_json(self._shape_path(shape.name), json.loads(shape.to_json()))

    def delete_shape(self, model: str) -> None:
        self._shape_path(model).unlink(missing_ok=True)

    def read_shapes(self) -> list[ModelShape]:
        """Read the shapes stored in addition to the catalogue, smallest first."""
        files = sorted((self.lab_path / "shapes").glob("*.json"))
        kept = [shape for path in files if (shape := _read_shape(path)) is not None]
        return sorted(kept, key=lambda shape: shape.total_parameters)

    def find_shape(self, model: str) -> ModelShape:
        """Find a shape in the catalogue, then among shapes read earlier. Raises LearnerError otherwise."""
        try:
            return find_shape(model)
        except LearnerError:
            kept = _read_shape(self._shape_path(model))
            if kept is None:
                raise
            return kept

    @property
    def _device_path(self) -> Path:
        return self.lab_path / "device.json"

    @property
    def _number_type_path(self) -> Path:
        return self.lab_path / "number-type.json"

    def _lengths_path(self, model: str, digest: str) -> Path:
        return self.lab_path / "lengths" / f"{_build_slug(model)}-{digest}.json"

    def _read_path(self, model: str, digest: str) -> Path:
        return self.lab_path / "read" / f"{_build_slug(model)}-{digest}.json"

    def _shape_path(self, model: str) -> Path:
        return self.lab_path / "shapes" / f"{_build_slug(model)}.json"


def _read_shape(path: Path) -> ModelShape | None:
    """Parse a stored shape; None for a missing or damaged one, which a worker then reads again."""
    try:
        shape = parse_shape(path.read_text("utf-8"))
        shape.total_parameters  # noqa: B018 - computed from every field
        hash(shape)  # a key of caches
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, LearnerError):
        return None
    parts: tuple[ModelShape | Linear, ...] = (shape, *shape.linears)
    whole = isinstance(shape.settings, Mapping) and all(_has_its_types(each) for each in parts)
    return shape if whole else None


def _has_its_types(sizes: ModelShape | Linear) -> bool:
    """Return whether each number and text is one; pages format them as such."""
    return all(
        isinstance(getattr(sizes, each.name), each.type) for each in fields(sizes) if each.type in (int, str)
    )


def _fits(value: Any, usual: Any) -> bool:
    """Return whether a value of the worker's state has the type it usually has; the device may be missing."""
    if usual is None:
        return value is None or isinstance(value, dict)
    return isinstance(value, type(usual)) and not isinstance(value, bool)


def _is_description(device: dict[str, Any]) -> bool:
    """Return whether every field that pages read of a device has its type; any of them may be missing."""
    notice = device.get("notice", {"what": "", "do_next": ""})
    texts = [device.get(name, "") for name in ("id", "name", "type", "processor", "compute_dtype", "because")]
    sizes = [device.get(name, 0) for name in ("memory_bytes", "free_bytes")]
    found = device.get("devices", [])
    return (
        isinstance(found, list)
        and all(
            isinstance(each, dict) and all(isinstance(each.get(name), str) for name in ("id", "name"))
            for each in found
        )
        and isinstance(notice, dict)
        and all(isinstance(text, str) for text in (*texts, notice.get("what"), notice.get("do_next")))
        and all(isinstance(size, int) and 0 <= size < 2**63 for size in sizes)
    )


def _build_slug(model: str) -> str:
    """Return a readable file name; the digest keeps `/models/a` and `models/a` apart."""
    readable = re.sub(r"[^A-Za-z0-9.-]+", "--", model).strip("-.")[-120:] or "model"
    return f"{readable}-{hashlib.sha256(model.encode()).hexdigest()[:8]}"


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Replace a file by a JSON object."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, json.dumps(values))


def replace_text(path: Path, text: str) -> None:
    """Write a text to a partial file of this thread, then rename it over the old file."""
    partial = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.partial")
    partial.write_text(text, "utf-8")
    os.replace(partial, path)


def read_json(path: Path) -> dict[str, Any]:
    """Read the file's object; return an empty one when the file is missing or damaged."""
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}
