"""The lab's functions under the names that content may check against, registered on import.

check: {quantity: lora_parameters, model: gpt3-175b, rank: 8, targets: [q, v], expect: 37748736}

The function names are part of the content format, so renaming a function breaks checks.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Literal

from lora_lab import measurements
from lora_lab.memory import kv_cache, ledger, sharding
from lora_lab.memory.gpus import GPUS
from lora_lab.memory.optimizer_state import ADAM_BYTES_PER_PARAMETER, FP32_BYTES
from lora_lab.parameters import block_formats, counts
from lora_lab.parameters.quantization_levels import NF4_LEVELS
from lora_lab.parameters.shapes import find_shape
from lora_lab.spec import Bits
from study.base.checks import register_quantity

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
    """Count the parameters of a catalogue model."""
    return find_shape(model).total_parameters


def bits_per_param(scheme: Bits, block_size: int = ledger.BLOCK_SIZE) -> float:
    """Compute stored bits per weight, block constants included."""
    return ledger.bits_per_param(scheme, block_size=block_size)


def quantization_overhead_bits(double_quantization: bool) -> float:
    """Compute bits per weight spent on block constants."""
    return ledger.overhead_bits(double_quantization=double_quantization)


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
    return ledger.constant_bytes(shape, "nf4") - ledger.constant_bytes(shape, "nf4-dq")


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
    """Compute alpha / rank (arXiv:2106.09685 section 4.1)."""
    return alpha / rank


def rslora_scaling(alpha: float, rank: int) -> float:
    """Compute alpha / sqrt(rank) (arXiv:2312.03732)."""
    return float(alpha / rank**0.5)


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
    """Compute ||W - decoded|| / ||W|| in percent for nf4, mxfp4 or nvfp4 on 16,384 normal random numbers.

    The numbers come from Python's generator with seed 0, so everybody gets the same.
    """
    generator = random.Random(0)
    weights = [generator.gauss(0, 1) for _ in range(16_384)]
    decoded = block_formats.FORMATS[format].decode(weights)
    return 100 * block_formats.relative_error(weights, decoded)


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


FORMULAS: Mapping[Callable[..., float], str] = {
    lora_parameters: "r · (d_in + d_out), summed over the adapted matrices of all layers",
    trainable_percent: "100 · trainable parameters / (parameters of the model + trainable parameters)",
    lora_parameters_matrix: "r · (d_in + d_out) for each matrix",
    linear_parameters: "d_in · d_out",
    base_parameters: "all weight matrices, embeddings, norms and biases of the model, added up",
    bits_per_param: "bits of a code + bits of the constants of a block / weights in a block",
    quantization_overhead_bits: "32 / 64 bits; with double quantization 8 / 64 + 32 / (64 · 256)",
    double_quantization_saving_bits: "32 / 64 − (8 / 64 + 32 / (64 · 256)) bits",
    weight_bytes: "parameters · bits / 8",
    share_bytes: "parameters · percent / 100 · bits / 8",
    double_quantization_saving_bytes: "bytes of the constants in NF4 − the same with double quantization",
    full_finetuning_bytes: "parameters · (2 for the weight + 2 for its gradient + 8 for Adam's two moments)",
    adamw_state_bytes: "parameters · 8: two moments of 4 bytes",
    trainable_state_bytes: "parameters · (4 for the weight + 4 for its gradient + 8 for Adam's two moments)",
    adapter_bytes: "trainable parameters · bits / 8",
    adapter_file_bytes: "trainable parameters · 4",
    lora_scaling: "α / r",
    rslora_scaling: "α / √r",
    nf4_level: "the level of this index among the 16 of NF4, counted from 0",
    quantization_levels: "2 to the power of the bits",
    logits_bytes: "batch · tokens · vocabulary · bytes of a value",
    measurements.bits_loss: "held-out loss before or after the kept runs in this bit width",
    measurements.bits_loss_above: "loss in this bit width − loss in the other one",
    measurements.bits_cpu_seconds: "CPU seconds of a training step in this bit width",
    measurements.rank_loss: "held-out loss of the kept runs at this rank, over their seeds",
    measurements.rank_loss_before: "held-out loss before training",
    measurements.rank_loss_gap: "highest − lowest mean loss over the ranks",
    measurements.rank_seed_noise: "how far apart seeds alone can put two ranks",
    measurements.rank_seed_range: "highest − lowest loss over the seeds of this rank",
    measurements.rank_peak_bytes: "highest peak memory of the kept runs at this rank",
    measurements.rank_peak_difference_bytes: "peak at this rank − peak at the other one",
    measurements.rank_setting: "a setting that all kept runs share",
    measurements.rank_trained: "the trained parameters that the kept runs report at this rank",
    kv_cache_bytes: "2 · layers · width of keys · tokens · batch · bytes of a value",
    card_bytes: "the GiB that PyTorch reports for such a card, times 2 to the power of 30",
    embedding_parameters: "vocabulary · width",
    block_parameters: "linear weights of all blocks / blocks",
    padding_percent: "100 · (longest · rows − sum of the lengths) / (longest · rows)",
    effective_batch: "examples per device · accumulation steps · devices",
    scheduled_rate: "peak · step / warm-up steps, then the schedule down to 0",
    weight_decay_percent: "100 · (1 − (1 − learning rate · decay) to the power of the steps)",
    dora_parameters: "r · (d_in + d_out) + d_out, summed over the adapted matrices of all layers",
    vera_parameters_matrix: "d_out + r",
    vera_parameters: "d_out + r, summed over the adapted matrices of all layers",
    share_of_matrix_percent: "100 · r · (d_in + d_out) / (d_in · d_out)",
    block_bits: "bits of a code + shared bits of a block / weights in a block",
    format_bits: "bits of a code + bits of the scales / weights in a block",
    format_error_percent: "100 · ‖W − decoded W‖ / ‖W‖ on 16,384 normal random numbers",
    largest_float: "(2 − 2 to the power of −fraction bits) · 2 to the power of the largest exponent",
    concatenated_rank: "the sum of the ranks",
    dare_rescale: "1 / (1 − dropped share)",
    zero_bytes_per_gpu: "bytes of weights, gradients and optimizer states, each over the GPUs that share it",
    base_bytes_per_gpu: "bytes of the codes / GPUs that share them + bytes of the constants",
    accuracy_standard_error: "100 · √(p · (1 − p) / n)",
    pass_at_k: "1 − (chance that k draws without replacement are all wrong)",
}

for quantity, written in FORMULAS.items():
    measured = quantity.__module__ == measurements.__name__
    register_quantity(quantity.__name__, quantity, formula=written, measured=measured)
