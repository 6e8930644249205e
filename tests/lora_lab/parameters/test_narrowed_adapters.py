"""PEFT's fields that leave modules out, change their rank or name the variant, against PEFT itself."""

import re
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from lora_lab.parameters.adapter_config import AdapterSetting, UnsupportedCase
from lora_lab.parameters.counts import Count, count_adapter
from lora_lab.parameters.json_fields import parse_adapter_setting
from lora_lab.parameters.name_patterns import MatchingRefused
from lora_lab.parameters.shapes import find_shape
from study.base.errors import LearnerError
from tests.lora_lab.families import PEFT_WARNINGS, model_of, shape_of

pytestmark = PEFT_WARNINGS

NARROWED = [
    ("llama", {"target_modules": ["q_proj", "k_proj"], "exclude_modules": ["k_proj"]}),
    ("llama", {"target_modules": "all-linear", "exclude_modules": r".*mlp.*"}),
    ("llama", {"target_modules": ["q_proj", "v_proj"], "layers_to_transform": [1]}),
    ("llama", {"target_modules": ["v_proj"], "layers_to_transform": 0}),
    ("llama", {"target_modules": ["model.layers.0.mlp.up_proj", "v_proj"], "layers_to_transform": [1]}),
    ("gpt2", {"target_modules": ["c_proj"], "layers_to_transform": [1]}),
    ("bert", {"target_modules": ["dense"], "layers_to_transform": 1}),
    ("llama", {"layers_to_transform": [0]}),
    ("llama", {"layers_to_transform": [0], "layers_pattern": "layers"}),
    ("llama", {"target_modules": ["v_proj"], "layers_to_transform": 1, "layers_pattern": ["h", "layers"]}),
    ("gpt2", {"target_modules": ["c_proj"], "layers_to_transform": [1], "layers_pattern": "h"}),
    ("llama", {"target_modules": ["v_proj"], "layers_to_transform": [1], "layers_pattern": r"l\w+s"}),
    ("llama", {"target_modules": ["model.layers.0.mlp.up_proj", "v_proj"], "layers_to_transform": [1],
               "layers_pattern": "layers"}),
    ("llama", {"target_modules": ["v_proj", "lm_head"], "layers_to_transform": [1], "layers_pattern": []}),
    ("llama", {"target_modules": ["v_proj"], "layers_to_transform": [], "layers_pattern": "h"}),
    ("whisper", {"target_modules": ["q_proj"], "layers_to_transform": [0], "layers_pattern": ["layers"]}),
    ("llama", {"target_modules": ["q_proj", "v_proj"], "rank_pattern": {"q_proj": 16}}),
    ("llama", {"target_modules": "all-linear", "rank_pattern": {r"layers\.1\..*_proj": 2, "q_proj": 1}}),
    ("whisper", {"target_modules": ["conv1", "q_proj"], "rank_pattern": {"conv1": 3}}),
]  # fmt: skip


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize(("family", "config"), NARROWED, ids=str)
def test_left_out_modules_single_layers_and_ranks_of_their_own_are_counted(
    family: str, config: dict[str, Any], dora: bool
) -> None:
    with torch.device("meta"):
        adapted = get_peft_model(model_of(family), LoraConfig(r=4, use_dora=dora, **config))
    trainable, total = adapted.get_nb_trainable_parameters()
    setting = parse_adapter_setting(
        {**config, "variant": "dora" if dora else "lora"}, targets="target_modules"
    )
    assert count_adapter(shape_of(family), setting, rank=4) == Count(trainable=trainable, total=total)


REFUSED_PATTERNS = [
    ({"layers_pattern": "layers"}, "only with layers_to_transform"),
    ({"layers_to_transform": [1], "layers_pattern": "h"}, "named q_proj, v_proj in these layers of h"),
    ({"layers_to_transform": [1], "layers_pattern": "layer"}, "in these layers of layer"),
    ({"layers_to_transform": [1], "layers_pattern": "("}, "isn't a regular expression"),
    ({"layers_to_transform": [1], "layers_pattern": "(?P<idx>x)"}, "isn't a regular expression"),
    ({"layers_to_transform": [1], "layers_pattern": "layers", "target_modules": "all-linear"},
     "only with a list of target modules"),
]  # fmt: skip


@pytest.mark.parametrize(("config", "said"), REFUSED_PATTERNS, ids=str)
def test_a_pattern_of_layers_that_peft_refuses_is_refused(config: dict[str, Any], said: str) -> None:
    with pytest.raises((ValueError, re.error)), torch.device("meta"):
        get_peft_model(model_of("llama"), LoraConfig(r=4, **config))
    with pytest.raises(LearnerError, match=said):
        count_adapter(shape_of("llama"), parse_adapter_setting(config, targets="target_modules"), rank=4)


def test_a_pattern_of_layers_that_takes_too_long_is_refused_in_words() -> None:
    config = {"layers_to_transform": [1], "layers_pattern": "(.*)*x"}
    with pytest.raises(MatchingRefused, match="takes too long"):
        count_adapter(shape_of("llama"), parse_adapter_setting(config, targets="target_modules"), rank=4)


PEFT_FIELDS: list[dict[str, Any]] = [
    {"target_modules": ["q_proj"], "use_dora": True},
    {"target_modules": ["q_proj"], "use_rslora": True},
    {"target_modules": ["q_proj"], "ensure_weight_tying": True},
    {"target_modules": ["q_proj", "embed_tokens"], "ensure_weight_tying": True},
]


@pytest.mark.filterwarnings("ignore:You have requested .ensure_weight_tying.")
@pytest.mark.parametrize("config", PEFT_FIELDS, ids=str)
def test_a_setting_may_be_written_in_the_fields_of_peft(config: dict[str, Any]) -> None:
    with torch.device("meta"):
        adapted = get_peft_model(model_of("llama"), LoraConfig(r=4, **config))
    trainable, total = adapted.get_nb_trainable_parameters()
    setting = parse_adapter_setting(config, targets="target_modules")
    assert count_adapter(shape_of("llama"), setting, rank=4) == Count(trainable=trainable, total=total)


@pytest.mark.parametrize(
    "config",
    [{"target_modules": ["q_proj", "embed_tokens"]}, {"modules_to_save": ["embed_tokens"]}],
    ids=str,
)
def test_an_adapter_that_comes_to_the_tied_head_as_well_is_not_guessed(config: dict[str, Any]) -> None:
    tied = find_shape("qwen3-0.6b")
    tying = parse_adapter_setting(
        {"target_modules": ["q_proj"], **config, "ensure_weight_tying": True}, targets="targets"
    )
    with pytest.raises(UnsupportedCase, match="tied"):
        count_adapter(tied, tying, rank=4)


@pytest.mark.parametrize(
    ("family", "setting"),
    [
        ("llama", AdapterSetting(targets=("q_proj",), variant="vera", layers=(1,))),
        ("mixtral", AdapterSetting(targets=("q_proj", "v_proj"), rank_pattern=(("q_proj", 2),))),
    ],
)
def test_what_is_left_out_elsewhere_is_not_guessed(family: str, setting: AdapterSetting) -> None:
    with pytest.raises(UnsupportedCase, match="excluded modules, single layers and a rank pattern with"):
        count_adapter(shape_of(family), setting, rank=4)
