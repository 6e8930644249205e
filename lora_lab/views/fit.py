"""Will it fit? One verdict on a setting and a GPU, and the smallest changes that make it fit."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from lora_lab.memory.frameworks.contract import NEWER_TRL, parse_setting
from lora_lab.memory.frameworks.forecast import compute_largest_batch, forecast_step
from lora_lab.memory.frameworks.setting import StepSetting
from lora_lab.memory.gpus import CUDA_OVERHEAD_BYTES, GPUS
from lora_lab.memory.ledger import COMPONENTS, compute_stored_weight_bytes
from lora_lab.parameters.adapter_config import UnsupportedCase
from lora_lab.parameters.counts import Count, count_parameters
from lora_lab.parameters.shapes import ModelShape, find_shape
from lora_lab.spec import BITS_LABELS, TARGET_LABELS, VARIANTS, Bits, Variant
from lora_lab.views import memory_form
from study.base.binary_search import find_largest_within
from study.base.errors import LearnerError
from study.base.units import as_bytes, as_count, as_percent

Fields = Mapping[str, str]
FindShape = Callable[[str], ModelShape]
"""Finds a model by its name: in the catalogue, or among the learner's own too."""

OFFERED = 3

STEPPED = frozenset({"rank", "targets", "bits"})
"""Fields that are lowered step by step."""

LONGER = 1.05
"""A context that is longer by less than this factor is not worth a change."""

SHORTEST = 64
"""Tokens. A shorter context isn't a useful suggestion."""


@dataclass(frozen=True, kw_only=True)
class FitVerdict:
    """Whether a setting fits a GPU, and what it trains."""

    needed_bytes: int
    """What the allocator reserves at the peak of a step, and CUDA's fixed share."""

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
    """One change of the form, or several together, in words, and the form with them."""

    texts: tuple[str, ...]
    fields: Mapping[str, str]
    needed_bytes: int
    freed: tuple[int, ...] = ()
    """Of several together: what each frees once those before it are made."""


def compute_verdict(fields: Fields, gpu_bytes: int, find: FindShape = find_shape) -> FitVerdict:
    """Compute the verdict. Raises LearnerError or UnsupportedCase when the setting can't be computed."""
    shape = find(fields["model"])
    needed = compute_needed_bytes(fields, find)
    found = count_trained(fields, shape)
    return FitVerdict(needed_bytes=needed, gpu_bytes=gpu_bytes, trainable=found.trainable, total=found.total)


def count_trained(fields: Fields, shape: ModelShape) -> Count:
    """Count the parameters that the form's method trains."""
    if fields["method"] == "full":
        return Count(trainable=shape.total_parameters, total=shape.total_parameters)
    variant: Variant = next((each for each in VARIANTS if each == fields["method"]), "lora")
    return count_parameters(shape, rank=int(fields["rank"]), targets=fields["targets"], variant=variant)


def compute_needed_bytes(fields: Fields, find: FindShape = find_shape) -> int:
    """Compute what the GPU must have: reserved by the allocator, and CUDA's fixed share."""
    return _needed_bytes(_build_reserved(fields, find))


def _needed_bytes(setting: StepSetting) -> int:
    return forecast_step(setting).total_bytes + CUDA_OVERHEAD_BYTES


def compute_needed_parts(fields: Fields) -> dict[str, int]:
    """Compute the same memory by component; CUDA's fixed share is the rest."""
    ledger = forecast_step(_build_reserved(fields, find_shape))
    return {label: getattr(ledger, name) for name, label in COMPONENTS}


def _parse_setting(fields: Fields, find: FindShape) -> StepSetting:
    return parse_setting(memory_form.build_contract_record(fields), find(fields["model"]))


def _build_reserved(fields: Fields, find: FindShape) -> StepSetting:
    return replace(_parse_setting(fields, find), measure="reserved")


def find_longest_context(fields: Fields, gpu_bytes: int, find: FindShape = find_shape) -> int:
    """Find the most tokens a sequence may have on that GPU; 0 where not even one fits."""
    setting = _build_reserved(fields, find)
    return find_largest_within(
        lambda tokens: _needed_bytes(replace(setting, seq_len=tokens)),
        gpu_bytes,
        none=0,
        most=memory_form.LARGEST["seq_len"],
    )


