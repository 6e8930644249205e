"""Checked fields of a JSON record: an error names what is wrong and what it should be."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from lora_lab.parameters.adapter_config import AdapterSetting, UnsupportedCase
from study.base.errors import LearnerError

LARGEST_WHOLE = 10**9  # larger than any model, and short enough to print
LARGEST_SIZE = 10**15
UNKNOWN = "unknown"

MOST_LAYERS_OF_TOKENS = 100
"""Each is looked up among all modules, and few models have more than two."""

VARIANT_FLAGS = ("use_dora", "use_rslora")
VARIANT_FIELDS = ("variant", *VARIANT_FLAGS, "init_r")
"""The lab's field and PEFT's own that say which variant of LoRA is trained, and AdaLoRA's rank."""

NARROWING = (
    "exclude_modules", "layers_to_transform", "layers_pattern", "rank_pattern", "ensure_weight_tying",
    "target_parameters",
)  # fmt: skip
"""PEFT's fields beyond the contracts that leave modules out, change their rank, or adapt others too."""

ADDING = ("lora_bias",)
"""PEFT's fields that add to each adapter: they are counted, and no memory is predicted with them."""

OF_TOKENS = ("trainable_token_indices",)
"""PEFT's fields that train rows of tokens: they too are counted, and no memory is predicted with them."""

REFUSED_WITH_PARAMETERS = ("lora_dropout", "fan_in_fan_out")
"""PEFT's fields that it refuses with an adapter on a parameter, and that change no count otherwise."""

NOT_COUNTED = (
    "layer_replication", "use_qalora", "use_bdlora", "eva_config", "arrow_config", "kasa_config",
    "monteclora_config",
)  # fmt: skip
"""PEFT's fields that change what is trained and that no formula here knows."""

TRAINING_FIELDS = (*NARROWING, *ADDING, *OF_TOKENS, *NOT_COUNTED)
"""All PEFT fields that change what is trained and that the contracts don't have."""


def read_names(record: Mapping[str, Any], field: str) -> str | tuple[str, ...] | None:
    """Parse a regular expression or a list of module names, like PEFT. Raises LearnerError otherwise."""
    value = record.get(field)
    if isinstance(value, str) or value is None:
        return value
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) and name for name in value):
        raise LearnerError(
            f"{field} must be a list of module names, got {value!r}.", do_next='Write it as ["q_proj"].'
        )
    return tuple(value)


def parse_names(record: Mapping[str, Any], field: str) -> tuple[str, ...]:
    """Parse a list of names, empty when absent. Raises LearnerError on a string."""
    value = read_names(record, field)
    if isinstance(value, str):
        raise LearnerError(
            f"{field} must be a list of names, got {value!r}.", do_next='Write it as ["score"].'
        )
    return value or ()


def read_whole(
    record: Mapping[str, Any], field: str, default: Any, *, least: int = 1, most: int = LARGEST_WHOLE
) -> Any:
    """Parse a whole number within its limits; the default when absent. Raises LearnerError otherwise."""
    value = record.get(field)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise LearnerError(
            f"{field} must be a whole number from {least} to {most:,}, got {value!r}.",
            do_next=f"Write {field} as digits in that range.",
        )
    return value


def parse_digits(text: str) -> int | None:
    """Parse a whole number of decimal digits, 50 at most; None otherwise (int refuses 4,300 and `²`)."""
    return int(text) if re.fullmatch(r"\d{1,50}", text) else None


def read_flag(record: Mapping[str, Any], field: str) -> bool:
    """Parse true or false; false when absent. Raises LearnerError otherwise."""
    value = record.get(field)
    if not isinstance(value, bool | None):
        raise LearnerError(
            f"{field} must be true or false, got {value!r}.", do_next=f"Write {field} as true or false."
        )
    return bool(value)


