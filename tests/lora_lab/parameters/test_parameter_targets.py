"""Adapters on parameters, PEFT's `target_parameters`, against PEFT itself."""

import re
import time
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model

from lora_lab.parameters.adapter_config import UnsupportedCase
from lora_lab.parameters.counts import Count, build_adaptation, count_adapter
from lora_lab.parameters.json_fields import parse_adapter_setting
from lora_lab.parameters.legacy_module_names import build_older_tree
from lora_lab.parameters.shapes import find_shape
from lora_lab.parameters.target_matching import find_adaptation
from lora_lab.parameters.worked_count import work_count
from lora_lab.worker.model.read_shape import build_model
from study.base.errors import LearnerError
from tests.lora_lab.families import PEFT_WARNINGS, shape_of
from tests.lora_lab.parameters.peft_oracle import counted, peft_counts

pytestmark = [
    *PEFT_WARNINGS,
    pytest.mark.filterwarnings("ignore:target_(modules|parameters)=.*were set but no"),
    pytest.mark.filterwarnings("ignore:You have passed exclude_modules"),
]

GATE_UP, DOWN = "mlp.experts.gate_up_proj", "mlp.experts.down_proj"
MIXTURES = ("gpt_oss", "qwen3_moe", "mixtral", "qwen2_moe")


@pytest.mark.parametrize("targets", [[], ["q_proj", "v_proj"], "all-linear"], ids=str)
@pytest.mark.parametrize("family", MIXTURES)
def test_experts_train_rank_times_experts_times_in_and_out(family: str, targets: Any) -> None:
    fields = {"target_modules": targets, "target_parameters": [GATE_UP, DOWN]}
    assert counted(family, fields) == peft_counts(family, fields)


def test_the_count_of_experts_is_written_out() -> None:
    fields = {"target_modules": [], "target_parameters": [GATE_UP]}
    shape, setting = shape_of("gpt_oss"), parse_adapter_setting(fields, targets="target_modules")
    [line] = work_count(build_adaptation(shape, setting), setting, rank=4)
    assert line == "mlp.experts.gate_up_proj: 2 × 4 × 4 experts × (32 + 48) = 2,560"


MATCHED: list[tuple[str, dict[str, Any]]] = [
    ("gpt_oss", {"target_parameters": [GATE_UP]}),  # PEFT has no default layers for it
    ("mixtral", {"target_parameters": [GATE_UP]}),  # its default layers are lost in PEFT's conversion
    ("llama", {"target_parameters": ["k_proj.weight"]}),  # beside its default layers
    ("llama", {"target_parameters": ["experts.w1"]}),  # means nothing, and PEFT only warns
    ("llama", {"target_modules": ["v_proj"], "target_parameters": ["q_proj.weight"], "bias": "lora_only"}),
    ("qwen2", {"target_modules": ["v_proj"], "target_parameters": ["q_proj.weight"], "bias": "lora_only"}),
    ("qwen2", {"target_modules": [], "target_parameters": ["embed_tokens.weight", "lm_head.weight"]}),
    ("gpt2", {"target_modules": [], "target_parameters": ["c_attn.weight", "wte.weight"]}),
    ("gpt_oss", {"target_modules": [], "target_parameters": ["experts.gate_up_proj_bias"]}),
    ("gpt_oss", {"target_modules": [], "target_parameters": ["router.weight"], "bias": "lora_only"}),
    ("gpt_oss", {"target_modules": [], "target_parameters": ["gate_up_proj", GATE_UP, GATE_UP]}),
    ("gpt_oss", {"target_modules": [], "target_parameters": [f"model.layers.0.{GATE_UP}", f"1.{DOWN}"]}),
    ("gpt_oss", {"target_modules": ["nothing"], "target_parameters": [DOWN]}),
    ("gpt_oss", {"target_modules": ["q_proj"], "target_parameters": [GATE_UP], "layers_to_transform": [1]}),
    ("gpt_oss", {"target_modules": ["q_proj"], "target_parameters": [GATE_UP],
                 "exclude_modules": ["q_proj", "experts"]}),
    ("gpt_oss", {"target_modules": [], "target_parameters": [GATE_UP, DOWN],
                 "rank_pattern": {"experts.down_proj": 1, "q_proj": 3}}),
    ("qwen3_moe", {"target_modules": ["q_proj"], "target_parameters": [GATE_UP, DOWN],
                   "rank_pattern": {r"layers\.1\..*_proj": 2}}),
    ("mixtral", {"target_modules": ["w1", "w3"], "target_parameters": [DOWN]}),
    ("mixtral", {"target_modules": ["w1", "w2", "w3"], "target_parameters": [GATE_UP],
                 "rank_pattern": {"0.mlp.experts.gate_up_proj": 3, "q_proj": 1}}),
    ("mixtral", {"target_modules": ["w1", "w3"], "target_parameters": [DOWN],
                 "rank_pattern": {r".*\.gate_up_proj": 3, "down_proj": 2}}),
    ("gpt_oss", {"target_modules": ["q_proj"], "target_parameters": [GATE_UP],
                 "modules_to_save": ["lm_head"]}),
    ("gpt_oss", {"target_modules": ["q_proj"], "target_parameters": ["nothing.x"], "lora_dropout": 0.1}),
    ("gpt_oss", {"target_modules": ["q_proj"], "target_parameters": [GATE_UP], "use_rslora": True}),
    ("mamba", {"target_modules": ["in_proj"], "target_parameters": ["A_log"]}),
]  # fmt: skip


