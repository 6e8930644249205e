"""Will it fit? One verdict on a setting and a GPU, and the smallest changes that make it fit."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from lora_lab.memory.frameworks.contract import setting_of
from lora_lab.memory.frameworks.forecast import forecast_step, largest_batch
from lora_lab.memory.frameworks.largest_batch import CONTEXT_BYTES, GPU_SIZES_GB
from lora_lab.memory.frameworks.setting import StepSetting
from lora_lab.memory.ledger import COMPONENTS, weight_bytes
from lora_lab.parameters.counts import count_parameters
from lora_lab.parameters.shapes import find_shape
from lora_lab.spec import BITS_LABELS, TARGET_LABELS, VARIANTS, Bits, Variant
from lora_lab.views import memory_form
from study.base.units import GB, as_bytes, as_count, as_percent

Fields = Mapping[str, str]

OFFERED = 3
"""The number of changes that are offered."""

SHORTEST = 64
"""A context below it is no answer to the question how to train."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a setting fits a GPU, and what it trains."""

    needed_bytes: int
    """What the allocator reserves at the peak of a step, and the driver's context."""

    gpu_bytes: int
    trainable: int
    total: int

    @property
    def fits(self) -> bool:
        """Whether the GPU holds it."""
        return self.needed_bytes <= self.gpu_bytes

    @property
    def left_bytes(self) -> int:
        """What stays free; negative where it does not fit."""
        return self.gpu_bytes - self.needed_bytes

    @property
    def percent(self) -> float:
        """The trainable share of model and adapters."""
        return 100 * self.trainable / self.total


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change of the form, in words, and the verdict on the form with it."""

    text: str
    fields: Mapping[str, str]
    needed_bytes: int


def verdict_of(fields: Fields, gpu_bytes: int) -> Verdict:
    """Compute the verdict. Raises LearnerError or UnsupportedCase when the setting can't be computed."""
    shape = find_shape(fields["model"])
    needed = needed_bytes(fields)
    if fields["method"] == "full":
        trainable = total = shape.total_parameters
    else:
        variant: Variant = next((each for each in VARIANTS if each == fields["method"]), "lora")
        found = count_parameters(shape, rank=int(fields["rank"]), targets=fields["targets"], variant=variant)
        trainable, total = found.trainable, found.total
    return Verdict(needed_bytes=needed, gpu_bytes=gpu_bytes, trainable=trainable, total=total)


def needed_bytes(fields: Fields) -> int:
    """Compute what the GPU must have: reserved by the allocator, and the driver's context."""
    return forecast_step(_reserved(fields)).total_bytes + CONTEXT_BYTES


def needed_parts(fields: Fields) -> dict[str, int]:
    """Compute the same memory by component; the driver's context is the rest."""
    ledger = forecast_step(_reserved(fields))
    return {label: getattr(ledger, name) for name, label in COMPONENTS}


def _setting(fields: Fields) -> StepSetting:
    return setting_of(memory_form.record_of(fields), find_shape(fields["model"]))


def _reserved(fields: Fields) -> StepSetting:
    return replace(_setting(fields), measure="reserved")


def longest_context(fields: Fields, gpu_bytes: int) -> int:
    """Find the most tokens a sequence may have on that GPU; 0 where not even one fits.

    Every moment of a step grows with the length, so halving the range finds it.
    """
    low, high = 0, memory_form.LARGEST["seq_len"]
    while low < high:
        middle = (low + high + 1) // 2
        if needed_bytes({**fields, "seq_len": str(middle)}) <= gpu_bytes:
            low = middle
        else:
            high = middle - 1
    return low


def other_weights(fields: Fields) -> tuple[int, int, int] | None:
    """Return bytes of weights: as this recipe stores them, with and without the cast to fp32, and the lab's.

    The usual recipes call `prepare_model_for_kbit_training`, which casts embeddings, head and norms of a
    quantized base to fp32. None where nothing is quantized, or where the framework stores other matrices.
    """
    setting = _setting(fields)
    if not setting.quantized or setting.framework not in ("loop", "trainer", "trl", "unprepared"):
        return None
    cast, kept = (
        forecast_step(replace(setting, framework=each)).weights for each in ("trainer", "unprepared")
    )  # fmt: skip
    return cast, kept, weight_bytes(setting.shape, setting.bits, "bf16")  # type: ignore[arg-type]


# ---- what to change


def changes(fields: Fields, gpu_bytes: int) -> list[Change]:
    """List the changes that each make it fit, those first that cost the result least; at most three."""
    found = []
    for text, change in _single_changes(fields, gpu_bytes):
        changed = {**fields, **change}
        needed = needed_bytes(changed)
        if needed <= gpu_bytes:
            found.append(Change(text=text, fields=changed, needed_bytes=needed))
        if len(found) == OFFERED:
            break
    return found


