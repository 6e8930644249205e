"""The lab's functions under the names that content may check against, registered on import.

check: {quantity: lora_parameters, model: gpt3-175b, rank: 8, targets: [q, v], expect: 37748736}

The function names are part of the content format, so renaming a function breaks checks.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from lora_lab.memory import ledger
from lora_lab.memory.optimizer_state import ADAM_BYTES_PER_PARAMETER
from lora_lab.parameters import counts
from lora_lab.parameters.quantization_levels import NF4_LEVELS
from lora_lab.parameters.shapes import find_shape
from lora_lab.spec import Bits
from study.base.checks import register

Targets = str | Sequence[str]


def lora_parameters(model: str, rank: int, targets: Targets) -> int:
    """Count the trainable parameters of LoRA on a catalogue model."""
    return counts.count(find_shape(model), rank=rank, targets=targets).trainable


def trainable_percent(model: str, rank: int, targets: Targets) -> float:
    """Compute the trainable share of all parameters, adapters included, in percent."""
    return counts.count(find_shape(model), rank=rank, targets=targets).percent


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
    return (2 * ledger.FP32_BYTES + ADAM_BYTES_PER_PARAMETER) * parameters


def adapter_bytes(model: str, rank: int, targets: Targets, bits: int) -> float:
    """Compute the bytes of an adapter's numbers at a flat bit width."""
    return lora_parameters(model, rank, targets) * bits / 8


def adapter_file_bytes(parameters: int) -> int:
    """Compute the bytes of an adapter saved in fp32, without the file's header."""
    return ledger.FP32_BYTES * parameters


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
}

for quantity, written in FORMULAS.items():
    register(quantity.__name__, quantity, formula=written)
