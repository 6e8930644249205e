"""The learnt update of each matrix, read from an adapter's files: scale · left · right, never multiplied out.

LoRA has left = B and right = A. AdaLoRA scales A's rows by its E, VeRA scales A's and B's rows by its two
vectors; IA3 has no low-rank update. The lab itself trains LoRA, rsLoRA and DoRA only: the others are read
where someone has put an adapter that PEFT trained elsewhere into a run's folder as `adapter/`. The tests
compare with what PEFT's own layers make of the same files.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft.utils.other import get_pattern_key
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lora_lab.spec import compute_scaling
from study.base.errors import LearnerError

WRAPPED = "base_model.model."  # PEFT's prefix of module names
PART = re.compile(
    r"(?P<module>.+)\.(?P<part>lora_A|lora_B|lora_E|lora_magnitude_vector|vera_lambda_b|vera_lambda_d)(?:\.weight)?"
)
ADALORA_EPSILON = 1e-5  # PEFT adds it to the rank in the denominator
DAMAGED = "Start the run again."


@dataclass(frozen=True, kw_only=True)
class Update:
    """The update of one weight (d_out, d_in): scale · left · right."""

    name: str
    """The module's name in the base model."""

    left: Tensor  # (d_out, rank)
    right: Tensor  # (rank, d_in)
    scale: float
    magnitude: Tensor | None = None  # (d_out,) DoRA's; the whole update then isn't low-rank
    shared: bool = False
    """VeRA's: all layers use the first columns of one `right`, which is as wide as the widest layer."""

    @property
    def rank(self) -> int:
        """The largest rank that the update can have."""
        return self.right.shape[0]

    def narrow(self, d_out: int, d_in: int) -> "Update":
        """Narrow the update to a weight's shape. Raises LearnerError when it belongs to another shape."""
        right = self.right[:, :d_in] if self.shared else self.right
        if (len(self.left), right.shape[1]) != (d_out, d_in):
            raise LearnerError(
                f"The update of {self.name} is for a weight of {len(self.left)} x {self.right.shape[1]}, "
                f"and the base model has {d_out} x {d_in} there.",
                do_next="Start the run again.",
            )
        return replace(self, right=right)


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """All updates of an adapter, in the order of layers."""

    method: str
    """PEFT's name of the method, such as `LORA`."""

    updates: tuple[Update, ...]
    beside: tuple[str, ...]
    """What else it trains: copies of whole modules, biases, embeddings."""


def read_adapter(folder: Path) -> Adapter:
    """Read the files that PEFT saves. Raises LearnerError on damage, or without low-rank updates."""
    config, tensors = _find_files(folder)
    method = str(config.get("peft_type", "LORA"))
    if method == "IA3":
        raise LearnerError(
            "IA3 multiplies activations by one trained vector per layer. It adds no low-rank update, so "
            "there are no singular values to look at.",
            do_next="Choose a run of LoRA, rsLoRA or DoRA.",
        )
    if method not in ("LORA", "ADALORA", "VERA"):
        raise LearnerError(f"An adapter of type {method} can't be X-rayed.", do_next="Choose a run of LoRA.")
    parts, beside = _sort_out(tensors)
    try:
        updates = [_build_update(name, found, method, config, tensors) for name, found in parts.items()]
    except (KeyError, TypeError, ValueError, RuntimeError, ZeroDivisionError) as error:
        raise _build_damaged_error(f"its parts do not fit together: {error}") from error
    if not updates:
        raise _build_damaged_error("there is no update in it")
    _refuse_unless_finite(updates)
    return Adapter(method=method, updates=tuple(updates), beside=tuple(beside))


def _find_files(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
        tensors = load_file(folder / "adapter_model.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise _build_damaged_error(str(error)) from error
    if not isinstance(config, dict):
        raise _build_damaged_error("its settings aren't an object")
    return config, tensors


def _build_damaged_error(why: str) -> LearnerError:
    return LearnerError(f"The run's adapter can't be read ({why}).", do_next=DAMAGED)


def _sort_out(tensors: Iterable[str]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Sort tensors by module in the order of layers, and list those that are not part of an update."""
    parts: dict[str, dict[str, str]] = {}
    beside = []
    for key in sorted(tensors, key=_build_sort_key):
        name = key.removeprefix(WRAPPED)
        found = PART.fullmatch(name)
        if found:
            parts.setdefault(found["module"], {})[found["part"]] = key
        elif not name.startswith("base_model.vera_"):
            beside.append(name)
    return parts, beside


def _build_sort_key(name: str) -> list[tuple[int, str]]:
    """Build a sort key that puts layer 2 before layer 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.split(".")]


def _build_update(
    name: str,
    parts: Mapping[str, str],
    method: str,
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
) -> Update:
    found = {part: tensors[key].double() for part, key in parts.items()}
    scale = 1.0
    if method == "VERA":
        inner, outer = found["vera_lambda_d"], found["vera_lambda_b"]
        left = outer[:, None] * _find_shared(tensors, "vera_B")[: len(outer)]
        right = inner[:, None] * _find_shared(tensors, "vera_A")
    else:
        left, right = found["lora_B"], found["lora_A"]
        scale = _compute_scale(name, right.shape[0], config)
    if method == "ADALORA":
        right = right * found["lora_E"]
        start = float(config.get("init_r") or config["r"])
        scale = (float(config["lora_alpha"]) or start) / (start + ADALORA_EPSILON)
    if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[0]:
        raise ValueError(f"{name} has B {tuple(left.shape)} and A {tuple(right.shape)}")
    return Update(
        name=name,
        left=left,
        right=right,
        scale=scale,
        magnitude=found.get("lora_magnitude_vector"),
        shared=method == "VERA",
    )


def _find_shared(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    """Return one of VeRA's frozen matrices, which all layers share."""
    found = tensors.get(f"base_model.{name}")
    if found is None:
        raise ValueError("VeRA's shared matrices were not saved with it")
    return found.double()


def _compute_scale(name: str, rank: int, config: Mapping[str, Any]) -> float:
    """Compute a module's scaling; it may have its own alpha."""
    patterns = config.get("alpha_pattern") or {}
    alpha = float(patterns.get(get_pattern_key(list(patterns), name), config["lora_alpha"]))
    return compute_scaling(alpha, rank, rslora=bool(config.get("use_rslora")))


def _refuse_unless_finite(updates: Iterable[Update]) -> None:
    for update in updates:
        for factor in (update.left, update.right, update.magnitude):
            if factor is not None and not bool(torch.isfinite(factor).all()):
                raise LearnerError(
                    f"The adapter holds numbers that are not finite ({update.name}): the run diverged.",
                    do_next="Train it again with a lower learning rate.",
                )
