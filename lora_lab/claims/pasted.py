"""Parser of a pasted tutorial: model, adapter and printed line. What the text omits stays open."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from lora_lab.claims.named_model import find_model, find_named_entry
from lora_lab.claims.printed_line import PrintedLine, find_printed_line
from lora_lab.claims.prose import (
    find_rank_in_prose,
    find_targets_in_prose,
    find_variant_in_prose,
    names_all_linear,
    parse_option_rank,
)
from lora_lab.claims.snippets import (
    Snippet,
    UnresolvedValue,
    as_list,
    find_assigned,
    find_call,
    find_option,
    parse_yaml_list,
)
from lora_lab.parameters.adapter_config import ADAPTER_VARIANTS, BIASES, HEADS, KIND_OF_TASK, UnsupportedCase
from lora_lab.parameters.json_fields import (
    REFUSED_WITH_PARAMETERS,
    TRAINING_FIELDS,
    UNKNOWN,
    VARIANT_FLAGS,
    is_set,
    parse_digits,
    read_variant,
)
from study.base.errors import LearnerError

KIND_OF_CLASS = (
    (r"ForSequenceClassification|ForImageClassification", "seqcls"),
    (r"ForTokenClassification", "tokencls"),
    (r"ForQuestionAnswering", "qa"),
    (r"AutoModelForSeq2SeqLM|T5ForConditionalGeneration", "seq2seq"),
    (r"ForSpeechSeq2Seq|WhisperForConditionalGeneration", "asr"),
    (r"ForCausalLM|LMHeadModel|FastLanguageModel", "causal"),
)

CLASSIFIER = "|".join(pattern for pattern, kind in KIND_OF_CLASS if kind in ("seqcls", "tokencls"))

QUANTIZED = {
    "aqlm": ("aqlm",),
    "gptq": ("gptq", r"\bawq\b", "-AWQ"),
    "4bit": (r"load_in_4bit\s*[=:]\s*true", "bnb[-_]4bit", "-4bit", "nf4", r"\bqlora\b", "4-bit"),
    "8bit": (r"load_in_8bit\s*[=:]\s*true", r"\bint8\b", "8-bit", "-8bit"),
}
"""Patterns that show how the base's weights are quantized; the first kind with a match wins."""

VISION = r".*(?:visual|vision_tower|vision_model|multi_modal_projector|merger).*"
"""Modules of a vision tower and its projector; LLaMA-Factory leaves them out unless told otherwise
(src/llamafactory/model/model_utils/visual.py, patch_target_modules)."""

PARAMETERS = "target_parameters"

MOST_SCANNED = 3_000_000
"""Characters: 50 times the longest text."""

IN_PROSE = re.compile(
    r"(?<!not )\b(?:all|every)[- ](?:the )?linear (?:layers?|modules?|projections?)\b", re.I
)

FULL_WIDTH = str.maketrans("：，％｜（）＝", ":,%|()=")
"""Full-width signs of East Asian texts, as people retype a line."""

LINE_BREAK = re.compile(r"<(?:br|/p|/tr)\b[^<>\n]{0,20}>", re.I)
MARKUP = re.compile(r"</?(?:b|strong|i|em|code|span|mark|p|td|tr|br)\b[^<>\n]{0,200}>|&nbsp;", re.I)

OTHER_TUNING = re.compile(
    r"\b(?:prompt|prefix|p|bitfit|layer ?norm)[- ]tun(?:ing|ed)\b|\bvirtual tokens\b"
    r"|\b(?:lo(?:ha|kr)|boft|bitfit|(?:houlsby|pfeiffer|bottleneck)[- ]adapters?)\b|(?-i:\bOFT\b)",
    re.I,
)
"""Methods without a configuration in the text; with the word LoRA it may only compare them."""

OF_LORA = re.compile(r"(?<![a-z])(?:q|rs|ada)?(?:lora|dora|vera)(?![a-z])|\bia3\b|\(ia\)", re.I)


def record_of_text(text: str) -> dict[str, Any]:
    """Parse the text into a record of the claim contract.

    Raises LearnerError when the text names no known model, or has no printed line; UnsupportedCase when it is
    about another kind of adapter.
    """
    text = MARKUP.sub(" ", LINE_BREAK.sub("\n", text.translate(FULL_WIDTH)))
    line = find_printed_line(text)
    if line is None:
        raise LearnerError(
            "There is no printed line in this text.",
            do_next="Paste a line such as `trainable params: 4,194,304 || all params: 6,742,609,920 || "
            "trainable%: 0.0622`.",
        )
    lora = _read_lora(text, line)
    if lora["variant"] not in ADAPTER_VARIANTS:
        raise UnsupportedCase(f"{lora['variant']} is a kind of adapter that is not counted")
    model = _read_model(text, lora)
    return {
        "model": model,
        "lora": _adjust_for_vision(text, lora) if _has_vision(model) else lora,
        "quantisation": find_quantization(text),
        "printed": line.printed.to_record(),
    }


