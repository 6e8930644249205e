"""The lab's functions under the names that content may check against, registered on import.

check: {quantity: lora_parameters, model: gpt3-175b, rank: 8, targets: [q, v], expect: 37748736}

The function names are part of the content format, so renaming a function breaks checks.
"""

import math
import random
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from lora_lab import measurements
from lora_lab.memory import kv_cache, ledger, sharding
from lora_lab.memory.gpus import GPUS
from lora_lab.memory.optimizer_state import ADAM_BYTES_PER_PARAMETER, FP32_BYTES
from lora_lab.parameters import block_formats, counts
from lora_lab.parameters.quantization_levels import NF4_LEVELS
from lora_lab.parameters.shapes import find_shape
from lora_lab.spec import Bits, compute_scaling
from study.base.checks import register_quantity
from study.base.yaml_loader import load_yaml

Targets = str | Sequence[str]
Schedule = Literal["constant", "linear", "cosine"]


def lora_parameters(model: str, rank: int, targets: Targets) -> int:
    """Count the trainable parameters of LoRA on a catalogue model."""
    return counts.count_parameters(find_shape(model), rank=rank, targets=targets).trainable


def trainable_percent(model: str, rank: int, targets: Targets) -> float:
    """Compute the trainable share of all parameters, adapters included, in percent."""
    return counts.count_parameters(find_shape(model), rank=rank, targets=targets).percent


def lora_parameters_matrix(d_in: int, d_out: int, rank: int, matrices: int = 1) -> int:
    """Count the parameters of one A and one B, times `matrices`."""
    return matrices * counts.lora_parameters_matrix(d_in=d_in, d_out=d_out, rank=rank)


def linear_parameters(d_in: int, d_out: int) -> int:
    """Count the parameters of a full weight matrix."""
    return d_in * d_out


def base_parameters(model: str) -> int:
    return find_shape(model).total_parameters


def bits_per_param(scheme: Bits, block_size: int = ledger.BLOCK_SIZE) -> float:
    """Compute stored bits per weight, block constants included."""
    return ledger.bits_per_param(scheme, block_size=block_size)


def quantization_overhead_bits(double_quantization: bool) -> float:
    """Compute bits per weight spent on block constants."""
    return ledger.compute_overhead_bits(double_quantization=double_quantization)


def double_quantization_saving_bits() -> float:
    """Compute the overhead that double quantization saves, in bits per weight."""
    return quantization_overhead_bits(False) - quantization_overhead_bits(True)


def weight_bytes(model: str, bits: Literal[4, 8, 16, 32]) -> float:
    """Compute the bytes of all parameters at a flat bit width, without constants: back-of-the-envelope."""
    return find_shape(model).total_parameters * bits / 8


def card_bytes(gb: int) -> int:
    """Return what PyTorch reports for a card of that size, in bytes."""
    return GPUS[gb].total_bytes


def share_bytes(model: str, percent: float, bits: int) -> float:
    """Compute the bytes of `percent` of a model's parameters at a flat bit width."""
    return find_shape(model).total_parameters * percent / 100 * bits / 8


def double_quantization_saving_bytes(model: str) -> int:
    """Compute the bytes that double quantization saves in a stored model, tables included."""
    shape = find_shape(model)
    return ledger.compute_constant_bytes(shape, "nf4") - ledger.compute_constant_bytes(shape, "nf4-dq")


def full_finetuning_bytes(parameters: int) -> int:
    """Compute 2 bytes of weight, 2 of gradient and 8 of Adam state per parameter.

    This is the count behind "more than 780 GB" for 65B in arXiv:2305.14314 section 1.
    """
    return (2 + 2 + ADAM_BYTES_PER_PARAMETER) * parameters


def adamw_state_bytes(parameters: int) -> int:
    """Compute the bytes of two fp32 moments per parameter."""
    return ADAM_BYTES_PER_PARAMETER * parameters


