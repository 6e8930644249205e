"""What a task may check about a setting: numbers that the lab's own ledger and counter compute.

A setting is the form of "Will it fit?" (views/memory_form.py) with a few fields more, all as texts.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from lora_lab.memory import ledger
from lora_lab.memory.gpus import CUDA_OVERHEAD_BYTES
from lora_lab.memory.kv_cache import kv_cache_bytes
from lora_lab.memory.sharding import zero_bytes_per_gpu
from lora_lab.parameters.counts import Count
from lora_lab.parameters.shapes import ModelShape, find_shape
from lora_lab.spec import BITS, Bits
from lora_lab.views import fit, memory_form
from study.base.units import as_bytes, as_percent, as_three_digits

Setting = Mapping[str, str]
Unit = Literal["bytes", "count", "percent", "number"]

MORE_DEFAULTS = {
    "alpha": "16",
    "layers": "",  # empty: every layer
    "accumulate": "1",
    "steps": "100",
    "rows": "10000",
    "adapters": "1",
    "gpus": "1",
    "stage": "0",
}
"""Fields that the memory form lacks."""

DEFAULTS: Setting = memory_form.DEFAULTS | MORE_DEFAULTS
ADAPTER_FILE_BYTES = 4  # per parameter: PEFT saves the adapter in fp32, as it was trained
SERVED_ADAPTER_BYTES = 2  # per parameter: servers keep adapters in 16 bits


@dataclass(frozen=True, kw_only=True)
class SettingMeasure:
    """One number about a setting."""

    name: str
    label: str
    unit: Unit
    compute: Callable[[Setting], float]

    def show(self, value: float) -> str:
        """Format a value as a learner reads it."""
        match self.unit:
            case "bytes":
                return as_bytes(value)
            case "percent":
                return as_percent(value)
            case "count":
                return f"{value:,.0f}"
        return as_three_digits(value)


def shape_of(setting: Setting) -> ModelShape:
    """Return the shape of the setting's model."""
    return find_shape(setting["model"])


def count_of(setting: Setting) -> Count:
    """Count the parameters that the setting trains, in `layers` of the model's layers.

    Every layer of the models that tasks name has the same matrices, so the count is proportional to them.
    """
    shape = shape_of(setting)
    found = fit.count_trained(setting, shape)
    if setting["method"] == "full" or not setting["layers"]:
        return found
    trainable = found.trainable * int(setting["layers"]) // shape.layers
    return Count(trainable=trainable, total=shape.total_parameters + trainable)


def bits_of(setting: Setting) -> Bits:
    """Return the setting's bit width."""
    return next(bits for bits in BITS if bits == setting["bits"])


def scale_of(setting: Setting) -> float:
    """Compute alpha / r, or alpha / sqrt(r) for rsLoRA (arXiv:2106.09685 section 4.1, arXiv:2312.03732)."""
    rank = int(setting["rank"])
    return float(setting["alpha"]) / (math.sqrt(rank) if setting["method"] == "rslora" else rank)


def weights_bytes(setting: Setting) -> int:
    """Compute the bytes of the stored base, constants included."""
    shape, bits = shape_of(setting), bits_of(setting)
    return ledger.stored_weight_bytes(shape, bits) + ledger.constant_bytes(shape, bits)


def cache_bytes(setting: Setting) -> int:
    """Compute the bytes of keys and values of `batch` requests of `seq_len` tokens, in 16 bits."""
    return kv_cache_bytes(shape_of(setting), tokens=int(setting["seq_len"]), batch=int(setting["batch"]))


def served_adapters_bytes(setting: Setting) -> int:
    """Compute the bytes of `adapters` adapters that a server keeps beside one base."""
    return int(setting["adapters"]) * SERVED_ADAPTER_BYTES * count_of(setting).trainable