@pytest.mark.parametrize(("family", "fields"), MATCHED, ids=str)
def test_names_of_parameters_match_as_peft_matches_them(family: str, fields: dict[str, Any]) -> None:
    assert counted(family, fields) == peft_counts(family, fields)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("gpt_oss", {"target_modules": [], "target_parameters": ["experts.w1"]}, "No parameter of this model"),
    ("gpt_oss", {"target_parameters": GATE_UP}, "target_parameters must be a list"),
    ("gpt_oss", {"target_modules": ["q_proj"], "target_parameters": ["input_layernorm.weight"]}, "one axis"),
    ("qwen2", {"target_modules": ["v_proj"], "target_parameters": ["q_proj.bias"]}, "one axis"),
    ("llama", {"target_modules": ["q_proj"], "target_parameters": ["q_proj.weight"]},
     "itself among the targets"),
    ("llama", {"target_parameters": ["v_proj.weight"]}, "itself among the targets"),  # by PEFT's default
    ("gpt_oss", {"target_parameters": [GATE_UP], "use_dora": True}, "no DoRA for the parameter"),
    ("gpt_oss", {"target_parameters": [GATE_UP], "lora_dropout": 0.1}, "no lora_dropout for the parameter"),
    ("gpt_oss", {"target_parameters": [GATE_UP], "lora_bias": True}, "no lora_bias for the parameter"),
    ("gpt_oss", {"target_parameters": [GATE_UP], "modules_to_save": ["experts"]}, "is an adapted layer"),
    ("gpt2", {"target_modules": ["c_attn"], "target_parameters": ["wte.weight"]}, "beside one on a Conv1D"),
    ("mamba", {"target_modules": [], "target_parameters": ["out_proj.weight"]}, "PEFT refuses out_proj here"),
    ("mamba", {"target_modules": [], "target_parameters": ["A_log", "dt_proj.weight"]}, "which it is inside"),
]  # fmt: skip


@pytest.mark.parametrize(("family", "fields", "said"), REFUSED, ids=str)
def test_what_peft_refuses_for_parameters_is_refused_with_a_reason(
    family: str, fields: dict[str, Any], said: str
) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError)):
        peft_counts(family, fields)
    with pytest.raises(LearnerError, match=re.escape(said)):
        counted(family, fields)


@pytest.mark.parametrize(
    ("family", "fields", "said"),
    [
        ("gpt_oss", {"target_modules": ["q_proj"], "target_parameters": ["self_attn.sinks"]}, "isn't known"),
        ("gpt_oss", {"target_modules": ["q_proj"], "target_parameters": ["sinks"]}, "isn't known"),
        (
            "whisper",
            {"target_modules": [], "target_parameters": ["conv1.weight"]},
            "conv1.weight is not counted",
        ),
        ("gpt_oss", {"target_parameters": [GATE_UP], "modules_to_save": ["mlp"]}, "a parameter inside it"),
        ("gpt_oss", {"target_parameters": [GATE_UP], "fan_in_fan_out": True}, "beside fan_in_fan_out"),
        ("llama", {"target_parameters": ["q_proj.weight"], "variant": "vera"}, "with vera"),
        ("llama", {"target_parameters": ["q_proj.weight"], "variant": "adalora"}, "with adalora"),
    ],
)
def test_a_parameter_whose_count_is_not_known_is_not_guessed(
    family: str, fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(UnsupportedCase, match=said):
        counted(family, fields)


def test_a_refusal_lists_the_parameters_that_there_are() -> None:
    with pytest.raises(LearnerError) as refused:
        counted("gpt_oss", {"target_modules": [], "target_parameters": ["experts.w1"]})
    assert "Its parameters beside layers: mlp.router.weight, mlp.experts.gate_up_proj," in str(refused.value)


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ([], "No parameter of this model is named experts.foo. It has: "),
        (["foo"], "No parameter of this model is named experts.foo, and no module foo. It has: "),
    ],
    ids=str,
)
def test_a_refusal_names_modules_only_where_some_are_targets(targets: list[str], said: str) -> None:
    with pytest.raises(LearnerError) as refused:
        counted("gpt_oss", {"target_modules": targets, "target_parameters": ["experts.foo"]})
    assert str(refused.value).startswith(said)


