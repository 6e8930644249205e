"""Model shapes: read from the models' own code, kept as data, and asked by name."""

import re
from dataclasses import replace
from typing import Any

import pytest

from lora_lab.parameters.adapter_config import AdapterSetting
from lora_lab.parameters.counts import count_adapter, count_parameters
from lora_lab.parameters.shapes import ModelShape, find_shape, load_catalogue, parse_shape
from lora_lab.spec import TARGET_SETS, TargetSet
from lora_lab.worker.model.read_shape import read_config_shape
from study.base.errors import LearnerError
from tests.golden import configs
from tests.lora_lab.families import FAMILIES, shape_of

LLAMA_LIKE = {
    name: shape
    for name, shape in load_catalogue().items()
    if shape.model_type in ("llama", "mistral", "qwen2")
}


@pytest.mark.parametrize("name", LLAMA_LIKE)
def test_a_catalogue_shape_is_what_its_own_numbers_build(name: str) -> None:
    kept = LLAMA_LIKE[name]
    config = {
        "model_type": kept.model_type,
        "hidden_size": kept.hidden,
        "num_hidden_layers": kept.layers,
        "num_attention_heads": kept.heads,
        "num_key_value_heads": kept.kv_heads,
        "head_dim": kept.head_dim,
        "intermediate_size": kept.intermediate,
        "vocab_size": kept.vocab,
        "tie_word_embeddings": kept.head_parameters == 0,
    }
    assert rebuilt(kept, config) == kept


def test_gpt2_and_roberta_are_what_their_own_numbers_build() -> None:
    gpt2, roberta = find_shape("gpt2"), find_shape("roberta-base")
    assert rebuilt(gpt2, {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12}) == gpt2
    smaller = {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
    }
    assert rebuilt(roberta, configs.ROBERTA_LARGE | smaller) == roberta


def rebuilt(kept: ModelShape, config: dict[str, Any]) -> ModelShape:
    return replace(read_config_shape(config, name=kept.name, hub_id=kept.hub_id), licence=kept.licence)


DECODERS = [
    shape
    for shape in load_catalogue().values()
    if shape.model_type
    in ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "gpt2", "gpt3")
]


@pytest.mark.parametrize("shape", DECODERS, ids=lambda shape: shape.name)
def test_a_catalogue_shape_contradicts_itself_nowhere(shape: ModelShape) -> None:
    widths = {(linear.role, linear.d_in, linear.d_out) for linear in shape.linears}
    attention, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    if ("q", shape.hidden, attention) in widths:
        assert {("k", shape.hidden, kv), ("v", shape.hidden, kv), ("o", attention, shape.hidden)} <= widths
    else:
        assert {("qkv", shape.hidden, attention + 2 * kv), ("o", attention, shape.hidden)} <= widths
    assert {d_out for role, _, d_out in widths if role in ("gate", "up")} == {shape.intermediate}
    assert shape.head_parameters in (0, shape.vocab * shape.hidden)
    assert shape.embedding_parameters >= shape.vocab * shape.hidden
    assert all(linear.count in (1, shape.layers) for linear in shape.linears)
    assert shape.licence


def test_catalogue_names_and_hub_ids_are_unique_and_sorted_by_size() -> None:
    shapes = list(load_catalogue().values())
    hub_ids = [shape.hub_id for shape in shapes if shape.hub_id]
    assert len(set(hub_ids)) == len(hub_ids)
    assert [shape.total_parameters for shape in shapes] == sorted(shape.total_parameters for shape in shapes)


def test_a_shape_survives_its_json() -> None:
    for shape in load_catalogue().values():
        assert parse_shape(shape.to_json()) == shape


def test_a_model_is_found_by_its_hub_id_too() -> None:
    assert find_shape("HuggingFaceTB/SmolLM2-135M-Instruct") is find_shape("smollm2-135m")


def test_a_mistyped_model_lists_the_nearest_known_ones() -> None:
    with pytest.raises(LearnerError) as raised:
        find_shape("HuggingFaceTB/SmolM2-135m")
    said = re.fullmatch(
        r"Known models: (.*) and (\d+) others, which `--help` and the Models page list\.",
        raised.value.do_next,
    )
    assert said is not None
    near = said[1].split(", ")
    assert near[0] == "smollm2-135m"
    assert len(near) <= 5
    assert len(near) + int(said[2]) == len(load_catalogue())


@pytest.mark.parametrize("name", ["no-such-name", ""])
def test_a_model_like_none_lists_the_known_ones(name: str) -> None:
    with pytest.raises(LearnerError, match=r"is not in the catalogue\. Known models: tiny-random, .*gpt2"):
        find_shape(name)


@pytest.mark.parametrize(
    ("targets", "unknown"),
    [(["q_proj", "w_pack"], "w_pack"), ("c_attn", "c_attn"), (["proj"], "proj"), (["x", "y"], "x, y")],
)
def test_an_unknown_target_lists_what_the_model_has(targets: str | list[str], unknown: str) -> None:
    listed = "down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj"
    with pytest.raises(LearnerError, match=rf"no linear layer named {unknown}\. It has: {listed}"):
        find_shape("llama-7b").select(targets)


