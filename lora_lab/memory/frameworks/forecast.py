"""Peak memory of a training step of a published framework, per component.

Everything that stays between steps is added up exactly. The step itself is simulated with symbolic tensors
(transformers.py, litgpt.py and torchtune.py in this folder), so the peak is the largest of its moments: the
loss, a layer's backward pass, or the optimizer's step. Derivation and limits: docs/guide/memory.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from lora_lab.memory.frameworks.experts import list_expert_tensors
from lora_lab.memory.frameworks.families import find_family
from lora_lab.memory.frameworks.litgpt import LitgptStep
from lora_lab.memory.frameworks.setting import WIDTHS, StepSetting
from lora_lab.memory.frameworks.tape import Tape
from lora_lab.memory.frameworks.torchtune import TorchtuneStep, UnslothStep
from lora_lab.memory.frameworks.tower_step import TowerStep
from lora_lab.memory.frameworks.towers import has_towers, stays_whole
from lora_lab.memory.frameworks.transformers import TransformersStep
from lora_lab.memory.kv_cache import kv_cache_bytes
from lora_lab.memory.ledger import Ledger, compute_constant_bytes
from lora_lab.memory.optimizer_state import Tensors, compute_moments_8bit_bytes
from lora_lab.parameters.shapes import Linear, ModelShape
from study.base.binary_search import find_largest_within
from study.base.errors import LearnerError

STEPS = {"litgpt": LitgptStep, "torchtune": TorchtuneStep, "unsloth": UnslothStep}
CODE_BITS = {"fp32": 32, "bf16": 16, "fp16": 16, "int8": 8, "nf4": 4, "nf4-dq": 4, "fp4": 4, "fp4-dq": 4}

RESERVED_SHARE = 0.014
"""Memory that the allocator reserves beyond the tensors at the peak, as a share of them: the mean over the
five adapter rows of peft's method comparison, each of which reports the maximum reserved
(published_memory.yaml).
"""

CONTEXT_BYTES = 500_000_000
"""A CUDA context with PyTorch's kernels, which only the driver sees: 0.3 to 0.6 GB, by card and driver.
`make gpu-check` writes down what a card takes.
"""


@dataclass(frozen=True, kw_only=True)
class Moments:
    """The bytes that an optimizer keeps per trained number, and what its step needs temporarily."""

    copies: int
    """Moments in the parameter's own type."""

    fp32_copies: int = 0
    eight_bit: bool = False
    temporary_copies: int = 0
    """Copies of the trained parameters during the step: torch's foreach writes all denominators at once."""


OPTIMIZERS: dict[str, Moments] = {
    "adamw": Moments(copies=2, temporary_copies=1),
    "adamw_fused": Moments(copies=2),
    "adamw8bit": Moments(copies=2, eight_bit=True),
    "paged_adamw": Moments(copies=0, fp32_copies=2),
    "lion": Moments(copies=1, temporary_copies=1),
    "lion8bit": Moments(copies=1, eight_bit=True),
    "sgd": Moments(copies=0),
    "sgd_momentum": Moments(copies=1),
    "adafactor": Moments(copies=0, temporary_copies=1),
}


MOST_SEQUENCES = 1024
"""The largest batch that a search tries."""


def forecast_step(setting: StepSetting) -> Ledger:
    """Estimate the peak bytes of one step per component, for the measure that the setting names."""
    # The step is simulated once for all measures of an allocator, which only add to its tensors.
    live = setting.measure == "live"
    resident = _forecast_tensors(setting if live else replace(setting, measure="allocated"))
    if setting.measure in ("reserved", "device"):
        unused = compute_unused_bytes(resident.total_bytes)
        context = CONTEXT_BYTES if setting.measure == "device" else 0
        resident = replace(resident, fixed=resident.fixed + unused + context)
    return resident


def compute_unused_bytes(allocated_bytes: int) -> int:
    """Compute what the allocator reserves beyond the tensors at the peak."""
    return round(RESERVED_SHARE * allocated_bytes)


@lru_cache(maxsize=4096)  # searches on one page ask the same again, and an answer takes milliseconds
def _forecast_tensors(setting: StepSetting) -> Ledger:
    match setting.phase:
        case "load":
            return _compute_resident(setting)
        case "generate":
            return _forecast_generating(setting)
    return _forecast_training(setting)