# ---- adapter


def _read_lora(text: str, line: PrintedLine) -> dict[str, Any]:
    call = find_call(text, line.start)
    if call is not None:
        return _parse_values(call)
    found = list(_find_pasted_adapters(text))
    before = [each for each in found if each.end <= line.start]
    if found:
        return _parse_values((before or found[:1])[-1])
    other = OTHER_TUNING.search(text) if find_option(text, "peft_type") is None else None
    if other and not OF_LORA.search(text):
        raise UnsupportedCase(f"the text is about {other[0]}, which is not counted")
    return _parse_lines(text)


def _adjust_for_vision(text: str, lora: dict[str, Any]) -> dict[str, Any]:
    """Adjust the setting as a tool does for a model with a vision tower.

    Raises UnsupportedCase where unsloth chooses the modules by its own pattern.
    """
    if lora["target_modules"] == UNKNOWN and re.search(r"Fast(?:Vision)?Model\.get_peft_model", text):
        raise UnsupportedCase("which modules unsloth adapts in a model with a vision tower is not known here")
    frozen = (find_option(text, "freeze_vision_tower") or "true").lower() == "true"
    if find_option(text, "lora_target") is None or not frozen:
        return lora
    return lora | {"exclude_modules": VISION}


def _find_pasted_adapters(text: str) -> Iterator[Snippet]:
    """Find every whole adapter_config.json in the text."""
    for values, end in _list_objects(text):
        if "peft_type" in values or {"r", "target_modules"} <= values.keys():
            yield Snippet(values, str(values.get("peft_type") or "lora").lower(), end)


def _parse_values(snippet: Snippet) -> dict[str, Any]:
    values = snippet.values
    rank = values.get("init_r" if snippet.variant == "adalora" else "r")
    return {
        "r": UNKNOWN if isinstance(rank, UnresolvedValue) else rank,
        "target_modules": _format_targets(values.get("target_modules")),
        "variant": read_variant(
            {"variant": snippet.variant} | {name: values.get(name) is True for name in VARIANT_FLAGS}
        ),
        "task_type": _read_task(values.get("task_type")),
        "modules_to_save": _keep_known(values.get("modules_to_save")),
        "bias": _keep_known(values.get("bias")) or "none",
        "feedforward_modules": _keep_known(values.get("feedforward_modules")),
        **_read_training_fields(values),
    }


def _read_training_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the other fields that change what is trained.

    Raises UnsupportedCase where one is given by an expression that can't be read.
    """
    found = {name: values[name] for name in TRAINING_FIELDS if is_set(values.get(name))}
    for name, value in found.items():
        unread = next((each for each in _list_parts(value) if isinstance(each, UnresolvedValue)), None)
        if unread is not None:
            raise UnsupportedCase(f"{name} changes what is trained, and {unread.text} can't be read")
    if PARAMETERS in found:
        found |= {
            name: _keep_known(values[name]) for name in REFUSED_WITH_PARAMETERS if is_set(values.get(name))
        }
    return found


def _list_parts(value: Any) -> Iterator[Any]:
    """Yield what lists and objects hold, those inside them too; any other value itself."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _list_parts(each)
    else:
        yield value


def _keep_known(value: Any) -> Any:
    return None if isinstance(value, UnresolvedValue) else value


def _format_targets(targets: Any) -> Any:
    if isinstance(targets, UnresolvedValue):
        return UNKNOWN
    if isinstance(targets, list):
        return UNKNOWN if any(isinstance(each, UnresolvedValue) for each in targets) else targets
    return targets


