"""What a record's configuration says about a step beyond the model's sizes: task, head and dropout."""

from collections.abc import Iterable, Mapping
from typing import Any

from lora_lab.memory.frameworks.families import TOWER_FAMILIES
from lora_lab.memory.frameworks.setting import ConfigTraits, Task
from lora_lab.parameters.adapter_config import HEADS, KIND_OF_TASK
from lora_lab.parameters.catalogue import map_names_by_id, read_entries
from lora_lab.parameters.json_fields import parse_names
from lora_lab.parameters.shapes import ModelShape

Record = Mapping[str, Any]

TASK_OF_KIND: dict[str, Task] = {
    "seqcls": "labels",
    "imgcls": "labels",
    "tokencls": "spans",
    "qa": "spans",
    "encoder": "none",
    "base": "none",
}
"""What each kind of model predicts; every other kind predicts words."""

TASK_TYPES = {kind: task for task, kind in KIND_OF_TASK.items()}
"""The task type that PEFT is given for a kind of model, and that decides which head is trained."""

RESIDUAL_DROPOUT = (
    "residual_dropout",
    "hidden_dropout_prob",
    "hidden_dropout",
    "dropout_rate",
    "resid_pdrop",
    "dropout",
)
ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout", "attn_pdrop", "dropout_rate")
DISTANCES = 512
"""DeBERTa's default max_position_embeddings, the farthest distance where none is stated."""


def complete_config(record: Record, shape: ModelShape) -> Mapping[str, Any]:
    """Complete a record's configuration, or the catalogue's for its model, by the library's defaults."""
    given = record.get("config")
    if not isinstance(given, Mapping):
        name = str(record.get("model") or "")
        name = map_names_by_id().get(name.lower(), name)
        given = next((entry.config for entry in read_entries() if entry.name == name), {})
    inner = {
        name: {**usual, **given[name]} if isinstance(given.get(name), Mapping) else usual
        for name, usual in shape.settings.items()
        if isinstance(usual, Mapping)
    }
    return {**shape.settings, **given, **inner}


def find_kind(record: Record, shape: ModelShape) -> str:
    """Find the kind of a record's model; a type without a language model's head is a classifier."""
    kind = record.get("kind")
    if kind:
        return str(kind)
    implied = KIND_OF_TASK.get(str(record.get("task_type")))
    if implied:
        return implied
    family = TOWER_FAMILIES.get(shape.model_type)
    decodes = family is None or family.vision or any("decoder" in linear.name for linear in shape.linears)
    return "causal" if decodes else "seqcls"


def list_saved_names(record: Record, kind: str) -> tuple[str, ...]:
    """List the names of the modules that PEFT copies and trains whole."""
    adapter = record.get("lora")
    named = [parse_names(each, "modules_to_save") for each in (record, adapter) if isinstance(each, Mapping)]
    task = record.get("task_type") or TASK_TYPES.get(kind, "")
    return (*HEADS.get(str(task), ()), *(name for each in named for name in each))


def count_saved(shape: ModelShape, names: Iterable[str]) -> int:
    """Count the parameters of all modules whose path ends with one of the names, as PEFT finds them.

    `classifier` also means DistilBERT's `pre_classifier`.
    """
    ends = tuple(f"{name}." for name in names)
    groups = shape.modules.groups
    return sum(group.own * group.count for group in groups if any(end in f"{group.path}." for end in ends))


def read_traits(config: Mapping[str, Any]) -> ConfigTraits:
    """Read what a configuration says of dropout, activation, and the models inside it."""
    text, vision = config.get("text_config"), config.get("vision_config")
    projection = str(config.get("feed_forward_proj") or "")
    return ConfigTraits(
        residual_dropout=_is_positive(config, RESIDUAL_DROPOUT),
        attention_dropout=_is_positive(config, ATTENTION_DROPOUT),
        gated=projection.startswith("gated") if projection else None,
        activation="gelu_new" if projection == "gated-gelu" else "",
        text_type=str(text.get("model_type") or "llama") if isinstance(text, Mapping) else "",
        experts_per_token=_read_int(config, "num_experts_per_tok"),
        vision_type=str(vision.get("model_type") or "") if isinstance(vision, Mapping) else "",
        vision_heads=_read_int(vision, "num_attention_heads") or _read_int(vision, "num_heads"),
        image_tokens=_read_int(config, "mm_tokens_per_image"),
        merged_side=_read_int(config, "scale_factor") or _read_int(vision, "spatial_merge_size") or 1,
        relative_positions=_count_distances(config),
    )


def _is_positive(config: Mapping[str, Any], names: Iterable[str]) -> bool | None:
    said = [config[name] for name in names if isinstance(config.get(name), int | float)]
    return said[0] > 0 if said else None


def _read_int(config: Any, name: str) -> int:
    value = config.get(name) if isinstance(config, Mapping) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _count_distances(config: Mapping[str, Any]) -> int:
    """Return the rows of DeBERTa's table of relative positions: twice the farthest distance or bucket."""
    if not config.get("relative_attention"):
        return 0
    buckets = _read_int(config, "position_buckets")
    farthest = _read_int(config, "max_relative_positions") or _read_int(config, "max_position_embeddings")
    return 2 * (buckets or farthest or DISTANCES)
