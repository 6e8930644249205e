"""Claims about models whose head matters: built first, packed in 4 bit or not, or adapted."""

from typing import Any

import pytest

from lora_lab.claims.contract import answer_claim
from lora_lab.cli import contracts
from lora_lab.engine.shape_reader import ShapeReader
from lora_lab.parameters.catalogue import read_entries


def judged(reader: ShapeReader, record: dict[str, Any]) -> dict[str, Any]:
    return contracts.answer_record(record, answer_claim, reader)


# ---- 4-bit bases


XLM_R = {
    "model_type": "xlm-roberta", "vocab_size": 250_002, "hidden_size": 768, "num_hidden_layers": 12,
    "num_attention_heads": 12, "intermediate_size": 3072, "max_position_embeddings": 514,
    "type_vocab_size": 1, "num_labels": 9,
}  # fmt: skip
XLM_R_PACKED = 12 * (4 * 768 * 768 + 2 * 768 * 3072)  # the encoder's matrices
DISTILBERT_PACKED = 6 * (4 * 768 * 768 + 2 * 768 * 3072)
DISTILBERT_HEAD = 768 * 768 + 768 + 2 * 768 + 2


@pytest.mark.parametrize("packed_head", [0, 9 * 768])
def test_a_head_built_before_its_encoder_stays_in_16_bit_or_is_packed_too(
    reader: ShapeReader, packed_head: int
) -> None:
    adapters, head, base = 12 * 2 * 16 * 2 * 768, 9 * 768 + 9, 277_459_977
    total = base + adapters + head - (XLM_R_PACKED + packed_head) // 2
    record = {
        "model": {"kind": "tokencls", "config": XLM_R},
        "lora": {"r": 16, "target_modules": ["query", "value"], "task_type": "TOKEN_CLS"},
        "quantisation": "4bit",
        "printed": {
            "trainable": adapters + head,
            "all": total,
            "pct": f"{100 * (adapters + head) / total:.4f}",
        },
    }
    if not packed_head:
        assert (adapters + head, total) == (596_745, 235_589_394)  # a printed line
    assert judged(reader, record)["verdict"] == "possible"


@pytest.mark.parametrize(
    ("packed", "verdict"),
    [
        (DISTILBERT_PACKED + 768 * 768, "possible"),  # all but the classifier
        (DISTILBERT_PACKED + 768 * 768 + 2 * 768, "possible"),  # transformers names its dropout, or a bias
        (DISTILBERT_PACKED // 2, "impossible"),
    ],
)
def test_a_dropout_behind_the_head_is_not_taken_for_it(
    reader: ShapeReader, packed: int, verdict: str
) -> None:
    config = {**next(each.config for each in read_entries() if each.name == "distilbert-base")}
    adapters, base = 6 * 2 * 8 * 2 * 768, 66_362_880 + DISTILBERT_HEAD
    trainable, total = adapters + DISTILBERT_HEAD, base + adapters + DISTILBERT_HEAD - packed // 2
    record = {
        "model": {"kind": "seqcls", "config": config},
        "lora": {"r": 8, "target_modules": ["q_lin", "v_lin"], "task_type": "SEQ_CLS"},
        "quantisation": "4bit",
        "printed": {"trainable": trainable, "all": total},
    }
    answer = judged(reader, record)
    assert answer["expected"]["total"] == base + adapters + DISTILBERT_HEAD
    assert answer["verdict"] == verdict


# ---- open targets

LLAMA = ["down_proj", "gate_proj", "k_proj", "lm_head", "o_proj", "q_proj", "up_proj", "v_proj"]
MISTRAL = {
    "model_type": "mistral", "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32,
    "num_hidden_layers": 32, "num_key_value_heads": 8, "vocab_size": 32000, "tie_word_embeddings": False,
}  # fmt: skip
# a layer: q and o 2 x (4096 + 4096), k and v 2 x (4096 + 1024), gate, up and down 3 x (4096 + 14336)
MISTRAL_SLOPE = 32 * (2 * 8192 + 2 * 5120 + 3 * 18432)


@pytest.mark.parametrize(
    ("trainable", "total", "verdict", "targets"),
    [
        # a public QLoRA notebook: all of it and the head, r = 32
        (32 * (MISTRAL_SLOPE + 4096 + 32000), 3_837_112_320, "underdetermined", LLAMA),
        (32 * MISTRAL_SLOPE, 3_835_957_248, "underdetermined", [name for name in LLAMA if name != "lm_head"]),
        (32 * (MISTRAL_SLOPE + 4096 + 32000) + 2, 3_837_112_322, "impossible", None),
    ],
)
def test_the_head_is_among_open_targets_where_nothing_else_gives_the_line(
    reader: ShapeReader, trainable: int, total: int, verdict: str, targets: list[str] | None
) -> None:
    record = {
        "model": {"kind": "causal", "config": MISTRAL},
        "lora": {"r": 32, "target_modules": "unknown"},
        "quantisation": "4bit",
        "printed": {"trainable": trainable, "all": total},
    }
    answer = judged(reader, record)
    assert answer["verdict"] == verdict, answer["why"]
    assert [each["target_modules"] for each in answer.get("explanations", ())][:1] == (
        [targets] if targets else []
    )


def test_without_a_task_a_classifiers_head_may_be_adapted(reader: ShapeReader) -> None:
    config = {
        "model_type": "llama", "hidden_size": 48, "intermediate_size": 80, "num_attention_heads": 4,
        "num_hidden_layers": 3, "num_key_value_heads": 4, "vocab_size": 320, "pad_token_id": 0,
        "num_labels": 5,
    }  # fmt: skip
    record = {
        "model": {"kind": "seqcls", "config": config},
        "lora": {"r": "unknown", "target_modules": "unknown", "task_type": None},
        "printed": {"trainable": 7 * (48 + 5)},  # no other layer has an odd number of rows and columns
    }
    assert judged(reader, record)["explanations"] == [{"r": 7, "target_modules": ["score"]}]
