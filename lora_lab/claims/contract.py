"""The `claim` contract of the command line: one JSON object in, the verdict out."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lora_lab.claims.claim import Claim, parse_printed
from lora_lab.claims.named_model import find_named_entry, list_versions
from lora_lab.claims.pasted import find_unread_labels, record_of_text
from lora_lab.claims.rank_given import judge_inapplicable, judge_stated
from lora_lab.claims.rank_open import judge_open
from lora_lab.claims.verdict import ClaimVerdict
from lora_lab.engine.shape_reader import RemoteCode, ShapeReader
from lora_lab.parameters.adapter_config import KIND_OF_TASK, UnsupportedCase
from lora_lab.parameters.json_fields import (
    LARGEST_SIZE,
    UNKNOWN,
    parse_adapter_setting,
    read_rank,
    read_whole,
)
from lora_lab.parameters.legacy_module_names import build_older_tree, build_rarer_trees
from lora_lab.parameters.module_layout import build_layout_shape, is_layout
from lora_lab.parameters.module_tree import ModuleTree
from lora_lab.parameters.shapes import ModelShape
from study.base.errors import LearnerError

LAYOUT = "layout"
"""The kind of a model of which nothing is known but its layout."""

OLDER = re.compile(
    r"<\s*+=?\s*+v?[45]|old|pre|legacy|un-?fused|v?4\.|v4|block_sparse|per.?expert|separate|w1|modulelist"
)
NEWER = re.compile(r"fused|current|new|v?5")


def answer_claim(record: Mapping[str, Any], reader: ShapeReader) -> dict[str, Any]:
    """Judge one line of input, structured or pasted, and return the verdict as JSON."""
    text = record.get("text")
    if isinstance(text, str):
        read, _, verdict = read_and_judge(text, reader)
        return verdict.to_json() | {"read": build_record(read)}
    return judge_claim(build_claim(record, reader)).to_json()


def read_and_judge(text: str, reader: ShapeReader) -> tuple[dict[str, Any], Claim, ClaimVerdict]:
    """Parse a pasted text and judge it, by another version of its model where the text says none and only
    that one prints the line.

    Raises LearnerError and UnsupportedCase as `record_of_text`, `build_claim` and `judge_text` do.
    """
    read = record_of_text(text)
    claim = build_claim(read, reader)
    verdict = judge_text(text, claim, read["quantisation"])
    model = read["model"]
    if verdict.answer == "impossible" and "config" not in model:
        for name in list_versions(model["name"], text):
            other = {**read, "model": {**model, "name": name}}
            claim_of_other = build_claim(other, reader)
            judged = judge_text(text, claim_of_other, read["quantisation"])
            if judged.answer != "impossible":
                return other, claim_of_other, judged
    return read, claim, verdict


def judge_claim(claim: Claim) -> ClaimVerdict:
    """Judge whether the stated setting prints the stated numbers under one known accounting.

    Raises UnsupportedCase when the setting has layers that are not counted.
    """
    if claim.targets_are_known and not any(claim.can_apply_to(tree) for tree in claim.layouts):
        return judge_inapplicable(claim)
    judge = judge_open if claim.is_open else judge_stated
    layouts = [tree for tree in claim.layouts if claim.is_open or claim.can_apply_to(tree)]
    judged = [
        replace(judge(claim, tree), layout=tree, base_parameters=claim.count_base(tree)) for tree in layouts
    ]
    return min(judged, key=lambda verdict: len(verdict.failing))  # the first layout wins a tie


def judge_text(text: str, claim: Claim, quantization: str) -> ClaimVerdict:
    """Judge a pasted text; if it does not show how the base was loaded, a 4-bit base is tried too.

    Raises UnsupportedCase where two labels, as without a number, give another line, and how many there are
    can't be read.
    """
    verdict = judge_claim(claim)
    if verdict.answer != "impossible":
        return verdict
    if quantization == "none" and "from_pretrained" not in text:
        packed = judge_claim(replace(claim, quantization="4bit"))
        if packed.answer != "impossible":
            return replace(packed, why=f"{packed.why} The text does not say that the base is in 4 bit.")
    unread = find_unread_labels(text)
    if unread is not None:
        raise UnsupportedCase(f"{unread} decides how large the classifier is, and can't be read")
    return verdict


def build_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record parsed from a pasted text, without the model's configuration."""
    model = {name: value for name, value in record["model"].items() if name != "config"}
    return {**record, "model": model}


