"""What must hold for the forecast of models that are no plain decoders, and of unlisted decoders."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from lora_lab.memory.frameworks.contract import parse_setting
from lora_lab.memory.frameworks.families import FAMILIES, TOWER_FAMILIES, find_family
from lora_lab.memory.frameworks.forecast import forecast_step
from lora_lab.memory.ledger import Ledger
from lora_lab.parameters.adapter_config import AdapterSetting, UnsupportedCase
from lora_lab.parameters.counts import count_adapter
from lora_lab.parameters.module_tree import ModuleGroup
from lora_lab.parameters.shapes import find_shape, load_catalogue
from study.base.units import GB

MODELS = sorted(name for name, shape in load_catalogue().items() if shape.model_type in TOWER_FAMILIES)
FACTORS = {"micro_batch": 2, "seq_len": 3, "r": 4}

records = st.fixed_dictionaries(
    {
        "model": st.sampled_from(MODELS),
        "method": st.sampled_from(["full", "lora", "dora", "ia3", "vera", "adalora", "layernorm-tuning"]),
        "base_dtype": st.sampled_from(["fp32", "bf16", "fp16"]),
        "quant": st.sampled_from([None, "nf4", "int8"]),
        "r": st.integers(1, 64),
        "targets": st.sampled_from(["all-linear", ["q", "v"], ["q", "k", "v", "o", "mlp"]]),
        "seq_len": st.integers(8, 1024),
        "target_len": st.sampled_from([None, 16]),
        "micro_batch": st.integers(1, 16),
        "gradient_checkpointing": st.booleans(),
        "attention": st.sampled_from(["eager", "sdpa"]),
        "measure": st.sampled_from(["max allocated", "max reserved", "device", "live storage"]),
        "device": st.sampled_from(["cuda", "cpu"]),
        "loss": st.sampled_from(["full logits", "chunked cross-entropy"]),
        "framework": st.sampled_from(["transformers + peft", "transformers Trainer", "axolotl"]),
    }
)
few = limits(max_examples=25)


def forecast(record: Mapping[str, Any]) -> Ledger:
    return forecast_step(parse_setting(record, find_shape(record["model"])))


@few
@given(records)
def test_components_are_whole_and_not_negative(record: dict[str, Any]) -> None:
    parts = asdict(forecast(record))
    assert all(isinstance(part, int) and part >= 0 for part in parts.values()), parts


@few
@pytest.mark.parametrize("field", FACTORS)
@given(record=records)
def test_a_larger_setting_never_needs_less(field: str, record: dict[str, Any]) -> None:
    larger = {**record, field: record[field] * FACTORS[field]}
    assert forecast(larger).total_bytes >= forecast(record).total_bytes


@pytest.mark.parametrize("model", MODELS)
def test_every_encoder_and_vision_model_of_the_catalogue_is_answered(model: str) -> None:
    ledger = forecast(
        {"model": model, "device": "cuda", "framework": "transformers Trainer", "micro_batch": 8}
    )
    assert ledger.activations > 0
    assert ledger.total_bytes < 200 * GB  # Gemma 3 27B with eight images


def test_a_short_answer_costs_an_encoder_decoder_less_than_one_as_long_as_the_question() -> None:
    asked = {"model": "flan-t5-base", "device": "cuda", "framework": "peft", "seq_len": 512}
    short, long = forecast({**asked, "target_len": 32}), forecast(asked)
    assert long.logits > 16 * short.logits
    assert short.activations < long.activations


def test_t5s_wo_stays_whole_when_the_rest_is_quantized() -> None:
    shape = find_shape("flan-t5-base")
    asked = {"model": "flan-t5-base", "device": "cuda", "base_dtype": "bf16", "quant": "nf4"}
    found = forecast_step(parse_setting({**asked, "framework": "peft"}, shape))
    whole = sum(linear.parameters for linear in shape.linears if linear.name.endswith(".wo"))
    packed = shape.linear_parameters - whole
    rest = shape.total_parameters - packed
    assert found.weights == packed // 2 + 4 * rest


def test_dropout_that_a_configuration_turns_off_saves_no_noise() -> None:
    shape = find_shape("bert-base")
    asked = {"kind": "seqcls", "device": "cpu", "framework": "peft", "lora": {"targets": ["q", "v"]}}
    usual, quiet = (
        forecast_step(parse_setting({**asked, "config": {"model_type": "bert", **said}}, shape))
        for said in ({}, {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0})
    )
    assert quiet.activations < 0.7 * usual.activations


@pytest.mark.parametrize("model", ["llama-3.2-1b", "qwen2.5-0.5b", "qwen3-0.6b", "phi-3-mini"])
def test_a_decoder_that_is_not_listed_is_read_from_its_matrices(model: str) -> None:
    shape = find_shape(model)
    unlisted = replace(shape, model_type="new-decoder")
    assert find_family(unlisted) == FAMILIES[shape.model_type]
    asked = {"device": "cuda", "framework": "transformers Trainer", "lora": {"targets": "all-linear"}}
    assert forecast_step(parse_setting(asked, unlisted)) == forecast_step(parse_setting(asked, shape))


def test_an_image_of_gemma_3_takes_256_tokens_and_not_one_for_each_patch() -> None:
    asked = {
        "model": "gemma-3-4b",
        "device": "cuda",
        "framework": "peft",
        "lora": {"r": 8, "targets": ["q", "v"]},
    }
    short, long = (forecast({**asked, "seq_len": tokens}) for tokens in (512, 1024))
    assert long.logits == 2 * short.logits
    text = forecast({**asked, "seq_len": 128, "lora": {"r": 8, "targets": ["gate_proj", "down_proj"]}})
    assert text.logits == short.logits // 4


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"settings": {"hidden_act": "xielu"}}, "the activation xielu"),
        ({"refused": ("out_proj",)}, "a state-space layer"),
        ({"group": ModuleGroup(path="model.layers.*.conv", kind="convolution")}, "a convolution"),
        ({"group": ModuleGroup(path="model.layers.*.mlp.experts", tensors=(("w", (2, 3, 4)),))}, "experts"),
        ({"group": ModuleGroup(path="model.layers.*.mlp.norm", own=11)}, "a norm inside its MLP"),
        ({"group": ModuleGroup(path="model.layers.*.gain", own=11)}, "neither a matrix nor a norm"),
    ],
)
def test_an_unlisted_decoder_with_a_layer_that_its_matrices_do_not_show_is_not_guessed(
    change: dict[str, Any], says: str
) -> None:
    shape = find_shape("llama-3.2-1b")
    tree = shape.modules
    groups = (*tree.groups, change["group"]) if "group" in change else tree.groups
    tree = replace(tree, groups=groups, refused=change.get("refused", ()))
    shape = replace(shape, model_type="new-decoder", tree=tree, settings=change.get("settings", {}))
    with pytest.raises(UnsupportedCase, match=says):
        parse_setting({"device": "cuda", "framework": "peft"}, shape)
    assert forecast_step(parse_setting({"device": "cuda", "phase": "load"}, shape)).weights > 0


def test_experts_of_a_4_bit_base_are_packed_only_where_they_were_linear_layers() -> None:
    asked = {"model": "mixtral-8x7b", "method": "qlora", "device": "cuda", "phase": "load"}
    shape = find_shape("mixtral-8x7b")
    now = forecast({**asked, "framework": "axolotl"})
    before = forecast({**asked, "framework": "axolotl, transformers 4.46"})
    experts = 3 * 8 * shape.layers * shape.hidden * shape.intermediate
    assert now.weights - before.weights == experts * 2 - experts // 2


@pytest.mark.parametrize("name", ["qwen3-30b-a3b", "mixtral-8x7b"])
def test_adapters_on_fused_experts_are_as_many_as_peft_counts(name: str) -> None:
    shape = find_shape(name)
    asked = {"model": name, "device": "cuda", "framework": "peft", "adapter_dtype": "fp32"}
    found = forecast({**asked, "lora": {"r": 16, "targets": "all-linear"}})
    counted = count_adapter(shape, AdapterSetting(targets="all-linear"), rank=16)
    assert found.adapters == 4 * counted.trainable


@pytest.mark.parametrize("framework", ["litgpt", "torchtune", "unsloth"])
def test_frameworks_for_decoders_refuse_an_encoder(framework: str) -> None:
    with pytest.raises(UnsupportedCase, match="trains decoders"):
        parse_setting({"framework": framework, "device": "cuda"}, find_shape("bert-base"))


@pytest.mark.parametrize(
    ("method", "trained"),
    [
        ("lora", 28 * 32 * (2 * 3072 + 3072 + 1024)),
        ("lora-fa", 28 * 32 * (3072 + 1024)),
        ("vera", 28 * (2 * 32 + 3072 + 1024)),
        ("adalora", 28 * 32 * (2 * 3072 + 3072 + 1024 + 2)),
    ],
)
def test_moments_are_kept_for_what_a_variant_trains(method: str, trained: int) -> None:
    asked = {"model": "llama-3.2-3b", "device": "cuda", "method": method, "framework": "peft"}
    ledger = forecast({**asked, "optimizer": "paged_adamw_32bit", "lora": {"r": 32, "targets": ["q", "v"]}})
    assert ledger.optimizer == pytest.approx(8 * trained, rel=1e-3)
