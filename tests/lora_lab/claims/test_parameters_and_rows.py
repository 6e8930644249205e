"""Pasted settings that train parameters, rows of tokens, or some layers of a list: the Claims page's own."""

import json
from typing import Any

import pytest

from lora_lab.claims.contract import answer_claim
from lora_lab.claims.pasted import record_of_text
from lora_lab.claims.service import ClaimService
from lora_lab.cli import contracts
from lora_lab.engine.shape_reader import ShapeReader
from lora_lab.pages.claims import ClaimsPage
from lora_lab.parameters.adapter_config import UnsupportedCase
from study.base.errors import LearnerError
from tests.visits import opened, words

EXPERTS = [f"{layer}.mlp.experts.{name}_proj" for layer in (7, 15, 23) for name in ("gate_up", "down")]
LINE = "trainable params: 15,040,512 || all params: 20,929,797,696 || trainable%: 0.0719"
RECIPE: dict[str, Any] = {
    "peft_type": "LORA", "r": 8, "target_modules": "all-linear", "target_parameters": EXPERTS,
    "trainable_token_indices": None, "layers_pattern": None, "lora_dropout": 0.0,
}  # fmt: skip
"""The setting of OpenAI's cookbook for gpt-oss; tests/lora_lab/parameters asks PEFT for its line."""


def pasted(line: str = LINE, **changed: Any) -> str:
    return f"openai/gpt-oss-20b\n{json.dumps(RECIPE | changed)}\n{line}"


def judged(reader: ShapeReader, text: str) -> dict[str, Any]:
    return contracts.answer_record({"text": text}, answer_claim, reader)


def test_a_pasted_setting_of_gpt_oss_is_judged_and_worked_out(reader: ShapeReader) -> None:
    answer = judged(reader, pasted())
    assert (answer["verdict"], answer["failing"]) == ("possible", [])
    assert answer["arithmetic"][4:7] == [
        "mlp.experts.gate_up_proj: 3 × 8 × 32 experts × (2,880 + 5,760) = 6,635,520",
        "mlp.experts.down_proj: 3 × 8 × 32 experts × (2,880 + 2,880) = 4,423,680",
        "trainable: 1,339,392 + 651,264 + 651,264 + 1,339,392 + 6,635,520 + 4,423,680 = 15,040,512",
    ]
    assert judged(reader, pasted(target_parameters=EXPERTS[:4]))["verdict"] == "impossible"
    assert judged(reader, pasted(trainable_token_indices=[0]))["failing"] == ["trainable", "all"]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"lora_dropout": 0.05}, "can't be applied: PEFT has no lora_dropout for the parameter"),
        ({"use_dora": True}, "can't be applied: PEFT has no DoRA for the parameter"),
        ({"target_modules": [], "target_parameters": ["experts.w1"]}, "No parameter of this model is named"),
    ],
)
def test_a_setting_that_peft_refuses_can_not_be_applied(
    reader: ShapeReader, changed: dict[str, Any], why: str
) -> None:
    answer = judged(reader, pasted(**changed))
    assert (answer["verdict"], answer["failing"]) == ("impossible", ["config"])
    assert why in answer["why"]


def test_an_open_rank_or_open_targets_are_solved_beside_the_parameters(reader: ShapeReader) -> None:
    attention = ["k_proj", "o_proj", "q_proj", "v_proj"]
    code = f"openai/gpt-oss-20b LoraConfig(r=rank, target_modules={attention}, target_parameters={EXPERTS})\n"
    rank_open = judged(reader, code + LINE)
    assert rank_open["explanations"] == [{"r": 8, "target_modules": attention}]
    targets_open = judged(reader, (code + LINE).replace(str(attention), "names").replace("=rank", "=8"))
    assert targets_open["explanations"] == [{"r": 8, "target_modules": attention}]
    assert (rank_open["verdict"], targets_open["verdict"]) == ("underdetermined", "underdetermined")


