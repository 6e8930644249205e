"""Memory ledger of a fine-tuning run: bytes per component, before the run starts.

Static parts are what bitsandbytes stores, to the byte. The rest of a run through the written-out layer is in
written_out.py; that of one through PyTorch's graph follows worker/training/loop.py, operator by operator:

    T tokens and N answer tokens in the longest packed row, c bytes of the compute type,
    h hidden width, a = heads x head size, f intermediate width, r rank, L layers, V vocabulary.

A step's peak is at the start of the backward pass: everything resident, every saved activation, and the loss.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from lora_lab.data.batches import RowSize
from lora_lab.memory.activations import COMPUTE_BYTES, TrainingPass
from lora_lab.memory.backward_peak import BackwardStart, Decoding
from lora_lab.memory.optimizer_state import (
    FP32_BYTES,
    Tensors,
    compute_parameter_bytes,
    list_trained_tensors,
    optimizer_bytes,
    step_bytes,
)
from lora_lab.memory.written_out import Peak, StepMoments, is_written_out
from lora_lab.parameters.shapes import Linear, ModelShape
from lora_lab.spec import HQQ_BITS, Bits, Compute, Optimizer, RunSpec, Variant

BLOCK_SIZE = 64  # weights per absmax constant; bitsandbytes default and arXiv:2305.14314 section 3
BLOCK_SIZES = (32, 64, 128, 256, 512, 1024, 2048, 4096)  # accepted by bitsandbytes 0.50.2
NESTED_BLOCK_SIZE = 256  # absmax constants per second-level constant, same section
CODE_TABLE_BYTES = 16 * 4  # one fp32 level per 4-bit code, stored per matrix
NESTED_TABLE_BYTES = 256 * 4 + 4  # 8-bit map of the constants and their fp32 offset, stored per matrix
HQQ3_TOGETHER = 10  # 3-bit codes per int32
CODE_BITS: dict[Bits, int] = {"fp32": 32, "bf16": 16, "int8": 8, "nf4": 4, "nf4-dq": 4, "fp4": 4, **HQQ_BITS}
LOSS_COPIES = 3  # live fp32 (N, V) tensors when the loss's backward runs: log-softmax and two gradients

MODELLED_TYPES = frozenset({"llama", "mistral", "qwen2", "granite"})
"""Model types whose activations follow the terms below byte for byte; other types save other tensors."""


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Bytes per component at a step's peak, in the order in which a bar stacks them."""

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
"""Field name and label that a learner reads, bottom of the bar first."""


def predict_ledger(
    shape: ModelShape, spec: RunSpec, row: RowSize, compute: Compute, *, graph: bool = False
) -> Ledger:
    """Estimate the peak bytes of `spec` on a model of `shape`, for `row` as its longest packed row."""
    return predict_adapted(
        shape,
        shape.select(spec.targets),
        bits=spec.bits,
        rank=spec.rank,
        row=row,
        compute=compute,
        variant=spec.variant,
        optimizer=spec.optimizer,
        checkpointing=spec.checkpointing,
        graph=graph,
    )


