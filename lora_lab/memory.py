"""Bytes a fine-tuning run needs, per component, before it starts.

Static parts are what bitsandbytes stores, to the byte. The rest follows the lab's own loop
(worker/training.py), operator by operator, with

    T tokens and N answer tokens in the longest packed row, c bytes of the compute type,
    h hidden, a = heads x head size, f intermediate width, r rank, L layers, V vocabulary.

A step's peak is at the start of the backward pass: everything resident, every saved activation, and the loss.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

from lora_lab.batches import RowSize
from lora_lab.counts import lora_parameters
from lora_lab.scratch import Attention, Turn
from lora_lab.shapes import Linear, ModelShape
from lora_lab.spec import Bits, RunSpec

BLOCK_SIZE = 64  # weights per absmax constant; bitsandbytes default and arXiv:2305.14314 section 3
NESTED_BLOCK_SIZE = 256  # absmax constants per second-level constant, same section
CODE_TABLE_BYTES = 16 * 4  # one fp32 level for each 4-bit code, kept per matrix
NESTED_TABLE_BYTES = 256 * 4 + 4  # 8-bit map of the constants and their fp32 offset, kept per matrix
FP32_BYTES = 4
ADAM_BYTES_PER_PARAMETER = 8  # two fp32 moments
ADAM_BYTES_PER_TENSOR = 4  # its step counter
POSITION_BYTES = 8  # one int64 a token
LOSS_COPIES = 3  # live fp32 (N, V) tensors when the loss turns backward: log-softmax and two gradients

MODELLED_TYPES = frozenset({"llama", "mistral", "qwen2", "granite"})
"""Model types whose activations follow the terms below byte for byte; others save other tensors."""

SHORT_EXAMPLE_TOKENS = 256
"""Up to here attention on a CPU is written out and keeps its softmax; beyond, the fused kernel is better."""

AFTER_ATTENTION = frozenset({"o", "gate", "up", "gate_up", "down"})

Compute = Literal["fp32", "bf16"]
COMPUTE_BYTES: dict[Compute, int] = {"fp32": 4, "bf16": 2}


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Bytes per component at a step's peak, in the order they are stacked."""

    weights: int
    constants: int
    adapters: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    scratch: int
    fixed: int = 0

    @property
    def total_bytes(self) -> int:
        """The predicted peak."""
        return sum(getattr(self, field.name) for field in fields(self))

    @property
    def resident_bytes(self) -> int:
        """What stays between two steps."""
        return self.weights + self.constants + self.adapters + self.gradients + self.optimizer


COMPONENTS: tuple[tuple[str, str], ...] = (
    ("weights", "weights"),
    ("constants", "quantization constants"),
    ("adapters", "adapters"),
    ("gradients", "gradients"),
    ("optimizer", "optimizer"),
    ("activations", "activations"),
    ("logits", "logits and loss"),
    ("scratch", "scratch"),
    ("fixed", "fixed"),
)
"""Field name and what a learner reads, bottom of the bar first."""


def predict(shape: ModelShape, spec: RunSpec, row: RowSize, compute: Compute) -> Ledger:
    """Peak bytes of `spec` on a model of `shape`, when its longest packed row has the size `row`."""
    adapted = shape.select(spec.targets)
    return predict_adapted(shape, adapted, bits=spec.bits, rank=spec.rank, row=row, compute=compute)


def predict_adapted(
    shape: ModelShape, adapted: tuple[Linear, ...], *, bits: Bits, rank: int, row: RowSize, compute: Compute
) -> Ledger:
    """The same for any choice of matrices."""
    trainable = lora_parameters(adapted, rank=rank)
    tensors = 2 * sum(linear.count for linear in adapted)
    logits = LOSS_COPIES * FP32_BYTES * row.answer_tokens * shape.vocab
    c = COMPUTE_BYTES[compute]
    scratch = scratch_bytes(shape, adapted, bits=bits, rank=rank, row=row, compute=compute)
    return Ledger(
        weights=weight_bytes(shape, bits, compute),
        constants=constant_bytes(shape, bits),
        adapters=FP32_BYTES * trainable,
        gradients=FP32_BYTES * trainable,
        optimizer=ADAM_BYTES_PER_PARAMETER * trainable + ADAM_BYTES_PER_TENSOR * tensors,
        activations=activation_bytes(shape, adapted, rank=rank, row=row, c=c),
        logits=logits,
        scratch=max(0, scratch - logits),
    )


