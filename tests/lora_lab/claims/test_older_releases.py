"""Lines that earlier releases print for the same model and setting: other names, heads and biases.

Every pair of numbers was printed by the releases that are named, on PyTorch's meta device.
"""

from typing import Any

import pytest

from lora_lab.claims.contract import answer_claim
from lora_lab.cli import contracts
from lora_lab.engine.shape_reader import ShapeReader

PRINTED = [
    pytest.param(
        {
            "kind": "causal",
            "config": {
                "model_type": "qwen2_moe",
                "vocab_size": 151936,
                "hidden_size": 2048,
                "intermediate_size": 5632,
                "moe_intermediate_size": 1408,
                "shared_expert_intermediate_size": 5632,
                "num_experts": 60,
                "num_experts_per_tok": 4,
                "num_hidden_layers": 24,
                "num_attention_heads": 16,
                "num_key_value_heads": 16,
                "tie_word_embeddings": False,
            },
        },
        {
            "r": 8,
            "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        },
        127_008_768,
        14_442_792_960,
        id="qwen-moe-experts-one-by-one",
    ),  # transformers 4.46.3, peft 0.13.2
    pytest.param(
        {
            "kind": "causal",
            "config": {
                "model_type": "gpt_neox",
                "vocab_size": 50304,
                "hidden_size": 2048,
                "num_hidden_layers": 16,
                "num_attention_heads": 8,
                "intermediate_size": 8192,
                "tie_word_embeddings": False,
            },
        },
        {"r": 8, "target_modules": "all-linear", "modules_to_save": ["embed_in", "embed_out"]},
        210_239_488,
        1_222_021_120,
        id="neox-head",
    ),  # transformers 4.46.3, peft 0.13.2
    pytest.param(
        {
            "kind": "causal",
            "config": {
                "model_type": "mamba",
                "vocab_size": 50280,
                "hidden_size": 768,
                "num_hidden_layers": 24,
                "state_size": 16,
                "intermediate_size": 1536,
                "conv_kernel": 4,
                "time_step_rank": 48,
            },
        },
        {"r": 8, "target_modules": ["x_proj", "embeddings", "in_proj", "out_proj"]},
        1_898_304,
        131_033_664,
        id="mamba-out-proj",
    ),  # transformers 4.46.3, peft 0.13.2
    pytest.param(
        {
            "kind": "seqcls",
            "config": {
                "model_type": "electra",
                "vocab_size": 30522,
                "embedding_size": 128,
                "hidden_size": 256,
                "num_hidden_layers": 12,
                "num_attention_heads": 4,
                "intermediate_size": 1024,
                "num_labels": 2,
            },
        },
        {"r": 8, "task_type": "SEQ_CLS", "target_modules": ["query", "key", "value", "dense"]},
        512_770,
        14_066_180,
        id="electra-dense-in-the-head",
    ),  # transformers 4.46.3, peft 0.13.2
    pytest.param(
        {
            "kind": "seqcls",
            "config": {
                "model_type": "llama",
                "vocab_size": 49152,
                "hidden_size": 576,
                "intermediate_size": 1536,
                "num_hidden_layers": 30,
                "num_attention_heads": 9,
                "num_key_value_heads": 3,
                "tie_word_embeddings": True,
                "num_labels": 5,
                "pad_token_id": 2,
            },
        },
        {"r": 8, "target_modules": "all-linear", "task_type": "SEQ_CLS"},
        2_449_768,
        136_972_304,
        id="all-linear-and-the-score",
    ),  # transformers 4.40.2, peft 0.10.0
    pytest.param(
        {
            "kind": "seqcls",
            "config": {
                "model_type": "deberta-v2",
                "vocab_size": 128100,
                "hidden_size": 768,
                "num_hidden_layers": 12,
                "num_attention_heads": 12,
                "intermediate_size": 3072,
                "type_vocab_size": 0,
                "relative_attention": True,
                "position_buckets": 256,
                "pos_att_type": ["p2c", "c2p"],
                "norm_rel_ebd": "layer_norm",
                "share_att_key": True,
                "max_relative_positions": -1,
                "position_biased_input": False,
                "pooler_hidden_size": 768,
                "num_labels": 2,
            },
        },
        {"r": 8, "task_type": "SEQ_CLS", "target_modules": "all-linear", "variant": "dora"},
        1_430_804,
        185_860_648,
        id="all-linear-and-the-classifier-with-dora",
    ),  # transformers 4.40.2, peft 0.10.0
    pytest.param(
        {
            "kind": "seqcls",
            "config": {
                "model_type": "roberta",
                "vocab_size": 50265,
                "hidden_size": 1024,
                "num_hidden_layers": 24,
                "num_attention_heads": 16,
                "intermediate_size": 4096,
                "max_position_embeddings": 514,
                "type_vocab_size": 1,
                "num_labels": 2,
            },
        },
        {"r": 16, "task_type": "SEQ_CLS", "bias": "lora_only", "modules_to_save": ["classifier"]},
        2_624_514,
        357_986_308,
        id="lora-only-without-biases",
    ),  # transformers 4.36.2, peft 0.7.1
    pytest.param(
        {
            "kind": "tokencls",
            "config": {
                "model_type": "esm",
                "vocab_size": 33,
                "hidden_size": 480,
                "num_hidden_layers": 12,
                "num_attention_heads": 20,
                "intermediate_size": 1920,
                "position_embedding_type": "rotary",
                "token_dropout": True,
                "emb_layer_norm_before": False,
                "max_position_embeddings": 1026,
                "pad_token_id": 1,
                "mask_token_id": 32,
                "num_labels": 2,
            },
        },
        {"r": 2, "task_type": "TOKEN_CLS", "target_modules": ["query", "key", "value"], "bias": "all"},
        133_923,
        33_833_045,
        id="esm-positions",
    ),  # transformers 4.46.3, peft 0.13.2
    pytest.param(
        {
            "kind": "vlm",
            "config": {
                "model_type": "llava",
                "image_token_index": 32000,
                "vision_feature_layer": -2,
                "text_config": {
                    "model_type": "llama",
                    "vocab_size": 32064,
                    "hidden_size": 4096,
                    "intermediate_size": 11008,
                    "num_hidden_layers": 32,
                    "num_attention_heads": 32,
                    "num_key_value_heads": 32,
                    "tie_word_embeddings": False,
                },
                "vision_config": {
                    "model_type": "clip_vision_model",
                    "hidden_size": 1024,
                    "intermediate_size": 4096,
                    "num_hidden_layers": 24,
                    "num_attention_heads": 16,
                    "image_size": 336,
                    "patch_size": 14,
                    "projection_dim": 768,
                    "vocab_size": 32000,
                },
            },
        },
        {"r": 8, "target_modules": "all-linear"},
        23_923_200,
        7_087_350_272,
        id="llava-head",
    ),  # transformers 4.46.3, peft 0.13.2
]


@pytest.mark.parametrize(("model", "lora", "trainable", "total"), PRINTED)
def test_what_an_earlier_release_prints_is_possible(
    reader: ShapeReader, model: dict[str, Any], lora: dict[str, Any], trainable: int, total: int
) -> None:
    record = {
        "model": model,
        "lora": lora,
        "printed": {"trainable": trainable, "all": total, "pct": f"{100 * trainable / total:.4f}"},
    }
    answer = contracts.answer_record(record, answer_claim, reader)
    assert (answer.get("verdict"), answer.get("failing")) == ("possible", []), answer
    record["printed"] = {"trainable": trainable + 2, "all": total + 2}
    assert contracts.answer_record(record, answer_claim, reader)["verdict"] == "impossible"


@pytest.mark.parametrize(
    ("targets", "slope"),
    [
        (["Wqkv", "fc1", "fc2"], 2560 + 7680 + 2 * (2560 + 10240)),  # the code beside the weights
        (["Wqkv", "out_proj"], 2560 + 7680 + 2 * 2560),
        (["query_key_value", "dense"], 2560 + 7680 + 2 * 2560),  # transformers 4.36
        (["q_proj", "k_proj", "v_proj", "dense"], 4 * 2 * 2560),
    ],
)
def test_phis_attention_was_one_matrix(reader: ShapeReader, targets: list[str], slope: int) -> None:
    trainable = 32 * 16 * slope
    record = {
        "model": {"name": "phi-2"},
        "lora": {"r": 16, "target_modules": targets},
        "printed": {"trainable": trainable, "all": 2_779_683_840 + trainable},
    }
    answer = contracts.answer_record(record, answer_claim, reader)
    assert answer["verdict"] == "possible", answer["why"]


ROBERTA_LARGE = {
    "model_type": "roberta", "vocab_size": 50_265, "hidden_size": 1024, "num_hidden_layers": 24,
    "num_attention_heads": 16, "intermediate_size": 4096, "max_position_embeddings": 514,
    "type_vocab_size": 1, "num_labels": 2,
}  # fmt: skip
PHIMOE = {
    "model_type": "phimoe", "vocab_size": 320, "hidden_size": 64, "intermediate_size": 96,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 4,
    "tie_word_embeddings": False, "lm_head_bias": True, "attention_bias": True,
}  # fmt: skip
JAMBA = {
    "model_type": "jamba", "vocab_size": 65_536, "hidden_size": 1024, "intermediate_size": 3584,
    "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 2, "num_experts": 4,
    "attn_layer_period": 8, "attn_layer_offset": 4, "expert_layer_period": 2, "expert_layer_offset": 1,
    "use_mamba_kernels": False, "mamba_d_state": 16, "mamba_expand": 2,
}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "targets", "trainable", "total"),
    [
        (PHIMOE, ["w1", "w2", "w3", "q_proj"], 32_768, 247_616),
        (PHIMOE, "all-linear", 38_976, 253_824),
        (JAMBA, ["gate_proj", "up_proj", "q_proj"], 1_490_944, 405_229_216),
        (JAMBA, "all-linear", 2_995_072, 406_733_344),
    ],
)
def test_other_experts_one_by_one(
    reader: ShapeReader, config: dict[str, Any], targets: Any, trainable: int, total: int
) -> None:
    record = {
        "model": {"kind": "causal", "config": config},
        "lora": {"r": 8, "target_modules": targets},
        "printed": {"trainable": trainable, "all": total},
    }
    assert contracts.answer_record(record, answer_claim, reader)["verdict"] == "possible"