def build_claim(record: Mapping[str, Any], reader: ShapeReader) -> Claim:
    """Build a claim from a record. Raises LearnerError naming the wrong field."""
    model, lora = _read_object(record, "model"), _read_object(record, "lora")
    described = is_layout(model.get("module_layout"))
    shape = _read_shape(model, lora, reader)
    setting = parse_adapter_setting(lora, targets="target_modules")
    saved = read_whole(model, "saved_head_params", None, least=0, most=LARGEST_SIZE)
    has_defaults = setting.targets is not None or bool(shape.model_type)  # PEFT's own are listed by type
    layouts = (shape.modules,) if described else list_layouts(shape, model.get("module_layout"))
    if not described:
        layouts += tuple(build_rarer_trees(shape, setting.targets, positions=_read_positions(model)))
    if setting.parameters:  # their names are those of fused experts, the newer ones
        layouts = layouts[::-1]
    if described:  # its head isn't in the layout: saved_head_params counts what is trained of it
        setting, saved = replace(setting, modules_to_save=(), task_type=None), saved or 0
    return Claim(
        shape=shape,
        setting=setting,
        rank=None if lora.get("r") == UNKNOWN else read_rank(lora, setting.default_rank),
        targets_are_known=has_defaults and lora.get("target_modules") != UNKNOWN,
        quantization=record.get("quantisation") or "none",
        printed=parse_printed(_read_object(record, "printed")),
        layouts=layouts,
        base_parameters=read_whole(model, "base_total", None, least=0, most=LARGEST_SIZE),
        saved_parameters=saved,
    )


def list_layouts(shape: ModelShape, wanted: object) -> tuple[ModuleTree, ...]:
    """Return the module trees with today's and earlier names; most claims predate the fused experts."""
    now, older = shape.modules, build_older_tree(shape)
    if older is None:
        return (now,)
    if wanted is None:
        return (older, now)
    said = str(wanted).lower()
    return (now,) if NEWER.search(said) and not OLDER.search(said) else (older,)


def _read_positions(model: Mapping[str, Any]) -> int:
    """Read how many positions the configuration gives; 0 where it does not say."""
    config = model.get("config")
    given = config.get("max_position_embeddings") if isinstance(config, Mapping) else None
    return given if isinstance(given, int) and 0 < given <= LARGEST_SIZE else 0


AS_OBJECTS = {
    "model": '"model": {"name": "llama-2-7b"}',
    "lora": '"lora": {"r": 16, "target_modules": ["q_proj", "v_proj"]}',
    "printed": '"printed": {"trainable": 4194304}',
}


def _read_object(record: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    value = record.get(field)
    if field == "model" and isinstance(value, str):
        return {"name": value}
    if not isinstance(value, Mapping):
        raise LearnerError(
            f"{field} must be an object, got {value!r}.",
            do_next=f"Write it as an object, such as {AS_OBJECTS[field]}.",
        )
    return value


def _read_shape(model: Mapping[str, Any], lora: Mapping[str, Any], reader: ShapeReader) -> ModelShape:
    """Find the shape by layout, config or name. A layout wins: it is the code that printed the line."""
    if not is_layout(model.get("module_layout")):
        return _build_shape(model, lora, reader)
    known = model.get("kind") != LAYOUT and isinstance(model.get("config"), Mapping)
    try:
        built = _build_shape(model, lora, reader) if known else None
    except RemoteCode:
        built = None
    return build_layout_shape(model, built)


def _build_shape(model: Mapping[str, Any], lora: Mapping[str, Any], reader: ShapeReader) -> ModelShape:
    config, name = model.get("config"), model.get("name")
    kind = model.get("kind")
    if kind is None and "base_total" not in model:
        kind = KIND_OF_TASK.get(str(lora.get("task_type")))
    if isinstance(config, Mapping):
        return reader.read(config, kind=kind)
    if not isinstance(name, str):
        raise LearnerError(
            "A claim needs a model with its config or name.",
            do_next='Add "model": {"name": "llama-2-7b"}, or "model": {"config": {...}}.',
        )
    try:
        return reader.find(name, kind=kind)
    except LearnerError:
        entry = find_named_entry(name)  # as in a text: `Llama-2-7b-chat-hf` without its owner
        if entry is None:
            raise
        return reader.find(entry.name, kind=kind)