def weight_bytes(shape: ModelShape, bits: Bits, compute: Compute) -> int:
    """Stored weights: linear layers in `bits`, embedding and head in the compute type, norms and biases in
    fp32; with the rotary frequencies, which are kept twice.
    """
    codes = sum(linear.count * _code_bytes(linear, bits) for linear in shape.linears)
    outer = (shape.embedding_parameters + shape.head_parameters) * COMPUTE_BYTES[compute]
    rotary = 2 * FP32_BYTES * shape.head_dim // 2
    return codes + outer + shape.other_parameters * FP32_BYTES + rotary


def _code_bytes(linear: Linear, bits: Bits) -> int:
    """One matrix without its constants."""
    numbers = linear.d_in * linear.d_out
    match bits:
        case "fp32":
            return 4 * numbers
        case "bf16":
            return 2 * numbers
        case "int8":
            return numbers
        case "nf4" | "nf4-dq" | "fp4":
            return math.ceil(numbers / 2)


def constant_bytes(shape: ModelShape, bits: Bits) -> int:
    """Everything a quantized matrix stores besides its codes."""
    return sum(linear.count * _constants_of(linear, bits) for linear in shape.linears)


def _constants_of(linear: Linear, bits: Bits) -> int:
    match bits:
        case "fp32" | "bf16":
            return 0
        case "int8":
            return FP32_BYTES * linear.d_out  # one scale per row
    blocks = math.ceil(linear.d_in * linear.d_out / BLOCK_SIZE)
    if bits == "nf4-dq":
        nested = math.ceil(blocks / NESTED_BLOCK_SIZE)
        return blocks + FP32_BYTES * nested + CODE_TABLE_BYTES + NESTED_TABLE_BYTES
    return FP32_BYTES * blocks + CODE_TABLE_BYTES


def activation_bytes(
    shape: ModelShape, adapted: tuple[Linear, ...], *, rank: int, row: RowSize, c: int
) -> int:
    """Everything saved for the backward pass, logits apart."""
    per_token = sum(_saved_per_token(shape, {linear.role for linear in adapted}, c))
    reduced = rank * c * sum(linear.count for linear in adapted)  # h = x Aᵀ of each adapted matrix
    rotary = 2 * FP32_BYTES * shape.head_dim  # cosines and sines
    tokens = row.tokens * (shape.layers * per_token + reduced + rotary + POSITION_BYTES)
    adapts_output = any(linear.role == "o" for linear in adapted)
    attention = shape.layers * _attention_bytes(shape, row, c, adapts_output=adapts_output)
    return tokens + attention + _factor_copies(adapted, rank=rank, c=c)


def _saved_per_token(shape: ModelShape, roles: set[str], c: int) -> Iterator[int]:
    """Bytes per token and layer, term by term. Frozen matrices without an adapter save nothing."""
    yield 2 * FP32_BYTES * shape.hidden  # the fp32 residual before each of the two norms
    yield 2 * FP32_BYTES  # and their scale
    yield 3 * c * shape.intermediate  # gate, its activation, up
    if roles & {"q", "k", "v", "qkv"}:
        yield c * shape.hidden  # one normed input, shared
    if roles & {"gate", "up", "gate_up"}:
        yield c * shape.hidden
    if "down" in roles:
        yield c * shape.intermediate


def _attention_bytes(shape: ModelShape, row: RowSize, c: int, *, adapts_output: bool) -> int:
    """One layer's attention: queries, keys and values; for a short example on a CPU the softmax of all its
    pairs, else the fused kernel's output and log-sum-exp; the joined outputs, if an adapter needs them.
    """
    width, kv_width = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    short = _written_out(row)
    fused_tokens = row.tokens - sum(short)
    saved = row.tokens * (width + 2 * kv_width) * c
    saved += shape.heads * sum(n * n for n in short) * c
    saved += fused_tokens * (width * c + shape.heads * FP32_BYTES)
    return saved + (row.tokens * width * c if adapts_output else 0)


def _written_out(row: RowSize) -> list[int]:
    """Lengths of the examples whose attention is written out."""
    return [] if row.on_gpu else [n for n in row.lengths if n <= SHORT_EXAMPLE_TOKENS]


