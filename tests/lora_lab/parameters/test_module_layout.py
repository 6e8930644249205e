"""A model described by its layers alone: older or remote code and timm, which no configuration builds."""

from typing import Any

import pytest

from lora_lab.claims.contract import answer_claim
from lora_lab.cli import contracts
from lora_lab.engine.shape_reader import ShapeReader

TIMM: dict[str, Any] = {"layers": 12, "modules": {"attn.qkv": [768, 2304], "attn.proj": [768, 768]}}
BASE_TOTAL = 85_875_556
HEAD = 77_669  # 101 classes of 768 numbers and a bias


def claimed(printed: dict[str, Any], **model: Any) -> dict[str, Any]:
    record = {
        "model": {"name": "vit_base_patch16_224", "kind": "layout", "base_total": BASE_TOTAL, **model},
        "lora": {"r": 16, "target_modules": ["attn.qkv"], "modules_to_save": ["head"]},
        "printed": printed,
    }
    return answer_claim(record, ShapeReader())


def test_a_claim_is_judged_by_the_layout_and_its_saved_head() -> None:
    adapters = 12 * 16 * (768 + 2304)
    good = {"trainable": adapters + HEAD, "all": BASE_TOTAL + adapters + HEAD}
    found = claimed(good, module_layout=TIMM, saved_head_params=HEAD)
    assert (found["verdict"], found["verdict_trainable"]) == ("possible", "possible")
    wrong = claimed({**good, "trainable": adapters}, module_layout=TIMM, saved_head_params=HEAD)
    assert wrong["verdict"] == "impossible"
    assert wrong["failing"] == ["trainable"]


def test_a_layout_counts_instead_of_the_configurations_own_modules(reader: ShapeReader) -> None:
    """The configuration has q_proj and v_proj; the code that printed the line has one fused matrix."""
    config = {
        "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "vocab_size": 100,
    }  # fmt: skip
    layout = {"layers": 2, "modules": {"query_key_value": [64, 192], "dense": [64, 64]}}
    record = {"config": config, "module_layout": layout, "r": 8, "targets": ["query_key_value"]}
    found = contracts.count_answer(record, reader)
    plain = contracts.count_answer({"config": config, "r": 8, "targets": ["q_proj"]}, reader)
    assert found["trainable"] == 2 * 8 * (64 + 192)
    base = plain["total"] - plain["trainable"]
    assert found["total"] == base + found["trainable"]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"module_layout": {"modules": {"q": [8, 8]}}}, "needs the number of layers"),
        ({"module_layout": {"layers": 2, "modules": {}}}, "needs the number of layers"),
        ({"module_layout": {"layers": 2, "modules": {"q": [8]}}}, "q must be"),
        ({"module_layout": {"layers": 2, "modules": {"q": [8, 8]}}, "base_total": None}, "base_total"),
        ({"module_layout": {"layers": 2, "modules": {"q": [8, 8]}}, "base_total": 5}, "more than base_total"),
    ],
)
def test_what_a_layout_lacks_is_said(model: dict[str, Any], said: str, reader: ShapeReader) -> None:
    record = {
        "model": {"kind": "layout", "base_total": 1000, **model},
        "lora": {"r": 8, "target_modules": ["q"]},
        "printed": {"trainable": 1},
    }
    assert said in contracts.answer_record(record, answer_claim, reader)["error"]


LLAMA = {
    "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 100,
}  # fmt: skip
TOWER = {
    "model_type": "clip_vision_model", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3,
    "num_attention_heads": 2, "image_size": 28, "patch_size": 14,
}  # fmt: skip
LLAVA = {"model_type": "llava", "text_config": LLAMA, "vision_config": TOWER}
VIT = {
    "model_type": "vit", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3,
    "num_attention_heads": 2, "image_size": 28, "patch_size": 14,
}  # fmt: skip
BERT = {
    "model_type": "bert", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3,
    "num_attention_heads": 2, "vocab_size": 100,
}  # fmt: skip


def test_names_of_a_vision_language_model_match_the_vision_tower_too(reader: ShapeReader) -> None:
    found = contracts.count_answer(
        {"config": LLAVA, "kind": "vlm", "r": 8, "targets": ["q_proj", "v_proj"]}, reader
    )
    text, tower = 2 * 8 * ((64 + 64) + (64 + 32)), 3 * 8 * 2 * (32 + 32)
    assert found["trainable"] == text + tower