def find_largest_batch(fields: Fields, gpu_bytes: int) -> int | None:
    """Find the largest batch on that GPU, 0 where not even one fits; None where it can't be computed."""
    try:
        return compute_largest_batch(_build_reserved(fields, find_shape), gpu_bytes - CUDA_OVERHEAD_BYTES)
    except (UnsupportedCase, LearnerError):
        return None


def compare_weights(fields: Fields, find: FindShape = find_shape) -> tuple[int, int, int] | None:
    """Return bytes of weights: as this recipe stores them, with and without the cast to fp32, and the lab's.

    The usual recipes call `prepare_model_for_kbit_training`, which casts embeddings, head and norms of a
    quantized base to fp32. None where nothing is quantized, or where the framework stores other matrices.
    """
    setting = _parse_setting(fields, find)
    if not setting.quantized or setting.framework not in ("loop", "trainer", "trl", "unprepared"):
        return None
    cast, kept = (
        forecast_step(replace(setting, framework=each, phase="load")).weights
        for each in ("trainer", "unprepared")
    )
    return cast, kept, compute_stored_weight_bytes(setting.shape, setting.bits)  # type: ignore[arg-type]


# ---- what to change


def list_changes(fields: Fields, gpu_bytes: int, find: FindShape = find_shape) -> list[Change]:
    """List the changes that each make it fit, those first that cost the result least; at most three.

    Of several ranks, matrices or bit widths only the first that fits is listed, the one that costs least.
    """
    found: list[Change] = []
    stepped: set[str] = set()
    for text, change in _list_single_changes(fields, gpu_bytes, find):
        (field,) = change
        changed = {**fields, **change}
        needed = _compute_needed_or_inf(changed, find)
        if needed <= gpu_bytes and field not in stepped:
            found.append(Change(texts=(text,), fields=changed, needed_bytes=int(needed)))
            stepped |= {field} & STEPPED
        if len(found) == OFFERED:
            break
    return found


def combine_changes(fields: Fields, gpu_bytes: int, find: FindShape = find_shape) -> Change | None:
    """Return the first changes that make it fit together, where none does alone; None if all don't.

    First whatever keeps the text and what can be learnt; then, of each set of matrices, each rank and each
    framework in turn, the longest context.
    """
    changed, needed = dict(fields), compute_needed_bytes(fields, find)
    said: dict[str, str] = {}  # by the field that is changed: a later change of it replaces the earlier
    for text, change in _list_lossless(fields):
        following = {**changed, **change}
        if (smaller := _compute_needed_or_inf(following, find)) < needed:
            changed, needed = following, int(smaller)
            said |= dict.fromkeys(change, text)
        if needed <= gpu_bytes:
            return _join_changes(fields, changed, said, find)
    # At the peak of another moment each of these may count, so all are made, and what was not needed undone.
    for text, change in _list_lossless(fields):
        if "framework" not in change:
            changed |= change
            said |= dict.fromkeys(change, text)
    for texts, change in _list_smaller_adapters(changed):
        tried = {**changed, **change}
        if _compute_needed_or_inf({**tried, "seq_len": str(SHORTEST)}, find) > gpu_bytes:
            continue
        longest = find_longest_context(tried, gpu_bytes, find)
        if longest < int(fields["seq_len"]):
            tried["seq_len"] = str(longest)
            texts |= {"seq_len": _format_at_most(longest)}
        return _keep_needed(fields, tried, said | texts, gpu_bytes, find)
    return None


def _keep_needed(
    fields: Fields, changed: Fields, said: Mapping[str, str], gpu_bytes: int, find: FindShape
) -> Change:
    """Undo every change without which it fits as well."""
    kept, texts = dict(changed), dict(said)
    for field in said:
        if _compute_needed_or_inf({**kept, field: fields[field]}, find) <= gpu_bytes:
            kept[field] = fields[field]
            del texts[field]
    return _join_changes(fields, kept, texts, find)


