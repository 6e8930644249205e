"""PEFT's fields that leave modules out, change their rank or name the variant, against PEFT itself."""

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from lora_lab.parameters.adapter_config import AdapterSetting, UnsupportedCase
from lora_lab.parameters.counts import Count, count_adapter
from lora_lab.parameters.json_fields import setting_of
from lora_lab.parameters.shapes import find_shape
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
    ("llama", {"target_modules": ["q_proj", "v_proj"], "rank_pattern": {"q_proj": 16}}),
    ("llama", {"target_modules": "all-linear", "rank_pattern": {r"layers\.1\..*_proj": 2, "q_proj": 1}}),
    ("whisper", {"target_modules": ["conv1", "q_proj"], "rank_pattern": {"conv1": 3}}),
]


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize(("family", "config"), NARROWED, ids=str)
def test_left_out_modules_single_layers_and_ranks_of_their_own_are_counted(
    family: str, config: dict[str, Any], dora: bool
) -> None:
    with torch.device("meta"):
        adapted = get_peft_model(model_of(family), LoraConfig(r=4, use_dora=dora, **config))
    trainable, total = adapted.get_nb_trainable_parameters()
    setting = setting_of({**config, "variant": "dora" if dora else "lora"}, targets="target_modules")
    assert count_adapter(shape_of(family), setting, rank=4) == Count(trainable=trainable, total=total)


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
    setting = setting_of(config, targets="target_modules")
    assert count_adapter(shape_of("llama"), setting, rank=4) == Count(trainable=trainable, total=total)


@pytest.mark.parametrize(
    "config",
    [{"target_modules": ["q_proj", "embed_tokens"]}, {"modules_to_save": ["embed_tokens"]}],
    ids=str,
)
def test_an_adapter_that_comes_to_the_tied_head_as_well_is_not_guessed(config: dict[str, Any]) -> None:
    tied = find_shape("qwen3-0.6b")
    tying = setting_of(
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
