"""Which matrices a line of the memory contract adapts, against PEFT on tiny models."""

from typing import Any

import pytest
import torch
from peft import AdaLoraConfig, LoraConfig, get_peft_model
from peft.utils.error import NoMatchingPeftModuleError

from lora_lab.engine.shape_reader import ShapeReader
from lora_lab.memory.frameworks.adapted_matrices import find_adapters
from lora_lab.parameters.adapter_config import UnsupportedCase
from lora_lab.parameters.module_layout import build_layout_shape
from lora_lab.parameters.name_selection import select_names
from lora_lab.parameters.shapes import find_shape, load_catalogue
from tests.lora_lab.cli import asking
from tests.lora_lab.families import KINDS, PEFT_WARNINGS, config_of, model_of

pytestmark = [*PEFT_WARNINGS, pytest.mark.filterwarnings("ignore:You have passed exclude_modules")]
RANK = 4
FP32_BYTES = 4


def weighed(reader: ShapeReader, **record: Any) -> dict[str, Any]:
    return asking.weighed(reader, **{"framework": "peft", "device": "cuda", "seq_len": 16, **record})


def weighed_tiny(reader: ShapeReader, family: str, lora: dict[str, Any]) -> dict[str, Any]:
    kind = KINDS.get(family, "causal")
    return weighed(reader, config=config_of(family), kind=kind, lora={"r": RANK, **lora})


def peft_trains(family: str, targets: str | list[str], **fields: Any) -> int | None:
    """What PEFT counts; None where it finds nothing to adapt."""
    try:
        with torch.device("meta"):
            adapted = get_peft_model(model_of(family), LoraConfig(r=RANK, target_modules=targets, **fields))
    except NoMatchingPeftModuleError:
        return None
    return int(adapted.get_nb_trainable_parameters()[0])


TARGETS: list[tuple[str, Any, list[str]]] = [  # family, what a line says, the names that PEFT knows
    ("llama", ["q", "mlp"], ["q_proj", "gate_proj", "up_proj", "down_proj"]),
    ("llama", "q_proj", ["q_proj"]),
    ("llama", "attention", ["q_proj", "k_proj", "v_proj", "o_proj"]),
    ("llama", ["q_proj", "c_attn"], ["q_proj", "c_attn"]),
    ("llama", ["head", "q"], ["lm_head", "q_proj"]),
    ("llama", ["head"], ["lm_head"]),
    ("gpt2", ["q", "v"], ["c_attn"]),
    ("gpt2", ["mlp"], ["c_fc", "mlp.c_proj"]),
    ("gpt2", ["lm_head", "q_proj"], ["lm_head"]),
    ("phi3", ["k", "gate", "down"], ["qkv_proj", "gate_up_proj", "down_proj"]),
    ("bert", ["down"], ["layer.0.output.dense", "layer.1.output.dense"]),
    ("bert", ["head", "q"], ["query"]),
    ("opt", ["head"], ["lm_head"]),
    ("whisper", ["proj_out", "fc1"], ["proj_out", "fc1"]),
]
NARROWINGS: list[dict[str, Any]] = [
    {},
    {"layers_to_transform": [1]},
    {"layers_to_transform": [1], "layers_pattern": ["h", "layers"]},
    {"rank_pattern": {"q_proj": 2, "lm_head": 16, "c_attn": 6, "dense": 3}},
    {"exclude_modules": ["lm_head", "c_attn", "up_proj", "fc1"]},
]


@pytest.mark.parametrize("fields", NARROWINGS, ids=str)
@pytest.mark.parametrize(("family", "written", "names"), TARGETS, ids=str)
def test_a_line_adapts_what_peft_adapts(
    reader: ShapeReader, family: str, written: Any, names: list[str], fields: dict[str, Any]
) -> None:
    answer = weighed_tiny(reader, family, {"targets": written, **fields})
    trained = peft_trains(family, names, **fields)
    if trained is None:
        assert "error" in answer
    elif "unsupported" in answer:
        assert family in ("whisper", "bert")
        assert answer["why"] == "layers that differ in their adapters are modelled in decoders alone"
    else:
        assert answer["components"]["adapters"] == FP32_BYTES * trained