def test_the_first_releases_counted_an_adapted_head_twice(reader: ShapeReader) -> None:
    record = {  # transformers 4.30.2, peft 0.4.0
        "model": {"name": "roberta-large", "kind": "seqcls", "config": ROBERTA_LARGE},
        "lora": {"r": 8, "task_type": "SEQ_CLS", "target_modules": ["query", "value", "dense"]},
        "printed": {"trainable": 5_281_796, "all": 359_591_940, "pct": "1.4688"},
    }
    answer = contracts.answer_record(record, answer_claim, reader)
    assert answer["verdict"] == "possible", answer["why"]


def test_a_saved_head_is_explained_by_the_release_that_adapted_it(reader: ShapeReader) -> None:
    model, lora, trainable, total = PRINTED[3].values
    record = {"model": model, "lora": lora, "printed": {"trainable": trainable, "all": total}}
    why = contracts.answer_record(record, answer_claim, reader)["why"]
    assert "508,674 + 4,096 = 512,770" in why
    assert "14,057,988 + 2 × 4,096 = 14,066,180" in why


@pytest.mark.parametrize(
    ("trainable", "total"), [("133,169,152", "6,872,162,304"), ("133,457,920", "6,871,584,768")]
)
def test_no_release_adapts_a_head_in_one_number_alone(
    reader: ShapeReader, trainable: str, total: str
) -> None:
    """8 x (4096 + 4096) x 32 for q_proj, 131,072,000 for the head, 8 x (4096 + 32,000) inside it."""
    text = (
        "llama-2-7b LoraConfig(r=8, target_modules=['q_proj', 'lm_head'], modules_to_save=['lm_head'])\n"
        f"trainable params: {trainable} || all params: {total}"
    )
    assert answer_claim({"text": text}, reader)["verdict"] == "impossible"