def parse_adapter_setting(lora: Mapping[str, Any], *, targets: str) -> AdapterSetting:
    """Parse the adapter in a record's fields. `targets` is the field name of its target modules, for which
    PEFT's own, `target_modules`, may stand.

    Raises UnsupportedCase on a field of PEFT's that changes what is trained and is not counted.
    """
    refuse_fields(lora, NOT_COUNTED)
    targets = targets if targets in lora else "target_modules"
    wanted = None if lora.get(targets) == UNKNOWN else read_names(lora, targets)
    return AdapterSetting(
        targets=wanted,
        excluded=read_names(lora, "exclude_modules") or (),
        layers=_read_layers(lora),
        layers_pattern=_read_layers_pattern(lora),
        parameters=_read_parameters(lora),
        has_dropout=is_set(lora.get("target_parameters")) and lora.get("lora_dropout") not in (None, 0),
        token_rows=_read_token_rows(lora),
        rank_pattern=_read_rank_pattern(lora),
        ties_weights=read_flag(lora, "ensure_weight_tying"),
        lora_bias=read_flag(lora, "lora_bias"),
        variant=read_variant(lora) or "lora",
        task_type=lora.get("task_type"),
        modules_to_save=parse_names(lora, "modules_to_save"),
        bias=lora.get("bias") or "none",
        feedforward=read_names(lora, "feedforward_modules"),
    )


def read_variant(lora: Mapping[str, Any]) -> Any:
    """Parse the variant, or PEFT's own fields for it, `use_dora` and `use_rslora`; None without any."""
    variant = lora.get("variant")
    if variant not in (None, "lora", "rslora"):
        return variant
    if read_flag(lora, "use_dora"):
        return "dora"
    return "rslora" if read_flag(lora, "use_rslora") else variant


def read_rank(lora: Mapping[str, Any], default: int) -> int:
    """Parse the rank; of AdaLoRA PEFT reads `init_r`. Raises LearnerError outside of 1 to LARGEST_WHOLE."""
    field = "init_r" if lora.get("variant") == "adalora" and is_set(lora.get("init_r")) else "r"
    rank: int = read_whole(lora, field, default)
    return rank


def refuse_fields(lora: Mapping[str, Any], fields: Collection[str]) -> None:
    """Raise UnsupportedCase if any of the fields is set."""
    for field in fields:
        if is_set(lora.get(field)):
            raise UnsupportedCase(f"{field}={lora[field]!r} changes what is trained and is not counted")


def is_set(value: object) -> bool:
    """Return whether a value says more than that there is none; layer 0 does."""
    return value is not None and value is not False and value not in ("", [], (), {})


def _read_layers(lora: Mapping[str, Any]) -> tuple[int, ...]:
    value = lora.get("layers_to_transform")
    layers = [] if value is None else [value] if isinstance(value, int) else value
    if not isinstance(layers, list | tuple) or any(
        isinstance(each, bool) or not isinstance(each, int) for each in layers
    ):
        raise LearnerError(
            f"layers_to_transform must be a layer's number or a list of them, got {value!r}.",
            do_next="Write it as [0, 1].",
        )
    return tuple(layers)


def _read_layers_pattern(lora: Mapping[str, Any]) -> tuple[str, ...]:
    """Parse one pattern or a list of them; with an empty list of layers PEFT takes no notice of it."""
    patterns = read_names(lora, "layers_pattern") or ()
    if lora.get("layers_to_transform") == []:
        return ()
    return (patterns,) if isinstance(patterns, str) else patterns


def _read_parameters(lora: Mapping[str, Any]) -> tuple[str, ...]:
    """Parse `target_parameters`, each name once.

    Raises LearnerError on anything but a list of names; UnsupportedCase beside a field whose effect on it
    depends on the order in which PEFT adapts.
    """
    value = lora.get("target_parameters")
    if not is_set(value):
        return ()
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) and name for name in value):
        raise LearnerError(
            f"target_parameters must be a list of parameters' names, got {value!r}.",
            do_next='Write it as ["mlp.experts.gate_up_proj"].',
        )
    if lora.get("fan_in_fan_out"):
        raise UnsupportedCase("target_parameters beside fan_in_fan_out")
    return tuple(dict.fromkeys(value))