def _read_task(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    task = value.rsplit(".", 1)[-1].upper()
    return None if task in ("", "NONE", "NULL") else task


def _parse_lines(text: str) -> dict[str, Any]:
    """Parse a setting written as YAML, flags, parts of a JSON or prose."""
    for name in ("peft_layers_to_transform", "peft_trainable_token_indices", *TRAINING_FIELDS):
        if name == PARAMETERS:
            continue
        if listed := _list_option(text, name):
            raise UnsupportedCase(f"{name} changes what is trained, and {', '.join(listed)} is not read")
    written = find_option(text, "lora_r", "lora_rank", "lora_dim", "init_r", "r", "rank")
    rank = parse_option_rank(written or find_rank_in_prose(text) or "")
    peft_type = find_option(text, "peft_type") or find_variant_in_prose(text) or "lora"
    peft_type = peft_type.rsplit(".", 1)[-1].lower()
    bias = find_option(text, "lora_bias", "bias")
    parameters = _list_option(text, f"lora_{PARAMETERS}", PARAMETERS)
    return {
        "r": UNKNOWN if rank is None else rank,
        "target_modules": _parse_targets(text),
        "variant": read_variant(
            {"variant": peft_type}
            | {name: _is_true(find_option(text, name, f"peft_{name}")) for name in VARIANT_FLAGS}
        ),
        "task_type": _find_task(text, peft_type),
        "modules_to_save": _list_option(text, "lora_modules_to_save", "modules_to_save", "additional_target"),
        "bias": bias if bias in BIASES else "none",
        "feedforward_modules": _list_option(text, "feedforward_modules"),
        **({PARAMETERS: parameters} if parameters else {}),
    }


def _find_task(text: str, peft_type: str) -> str | None:
    """Find the task beside options or in prose; of plain LoRA only one that trains a head changes a count."""
    task = _read_task((find_option(text, "task_type") or "").rstrip(".;:!?`*"))
    return task if peft_type != "lora" or '"task_type"' in text or task in HEADS else None


def _list_option(text: str, *names: str) -> list[str] | None:
    """Return the names that an option lists, in YAML, in brackets or with commas; None where it is empty."""
    for name in names:
        written = find_option(text, name, many=True) or ""
        listed = parse_yaml_list(text, name) or as_list(written)
        if listed and listed[0].lower() not in ("null", "none", "false"):
            return listed
    return None


def _is_true(written: str | None) -> bool:
    return (written or "").lower() == "true"


def _parse_targets(text: str) -> Any:
    if _is_true(find_option(text, "lora_target_linear")) or IN_PROSE.search(text):
        return "all-linear"
    listed = parse_yaml_list(text, "lora_target_modules") or parse_yaml_list(text, "target_modules")
    if listed:
        return listed
    written = find_option(text, "lora_target_modules", "target_modules", "lora_target", many=True)
    if written in ("all", "all-linear"):
        return "all-linear"
    if written is None:
        return find_targets_in_prose(text) or ("all-linear" if names_all_linear(text) else UNKNOWN)
    return as_list(written) if written and written not in ("null", "None") else UNKNOWN


# ---- model


def _read_model(text: str, lora: Mapping[str, Any]) -> dict[str, Any]:
    kind = _read_kind(text, lora)
    config = _find_pasted_config(text)
    if config is not None:
        return {
            "name": str(config.get("_name_or_path") or config["model_type"]),
            "kind": kind,
            "config": config,
        }
    entry = find_model(text)
    if kind in (None, entry.kind) or (kind == "causal" and entry.kind in (None, "seq2seq", "asr", "vlm")):
        return {"name": entry.name}
    labels = _read_labels(text)
    config = dict(entry.config) | ({"num_labels": labels} if isinstance(labels, int) else {})
    return {"name": entry.name, "kind": kind, "config": config}


def find_unread_labels(text: str) -> str | None:
    """Return the expression that says how many labels a classifier has, if it can't be read."""
    labels = _read_labels(text) if re.search(CLASSIFIER, text) else None
    return labels.text if isinstance(labels, UnresolvedValue) else None


def _read_labels(text: str) -> int | UnresolvedValue | None:
    """Read the number of labels: a number, the name of one, or the length of a list in the text."""
    written = re.search(r"(?<![\w.])num_labels\s*+=\s*+(len\(\s*+)?([\w.]++)", text)
    written = written or re.search(r"(?<![\w.])(id2label)\s*+=\s*+([\w.]*+)", text)
    if written is None:
        labels = find_assigned(text, "num_labels")
        return labels if isinstance(labels, int) else None
    number = parse_digits(written[2])
    found = find_assigned(text, "id2label" if written[1] == "id2label" else written[2])
    if written[1]:
        number = len(found) if isinstance(found, list | dict) else None
    elif number is None and isinstance(found, int):
        number = found
    return UnresolvedValue(written[0]) if number is None else number


def _has_vision(model: Mapping[str, Any]) -> bool:
    """Return whether a model that was read has a vision tower."""
    if "config" in model:
        return "vision_config" in model["config"]
    entry = find_named_entry(model["name"])
    return entry is not None and entry.kind == "vlm"


def _read_kind(text: str, lora: Mapping[str, Any]) -> str | None:
    for pattern, kind in KIND_OF_CLASS:
        if re.search(pattern, text):
            return kind
    return KIND_OF_TASK.get(str(lora["task_type"]))


def _find_pasted_config(text: str) -> dict[str, Any] | None:
    """Find a whole config.json inside the text."""
    return next((each for each, _ in _list_objects(text) if isinstance(each.get("model_type"), str)), None)


def _list_objects(text: str) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield every JSON object in the text, and where it ends.

    Each bracket inside an object is tried again, so the characters that all tries may read are limited.
    """
    left = MOST_SCANNED
    for match in re.finditer(r"\{(?=\s*+[\"}])", text):
        start, end = match.start(), len(text)
        try:
            value, end = json.JSONDecoder().raw_decode(text, start)
            yield value, end
        except json.JSONDecodeError as error:
            end = error.pos
        except (ValueError, RecursionError):
            pass
        left -= end - start + 200  # an error costs about as much as so many characters
        if left < 0:
            return


# ---- quantization


def find_quantization(text: str) -> str:
    """Find how the base was loaded; `none` when the text does not say."""
    for name, signs in QUANTIZED.items():
        if re.search("|".join(signs), text, re.I):
            return name
    return "none"