def test_a_name_that_means_no_parameter_is_told_in_the_worked_count() -> None:
    fields = {"target_modules": ["q_proj"], "target_parameters": ["experts.w1"]}
    shape, setting = shape_of("llama"), parse_adapter_setting(fields, targets="target_modules")
    assert work_count(build_adaptation(shape, setting), setting, rank=4)[-1] == (
        "experts.w1: no parameter has this name, and PEFT passes over it"
    )


def test_thousands_of_names_on_a_large_model_are_looked_up_at_once() -> None:
    names = tuple(f"experts.{number}.none" for number in range(5000))
    shape = find_shape("qwen3-30b-a3b")
    begun = time.process_time()
    fields = {"target_modules": ["q_proj"], "target_parameters": [*names, GATE_UP]}
    setting = parse_adapter_setting(fields, targets="target_modules")
    for tree in (shape.modules, build_older_tree(shape) or shape.modules):
        assert len(find_adaptation(tree, setting).unmatched) >= 5000
    assert time.process_time() - begun < 5, "it takes half a second"


COOKBOOK = {
    "target_modules": "all-linear",
    "target_parameters": [f"{layer}.{name}" for layer in (7, 15, 23) for name in (GATE_UP, DOWN)],
}
"""The setting of OpenAI's cookbook for gpt-oss-20b, articles/gpt-oss/fine-tune-transfomers.ipynb."""


def test_the_recipe_of_gpt_oss_is_counted_at_its_real_size() -> None:
    shape = find_shape("gpt-oss-20b")
    by_hand = 24 * 8 * (6976 + 2 * 3392 + 6976) + 3 * 8 * 32 * ((2880 + 5760) + (2880 + 2880))
    found = count_adapter(shape, parse_adapter_setting(COOKBOOK, targets="target_modules"), rank=8)
    assert found == Count(trainable=by_hand, total=20_929_797_696)
    config = {"model_type": "gpt_oss", "num_hidden_layers": 24, "num_local_experts": 32}
    with torch.device("meta"):
        adapted = get_peft_model(build_model(config, "causal"), LoraConfig(r=8, **COOKBOOK))
    assert adapted.get_nb_trainable_parameters() == (found.trainable, found.total)


# ---- any setting


EXPERTS = ("gate_up_proj", GATE_UP, f"model.layers.1.{DOWN}", DOWN, "0.mlp.experts.down_proj")
OTHERS = ("q_proj.weight", "embed_tokens.weight", "router.weight", "gate.weight", "norm.weight", "nothing")
OLDER = ("w1", "w2", "w3", "gate_proj", "up_proj", "down_proj", "gate")
PATTERNS = ("q_proj", "gate_up_proj", r".*\.gate_up_proj", r".*\.0\..*proj", "experts.down_proj")


@given(
    family=st.sampled_from(MIXTURES[:3]),
    fields=st.fixed_dictionaries(
        {
            "target_modules": st.just([])
            | st.lists(st.sampled_from(("q_proj", "o_proj", *OLDER)), max_size=4),
            "target_parameters": st.lists(st.sampled_from((*EXPERTS, *OTHERS)), min_size=1, max_size=3),
        },
        optional={
            "rank_pattern": st.dictionaries(st.sampled_from(PATTERNS), st.integers(1, 9), max_size=2),
            "exclude_modules": st.just(["q_proj"]),
            "bias": st.sampled_from(["all", "lora_only"]),
            "modules_to_save": st.sampled_from([["lm_head"], ["experts"], ["norm"]]),
            "layers_to_transform": st.just([1]),
        },
    ),
)
def test_any_parameters_are_counted_or_refused_as_in_peft(family: str, fields: dict[str, Any]) -> None:
    try:
        found = counted(family, fields)
    except UnsupportedCase:
        return
    except LearnerError:
        with pytest.raises((ValueError, TypeError)):
            peft_counts(family, fields)
        return
    assert found == peft_counts(family, fields)