def serving_bytes(setting: Setting) -> int:
    """Compute weights, cache and adapters of a server, and the driver's share."""
    return weights_bytes(setting) + cache_bytes(setting) + CUDA_OVERHEAD_BYTES


def effective_batch(setting: Setting) -> int:
    """Count the sequences of an optimizer step."""
    return int(setting["batch"]) * int(setting["accumulate"])


def state_bytes(setting: Setting) -> float:
    """Compute weights, gradients and optimizer state of full fine-tuning on each GPU (ZeRO)."""
    return zero_bytes_per_gpu(
        parameters=shape_of(setting).total_parameters,
        gpus=int(setting["gpus"]),
        stage=int(setting["stage"]),
    )


def _whole(field: str) -> Callable[[Setting], float]:
    def read(setting: Setting) -> float:
        return float(setting[field])

    return read


_ALL = (
    SettingMeasure(
        name="needed_bytes", label="Memory at the peak of a step", unit="bytes", compute=fit.needed_bytes
    ),
    SettingMeasure(
        name="trainable",
        label="Trainable parameters",
        unit="count",
        compute=lambda setting: count_of(setting).trainable,
    ),
    SettingMeasure(
        name="percent",
        label="Trainable share",
        unit="percent",
        compute=lambda setting: count_of(setting).percent,
    ),
    SettingMeasure(
        name="parameters",
        label="Parameters of the model",
        unit="count",
        compute=lambda setting: shape_of(setting).total_parameters,
    ),
    SettingMeasure(
        name="adapter_file_bytes",
        label="The adapter's file",
        unit="bytes",
        compute=lambda setting: ADAPTER_FILE_BYTES * count_of(setting).trainable,
    ),
    SettingMeasure(name="scale", label="Scale of the update", unit="number", compute=scale_of),
    SettingMeasure(name="weights_bytes", label="Stored weights", unit="bytes", compute=weights_bytes),
    SettingMeasure(
        name="bits_per_param",
        label="Stored bits per weight",
        unit="number",
        compute=lambda setting: ledger.bits_per_param(bits_of(setting)),
    ),
    SettingMeasure(
        name="cache_bytes", label="Keys and values of all requests", unit="bytes", compute=cache_bytes
    ),
    SettingMeasure(name="serving_bytes", label="Memory of the server", unit="bytes", compute=serving_bytes),
    SettingMeasure(
        name="served_adapters_bytes",
        label="Memory of all adapters",
        unit="bytes",
        compute=served_adapters_bytes,
    ),
    SettingMeasure(name="effective_batch", label="Sequences per step", unit="count", compute=effective_batch),
    SettingMeasure(
        name="tokens_per_step",
        label="Tokens per step",
        unit="count",
        compute=lambda setting: effective_batch(setting) * int(setting["seq_len"]),
    ),
    SettingMeasure(
        name="rows_seen",
        label="Rows seen in all steps",
        unit="count",
        compute=lambda setting: effective_batch(setting) * int(setting["steps"]),
    ),
    SettingMeasure(name="state_bytes", label="State on each GPU", unit="bytes", compute=state_bytes),
    SettingMeasure(
        name="gpu_bytes",
        label="The card holds",
        unit="bytes",
        compute=lambda setting: memory_form.gpu_bytes_of(setting["gpu"]),
    ),
    SettingMeasure(name="rank", label="Rank", unit="count", compute=_whole("rank")),
    SettingMeasure(name="seq_len", label="Context in tokens", unit="count", compute=_whole("seq_len")),
    SettingMeasure(name="batch", label="Sequences at once", unit="count", compute=_whole("batch")),
    SettingMeasure(
        name="layers",
        label="Layers with an adapter",
        unit="count",
        compute=lambda setting: int(setting["layers"] or shape_of(setting).layers),
    ),
    SettingMeasure(name="gpus", label="GPUs", unit="count", compute=_whole("gpus")),
)
MEASURES: Mapping[str, SettingMeasure] = {measure.name: measure for measure in _ALL}
