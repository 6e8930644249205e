"""The count contract: what public code printed, PEFT's own defaults, and never a guess."""

from typing import Any

import pytest

from lora_lab.engine.shape_reader import ShapeReader
from lora_lab.parameters.counts import count_parameters
from lora_lab.parameters.shapes import find_shape
from tests.golden.claims import CLAIMS, Claim
from tests.lora_lab.cli.asking import counted
from tests.lora_lab.families import config_of


@pytest.mark.parametrize("claim", CLAIMS, ids=[claim.id for claim in CLAIMS])
def test_the_numbers_that_public_code_printed_are_counted(reader: ShapeReader, claim: Claim) -> None:
    model = (
        {"model": claim.model}
        if isinstance(claim.model, str)
        else {"config": claim.model, "kind": claim.kind}
    )
    answer = counted(
        reader,
        id=claim.id,
        r=claim.rank,
        targets=list(claim.targets) if isinstance(claim.targets, tuple) else claim.targets,
        variant=claim.variant,
        task_type=claim.task_type,
        modules_to_save=None,
        bias="none",
        **model,
    )
    expected = {"id": claim.id, "trainable": claim.trainable, "total": claim.total}
    assert answer == expected | {"percent": pytest.approx(100 * claim.trainable / claim.total)}, claim.source


def test_absent_fields_take_pefts_defaults(reader: ShapeReader) -> None:
    shape = find_shape("llama-7b")
    eight = count_parameters(shape, rank=8, targets=["q_proj", "v_proj"])
    answer = counted(reader, model="llama-7b")
    assert (answer["trainable"], answer["total"]) == (eight.trainable, eight.total)


def test_the_model_can_be_named_by_its_hub_id(reader: ShapeReader) -> None:
    by_id = counted(reader, model="HuggingFaceTB/SmolLM2-135M-Instruct", targets="all-linear")
    assert (by_id["trainable"], by_id["total"]) == (2_442_240, 136_957_248)


def test_rank_stabilized_lora_trains_as_many(reader: ShapeReader) -> None:
    assert counted(reader, model="gpt2", variant="rslora") == counted(reader, model="gpt2")


def test_names_of_another_family_adapt_what_they_match_as_in_peft(reader: ShapeReader) -> None:
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    llama_names = counted(reader, config=config_of("phi3"), targets=names, r=4)
    assert llama_names == counted(reader, config=config_of("phi3"), targets=["o_proj", "down_proj"], r=4)
    assert llama_names["trainable"] > 0


def test_names_that_match_nothing_at_all_list_what_there_is(reader: ShapeReader) -> None:
    error = counted(reader, model="gpt2", targets=["q_proj", "v_proj"])["error"]
    assert "No module of this model is named q_proj, v_proj. It has: c_attn, c_fc, c_proj." in error


@pytest.mark.parametrize(
    ("record", "trainable", "total"),
    [
        ({"model": "roberta-base", "task_type": "SEQ_CLS", "targets": ["query", "value"]},
         887_042, 125_534_212),
        ({"model": "llama-3.2-3b", "r": 32, "variant": "dora"}, 9_289_728, 3_222_039_552),
        ({"model": "llama-3.2-3b", "variant": "vera"}, 129_024, 3_212_878_848),
        ({"model": "llama-3.2-3b", "r": 64, "variant": "adalora"}, 18_353_664, 3_231_103_544),
        ({"model": "llama-3.2-3b", "init_r": 64, "variant": "adalora"}, 18_353_664, 3_231_103_544),
        ({"model": "llama-3.2-3b", "variant": "ia3"}, 286_720, 3_213_036_544),
        ({"model": "llama-7b", "modules_to_save": ["lm_head"]}, 135_266_304, 6_873_681_920),
        ({"model": "gpt2", "bias": "lora_only"}, 322_560, 124_734_720),
        ({"model": "gpt2", "bias": "all"}, 397_056, 124_734_720),
        ({"model": "llama-7b", "targets": ["q_proj", "lm_head"]}, 2_385_920 , 6_740_801_536),
        ({"model": "llama-7b", "targets": r".*layers\.(0|1)\..*(q|v)_proj"}, 262_144, 6_738_677_760),
        ({"model": "mixtral-8x7b", "targets": ["q_proj", "v_proj"]}, 3_407_872, 46_706_200_576),
    ],
)  # fmt: skip
def test_variants_heads_biases_and_patterns_are_counted(
    reader: ShapeReader, record: dict[str, Any], trainable: int, total: int
) -> None:
    answer = counted(reader, **record)
    assert (answer.get("trainable"), answer.get("total")) == (trainable, total), answer


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"variant": "lokr"}, "variant must be one of lora, rslora"),
        ({"bias": "some"}, "bias must be one of none, all, lora_only"),
        ({"task_type": "CLM"}, "task_type must be one of CAUSAL_LM"),
        ({"modules_to_save": "lm_head"}, "modules_to_save must be a list"),
        ({"modules_to_save": [7]}, "modules_to_save must be a list"),
        ({"variant": "ia3", "bias": "all"}, "IA3 has no bias setting"),
        ({"variant": ["lora"]}, "variant must be one of"),
    ],
)
def test_a_field_that_peft_does_not_take_is_named(
    reader: ShapeReader, record: dict[str, Any], said: str
) -> None:
    assert said in counted(reader, **{"model": "llama-7b"} | record)["error"]


def test_what_is_not_counted_says_why_instead_of_guessing(reader: ShapeReader) -> None:
    answer = counted(
        reader, id=1, config=config_of("whisper"), kind="asr", targets=["conv1"], variant="adalora"
    )
    assert (answer.pop("id"), answer.pop("unsupported")) == (1, True)
    assert "conv1 is not counted" in answer.pop("why")
    assert answer == {}