def together(fields: Fields, gpu_bytes: int) -> Change | None:
    """Return the first changes that make it fit together, where none does alone; None if all don't."""
    changed, needed = dict(fields), needed_bytes(fields)
    said: dict[str, str] = {}  # by the field that is changed: a later change of it replaces the earlier
    for text, change in _lossless(fields):
        following = {**changed, **change}
        if (smaller := needed_bytes(following)) < needed:
            changed, needed = following, smaller
            said |= dict.fromkeys(change, text)
        if needed <= gpu_bytes:
            return Change(text=", ".join(said.values()), fields=changed, needed_bytes=needed)
    tokens = longest_context(changed, gpu_bytes)
    if tokens < SHORTEST:
        return None
    changed["seq_len"] = str(_rounded(tokens))
    said["seq_len"] = f"at most {as_count(_rounded(tokens))} tokens"
    return Change(text=", ".join(said.values()), fields=changed, needed_bytes=needed_bytes(changed))


def smallest_gpu_gb(fields: Fields) -> int | None:
    """Find the smallest usual GPU that holds the setting as it is; None if none does."""
    needed = needed_bytes(fields)
    return next((size for size in GPU_SIZES_GB if size * GB >= needed), None)


def _single_changes(fields: Fields, gpu_bytes: int) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield single changes in the order of what they cost: nothing, time, context, exactness, expression."""
    yield from _free(fields)
    batch = int(fields["batch"])
    most = largest_batch(_reserved(fields), gpu_bytes - CONTEXT_BYTES)
    if 0 < most < batch:
        times = math.ceil(batch / most)
        yield f"a batch of {most}, {times} of them accumulated for the same step", {"batch": str(most)}
    for bits in _fewer_bits(fields["bits"]):
        if fields["method"] != "full":
            yield f"weights in {BITS_LABELS[bits]}", {"bits": bits}
    if fields["method"] == "full":
        yield "LoRA instead of full fine-tuning", {"method": "lora"}
    tokens = _rounded(longest_context(fields, gpu_bytes))
    if SHORTEST <= tokens < int(fields["seq_len"]):
        yield f"at most {as_count(tokens)} tokens a sequence", {"seq_len": str(tokens)}
    rank = int(fields["rank"])
    while fields["method"] != "full" and rank > 1:
        rank //= 2
        yield f"rank {rank}", {"rank": str(rank)}
    for targets in ("attention", "q+v"):
        if fields["targets"] == "all-linear" and fields["method"] != "full":
            yield f"adapters on {TARGET_LABELS[targets]} only", {"targets": targets}


def _free(fields: Fields) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield changes that change no result, or only its last digits."""
    offers: tuple[tuple[str, str, str, Callable[[Fields], bool]], ...] = (
        ("attention", "sdpa", "fused attention", _always),
        ("checkpointing", "yes", "checkpointing, which computes each layer twice", _always),
        ("framework", "trl SFTTrainer", "trl, which keeps embeddings and head in 16 bits", _casts_outer),
        ("loss", "chunked cross-entropy", "the loss in chunks, as Liger's kernels compute it", _always),
        ("bits", "nf4-dq", "double quantization", _is_nf4),
        ("optimizer", "paged_adamw8bit", "a paged 8-bit optimizer", _has_wide_moments),
        ("framework", "unsloth", "Unsloth", _is_quantized),
    )
    for name, value, text, applies in offers:
        if fields[name] != value and applies(fields):
            yield text, {name: value}


def _always(fields: Fields) -> bool:
    return True


def _is_quantized(fields: Fields) -> bool:
    return fields["bits"] not in ("bf16", "fp32")


def _casts_outer(fields: Fields) -> bool:
    return _is_quantized(fields) and fields["framework"] in ("transformers Trainer", "peft")


def _is_nf4(fields: Fields) -> bool:
    return fields["bits"] == "nf4"


def _has_wide_moments(fields: Fields) -> bool:
    return fields["optimizer"] == "adamw"


def _lossless(fields: Fields) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield what is changed together, in order: everything short of another model or a shorter text."""
    yield from _free(fields)
    if int(fields["batch"]) > 1:
        yield "a batch of 1", {"batch": "1"}
    if fields["method"] == "full":
        yield "LoRA instead of full fine-tuning", {"method": "lora"}
    if fields["bits"] != "nf4-dq":
        yield f"weights in {BITS_LABELS['nf4-dq']}", {"bits": "nf4-dq"}


def _fewer_bits(bits: str) -> tuple[Bits, ...]:
    order: tuple[Bits, ...] = ("fp32", "bf16", "int8", "nf4-dq")
    at = next((place for place, each in enumerate(order) if each == bits), len(order))
    return order[at + 1 :]


def _rounded(tokens: int) -> int:
    """Round down to two digits, so that a guess of the limit stays below it."""
    step = int(10 ** max(0, len(str(tokens)) - 2))
    return tokens // step * step


def in_words(verdict: Verdict) -> str:
    """Say the verdict in one sentence."""
    trained = f"{as_count(verdict.trainable)} trainable parameters ({as_percent(verdict.percent)})"
    size = f"{verdict.gpu_bytes / GB:.4g} GB"
    if verdict.fits:
        return f"Fits in {size} with {as_bytes(verdict.left_bytes)} left, {trained}."
    return f"Does not fit in {size}: it needs {as_bytes(verdict.needed_bytes)}. {trained}."
