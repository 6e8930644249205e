"""What a task may check about a setting: numbers that the lab's own ledger and counter compute.

A setting is the form of "Will it fit?" (views/memory_form.py) with a few fields more, all as texts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from lora_lab.memory import ledger
from lora_lab.memory.gpus import CUDA_OVERHEAD_BYTES, GPUS
from lora_lab.memory.kv_cache import kv_cache_bytes
from lora_lab.memory.sharding import zero_bytes_per_gpu
from lora_lab.parameters.counts import Count
from lora_lab.parameters.shapes import ModelShape, find_shape
from lora_lab.spec import BITS, Bits, compute_scaling
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


@dataclass(frozen=True)
class SettingMeasure:
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


def find_setting_shape(setting: Setting) -> ModelShape:
    return find_shape(setting["model"])


def count_of(setting: Setting) -> Count:
    """Count the parameters that the setting trains, in `layers` of the model's layers.

    Every layer of the models that tasks name has the same matrices, so the count is proportional to them.
    """
    shape = find_setting_shape(setting)
    found = fit.count_trained(setting, shape)
    if setting["method"] == "full" or not setting["layers"]:
        return found
    trainable = found.trainable * int(setting["layers"]) // shape.layers
    return Count(trainable=trainable, total=shape.total_parameters + trainable)


def compute_bits(setting: Setting) -> Bits:
    return next(bits for bits in BITS if bits == setting["bits"])


def compute_setting_scale(setting: Setting) -> float:
    rslora = setting["method"] == "rslora"
    return compute_scaling(float(setting["alpha"]), int(setting["rank"]), rslora=rslora)


def weights_bytes(setting: Setting) -> int:
    """Compute the bytes of the stored base, constants included."""
    shape, bits = find_setting_shape(setting), compute_bits(setting)
    return ledger.compute_stored_weight_bytes(shape, bits) + ledger.compute_constant_bytes(shape, bits)


def cache_bytes(setting: Setting) -> int:
    """Compute the bytes of keys and values of `batch` requests of `seq_len` tokens, in 16 bits."""
    return kv_cache_bytes(
        find_setting_shape(setting), tokens=int(setting["seq_len"]), batch=int(setting["batch"])
    )


def served_adapters_bytes(setting: Setting) -> int:
    """Compute the bytes of `adapters` adapters that a server keeps beside one base."""
    return int(setting["adapters"]) * SERVED_ADAPTER_BYTES * count_of(setting).trainable


def serving_bytes(setting: Setting) -> int:
    """Compute weights, cache and adapters of a server, and CUDA's fixed share."""
    return weights_bytes(setting) + cache_bytes(setting) + CUDA_OVERHEAD_BYTES


def effective_batch(setting: Setting) -> int:
    """Count the sequences of an optimizer step."""
    return int(setting["batch"]) * int(setting["accumulate"])


def state_bytes(setting: Setting) -> float:
    """Compute weights, gradients and optimizer state of full fine-tuning on each GPU (ZeRO)."""
    return zero_bytes_per_gpu(
        parameters=find_setting_shape(setting).total_parameters,
        gpus=int(setting["gpus"]),
        stage=int(setting["stage"]),
    )


def _build_reader(field: str) -> Callable[[Setting], float]:
    return lambda setting: float(setting[field])


MEASURES: Mapping[str, SettingMeasure] = {
    "needed_bytes": SettingMeasure("Memory at the peak of a step", "bytes", fit.compute_needed_bytes),
    "trainable": SettingMeasure("Trainable parameters", "count", lambda each: count_of(each).trainable),
    "percent": SettingMeasure("Trainable share", "percent", lambda each: count_of(each).percent),
    "parameters": SettingMeasure(
        "Parameters of the model", "count", lambda each: find_setting_shape(each).total_parameters
    ),
    "adapter_file_bytes": SettingMeasure(
        "The adapter's file", "bytes", lambda each: ADAPTER_FILE_BYTES * count_of(each).trainable
    ),
    "scale": SettingMeasure("Scale of the update", "number", compute_setting_scale),
    "weights_bytes": SettingMeasure("Stored weights", "bytes", weights_bytes),
    "bits_per_param": SettingMeasure(
        "Stored bits per weight", "number", lambda each: ledger.bits_per_param(compute_bits(each))
    ),
    "cache_bytes": SettingMeasure("Keys and values of all requests", "bytes", cache_bytes),
    "serving_bytes": SettingMeasure("Memory of the server", "bytes", serving_bytes),
    "served_adapters_bytes": SettingMeasure("Memory of all adapters", "bytes", served_adapters_bytes),
    "effective_batch": SettingMeasure("Sequences per step", "count", effective_batch),
    "tokens_per_step": SettingMeasure(
        "Tokens per step", "count", lambda each: effective_batch(each) * int(each["seq_len"])
    ),
    "rows_seen": SettingMeasure(
        "Rows seen in all steps", "count", lambda each: effective_batch(each) * int(each["steps"])
    ),
    "state_bytes": SettingMeasure("State on each GPU", "bytes", state_bytes),
    "gpu_bytes": SettingMeasure("The GPU holds", "bytes", lambda each: GPUS[int(each["gpu"])].total_bytes),
    "rank": SettingMeasure("Rank", "count", _build_reader("rank")),
    "seq_len": SettingMeasure("Context in tokens", "count", _build_reader("seq_len")),
    "batch": SettingMeasure("Sequences at once", "count", _build_reader("batch")),
    "layers": SettingMeasure(
        "Layers with an adapter", "count", lambda each: int(each["layers"] or find_setting_shape(each).layers)
    ),
    "gpus": SettingMeasure("GPUs", "count", _build_reader("gpus")),
}