def test_no_layers_are_among_the_targets(reader: ShapeReader) -> None:
    line = "trainable params: 11,059,200 || all params: 20,925,816,384 || trainable%: 0.0528"
    assert judged(reader, pasted(line, target_modules=[]))["verdict"] == "possible"
    assert judged(reader, pasted(line, target_modules=None))["verdict"] == "possible", "PEFT has no default"
    code = f"openai/gpt-oss-20b LoraConfig(r=rank, target_modules=[], target_parameters={EXPERTS})\n"
    answer = judged(reader, code + line)
    assert "for example r = 8 on the stated parameters:" in answer["why"]
    other = judged(reader, code + line.replace("11,059,200", "11,059,201"))
    assert "No rank up to 512 on 7.mlp.experts.gate_up_proj, " in other["why"]


def test_the_search_names_what_is_adapted_where_no_targets_are_stated(reader: ShapeReader) -> None:
    def said(model: str) -> str:
        code = "LoraConfig(r=rank, target_parameters=['mlp.experts.gate_up_proj'])"
        why: str = judged(reader, f"{model} {code}\ntrainable params: 1,000,001")["why"]
        return why

    assert "No rank up to 512 on mlp.experts.gate_up_proj gives" in said("Qwen/Qwen3-30B-A3B")
    assert "No rank up to 512 on mlp.experts.gate_up_proj gives" in said("mistralai/Mixtral-8x7B-v0.1")
    assert "No rank up to 512 on PEFT's default targets gives" in said("huggyllama/llama-7b")


def test_a_line_of_full_fine_tuning_is_named_as_such(reader: ShapeReader) -> None:
    line = "trainable params: 1,720,574,976 || all params: 1,720,574,976 || trainable%: 100.0000"
    answer = judged(reader, f"Qwen/Qwen3-1.7B\nFine-tuning method: Full\n{line}")
    assert answer["verdict"] == "impossible"
    assert "gives 1,720,574,976 trainable parameters; the base has as many, and full" in answer["why"]


def test_rows_of_tokens_are_not_taken_for_another_rank(reader: ShapeReader) -> None:
    text = (
        "huggyllama/llama-7b LoraConfig(r=8, target_modules=['q_proj', 'v_proj'], "
        "trainable_token_indices={tokens})\ntrainable params: 4,202,496 || all params: 6,742,618,112"
    )
    right = judged(reader, text.replace("{tokens}", "[1, 2]"))
    assert right["verdict"] == "possible"
    assert "model.embed_tokens, rows of tokens: 2 × 4,096 = 8,192" in right["arithmetic"]
    wrong = judged(reader, text.replace("{tokens}", "{'embed_tokens': [1]}"))
    assert wrong["verdict"] == "impossible"
    assert "4,198,400 parameters, not 4,202,496." in wrong["why"]
    opened_up = judged(reader, text.replace("{tokens}", "[1, 2]").replace("r=8", "r=rank"))
    assert opened_up["explanations"] == [{"r": 8, "target_modules": ["q_proj", "v_proj"]}]


@pytest.mark.parametrize(
    ("code", "read"),
    [
        ("LoraConfig(r=8, trainable_token_indices={'embed_tokens': list(range(3))})",
         {"trainable_token_indices": {"embed_tokens": [0, 1, 2]}}),
        ("LoraConfig(r=8, layers_to_transform=[0], layers_pattern='layers')",
         {"layers_to_transform": [0], "layers_pattern": "layers"}),
        ("names = ['experts.down_proj']\nLoraConfig(r=8, target_parameters=names, lora_dropout=p)",
         {"target_parameters": ["experts.down_proj"], "lora_dropout": None}),
        ("LoraConfig(r=8, lora_dropout=0.05)", {}),  # changes nothing without parameters
        ("lora_r: 8\nlora_target_parameters:\n  - mlp.experts.gate_up_proj\n",
         {"target_parameters": ["mlp.experts.gate_up_proj"]}),
    ],
)  # fmt: skip
def test_they_are_read_in_code_and_in_yaml(code: str, read: dict[str, Any]) -> None:
    lora = record_of_text(f"huggyllama/llama-7b\n{code}\n{LINE}")["lora"]
    beside = ("target_parameters", "trainable_token_indices", "layers_to_transform", "layers_pattern",
              "lora_dropout")  # fmt: skip
    assert {name: lora[name] for name in beside if name in lora} == read


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("LoraConfig(r=8, trainable_token_indices={'embed_tokens': ids})", "and ids can't be read"),
        ("LoraConfig(r=8, target_parameters=experts)", "and experts can't be read"),
        ("lora_r: 8\npeft_trainable_token_indices: [0, 1]", "peft_trainable_token_indices changes what is"),
    ],
)
def test_what_can_not_be_read_is_not_left_out(code: str, said: str) -> None:
    with pytest.raises(UnsupportedCase, match=said):
        record_of_text(f"huggyllama/llama-7b\n{code}\n{LINE}")