def compute_largest_batch(setting: StepSetting, limit_bytes: int) -> int:
    """Find the most sequences per step whose peak is below the limit; 0 if even one is too large.

    Every moment of a step is linear in the batch, so two simulations determine all moments; not so where
    experts share the tokens, or where a second sequence brings further moments (DeBERTa).
    """
    lines = (
        None if setting.shape.fused_experts else _list_moments_by_batch(replace(setting, measure="allocated"))
    )
    if lines is None:
        return find_largest_within(
            lambda batch: forecast_step(replace(setting, batch=batch)).total_bytes,
            limit_bytes,
            none=0,
            most=MOST_SEQUENCES,
        )
    limit_bytes -= CONTEXT_BYTES if setting.measure == "device" else 0
    free_bytes = limit_bytes / (1 + (RESERVED_SHARE if setting.measure in ("reserved", "device") else 0))
    best = MOST_SEQUENCES
    for start, slope in lines:
        if slope:
            best = min(best, int((free_bytes - start) // slope))
        elif start > free_bytes:
            return 0
    return max(0, best)


def _list_moments_by_batch(setting: StepSetting) -> list[tuple[int, int]] | None:
    """List (bytes at batch 0, bytes per sequence) of every moment that may be the peak; None where two
    batches differ in their moments.
    """
    resident = _compute_resident(setting)
    base = resident.weights + resident.constants + resident.adapters + resident.optimizer + resident.gradients
    # How constants are stored changes no tensor of the step.
    plain = replace(setting, batch=1, bits="nf4") if setting.bits == "nf4-dq" else replace(setting, batch=1)
    played = _simulate_lines(plain)
    if played is None:
        return None
    lines = [(base + start, slope) for start, slope in played]
    one, two = (
        _compute_optimizer_moment(replace(setting, batch=batch), resident).total_bytes for batch in (1, 2)
    )
    # A line through (1, one) and (2, two) has slope two - one and intercept 2 one - two.
    return [*lines, (2 * one - two, two - one)]


@lru_cache(maxsize=4096)
def _simulate_lines(setting: StepSetting) -> tuple[tuple[int, int], ...] | None:
    one, two = (
        simulate_step(replace(setting, batch=batch), keep_history=True).history or [] for batch in (1, 2)
    )
    if len(one) != len(two):
        return None
    lines = {(2 * first - second, second - first) for first, second in zip(one, two, strict=True)}
    return tuple(_compute_upper_envelope(sorted(lines, key=lambda line: (line[1], line[0]))))


def _compute_upper_envelope(lines: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Drop every line that is never above a line that starts higher and rises at least as fast."""
    kept: list[tuple[int, int]] = []
    for start, slope in reversed(lines):
        if not kept or start > kept[-1][0]:
            kept.append((start, slope))
    return kept


# ---- between two steps


def _compute_resident(setting: StepSetting) -> Ledger:
    """Compute the bytes that stay between steps: weights, constants, adapters and moments, as stored."""
    trained = _list_trained_tensors(setting)
    numbers = sum(count * size for count, size in trained)
    full = setting.trains_everything
    width = setting.width if full else WIDTHS[setting.adapter_type]
    return Ledger(
        weights=_weight_bytes(setting),
        constants=_constant_bytes(setting),
        adapters=0 if full else (numbers + _frozen_adapter_numbers(setting)) * width,
        gradients=_kept_gradients(setting),
        optimizer=_moment_bytes(setting, trained, width) if setting.phase == "train" else 0,
        activations=0,
        logits=0,
        scratch=0,
    )


def _kept_gradients(setting: StepSetting) -> int:
    """Return gradient bytes that stay between micro-batches: litgpt's recipes accumulate gradients."""
    if setting.framework != "litgpt" or setting.phase != "train":
        return 0
    if setting.trains_everything:
        return setting.shape.total_parameters * setting.width
    # StableEmbedding's table is created after the others are frozen: its gradient is never cleared.
    return setting.shape.embedding_parameters * setting.width if setting.quantized else 0


def _weight_bytes(setting: StepSetting) -> int:
    shape, wide = setting.shape, 4 if setting.prepared else setting.width
    bits = CODE_BITS[setting.bits] if setting.quantized else 8 * setting.width
    packed = _drop_whole_matrices(setting)
    codes = sum(linear.count * math.ceil(linear.d_in * linear.d_out * bits / 8) for linear in packed.linears)
    codes += (shape.linear_parameters - packed.linear_parameters) * wide
    outer = (shape.embedding_parameters + shape.head_parameters) * setting.outer_width
    if setting.framework == "litgpt":  # never ties, and quantizes its head
        head = shape.hidden * shape.vocab
        outer = shape.embedding_parameters * setting.width + head * bits // 8
    return codes + outer + shape.other_parameters * wide


def _drop_whole_matrices(setting: StepSetting) -> ModelShape:
    """Drop from the shape the matrices that stay whole in a quantized model."""
    shape = setting.shape
    if not setting.quantized:
        return shape
    kept = (linear for linear in shape.linears if not stays_whole(shape.model_type, linear.role))
    return replace(shape, linears=tuple(kept))


def _constant_bytes(setting: StepSetting) -> int:
    if not setting.quantized:
        return 0
    bits = {"fp4-dq": "nf4-dq"}.get(setting.bits, setting.bits)
    constants = compute_constant_bytes(_drop_whole_matrices(setting), bits)  # type: ignore[arg-type]
    if setting.framework == "litgpt":
        share = setting.shape.hidden * setting.shape.vocab / max(1, setting.shape.linear_parameters)
        constants += round(constants * share)
    return constants


def _list_trained_tensors(setting: StepSetting) -> list[tuple[int, int]]:
    """List (count, numbers per tensor) for every kind of trained tensor."""
    shape = setting.shape
    if setting.trains_everything:
        kinds = [(linear.count, linear.d_in * linear.d_out) for linear in shape.linears]
        outer = [(1, shape.embedding_parameters), (1, shape.head_parameters)]
        stored = [math.prod(sizes) for sizes in list_expert_tensors(shape)]
        outer += [(shape.layers, size) for size in stored]
        rest = shape.other_parameters - shape.layers * sum(stored)
        small = [(rest // shape.hidden, shape.hidden)]  # norms, one tensor each
        return [kind for kind in [*kinds, *outer, *small] if kind[1]]
    kinds = [(1, setting.saved_head)] if setting.saved_head else []
    kinds += [(shape.layers, size) for one in setting.fused for size in (one.a, one.b)]
    if setting.variant == "norms":
        return [*kinds, *_norm_tensors(shape)]
    adapted = _list_adapted_linears(setting)
    if setting.variant == "ia3":
        return [*kinds, *((one.count, one.d_in if one.role == "down" else one.d_out) for one, _ in adapted)]
    if setting.variant == "vera":
        return [*kinds, *((one.count, size) for one, rank in adapted for size in (rank, one.d_out))]
    for linear, rank in adapted:
        kinds += [(linear.count, rank * linear.d_in)] if setting.variant != "lora-fa" else []
        kinds += [(linear.count, rank * linear.d_out)]
        if setting.variant == "adalora":
            kinds.append((linear.count, rank))
        if setting.variant == "dora":
            kinds.append((linear.count, linear.d_out))
    return kinds


def _list_adapted_linears(setting: StepSetting) -> list[tuple[Linear, int]]:
    """List every adapted matrix and its rank, the output head last."""
    layers = [(replace(one.linear, count=len(one.layers)), one.rank) for one in setting.by_layer]
    head = setting.head_adapter
    return [
        *(layers or [(one, setting.rank) for one in setting.adapted]),
        *([(head.linear, head.rank)] if head else []),
    ]


def _frozen_adapter_numbers(setting: StepSetting) -> int:
    """Return the numbers of an adapter that are not trained: A in LoRA-FA, one shared A and B in VeRA."""
    adapted = _list_adapted_linears(setting)
    if setting.variant == "lora-fa":
        return sum(one.count * rank * one.d_in for one, rank in adapted)
    if setting.variant == "vera" and adapted:
        largest = max(one.d_in for one, _ in adapted) + max(one.d_out for one, _ in adapted)
        return setting.rank * largest
    return 0


def _norm_tensors(shape: ModelShape) -> list[tuple[int, int]]:
    """Return (count, numbers) of the weights and biases of all norms over the hidden axis."""
    family = find_family(shape)
    if family is not None:
        return [((shape.layers * family.norms + 1) * (2 if family.norm == "layer" else 1), shape.hidden)]
    norms = [group for group in shape.modules.groups if "norm" in group.suffix.lower() and group.own]
    parts = [2 if group.bias else 1 for group in norms]
    return [(group.count * part, group.own // part) for group, part in zip(norms, parts, strict=True)]


def find_optimizer(name: str) -> Moments:
    """Find the moments of an optimizer. Raises LearnerError on an optimizer whose states are not known."""
    plain = name.lower().replace("torch", "").replace("bnb", "").replace("-", "_")
    bare = plain.replace("_", "").removesuffix("32bit")
    kind = next((one for one in ("adamw", "adam", "lion", "sgd", "adafactor") if one in bare), "")
    if not kind:
        raise LearnerError(
            f"What {name!r} keeps is not known.", do_next=f"Name one of: {', '.join(OPTIMIZERS)}."
        )
    kind = "adamw" if kind == "adam" else kind
    if "8bit" in bare and f"{kind}8bit" in OPTIMIZERS:
        return OPTIMIZERS[f"{kind}8bit"]
    if ("paged" in bare and kind == "adamw") or "32bit" in plain:
        return OPTIMIZERS["paged_adamw"]
    if "fused" in bare and kind == "adamw":
        return OPTIMIZERS["adamw_fused"]
    return OPTIMIZERS["sgd_momentum" if kind == "sgd" and "momentum" in bare else kind]


def _moment_bytes(setting: StepSetting, trained: list[tuple[int, int]], width: int) -> int:
    moments = find_optimizer(setting.optimizer)
    if moments.eight_bit:
        tensors = [Tensors(numbers, count) for count, numbers in trained]
        return compute_moments_8bit_bytes(tensors, moments=moments.copies)
    bytes_each = moments.copies * width + 4 * moments.fp32_copies
    step = 4 if bytes_each else 0  # each tensor counts its steps
    return sum(count * (numbers * bytes_each + step) for count, numbers in trained)


# ---- the moments of a step


def _forecast_training(setting: StepSetting) -> Ledger:
    resident = _compute_resident(setting)
    tape = simulate_step(setting)
    step = _compute_optimizer_moment(setting, resident)
    peak = replace(
        resident,
        gradients=max(resident.gradients, tape.peak["gradients"]),
        activations=tape.peak["activations"],
        logits=tape.peak["logits"],
        scratch=tape.peak["scratch"],
    )
    return max(peak, step, key=lambda ledger: ledger.total_bytes)


def simulate_step(setting: StepSetting, *, keep_history: bool = False) -> Tape:
    usual = TowerStep if has_towers(setting.shape, setting.traits) else TransformersStep
    return STEPS.get(setting.framework, usual)(setting, keep_history=keep_history).simulate_step()


def _compute_optimizer_moment(setting: StepSetting, resident: Ledger) -> Ledger:
    """Compute the optimizer's step: all gradients, the update's temporaries, and a plain loop's outputs."""
    trained = _list_trained_tensors(setting)
    width = setting.width if setting.trains_everything else WIDTHS[setting.adapter_type]
    gradients = width * sum(count * size for count, size in trained)
    kept = setting.tokens * setting.shape.vocab * setting.outer_width if setting.framework == "loop" else 0
    return replace(
        resident,
        gradients=max(resident.gradients, gradients),
        logits=kept,
        scratch=_update_bytes(setting, gradients, width * max((size for _, size in trained), default=0)),
    )


def _update_bytes(setting: StepSetting, all_bytes: int, largest_bytes: int) -> int:
    """Return temporary bytes: on a CPU three of the largest tensor; fused, and so none, in torchtune."""
    copies = find_optimizer(setting.optimizer).temporary_copies
    if not setting.on_gpu:
        return 3 * largest_bytes * min(1, copies)
    return 0 if setting.framework == "torchtune" else copies * all_bytes


def _forecast_generating(setting: StepSetting) -> Ledger:
    """Return weights, the KV cache, and the largest matrix decoded, plus one more copy while it is moved."""
    shape = setting.shape
    cache = kv_cache_bytes(shape, tokens=setting.tokens, bytes_per_value=setting.width)
    largest = max((linear.d_in * linear.d_out for linear in shape.linears), default=0)
    if setting.framework == "litgpt":
        largest = max(largest, shape.hidden * shape.vocab)
    decoded = 2 * largest * setting.width if setting.quantized else 0
    logits = setting.batch * shape.vocab * (setting.width + 4)
    if setting.task != "words":  # one forward pass, which keeps nothing
        cache = logits = 0
    return replace(_compute_resident(setting), activations=cache, logits=logits, scratch=decoded)