def trainable_state_bytes(parameters: int) -> int:
    """Compute the bytes of fp32 weight, gradient and both moments per trained parameter."""
    return (2 * FP32_BYTES + ADAM_BYTES_PER_PARAMETER) * parameters


def adapter_bytes(model: str, rank: int, targets: Targets, bits: int) -> float:
    """Compute the bytes of an adapter's numbers at a flat bit width."""
    return lora_parameters(model, rank, targets) * bits / 8


def adapter_file_bytes(parameters: int) -> int:
    """Compute the bytes of an adapter saved in fp32, without the file's header."""
    return FP32_BYTES * parameters


def lora_scaling(alpha: float, rank: int) -> float:
    """Compute LoRA's scaling."""
    return compute_scaling(alpha, rank, rslora=False)


def rslora_scaling(alpha: float, rank: int) -> float:
    """Compute rsLoRA's scaling."""
    return compute_scaling(alpha, rank, rslora=True)


def nf4_level(index: int) -> float:
    """Return one of the 16 values of NF4."""
    return NF4_LEVELS[index]


def quantization_levels(bits: int) -> int:
    """Compute how many values a code of `bits` bits can represent."""
    return int(2**bits)


def logits_bytes(batch: int, tokens: int, vocab: int, bytes_per_value: int) -> int:
    """Compute the bytes of one tensor of next-token scores."""
    return batch * tokens * vocab * bytes_per_value


def kv_cache_bytes(model: str, tokens: int, bytes_per_value: int = 2, batch: int = 1) -> int:
    """Compute the bytes of keys and values that generation keeps."""
    shape = find_shape(model)
    return kv_cache.kv_cache_bytes(shape, tokens=tokens, batch=batch, bytes_per_value=bytes_per_value)


def embedding_parameters(model: str) -> int:
    """Count the numbers of a catalogue model's embedding matrix."""
    return find_shape(model).embedding_parameters


def block_parameters(model: str) -> int:
    """Count the linear weights of one transformer block, the mean over all blocks."""
    shape = find_shape(model)
    return sum(linear.parameters for linear in shape.linears) // shape.layers


def padding_percent(lengths: Sequence[int]) -> float:
    """Compute the share of padding in a batch whose rows are padded to the longest."""
    places = max(lengths) * len(lengths)
    return 100 * (places - sum(lengths)) / places


def effective_batch(examples: int, accumulation: int, gpus: int = 1) -> int:
    """Compute the examples that one optimizer step sees."""
    return examples * accumulation * gpus


def scheduled_rate(schedule: Schedule, peak: float, step: int, steps: int, warmup: int = 0) -> float:
    """Compute the learning rate at a step: a linear warm-up to `peak`, then the schedule down to 0.

    The formulas are those of Transformers' `get_scheduler`, where a constant rate with a warm-up is called
    `constant_with_warmup`; plain `constant` ignores the warm-up.
    """
    if step < warmup:
        return peak * step / warmup
    done = (step - warmup) / max(1, steps - warmup)
    left = {"constant": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}
    return peak * left[schedule]


def weight_decay_percent(rate: float, decay: float, steps: int) -> float:
    """Compute how far AdamW's decay alone shrinks a weight in `steps` steps, in percent.

    Each step multiplies the weight by 1 - rate x decay (arXiv:1711.05101 algorithm 2; PyTorch docs, AdamW).
    """
    return 100 * (1 - (1 - rate * decay) ** steps)


def dora_parameters(model: str, rank: int, targets: Targets) -> int:
    """Count the trainable parameters of DoRA: LoRA's and one magnitude per output."""
    return counts.count_parameters(find_shape(model), rank=rank, targets=targets, variant="dora").trainable


def vera_parameters_matrix(d_out: int, rank: int) -> int:
    """Count what VeRA trains on one matrix: a vector over the rank and one over the outputs.

    arXiv:2310.11454 section 3.2; the two random matrices are frozen and shared.
    """
    return d_out + rank