def _join_changes(fields: Fields, changed: Fields, said: Mapping[str, str], find: FindShape) -> Change:
    """Make the changes one after the other and note what each frees."""
    made, needed, freed = dict(fields), compute_needed_bytes(fields, find), []
    for field in said:
        made[field] = changed[field]
        before, after = needed, _compute_needed_or_inf(made, find)
        needed = before if after == math.inf else int(after)  # on the way it may be without a formula
        freed.append(before - needed)
    return Change(texts=tuple(said.values()), fields=changed, needed_bytes=needed, freed=tuple(freed))


def list_longer_texts(fields: Fields, gpu_bytes: int, find: FindShape = find_shape) -> list[Change]:
    """List changes that hardly affect the result and make room for a longer text, each with its longest,
    the longest first; at the end all together, where that is longer still.
    """
    wanted = math.ceil(LONGER * find_longest_context(fields, gpu_bytes, find))
    start = {**fields, "seq_len": str(wanted)}
    joint, needed, said = start, _compute_needed_or_inf(start, find), dict[str, str]()
    found = []
    for text, change in _list_nearly_free(fields):
        if _compute_needed_or_inf({**start, **change}, find) <= gpu_bytes:
            found.append(_find_longest_with({**start, **change}, (text,), gpu_bytes, find))
        if (smaller := _compute_needed_or_inf({**joint, **change}, find)) < needed:
            joint, needed = {**joint, **change}, smaller
            said |= dict.fromkeys(change, text)
    found = sorted(found, key=_read_tokens, reverse=True)[:OFFERED]
    if len(said) > 1 and needed <= gpu_bytes:
        all_of_them = _find_longest_with(joint, tuple(said.values()), gpu_bytes, find)
        if not found or _read_tokens(all_of_them) > _read_tokens(found[0]):
            found.append(all_of_them)
    return found


def _find_longest_with(fields: Fields, texts: tuple[str, ...], gpu_bytes: int, find: FindShape) -> Change:
    changed = {**fields, "seq_len": str(find_longest_context(fields, gpu_bytes, find))}
    return Change(texts=texts, fields=changed, needed_bytes=compute_needed_bytes(changed, find))


def _read_tokens(change: Change) -> int:
    return int(change.fields["seq_len"])


def find_smallest_gpu_gb(fields: Fields, find: FindShape = find_shape) -> int | None:
    """Find the smallest usual GPU that holds the setting as it is; None if none does."""
    needed = compute_needed_bytes(fields, find)
    return next((gpu.gb for gpu in GPUS.values() if gpu.total_bytes >= needed), None)


def _compute_needed_or_inf(fields: Fields, find: FindShape) -> float:
    """Compute what is needed; infinitely much by a framework that does not train such a model."""
    try:
        return compute_needed_bytes(fields, find)
    except (UnsupportedCase, LearnerError):
        return math.inf


def _list_single_changes(
    fields: Fields, gpu_bytes: int, find: FindShape
) -> Iterator[tuple[str, dict[str, str]]]:
    """List single changes in the order of what they cost: nothing, time, context, exactness, expression."""
    yield from _list_nearly_free(fields)
    batch = int(fields["batch"])
    most = compute_largest_batch(_build_reserved(fields, find), gpu_bytes - CUDA_OVERHEAD_BYTES)
    if 0 < most < batch:
        times = math.ceil(batch / most)
        step = "for the same step" if times * most == batch else f"to at least {batch} per step"
        yield f"a batch of {most}, {times} of them accumulated {step}", {"batch": str(most)}
    for bits in _list_fewer_bits(fields["bits"]):
        if fields["method"] != "full":
            yield f"weights in {BITS_LABELS[bits]}", {"bits": bits}
    if fields["method"] == "full":
        yield "LoRA instead of full fine-tuning", {"method": "lora"}
    tokens = find_longest_context(fields, gpu_bytes, find)
    if SHORTEST <= tokens < int(fields["seq_len"]):
        yield _format_at_most(tokens), {"seq_len": str(tokens)}
    yield from ((f"rank {rank}", {"rank": str(rank)}) for rank in _lower_ranks(fields))
    for targets in _list_fewer_targets(fields):
        yield f"adapters on {TARGET_LABELS[targets]} only", {"targets": targets}


