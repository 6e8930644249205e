"""PEFT as the oracle of settings written in its own fields."""

import copy
from typing import Any

from peft import LoraConfig, get_peft_model

from lora_lab.parameters.counts import Count, count_adapter
from lora_lab.parameters.json_fields import parse_adapter_setting
from lora_lab.worker.model.read_shape import build_model, read_config_shape
from tests.lora_lab.families import KINDS, config_of

RANK = 4


def counted(family: str, fields: dict[str, Any], *, kind: str | None = None, **config: Any) -> Count:
    """What the lab counts; `config` changes the family's configuration."""
    shape = read_config_shape(
        config_of(family) | config, name=family, kind=kind or KINDS.get(family, "causal")
    )
    return count_adapter(shape, parse_adapter_setting(fields, targets="target_modules"), rank=RANK)


def peft_counts(family: str, fields: dict[str, Any], *, kind: str | None = None, **config: Any) -> Count:
    """What PEFT prints for the same model, which is built without sensible weights."""
    model = build_model(config_of(family) | config, kind or KINDS.get(family, "causal"))
    model = model.to_empty(device="cpu")
    model.tie_weights()
    adapted = get_peft_model(model, LoraConfig(r=RANK, **copy.deepcopy(fields)))  # PEFT changes lists in it
    trainable, total = adapted.get_nb_trainable_parameters()
    return Count(trainable=trainable, total=total)
