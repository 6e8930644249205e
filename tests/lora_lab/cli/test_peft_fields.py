"""PEFT's fields beyond the contracts: counted, or said to be unsupported, and never passed over."""

from typing import Any

import pytest

from lora_lab.engine.shape_reader import ShapeReader
from tests.lora_lab.cli.asking import counted, weighed


@pytest.mark.parametrize(
    ("field", "trainable"),
    [
        ({"rank_pattern": {"q_proj": 16}}, 6_291_456),
        ({"layers_to_transform": list(range(16))}, 2_097_152),
        ({"exclude_modules": ["v_proj"]}, 2_097_152),
        ({"targets": None, "layers_to_transform": 0}, 131_072),
        ({"lora_bias": True}, 4_194_304 + 32 * 2 * 4096),
        ({"layers_to_transform": [0, 1], "layers_pattern": "layers"}, 262_144),
        ({"target_parameters": ["k_proj.weight", "o_proj.weight"]}, 8_388_608),
        (
            {"targets": [], "target_parameters": ["k_proj.weight"], "rank_pattern": {"k_proj.weight": 4}},
            1_048_576,
        ),
        ({"trainable_token_indices": [0, 1, 2]}, 4_194_304 + 3 * 4096),
        ({"trainable_token_indices": {"embed_tokens": [0], "lm_head": [1, 2]}}, 4_194_304 + 3 * 4096),
    ],
    ids=str,
)
def test_fields_of_peft_that_change_what_is_trained_are_counted(
    reader: ShapeReader, field: dict[str, Any], trainable: int
) -> None:
    asked = {"model": "llama-2-7b", "r": 8, "targets": ["q_proj", "v_proj"]}
    assert counted(reader, **asked | field)["trainable"] == trainable


@pytest.mark.parametrize(
    "field", [{"layer_replication": [[0, 4]]}, {"use_qalora": True}, {"arrow_config": {"top_k": 3}}]
)
def test_a_field_of_peft_that_no_formula_knows_is_not_ignored(
    reader: ShapeReader, field: dict[str, Any]
) -> None:
    answer = counted(reader, model="llama-2-7b", **field)
    assert answer["unsupported"]
    assert "changes what is trained and is not counted" in answer["why"]
    assert weighed(reader, model="llama-2-7b", lora={"r": 8, **field})["unsupported"]
    empty = dict.fromkeys(field)
    assert counted(reader, model="llama-2-7b", **empty) == counted(reader, model="llama-2-7b")


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"layers_to_transform": "all"}, "layers_to_transform must be a layer's number or a list"),
        ({"rank_pattern": ["q_proj"]}, "rank_pattern must be an object"),
        ({"rank_pattern": {"q_proj": "8"}}, "q_proj must be a whole number"),
        ({"exclude_modules": 7}, "exclude_modules must be a list"),
        ({"layers_pattern": [7], "layers_to_transform": [0]}, "layers_pattern must be a list"),
        ({"target_parameters": "k_proj.weight"}, "target_parameters must be a list of parameters' names"),
        ({"target_parameters": ["k_proj.weight", 7]}, "target_parameters must be a list"),
        ({"trainable_token_indices": {"lm_head": "0"}}, "must hold lists of whole numbers, got '0'"),
    ],
)
def test_a_narrowing_field_that_can_not_be_read_is_named(
    reader: ShapeReader, field: dict[str, Any], said: str
) -> None:
    assert said in counted(reader, model="llama-2-7b", targets=["q_proj"], **field)["error"]


def test_no_memory_is_predicted_for_a_bias_of_an_adapter(reader: ShapeReader) -> None:
    answer = weighed(reader, model="llama-2-7b", lora={"r": 8, "targets": ["q_proj"], "lora_bias": True})
    assert answer["unsupported"]
    why = "no memory is predicted with lora_bias; the count of trainable parameters knows it"
    assert answer["why"] == why


@pytest.mark.parametrize(
    ("field", "of_what"),
    [
        (
            {"target_parameters": ["k_proj.weight"]},
            "for an adapter on model.layers.*.self_attn.k_proj.weight",
        ),
        ({"trainable_token_indices": [0]}, "with trainable_token_indices"),
    ],
    ids=str,
)
def test_no_memory_is_predicted_for_parameters_and_rows_and_the_answer_says_what_is_known(
    reader: ShapeReader, field: dict[str, Any], of_what: str
) -> None:
    why = f"no memory is predicted {of_what}; the count of trainable parameters knows it"
    for record in ({"lora": {"r": 8, **field}}, field, {"framework": "peft", "lora": {"r": 8, **field}}):
        assert weighed(reader, model="llama-2-7b", **record) == {"unsupported": True, "why": why}
    empty = dict.fromkeys(field)
    assert weighed(reader, model="llama-2-7b", lora=empty) == weighed(reader, model="llama-2-7b")


def test_targets_may_have_the_name_that_peft_gives_them(reader: ShapeReader) -> None:
    names = ["q_proj", "k_proj", "v_proj", "o_proj"]
    assert counted(reader, model="llama-7b", target_modules=names) == counted(
        reader, model="llama-7b", targets=names
    )
    assert weighed(reader, model="llama-7b", lora={"target_modules": names}) == weighed(
        reader, model="llama-7b", lora={"targets": names}
    )