def test_targets_that_choose_nothing_are_refused() -> None:
    shape = replace(find_shape("tiny-random"), linears=find_shape("tiny-random").linears[4:])
    nothing: tuple[str | list[str], ...] = ([], "attention")
    for targets in nothing:
        with pytest.raises(LearnerError, match="It has: down_proj, gate_proj, up_proj"):
            shape.select(targets)


@pytest.mark.parametrize(
    ("targets", "names"),
    [
        (["q", "v"], {"q_proj", "v_proj"}),
        (["v_proj", "q_proj", "q"], {"q_proj", "v_proj"}),
        (["self_attn.o_proj"], {"o_proj"}),
        ("gate", {"gate_proj"}),
        (None, {"q_proj", "v_proj"}),
    ],
)
def test_targets_are_roles_or_the_last_parts_of_module_names(
    targets: str | list[str] | None, names: set[str]
) -> None:
    assert {linear.suffix for linear in find_shape("llama-7b").select(targets)} == names


def test_a_short_name_means_every_module_that_bears_it() -> None:
    chosen = find_shape("gpt2").select(["c_proj"])
    assert {linear.role for linear in chosen} == {"o", "down"}


@pytest.mark.parametrize("targets", TARGET_SETS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_names_given_to_peft_choose_the_counted_matrices_and_no_others(
    family: str, targets: TargetSet
) -> None:
    shape = shape_of(family)
    assert shape.select(shape.list_target_modules(targets)) == shape.select(targets)


def test_names_given_to_peft_are_short_where_they_are_unmistakable() -> None:
    assert find_shape("llama-7b").list_target_modules("q+v") == ["q_proj", "v_proj"]
    assert find_shape("gpt2").list_target_modules("attention") == ["attn.c_proj", "c_attn"]


TYPED = [
    ("q_proj, down_proj", {"q_proj": 32, "down_proj": 32}),
    ("self_attn.o_proj", {"o_proj": 32}),
    (r".*layers\.[0-3]\..*(q|v)_proj", {"q_proj": 4, "v_proj": 4}),
    ("layers.31.mlp.up_proj,q_proj", {"up_proj": 1, "q_proj": 32}),
]


@pytest.mark.parametrize(("targets", "counts"), TYPED)
def test_typed_targets_are_names_or_a_pattern_for_whole_names(targets: str, counts: dict[str, int]) -> None:
    chosen = find_shape("llama-7b").select(targets)
    assert {linear.suffix: linear.count for linear in chosen} == counts


@pytest.mark.parametrize("targets", [targets for targets, _ in TYPED])
def test_typed_targets_reach_peft_with_the_same_meaning(targets: str) -> None:
    shape = find_shape("llama-7b")
    setting = AdapterSetting(targets=tuple(shape.list_target_modules(targets)))
    assert count_adapter(shape, setting, rank=4) == count_parameters(shape, rank=4, targets=targets)


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ("q_proj,w_pack", r"no linear layer named w_pack\. It has: down_proj"),
        (".*w_pack", r"no linear layer named \.\*w_pack\. It has: down_proj"),
        ("(", "isn't a regular expression"),
        ("layers.99.mlp.up_proj", r"no linear layer named layers\.99\.mlp\.up_proj"),
    ],
)
def test_typed_targets_that_match_nothing_list_what_there_is(targets: str, said: str) -> None:
    with pytest.raises(LearnerError, match=said):
        find_shape("llama-7b").select(targets)


def test_grouped_queries_make_keys_and_values_narrow() -> None:
    widths = {linear.role: linear.d_out for linear in find_shape("llama-3.1-8b").linears}
    assert (widths["q"], widths["k"], widths["v"]) == (4096, 1024, 1024)


def test_a_tied_head_is_counted_once_and_an_own_head_apart() -> None:
    tied = read_config_shape(configs.QWEN2_5_3B, name="tied")
    untied = read_config_shape(configs.QWEN2_5_3B | {"tie_word_embeddings": False}, name="untied")
    assert tied.head_parameters == 0
    assert untied.head_parameters == tied.embedding_parameters == 151_936 * 2048
    assert untied.total_parameters - tied.total_parameters == untied.head_parameters


def test_a_field_that_differs_between_layers_is_what_most_of_them_have() -> None:
    shape = shape_of("gemma4_text")  # transformers refuses to say one head_dim for all its layers
    assert (shape.head_dim, shape.kv_heads) == (8, 2)
    assert {linear.d_out: linear.count for linear in shape.linears if linear.role == "q"} == {32: 5, 64: 1}


def test_an_own_head_that_transformers_would_tie_is_still_counted() -> None:
    assert read_config_shape(configs.MT0_LARGE, name="mt0", kind="seq2seq").head_parameters == 250_112 * 1024


def test_a_config_that_describes_no_model_is_an_error() -> None:
    with pytest.raises((ValueError, KeyError)):
        read_config_shape({"model_type": "no-such-model"}, name="x")