def test_a_pattern_that_counts_another_list_than_the_layers_is_not_played() -> None:
    layout = {"layers": 2, "modules": {"experts.0.w1": [8, 8], "experts.1.w1": [8, 8]}}
    shape = build_layout_shape({"module_layout": layout, "base_total": 1000}, None)
    narrowing = {"layers_to_transform": [0], "layers_pattern": "layers"}  # the first number is the expert's
    with pytest.raises(UnsupportedCase, match="counts in another list"):
        find_adapters(shape, ["w1"], narrowing, variant="lora", rank=4)


@pytest.mark.parametrize(
    ("family", "written", "names"),
    [
        ("mixtral", ["mlp"], ["w1", "w2", "w3"]),
        ("mixtral", ["q", "mlp"], ["q_proj", "w1", "w2", "w3"]),
        ("mixtral", ["head", "mlp"], ["lm_head", "w1", "w2", "w3"]),
        ("mixtral", "all-linear", "all-linear"),
        ("qwen2_moe", ["mlp"], ["gate_proj", "up_proj", "down_proj"]),
        ("qwen2_moe", ["q", "down_proj"], ["q_proj", "down_proj"]),
    ],
    ids=str,
)
def test_experts_that_are_one_tensor_are_adapted_as_peft_does(
    reader: ShapeReader, family: str, written: Any, names: Any
) -> None:
    trained = peft_trains(family, names)
    assert trained is not None
    answer = weighed_tiny(reader, family, {"targets": written})
    assert answer["components"]["adapters"] == FP32_BYTES * trained


GATE_UP, DOWN = "mlp.experts.gate_up_proj", "mlp.experts.down_proj"


@pytest.mark.parametrize(
    "parameters", [[GATE_UP, DOWN], [DOWN], ["experts.gate_up_proj", "nothing.x"]], ids=str
)
@pytest.mark.parametrize("targets", [None, [], ["q_proj"], ["q_proj", "lm_head"], "all-linear"], ids=str)
@pytest.mark.parametrize("family", ["gpt_oss", "qwen3_moe", "mixtral"])
def test_experts_that_are_named_as_parameters_are_adapted_as_peft_does(
    reader: ShapeReader, family: str, targets: Any, parameters: list[str]
) -> None:
    trained = peft_trains(family, targets, target_parameters=parameters)
    assert trained is not None
    answer = weighed_tiny(reader, family, {"targets": targets, "target_parameters": parameters})
    assert answer["components"]["adapters"] == FP32_BYTES * trained


@pytest.mark.parametrize(
    ("family", "lora", "record", "why"),
    [
        (
            "gpt_oss",
            {"target_parameters": [f"0.{GATE_UP}"]},
            {},
            "adapters in some layers, or of another rank",
        ),
        ("gpt_oss", {"target_parameters": [DOWN], "rank_pattern": {DOWN: 1}}, {}, "or of another rank"),
        ("gpt_oss", {"target_parameters": ["gate_up_proj_bias"]}, {}, "experts.gate_up_proj_bias; the count"),
        ("gpt_oss", {"target_parameters": ["embed_tokens.weight"]}, {}, "embed_tokens.weight; the count"),
        (
            "mixtral",
            {"target_parameters": [DOWN]},
            {"framework": "peft, transformers 4"},
            "down_proj; the count",
        ),
        ("gpt_oss", {"target_parameters": [DOWN]}, {"framework": "unsloth"}, "what unsloth's own products"),
        (
            "gpt_oss",
            {"target_parameters": [DOWN]},
            {"framework": "litgpt"},
            "litgpt has no target_parameters",
        ),
        (
            "gpt_oss",
            {"target_parameters": [DOWN]},
            {"framework": "lora_lab"},
            "loop has no target_parameters",
        ),
    ],
    ids=str,
)
def test_no_memory_is_predicted_for_other_parameters(
    reader: ShapeReader, family: str, lora: dict[str, Any], record: dict[str, Any], why: str
) -> None:
    config = config_of(family)
    answer = weighed(reader, config=config, lora={"r": RANK, "targets": ["q_proj"], **lora}, **record)
    assert answer["unsupported"]
    assert why in answer["why"]