def _read_token_rows(lora: Mapping[str, Any]) -> tuple[tuple[str | None, tuple[int, ...]], ...]:
    """Parse `trainable_token_indices`: tokens of the input embedding, or lists of them by layer.

    An empty list trains nothing. Raises LearnerError on anything else.
    """
    value = lora.get("trainable_token_indices")
    if not is_set(value):
        return ()
    by_layer: Mapping[str | None, Any] = value if isinstance(value, Mapping) else {None: value}
    if len(by_layer) > MOST_LAYERS_OF_TOKENS:
        raise LearnerError(
            f"trainable_token_indices names {len(by_layer):,} layers.",
            do_next=f"Name {MOST_LAYERS_OF_TOKENS} at most; a model has one or two with tokens.",
        )
    for tokens in by_layer.values():
        if not isinstance(tokens, list | tuple) or any(
            isinstance(each, bool) or not isinstance(each, int) for each in tokens
        ):
            raise LearnerError(
                f"trainable_token_indices must hold lists of whole numbers, got {tokens!r}.",
                do_next='Write it as [0, 1], or as {"embed_tokens": [0, 1]}.',
            )
    return tuple((name, tuple(tokens)) for name, tokens in by_layer.items())


def _read_rank_pattern(lora: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
    value = lora.get("rank_pattern") or {}
    if not isinstance(value, Mapping):
        raise LearnerError(
            f"rank_pattern must be an object, got {value!r}.", do_next='Write it as {"q_proj": 16}.'
        )
    return tuple((str(name), read_whole(value, name, None)) for name in value if value[name] is not None)


def parse_choice(
    record: Mapping[str, Any],
    field: str,
    allowed: Collection[Any] | Mapping[Any, Any],
    *,
    default: Any = None,
) -> Any:
    """Parse one of the allowed values; map it with a mapping. Raises LearnerError otherwise."""
    value = record.get(field)
    if value is None and default is not None:
        return default
    if not isinstance(value, str | None) or value not in allowed:
        known = ", ".join(str(one) for one in allowed if one is not None)
        raise LearnerError(
            f"{field} must be one of {known}, got {value!r}.",
            do_next=f"Write one of them, or leave {field} out.",
        )
    return allowed[value] if isinstance(allowed, Mapping) else value


def find_adapter_fields(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Find a record's `lora` object; without one, the same fields at the top level, as in `count`.

    Raises LearnerError when it is not an object or its targets are not names; UnsupportedCase on a field of
    PEFT's that changes what is trained and is not counted, or with which no memory is predicted.
    """
    adapter = record.get("lora")
    if adapter is None:
        fields = ("r", "targets", "target_modules", *VARIANT_FIELDS, *TRAINING_FIELDS)
        adapter = {name: record[name] for name in fields if name in record}
    if not isinstance(adapter, dict):
        raise LearnerError(
            f"lora must be an object, got {adapter!r}.",
            do_next='Write it as {"r": 8, "target_modules": ["q_proj"]}.',
        )
    if "targets" not in adapter and "target_modules" in adapter:
        adapter = {**adapter, "targets": adapter["target_modules"]}
    targets = adapter.get("targets")
    names = targets if isinstance(targets, list) else []
    if not isinstance(targets, list | str | None) or not all(isinstance(name, str) for name in names):
        raise LearnerError(
            f"targets must be a list of names, got {targets!r}.",
            do_next='Write them as ["q_proj", "v_proj"].',
        )
    refuse_fields(adapter, NOT_COUNTED)
    for field in (*ADDING, *OF_TOKENS):
        if is_set(adapter.get(field)):
            raise UnsupportedCase(
                f"no memory is predicted with {field}; the count of trainable parameters knows it"
            )
    return {**adapter, "variant": read_variant(adapter)}


def list_narrowing_fields(adapter: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of an adapter's fields that leave modules out, change their rank or adapt parameters, and
    what PEFT refuses beside those.
    """
    names = (*NARROWING, *REFUSED_WITH_PARAMETERS) if is_set(adapter.get("target_parameters")) else NARROWING
    return {name: adapter[name] for name in names if is_set(adapter.get(name))}