def predict_adapted(
    shape: ModelShape,
    adapted: tuple[Linear, ...],
    *,
    bits: Bits,
    rank: int,
    row: RowSize,
    compute: Compute,
    variant: Variant = "lora",
    optimizer: Optimizer = "adamw",
    checkpointing: bool = False,
    graph: bool = False,
) -> Ledger:
    """Estimate the peak bytes for any choice of adapted matrices, along the path that such a run takes.

    With `graph`, of a run that takes PyTorch's graph although its layer is written out.
    """
    work = TrainingPass(
        shape=shape, adapted=adapted, rank=rank, row=row, compute=compute, dora=variant == "dora"
    )
    tensors = tuple(list_trained_tensors(adapted, rank=rank, variant=variant))
    trained = compute_parameter_bytes(tensors)
    if graph or not is_written_out(shape.model_type, compute, variant=variant, optimizer=optimizer):
        peak = _find_peak_with_graph(work, bits, checkpointing=checkpointing)
        at_update = Peak(0, 0, step_bytes(tensors, optimizer))
        peak = max((peak, at_update), key=sum)
    else:
        peak = build_moments(work, bits, checkpointing=checkpointing).peak
        tensors = (Tensors(trained // FP32_BYTES, 1),)  # one buffer holds the adapter
    # DoRA compares with the frozen matrix's norms, kept from the start: fp32, one per row.
    norms = sum(FP32_BYTES * linear.d_out * linear.count for linear in adapted) if work.dora else 0
    return Ledger(
        weights=weight_bytes(shape, bits, compute),
        constants=compute_constant_bytes(shape, bits),
        adapters=trained + norms,
        gradients=trained,
        optimizer=optimizer_bytes(tensors, optimizer),
        **peak._asdict(),
    )


def build_moments(
    work: TrainingPass, bits: Bits, *, checkpointing: bool, stacked_answers: tuple[int, ...] = ()
) -> StepMoments:
    """Build the moments of a step through the layer that is written out.

    Of stacked cells, `work` has the sum of their ranks and their joint row, and `stacked_answers` are the
    answer tokens of each.
    """
    return StepMoments(
        work=work,
        checkpointing=checkpointing,
        decoding={linear.role: decoded_bytes(linear, bits, work.compute) for linear in work.shape.linears},
        stacked_answers=stacked_answers,
    )


def _find_peak_with_graph(work: TrainingPass, bits: Bits, *, checkpointing: bool) -> Peak:
    """Find the largest moment of the forward and backward passes through PyTorch's graph.

    With checkpointing it is the loss, the final norm, or the last layer recomputed.
    """
    logits = LOSS_COPIES * FP32_BYTES * work.row.answer_tokens * work.shape.vocab
    decoding = decoded_bytes(work.last_matrix, bits, work.compute)
    start = BackwardStart(work=work, decoding=decoding, recomputed=checkpointing)
    moments = [Peak(work.saved_bytes, logits, max(0, start.worst_bytes() - logits))]
    if checkpointing:
        kept = work.checkpoint_bytes
        in_layer = Peak(kept + work.recomputed_bytes, 0, start.worst_in_layer())
        moments = [Peak(kept, logits, 0), Peak(kept, 0, start.worst_at_norm()), in_layer]
    # Matters only for few layers and many tokens in one row.
    at_mask = Peak(work.residual_bytes, 0, work.mask_making_bytes)
    peak = max((*moments, at_mask), key=sum)
    return peak._replace(activations=peak.activations + work.uploaded_bytes)


def weight_bytes(shape: ModelShape, bits: Bits, compute: Compute) -> int:
    """Return bytes of stored weights: linear layers in `bits`, embedding and head in the compute type, norms
    and biases in fp32; with the rotary frequencies, which are stored twice.
    """
    codes = sum(linear.count * code_bytes(linear, bits) for linear in shape.linears)
    outer = (shape.embedding_parameters + shape.head_parameters) * COMPUTE_BYTES[compute]
    rotary = 2 * FP32_BYTES * shape.head_dim // 2
    return codes + outer + shape.other_parameters * FP32_BYTES + rotary


def compute_stored_weight_bytes(shape: ModelShape, bits: Bits) -> int:
    """Return bytes of weights as a framework loads them, without block constants: embedding and head in 16
    bits, unless the whole base is in fp32.
    """
    return weight_bytes(shape, bits, "fp32" if bits == "fp32" else "bf16")


def code_bytes(linear: Linear, bits: Bits) -> int:
    """Return bytes of one matrix without its constants."""
    numbers = linear.d_in * linear.d_out
    if bits == "hqq3":
        return FP32_BYTES * _pad_hqq3(numbers) // HQQ3_TOGETHER
    return math.ceil(numbers * CODE_BITS[bits] / 8)


def compute_constant_bytes(shape: ModelShape, bits: Bits) -> int:
    """Return bytes of everything that quantized matrices store in addition to their codes."""
    return sum(linear.count * matrix_constant_bytes(linear, bits) for linear in shape.linears)


def matrix_constant_bytes(linear: Linear, bits: Bits) -> int:
    """Return constant bytes of one matrix: absmax or scale per block or row, and the code tables."""
    match bits:
        case "fp32" | "bf16":
            return 0
        case "int8":
            return FP32_BYTES * linear.d_out  # one scale per row
    blocks = math.ceil(linear.d_in * linear.d_out / BLOCK_SIZE)
    if bits in HQQ_BITS:
        return 2 * FP32_BYTES * blocks  # scale and zero point
    if bits == "nf4-dq":
        nested = math.ceil(blocks / NESTED_BLOCK_SIZE)
        return blocks + FP32_BYTES * nested + CODE_TABLE_BYTES + NESTED_TABLE_BYTES
    return FP32_BYTES * blocks + CODE_TABLE_BYTES


def _pad_hqq3(numbers: int) -> int:
    """Pad the codes: an int32 holds 3-bit codes of ten groups, so groups become a multiple of ten."""
    group_rows = math.ceil(numbers / BLOCK_SIZE / HQQ3_TOGETHER)
    return group_rows * HQQ3_TOGETHER * BLOCK_SIZE


def decoded_bytes(linear: Linear, bits: Bits, compute: Compute) -> Decoding:
    """Return what one matrix holds once it is decoded to the compute type (0 where it is stored in that
    type), and at the peak of decoding it (worker/model/quantization.py).
    """
    if bits == compute:
        return Decoding(0, 0)
    numbers = linear.d_in * linear.d_out
    decoded = COMPUTE_BYTES[compute] * numbers
    if bits == "int8":  # codes are scaled in fp32 first
        return Decoding(
            decoded, FP32_BYTES * numbers + (decoded if compute != "fp32" else FP32_BYTES * linear.d_out)
        )
    if bits == "nf4-dq":  # with the block constants decoded as well
        constants = FP32_BYTES * math.ceil(numbers / BLOCK_SIZE)
        return Decoding(decoded, decoded + constants, constants)
    if bits in HQQ_BITS:  # unpacked in fp32, next to a masked and a shifted copy of the codes
        wide = FP32_BYTES * (_pad_hqq3(numbers) if bits == "hqq3" else numbers)
        copies = 0 if bits == "hqq8" else 2 * code_bytes(linear, bits)
        if compute == "fp32":
            return Decoding(wide, wide + copies)
        return Decoding(decoded, wide + max(copies, decoded))
    return Decoding(decoded, decoded)


def find_upper_bound(spec: RunSpec, *, on_gpu: bool = False) -> RowSize:
    """Return the longest row that the settings allow, for data whose lengths are not known yet."""
    tokens = spec.batch * spec.seq_len_tokens
    return RowSize(lengths=(spec.seq_len_tokens,) * spec.batch, answer_tokens=tokens, on_gpu=on_gpu)


def find_heaviest_row(
    shape: ModelShape, spec: RunSpec, rows: Sequence[RowSize], compute: Compute, *, graph: bool = False
) -> RowSize:
    """Find the packed row that decides a run's peak, among the rows of all its steps in order.

    The first step runs before the moments exist, and with PyTorch's graph before the gradients do as well.
    Its row decides only where it is heavier by more than those; the estimate for it is then too high by them,
    as it is for a run of one step.
    """
    variant, optimizer = spec.variant, spec.optimizer
    written = not graph and is_written_out(shape.model_type, compute, variant=variant, optimizer=optimizer)
    if not written:  # a shared prefix stays in every example
        rows = [replace(row, shared=0) for row in rows]
    sizes = {row: predict_ledger(shape, spec, row, compute, graph=graph).total_bytes for row in set(rows[1:])}
    first = predict_ledger(shape, spec, rows[0], compute, graph=graph)
    absent = first.optimizer + (0 if written else first.gradients)
    sizes.setdefault(rows[0], first.total_bytes - absent)
    return max(sizes, key=sizes.__getitem__)


def bits_per_param(bits: Bits, *, block_size: int = BLOCK_SIZE) -> float:
    """Return stored bits per weight of a large matrix: codes and constants, without fixed tables."""
    match bits:
        case "fp32" | "bf16" | "int8":
            return float(CODE_BITS[bits])
        case "nf4" | "fp4":
            return 4 + compute_overhead_bits(double_quantization=False, block_size=block_size)
        case "nf4-dq":
            return 4 + compute_overhead_bits(double_quantization=True, block_size=block_size)
        case "hqq3":
            return 32 / HQQ3_TOGETHER + 64 / block_size
        case _:
            return CODE_BITS[bits] + 64 / block_size  # an fp32 scale and an fp32 zero point per group


def compute_overhead_bits(*, double_quantization: bool, block_size: int = BLOCK_SIZE) -> float:
    """Return bits per weight of the block constants: 32/64 = 0.5, or 8/64 + 32/(64 x 256) = 0.127.

    arXiv:2305.14314 section 3, double quantization.
    """
    if double_quantization:
        return 8 / block_size + 32 / (block_size * NESTED_BLOCK_SIZE)
    return 32 / block_size