def test_what_peft_refuses_beside_parameters_has_no_memory(reader: ShapeReader) -> None:
    answer = weighed_tiny(reader, "gpt_oss", {"target_parameters": [DOWN], "lora_dropout": 0.1})
    assert "PEFT has no lora_dropout for the parameter" in answer["error"]


@pytest.mark.parametrize("variant", ["ia3", "adalora", "vera"])
def test_an_mlp_of_experts_is_not_passed_over_where_peft_can_not_adapt_it(
    reader: ShapeReader, variant: str
) -> None:
    answer = weighed_tiny(reader, "mixtral", {"targets": ["q", "mlp"], "variant": variant})
    assert answer == {"unsupported": True, "why": f"PEFT has no {variant} for experts that are one tensor"}


@pytest.mark.parametrize("targets", [["mlp"], ["q", "mlp"]], ids=str)
def test_an_mlp_without_names_is_not_taken_for_full_fine_tuning(
    reader: ShapeReader, targets: list[str]
) -> None:
    answer = weighed(reader, model="gpt-oss-20b", lora={"targets": targets})
    assert "PEFT adapts no matrix of the MLP of gpt_oss by its name" in answer["why"]


@pytest.mark.parametrize("model", ["smollm2-135m", "qwen2.5-0.5b"])
def test_the_labs_own_loop_does_not_pass_over_an_adapter_on_the_head(reader: ShapeReader, model: str) -> None:
    for targets in (["lm_head", "q_proj"], ["head", "q"]):
        record = {"model": model, "framework": "lora_lab", "device": "cpu", "lora": {"targets": targets}}
        assert "an adapter on the output head" in weighed(reader, **record)["why"]


def test_a_role_of_a_fused_matrix_means_the_whole_matrix_in_the_labs_own_loop(reader: ShapeReader) -> None:
    by_role, by_name = (
        weighed(reader, model="pythia-14m", framework="lora_lab", device="cpu", lora={"targets": [name]})
        for name in ("q", "query_key_value")
    )
    assert by_role == by_name
    assert "bytes" in by_role


def test_the_head_keeps_its_own_rank_beside_matrices_of_other_ranks(reader: ShapeReader) -> None:
    shape = find_shape("llama-2-7b")
    ranks = {"q_proj": 64, "lm_head": 2}
    answer = weighed(
        reader, model="llama-2-7b", lora={"r": 8, "targets": ["q", "v", "head"], "rank_pattern": ranks}
    )
    layers = shape.layers * (64 + 8) * 2 * shape.hidden
    assert answer["components"]["adapters"] == FP32_BYTES * (layers + 2 * (shape.hidden + shape.vocab))


def test_the_first_rank_of_adalora_is_its_init_r_however_the_variant_is_said(reader: ShapeReader) -> None:
    said = {"r": 8, "init_r": 12, "targets": ["q_proj", "v_proj"]}
    with torch.device("meta"):
        config = AdaLoraConfig(init_r=12, target_modules=said["targets"], total_step=10)
        trained = get_peft_model(model_of("llama").to("meta"), config).get_nb_trainable_parameters()[0]
    config_of_it = {"config": config_of("llama"), "kind": "causal"}
    by_method = weighed(reader, **config_of_it, method="adalora", lora=said)
    by_variant = weighed(reader, **config_of_it, lora={**said, "variant": "adalora"})
    assert by_method == by_variant
    assert by_method["components"]["adapters"] == FP32_BYTES * trained


@pytest.mark.parametrize("name", load_catalogue())
def test_the_names_of_a_role_match_its_matrices_and_no_others(name: str) -> None:
    shape = find_shape(name)
    every = [each for group in shape.modules.groups for each in group.names]
    for role in {linear.role for linear in shape.linears}:
        if not shape.are_roles([role]):
            continue
        paths = {linear.name for linear in shape.select([role])}
        wanted = {each for group in shape.modules.linears if group.path in paths for each in group.names}
        assert set(select_names(tuple(shape.list_target_modules([role])), every)) == wanted