def _list_smaller_adapters(fields: Fields) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """List every combination of matrices, rank and framework, starting from what is chosen: the texts by
    the field that is changed, and the changes.
    """
    names = {change["framework"]: text for text, change in _list_nearly_free(fields) if "framework" in change}
    for targets in (fields["targets"], *_list_fewer_targets(fields)):
        for rank in (int(fields["rank"]), *_lower_ranks(fields)):
            for framework in (fields["framework"], *names):
                texts = {"framework": names[framework]} if framework in names else {}
                if rank != int(fields["rank"]):
                    texts["rank"] = f"rank {rank}"
                if targets != fields["targets"]:
                    texts["targets"] = f"adapters on {TARGET_LABELS[targets]} only"
                yield texts, {"targets": targets, "rank": str(rank), "framework": framework}


def _lower_ranks(fields: Fields) -> list[int]:
    rank = int(fields["rank"])
    return [] if fields["method"] == "full" else [rank >> by for by in range(1, rank.bit_length())]


def _list_fewer_targets(fields: Fields) -> tuple[str, ...]:
    is_all = fields["targets"] == "all-linear" and fields["method"] != "full"
    return ("attention", "q+v") if is_all else ()


def _format_at_most(tokens: int) -> str:
    return f"at most {as_count(tokens)} tokens per sequence"


def _list_nearly_free(fields: Fields) -> Iterator[tuple[str, dict[str, str]]]:
    """List changes that hardly affect the result: none at all, or what rounding does."""
    quantized = fields["bits"] not in ("bf16", "fp32")
    casts_outer = quantized and fields["framework"] in ("transformers Trainer", "peft", "trl SFTTrainer")
    newer_trl = "trl from 0.26, which leaves what is not quantized in 16 bits"
    offers = (
        ("attention", "sdpa", "fused attention", True),
        ("checkpointing", "yes", "checkpointing, which computes each layer twice", True),
        ("framework", NEWER_TRL, newer_trl, casts_outer),
        ("loss", "chunked cross-entropy", "the loss in chunks (Liger's kernels)", True),
        ("bits", "nf4-dq", "double quantization", fields["bits"] == "nf4"),
        ("optimizer", "paged_adamw8bit", "a paged 8-bit optimizer", fields["optimizer"] == "adamw"),
        ("framework", "unsloth", "Unsloth", quantized),
    )
    for name, value, text, applies in offers:
        if applies and fields[name] != value:
            yield text, {name: value}


def _list_lossless(fields: Fields) -> Iterator[tuple[str, dict[str, str]]]:
    """List what is changed together, in order: everything short of another model or a shorter text."""
    yield from _list_nearly_free(fields)
    if int(fields["batch"]) > 1:
        yield "a batch of 1", {"batch": "1"}
    if fields["method"] == "full":
        yield "LoRA instead of full fine-tuning", {"method": "lora"}
    if fields["bits"] != "nf4-dq":
        yield f"weights in {BITS_LABELS['nf4-dq']}", {"bits": "nf4-dq"}


def _list_fewer_bits(bits: str) -> tuple[Bits, ...]:
    order: tuple[Bits, ...] = ("fp32", "bf16", "int8", "nf4-dq")
    at = next((place for place, each in enumerate(order) if each == bits), len(order))
    return order[at + 1 :]


def describe_verdict(verdict: FitVerdict, gpu: str) -> str:
    """Say in one sentence whether it fits; `gpu` is the card's size as people call it."""
    if verdict.fits:
        return f"Fits in {gpu} with {as_bytes(verdict.left_bytes)} left."
    return f"Does not fit in {gpu}: {as_bytes(-verdict.left_bytes)} short."


def describe_trained(verdict: FitVerdict) -> str:
    return f"{as_count(verdict.trainable)} trainable parameters ({as_percent(verdict.percent)})."