def vera_parameters(model: str, rank: int, targets: Targets) -> int:
    """Count the trainable parameters of VeRA on a catalogue model."""
    chosen = find_shape(model).select(targets)
    return sum(linear.count * vera_parameters_matrix(linear.d_out, rank) for linear in chosen)


def share_of_matrix_percent(d_in: int, d_out: int, rank: int) -> float:
    """Compute an adapter's numbers per hundred numbers of its matrix."""
    return 100 * lora_parameters_matrix(d_in, d_out, rank) / linear_parameters(d_in, d_out)


def block_bits(code_bits: int, block_size: int, extra_bits: int) -> float:
    """Compute stored bits per weight when a block of weights shares `extra_bits` of scales and offsets."""
    return code_bits + extra_bits / block_size


def format_bits(format: str) -> float:
    """Return the stored bits per weight of nf4, mxfp4 or nvfp4."""
    return block_formats.FORMATS[format].bits


@cache
def format_error_percent(format: str) -> float:
    """Compute ||W - decoded|| / ||W|| in percent for nf4, mxfp4 or nvfp4 on 65,536 normal random numbers.

    The numbers come from Python's generator with seed 0, so everybody gets the same.
    """
    generator = random.Random(0)
    weights = [generator.gauss(0, 1) for _ in range(65_536)]
    decoded = block_formats.FORMATS[format].decode(weights)
    return 100 * block_formats.compute_weight_error(weights, decoded)


def largest_float(exponent_bits: int, mantissa_bits: int, finite_only: bool = False) -> float:
    """Compute the largest number of a small floating-point format with the usual bias 2^(e-1) - 1.

    IEEE formats reserve the highest exponent. With `finite_only` it counts, and only the pattern of all ones
    is lost where there are 8 bits (E4M3: arXiv:2209.05433 table 1); E2M1 loses none (OCP MX v1.0).
    """
    bias = 2 ** (exponent_bits - 1) - 1
    if not finite_only:
        return float((2 - 2.0**-mantissa_bits) * 2 ** (2**exponent_bits - 2 - bias))
    lost = 1 if exponent_bits + mantissa_bits == 7 else 0
    return float((2 - (1 + lost) * 2.0**-mantissa_bits) * 2 ** (2**exponent_bits - 1 - bias))


def concatenated_rank(ranks: Sequence[int]) -> int:
    """Compute the rank of an adapter whose factors are stacked, which gives the exact weighted sum."""
    return sum(ranks)


def dare_rescale(dropped_percent: float) -> float:
    """Compute the factor on what DARE keeps, 1 / (1 - p) (arXiv:2311.03099 section 3.2)."""
    return 1 / (1 - dropped_percent / 100)


def zero_bytes_per_gpu(parameters: int, gpus: int, stage: int) -> float:
    """Compute ZeRO's weights, gradients and optimizer state on each GPU."""
    return sharding.zero_bytes_per_gpu(parameters=parameters, gpus=gpus, stage=stage)


def base_bytes_per_gpu(model: str, scheme: Bits, gpus: int) -> float:
    """Compute a frozen base's stored bytes on each GPU when FSDP splits it evenly (sharding.py)."""
    return sharding.base_bytes_per_gpu(find_shape(model), bits=scheme, gpus=gpus)


def accuracy_standard_error(accuracy: float, questions: int) -> float:
    """Compute the standard error of a share of right answers, in percent (arXiv:2411.00640 section 2)."""
    return 100 * math.sqrt(accuracy * (1 - accuracy) / questions)


def pass_at_k(samples: int, right: int, k: int) -> float:
    """Estimate the chance that one of k samples is right, without bias (arXiv:2107.03374 equation 1)."""
    return 1 - math.comb(samples - right, k) / math.comb(samples, k)


FORMULAS = load_yaml(Path(__file__).with_name("quantities.yaml").read_text("utf-8"))

for kind, module in (("computed", sys.modules[__name__]), ("measured", measurements)):
    for name, formula in FORMULAS[kind].items():
        register_quantity(name, getattr(module, name), formula=formula, measured=kind == "measured")