def test_the_page_names_parameters_rows_and_layers(reader: ShapeReader) -> None:
    page = ClaimsPage(ClaimService(reader))

    def shown(text: str) -> str:
        return words(page.act({"act": "text", "fields": {"text": [text]}}, opened("ana"))["parts"]["verdict"])

    assert "Targets all-linear Parameters 7.mlp.experts.gate_up_proj, 7.mlp.experts.down_proj," in shown(
        pasted()
    )
    assert "3 × 8 × 32 experts × (2,880 + 5,760) = 6,635,520" in shown(pasted())
    assert "Targets no layers Parameters" in shown(pasted(target_modules=[]))
    assert "Targets no layers Parameters" in shown(pasted(target_modules=None))
    of_rows = shown(pasted(target_modules=["q_proj"], trainable_token_indices=[1, 2]))
    assert "Rows of tokens 2 of the input embedding" in of_rows
    by_name = shown(pasted(target_modules=["q_proj"], trainable_token_indices={"lm_head": [1]}))
    assert "Rows of tokens 1 of lm_head" in by_name
    layers: dict[str, Any] = {
        "target_modules": ["q_proj"],
        "layers_to_transform": [0, 1],
        "layers_pattern": ["h", "layers"],
    }
    assert "In layers 0, 1 of h or layers" in shown(pasted(**layers))
    rank_open = f"openai/gpt-oss-20b LoraConfig(r=rank, target_modules=[], target_parameters={EXPERTS})\n"
    assert "r = 8 on the stated parameters" in shown(f"{rank_open}trainable params: 11,059,200")


def test_the_page_says_whether_layers_are_adapted_where_no_targets_are_stated(reader: ShapeReader) -> None:
    page = ClaimsPage(ClaimService(reader))

    def shown(model: str, trainable: int) -> str:
        code = "LoraConfig(r=8, target_parameters=['mlp.experts.gate_up_proj'])"
        text = f"{model} {code}\ntrainable params: {trainable:,}"
        return words(page.act({"act": "text", "fields": {"text": [text]}}, opened("ana"))["parts"]["verdict"])

    mixtral = "mistralai/Mixtral-8x7B-v0.1"
    on_experts = 32 * 8 * 8 * (4096 + 2 * 14336)
    on_layers = 32 * 8 * ((4096 + 4096) + (4096 + 1024))
    assert "Targets no layers Parameters" in shown(mixtral, on_experts)
    # Before release 5 there was no such parameter, and PEFT's default stayed.
    assert "Targets PEFT's default Parameters" in shown(mixtral, on_layers)
    assert "Targets no layers Parameters" in shown("Qwen/Qwen3-30B-A3B", 1_000_001)
    assert "Targets PEFT's default Parameters" in shown("huggyllama/llama-7b", 4_194_304)


def test_a_name_that_means_no_parameter_is_told_beside_the_count(reader: ShapeReader) -> None:
    answer = judged(reader, pasted(target_parameters=["mlp.expert.gate_up_proj"]))
    assert (
        "mlp.expert.gate_up_proj: no parameter has this name, and PEFT passes over it" in answer["arithmetic"]
    )


def test_names_of_fused_experts_are_looked_for_in_the_model_that_has_them(reader: ShapeReader) -> None:
    fields = "r=8, target_modules=['q_proj'], target_parameters=['experts.down_proj']"
    answer = judged(reader, f"Qwen/Qwen3-30B-A3B LoraConfig({fields})\ntrainable params: 1,000,000")
    assert answer["verdict"] == "impossible"
    assert "mlp.experts.down_proj: 48 × 8 × 128 experts × (2,048 + 768) = 138,412,032" in answer["arithmetic"]


def test_what_the_page_can_not_judge_is_told_in_words(reader: ShapeReader) -> None:
    with pytest.raises(LearnerError, match=r"This can't be judged: whether .* has a parameter sinks"):
        ClaimService(reader).check_text(pasted(target_parameters=["self_attn.sinks"]))