def _saved_after_attention(
    shape: ModelShape, adapted: tuple[Linear, ...], rank: int, tokens: int, c: int
) -> int:
    """What one layer saves once its attention is done, and the final norm."""
    later = tuple(
        replace(linear, count=linear.count // shape.layers)
        for linear in adapted
        if linear.role in AFTER_ATTENTION
    )
    roles = {linear.role for linear in later}
    per_token = 2 * FP32_BYTES * shape.hidden + 2 * FP32_BYTES + 3 * c * shape.intermediate
    per_token += c * shape.hidden if roles & {"gate", "up", "gate_up"} else 0
    per_token += c * shape.intermediate if "down" in roles else 0
    per_token += c * shape.heads * shape.head_dim if "o" in roles else 0
    per_token += rank * c * sum(linear.count for linear in later)
    return tokens * per_token + _factor_copies(later, rank=rank, c=c)


def _factor_copies(adapted: tuple[Linear, ...], *, rank: int, c: int) -> int:
    """A and scaled B in the compute type; in fp32 A needs no copy."""
    widths = sum(linear.count * (linear.d_out + (linear.d_in if c < FP32_BYTES else 0)) for linear in adapted)
    return widths * rank * c


def scratch_bytes(
    shape: ModelShape, adapted: tuple[Linear, ...], *, bits: Bits, rank: int, row: RowSize, compute: Compute
) -> int:
    """Working space on top of the saved activations at its worst, logits apart."""
    widest = max(shape.linears, key=_numbers)
    last = next((linear for linear in shape.linears if linear.role == "down"), widest)
    turn = Turn(
        tokens=row.tokens,
        hidden=shape.hidden,
        c=COMPUTE_BYTES[compute],
        d_in=last.d_in,
        d_out=last.d_out,
        rank=rank if last in adapted else 0,
        decoding_bytes=_decoding_bytes(last, bits, compute),
        decoded_bytes=_decoded_bytes(last, bits, compute),
        mlp_input_is_saved=any(linear.role in ("gate", "up", "gate_up") for linear in adapted),
        packed=row.examples > 1,
        attention=Attention(
            heads=shape.heads,
            width=shape.heads * shape.head_dim,
            kv_width=shape.kv_heads * shape.head_dim,
            longest=max(_written_out(row), default=0),
            saved_after_bytes=_saved_after_attention(
                shape, adapted, rank, row.tokens, COMPUTE_BYTES[compute]
            ),
        ),
    )
    return turn.worst_bytes()


def _decoded_bytes(linear: Linear, bits: Bits, compute: Compute) -> int:
    """One matrix decoded to the compute type; nothing where it is stored in it."""
    return 0 if bits == compute else COMPUTE_BYTES[compute] * _numbers(linear)


def _decoding_bytes(linear: Linear, bits: Bits, compute: Compute) -> int:
    """What decoding one matrix holds at its peak (worker/quantization.py)."""
    decoded = _decoded_bytes(linear, bits, compute)
    if bits == "int8":  # codes are scaled in fp32 first
        return FP32_BYTES * _numbers(linear) + (decoded if compute != "fp32" else FP32_BYTES * linear.d_out)
    if bits == "nf4-dq":  # with the block constants decoded as well
        return decoded + FP32_BYTES * math.ceil(_numbers(linear) / BLOCK_SIZE)
    return decoded


def _numbers(linear: Linear) -> int:
    return linear.d_in * linear.d_out


def upper_bound(spec: RunSpec, *, on_gpu: bool = False) -> RowSize:
    """The longest row the settings allow, for data whose lengths are not known yet."""
    tokens = spec.batch * spec.seq_len_tokens
    return RowSize(lengths=(spec.seq_len_tokens,) * spec.batch, answer_tokens=tokens, on_gpu=on_gpu)


def heaviest_row(shape: ModelShape, spec: RunSpec, rows: Sequence[RowSize], compute: Compute) -> RowSize:
    """The packed row that decides a run's peak, of the rows of all its steps in order.

    The first step comes before there are gradients and moments, so its row decides only where it is heavier
    by more than those; the estimate for it is then too high by them, as it is for a run of one step.
    """
    sizes = {row: predict(shape, spec, row, compute).total_bytes for row in set(rows[1:])}
    first = predict(shape, spec, rows[0], compute)
    sizes.setdefault(rows[0], first.total_bytes - first.gradients - first.optimizer)
    return max(sizes, key=sizes.__getitem__)


def bits_per_param(bits: Bits, *, block_size: int = BLOCK_SIZE) -> float:
    """Stored bits per weight of a large matrix: codes and constants, fixed tables left out."""
    match bits:
        case "fp32":
            return 32.0
        case "bf16":
            return 16.0
        case "int8":
            return 8.0
        case "nf4" | "fp4":
            return 4 + overhead_bits(double_quantization=False, block_size=block_size)
        case "nf4-dq":
            return 4 + overhead_bits(double_quantization=True, block_size=block_size)


def overhead_bits(*, double_quantization: bool, block_size: int = BLOCK_SIZE) -> float:
    """Bits per weight for block constants: 32/64 = 0.5, or 8/64 + 32/(64 x 256) = 0.127.

    arXiv:2305.14314 section 3, double quantization.
    """
    if double_quantization:
        return 8 / block_size + 32 / (block_size * NESTED_BLOCK_SIZE)
    return 32 / block_size