def test_a_vision_classifier_and_an_encoder_without_a_head_are_counted(reader: ShapeReader) -> None:
    asked = {"r": 8, "targets": ["query", "value"]}
    adapters = 3 * 2 * 8 * (32 + 32)
    classifier = contracts.count_answer(
        {"config": VIT, "kind": "imgcls", "modules_to_save": ["classifier"], **asked}, reader
    )
    assert classifier["trainable"] == adapters + 2 * 32 + 2
    for kind in ("base", "encoder"):
        assert (
            contracts.count_answer({"config": BERT, "kind": kind, **asked}, reader)["trainable"] == adapters
        )


@pytest.mark.parametrize("config", [LLAVA, VIT, BERT], ids=["vlm", "vision", "encoder"])
def test_what_a_model_of_any_kind_holds_once_loaded_is_answered(
    config: dict[str, Any], reader: ShapeReader
) -> None:
    asked = {"config": config, "base_dtype": "bf16", "device": "cuda"}
    found = contracts.answer_memory({**asked, "phase": "load"}, reader)
    assert found["bytes"] == found["components"]["weights"]
    adapted = {**asked, "method": "lora-load", "lora": {"r": 8, "targets": "all-linear"}}
    assert contracts.answer_memory(adapted, reader)["components"]["adapters"]
    reserved = contracts.answer_memory({**asked, "measure": "max reserved at load", "phase": "load"}, reader)
    assert reserved["bytes"] > found["bytes"]


def test_the_drivers_figure_is_above_what_is_reserved(reader: ShapeReader) -> None:
    asked = {"model": "llama-2-7b", "device": "cuda", "seq_len": 512}
    figures = [
        contracts.answer_memory({**asked, "measure": measure}, reader)["bytes"]
        for measure in ("max allocated", "max reserved", "device")
    ]
    assert figures == sorted(set(figures))


def test_ia3_and_tuned_norms_train_what_they_train(reader: ShapeReader) -> None:
    asked = {"model": "llama-2-7b", "device": "cuda", "seq_len": 512, "base_dtype": "bf16"}
    ia3 = contracts.answer_memory({**asked, "method": "ia3"}, reader)["components"]["adapters"]
    assert ia3 == 4 * 614_400  # k and v 4,096 each and 11,008 before down_proj, in 32 layers
    norms = contracts.answer_memory({**asked, "method": "layernorm-tuning"}, reader)["components"]
    assert norms["adapters"] == 4 * (2 * 32 + 1) * 4096


@pytest.mark.parametrize("model_type", ["vit", "dinov2", "beit", "swin", "segformer"])
def test_earlier_names_of_vision_models_adapt_the_same_matrices(model_type: str, reader: ShapeReader) -> None:
    asked = {"config": {"model_type": model_type}, "kind": "imgcls", "r": 8}
    earlier = contracts.count_answer({**asked, "targets": ["query", "value"]}, reader)
    now = contracts.count_answer({**asked, "targets": ["q_proj", "v_proj"]}, reader)
    assert earlier == now
    assert contracts.count_answer({**asked, "targets": ["attention.output.dense"]}, reader)["trainable"]


@pytest.mark.parametrize(
    "model", [{"kind": "layout"}, {"kind": "causal", "config": {"model_type": "chatglm"}}]
)
@pytest.mark.parametrize(
    ("trainable", "verdict"),
    # ChatGLM-6B, a public log: 28 layers x 8 x (4096 + 12288) = 3,670,016 on query_key_value
    [(3_670_016, "underdetermined"), (3_670_017, "impossible")],
)
def test_peft_defaults_for_a_layout_of_unknown_type_leave_the_targets_open(
    reader: ShapeReader, model: dict[str, Any], trainable: int, verdict: str
) -> None:
    modules = {"attention.query_key_value": [4096, 12288], "attention.dense": [4096, 4096]}
    layout = {"layers": 28, "modules": modules}
    record = {
        "model": {"name": "chatglm-6b", "base_total": 6_173_286_400, "module_layout": layout, **model},
        "lora": {"r": 8, "target_modules": None},
        "printed": {"trainable": trainable, "all": 6_176_956_416, "pct": "0.0594"},
    }
    answer = contracts.answer_record(record, answer_claim, reader)
    assert answer["verdict"] == verdict
    if verdict == "underdetermined":
        assert {"r": 8, "target_modules": ["query_key_value"]} in answer["explanations"]
