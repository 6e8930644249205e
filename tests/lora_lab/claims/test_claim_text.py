"""Pasted tutorials: code in many styles, printed lines of many tools, and what stays open."""

import re
from typing import Any

import pytest
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

from lora_lab.claims.contract import answer_claim
from lora_lab.claims.pasted import find_quantization, record_of_text
from lora_lab.claims.snippets import CALLS
from lora_lab.cli import contracts
from lora_lab.engine.shape_reader import ShapeReader
from lora_lab.parameters.adapter_config import UnsupportedCase

LLAMA = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LINE = "trainable params: 4,194,304 || all params: 6,742,609,920 || trainable%: 0.0622"


def lora_of(code: str) -> dict[str, Any]:
    lora: dict[str, Any] = record_of_text(f"huggyllama/llama-7b\n{code}\n{LINE}")["lora"]
    return {name: value for name, value in lora.items() if value not in (None, "none")}


@pytest.mark.parametrize(
    ("code", "read"),
    [
        ('LoraConfig(r=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")',
         {"r": 8, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM", "variant": "lora"}),
        ("LoraConfig(\n    task_type=TaskType.CAUSAL_LM, r=16,  # rank\n"
         "    target_modules=[\n        'q_proj',  # a\n"
         "        'v_proj',\n    ],\n)",
         {"r": 16, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM", "variant": "lora"}),
        ("LORA_R = 4\nTARGETS = ['q_proj',\n 'k_proj']\n"
         "config = LoraConfig(r=LORA_R, target_modules=TARGETS)",
         {"r": 4, "target_modules": ["q_proj", "k_proj"], "variant": "lora"}),
        ("lora_r: int = 4\nLoraConfig(r=lora_r, lora_alpha=lora_r * 2)", {"r": 4, "variant": "lora"}),
        ("LoraConfig(r=args.rank, target_modules=args.targets)",
         {"r": "unknown", "target_modules": "unknown", "variant": "lora"}),
        ("args.rank = 4\nLoraConfig(r=args.rank)", {"r": 4, "variant": "lora"}),
        ("python train.py --lora_r 32\nLoraConfig(r=args.lora_r)", {"r": 32, "variant": "lora"}),
        ("LoraConfig(lora_alpha=16)", {"variant": "lora"}),
        ('LoraConfig(r=8, target_modules="all-linear", use_dora=True)',
         {"r": 8, "target_modules": "all-linear", "variant": "dora"}),
        ("LoraConfig(r=8, use_rslora=True, modules_to_save=['lm_head'], bias='lora_only')",
         {"r": 8, "variant": "rslora", "modules_to_save": ["lm_head"], "bias": "lora_only"}),
        ("modules = find_all_linear_names(model)\nLoraConfig(r=64, target_modules=modules)",
         {"r": 64, "target_modules": "all-linear", "variant": "lora"}),
        (">>> config = LoraConfig(\n...     r=8,\n...     target_modules=['q_proj'],\n... )",
         {"r": 8, "target_modules": ["q_proj"], "variant": "lora"}),
        ("LoraConfig(r=8, target_modules=[“q_proj”, “v_proj”])",
         {"r": 8, "target_modules": ["q_proj", "v_proj"], "variant": "lora"}),
        ("IA3Config(target_modules=['k_proj'], feedforward_modules=[])",
         {"target_modules": ["k_proj"], "feedforward_modules": [], "variant": "ia3"}),
        ("AdaLoraConfig(init_r=12, target_r=8)", {"r": 12, "variant": "adalora"}),
        ("VeraConfig(r=256)", {"r": 256, "variant": "vera"}),
        ("model = FastLanguageModel.get_peft_model(model, r = 16, target_modules = ['q_proj',],)",
         {"r": 16, "target_modules": ["q_proj"], "variant": "lora"}),
        ('lora_r: int = 4,\nlora_alpha: int = 16,\nlora_target_modules: List[str] = [\n    "q_proj",\n'
         '    "v_proj",\n],', {"r": 4, "target_modules": ["q_proj", "v_proj"], "variant": "lora"}),
        ("lora_r: 32\nlora_target_modules:\n  - q_proj\n  - v_proj\n",
         {"r": 32, "target_modules": ["q_proj", "v_proj"], "variant": "lora"}),
        ("lora_r: 32\nlora_target_linear: true\n",
         {"r": 32, "target_modules": "all-linear", "variant": "lora"}),
        ("train --lora_rank 8 --lora_target q_proj,v_proj",
         {"r": 8, "target_modules": ["q_proj", "v_proj"], "variant": "lora"}),
        ("train --lora_r 8 --lora_target_modules q_proj v_proj --bf16",
         {"r": 8, "target_modules": ["q_proj", "v_proj"], "variant": "lora"}),
        ("train --lora_target_modules 'q_proj' 'v_proj' \\\n  --lora_modules_to_save embed_tokens lm_head",
         {"r": "unknown", "target_modules": ["q_proj", "v_proj"],
          "modules_to_save": ["embed_tokens", "lm_head"], "variant": "lora"}),
        ("We ran --lora_r 8 --lora_target all on one GPU.",
         {"r": 8, "target_modules": "all-linear", "variant": "lora"}),
        ("train --lora-rank=8 --lora_target all",
         {"r": 8, "target_modules": "all-linear", "variant": "lora"}),
        ('{"peft_type": "LORA", "r": 16, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}',
         {"r": 16, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM", "variant": "lora"}),
        ('{"base_model_name_or_path": "gpt2", "bias": "all", "modules_to_save": ["lm_head"], "r": 16,'
         ' "peft_type": "LORA", "rank_pattern": {}, "exclude_modules": null, "target_modules": ["q_proj"]}',
         {"r": 16, "target_modules": ["q_proj"], "modules_to_save": ["lm_head"], "bias": "all",
          "variant": "lora"}),
        ('{"peft_type": "IA3", "target_modules": ["k_proj"], "feedforward_modules": []}',
         {"target_modules": ["k_proj"], "feedforward_modules": [], "variant": "ia3"}),
        ("lora_r: 8\nlora_target_modules:\n  - q_proj\n"
         "lora_modules_to_save:\n  - embed_tokens\n  - lm_head\n",
         {"r": 8, "target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"],
          "variant": "lora"}),
        ("lora_rank: 8\nlora_target: q_proj\nadditional_target: embed_tokens,lm_head\nmodules_to_save: null",
         {"r": 8, "target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"],
          "variant": "lora"}),
        ("lora_r: 8\nbias: lora_only\nlora_modules_to_save:\nlora_target_modules: [q_proj]",
         {"r": 8, "target_modules": ["q_proj"], "bias": "lora_only", "variant": "lora"}),
        ("cfg = {'r': 16, 'target_modules': ['q_proj'], 'use_dora': True}\nLoraConfig(**cfg)",
         {"r": 16, "target_modules": ["q_proj"], "variant": "dora"}),
        ("RANK = 4\ncfg = dict(\n    r=RANK,  # rank\n    lora_alpha=8,\n)\n"
         "LoraConfig(**cfg, target_modules=['q_proj'])",
         {"r": 4, "target_modules": ["q_proj"], "variant": "lora"}),
        ("LoraConfig(r=2**3, target_modules=['q_proj'] + ['v_proj'])",
         {"r": 8, "target_modules": ["q_proj", "v_proj"], "variant": "lora"}),
        ("LoraConfig(r=2 * 8, target_modules='q_proj, v_proj'.split(','))",
         {"r": 16, "target_modules": ["q_proj", "v_proj"], "variant": "lora"}),
        ("LoraConfig(r=2**999, target_modules=names.split(','))",
         {"r": "unknown", "target_modules": "unknown", "variant": "lora"}),
        ('p.add_argument("--lora_r", type=int, default=8)\nLoraConfig(r=args.lora_r)',
         {"r": 8, "variant": "lora"}),
        ("r=8, lora_alpha=16, target_modules=q_proj|v_proj.",
         {"r": 8, "target_modules": ["q_proj", "v_proj"], "variant": "lora"}),
        ("LoraConfig(**{'r': 2})", {"r": 2, "variant": "lora"}),
        ("LoraConfig(**load('lora.json'))", {"r": "unknown", "target_modules": "unknown", "variant": "lora"}),
        ("LoraConfig(r=8, **common)", {"r": 8, "target_modules": "unknown", "variant": "lora"}),
        ("LoraConfig(peft_type=<PeftType.LORA: 'LORA'>, r=8, target_modules={'q_proj'}, rank_pattern={})",
         {"r": 8, "target_modules": ["q_proj"], "variant": "lora"}),
        ("LoraConfig(r=8, target_modules=['q_proj'], layers_to_transform=list(range(4)))",
         {"r": 8, "target_modules": ["q_proj"], "layers_to_transform": [0, 1, 2, 3], "variant": "lora"}),
        ("LoraConfig(r=8, rank_pattern={'q_proj': 16}, exclude_modules=['v_proj'], layers_to_transform=0)",
         {"r": 8, "rank_pattern": {"q_proj": 16}, "exclude_modules": ["v_proj"], "layers_to_transform": 0,
          "variant": "lora"}),
        ("FastLanguageModel.get_peft_model(model)",
         {"r": 16, "target_modules": LLAMA, "variant": "lora"}),
        ("FastLanguageModel.get_peft_model(model, r = 8)",
         {"r": 8, "target_modules": LLAMA, "variant": "lora"}),
        ("FastVisionModel.get_peft_model(model, target_modules = 'all-linear')",
         {"r": 16, "target_modules": "unknown", "variant": "lora"}),
        ("FastModel.get_peft_model(model, r = 8, target_modules = ['q_proj'])",
         {"r": 8, "target_modules": ["q_proj"], "variant": "lora"}),
        ("For rank 8 and target_modules q_proj, v_proj we got:",
         {"r": 8, "target_modules": ["q_proj", "v_proj"], "variant": "lora"}),
        ("We took rank 16 and the usual matrices.",
         {"r": 16, "target_modules": "unknown", "variant": "lora"}),
        ("rank 8, target_modules: q_proj, v_proj.",
         {"r": 8, "target_modules": ["q_proj", "v_proj"], "variant": "lora"}),
        ("With rank 16 on all linear layers", {"r": 16, "target_modules": "all-linear", "variant": "lora"}),
        ("Nothing is said.", {"r": "unknown", "target_modules": "unknown", "variant": "lora"}),
    ],
)  # fmt: skip
def test_configurations_in_many_styles_are_read(code: str, read: dict[str, Any]) -> None:
    assert lora_of(code) == read


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "LoraConfig(r=8, layers_to_transform=chosen)",
            "layers_to_transform changes what is trained, and chosen",
        ),
        ("LoraConfig(r=8, layers_to_transform=[n - 1])", "and n - 1 can't be read"),
        ("LoraConfig(r=8, rank_pattern={'q_proj': big})", "and big can't be read"),
        (
            "lora_r: 8\npeft_layers_to_transform: [0, 1]",
            "peft_layers_to_transform changes what is trained, and 0, 1",
        ),
        ("lora_r: 8\nexclude_modules:\n  - v_proj", "exclude_modules changes what is trained, and v_proj"),
    ],
)
def test_a_narrowing_that_can_not_be_read_is_not_left_out(code: str, said: str) -> None:
    with pytest.raises(UnsupportedCase, match=re.escape(said)):
        lora_of(code)


FACTORY = "model_name_or_path: Qwen/Qwen2.5-VL-7B-Instruct\nlora_rank: 8\nlora_target: "
FACTORY_LINE = "trainable params: 20,185,088 || all params: 8,312,351,744 || trainable%: 0.2428"


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (f"{FACTORY}all\n{FACTORY_LINE}", "possible"),  # a public log of LLaMA-Factory
        (f"{FACTORY}q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj\n{FACTORY_LINE}", "possible"),
        (f"{FACTORY}all\nfreeze_vision_tower: false\n{FACTORY_LINE}", "impossible"),
        (f"Qwen/Qwen2.5-VL-7B-Instruct LoraConfig(r=8, target_modules='all-linear')\n{FACTORY_LINE}",
         "impossible"),
    ],
)  # fmt: skip
def test_llama_factory_leaves_a_vision_tower_alone(reader: ShapeReader, text: str, verdict: str) -> None:
    assert contracts.answer_record({"text": text}, answer_claim, reader)["verdict"] == verdict


def test_unsloths_own_choice_of_modules_beside_a_vision_tower_is_not_guessed() -> None:
    text = f"unsloth/gemma-3-4b-it\nFastVisionModel.get_peft_model(model, r = 16)\n{LINE}"
    with pytest.raises(UnsupportedCase, match="which modules unsloth adapts"):
        record_of_text(text)


def test_an_unknown_kind_of_adapter_is_not_taken_for_lora(reader: ShapeReader) -> None:
    text = f'gpt2 {{"peft_type": "LOKR", "r": 8, "target_modules": ["c_attn"]}}\n{LINE}'
    answer = contracts.answer_record({"text": text}, answer_claim, reader)
    assert answer == {"unsupported": True, "why": "lokr is a kind of adapter that is not counted"}


def test_every_method_of_peft_is_known_by_its_class() -> None:
    classes = {each.__name__ for each in PEFT_TYPE_TO_CONFIG_MAPPING.values()}
    assert {name for name in classes if not CALLS.match(f"{name}(")} == set()


@pytest.mark.parametrize(
    ("code", "variant"),
    [
        # LINE is what r = 8 on q_proj and v_proj prints as LoRA; as LoHa the same fields train twice as many
        ("LoHaConfig(r=8, target_modules=['q_proj', 'v_proj'])", "LoHa"),
        ("PrefixTuningConfig(task_type=TaskType.SEQ_2_SEQ_LM, num_virtual_tokens=20)", "PrefixTuning"),
        ("LoraConfig(r=8)\nBOFTConfig(target_modules=['q_proj', 'v_proj'])", "BOFT"),
        ("peft_type: OFT\nr: 8\ntarget_modules: [q_proj, v_proj]", "oft"),
    ],
)
def test_a_line_of_another_method_is_not_judged_as_lora(reader: ShapeReader, code: str, variant: str) -> None:
    answer = contracts.answer_record({"text": f"huggyllama/llama-7b\n{code}\n{LINE}"}, answer_claim, reader)
    assert answer == {"unsupported": True, "why": f"{variant} is a kind of adapter that is not counted"}


CLASSIFIER = "AutoModelForSequenceClassification.from_pretrained('roberta-base', "
# r = 8 on query and value: 294,912; the head of n labels: 768 x 768 + 768 + (768 + 1) x n = 590,592 + 769 n
FOUR_LABELS = (
    "LoraConfig(task_type='SEQ_CLS', r=8, target_modules=['query', 'value'])\n"
    "trainable params: 888,580 || all params: 125,537,288 || trainable%: 0.7078"
)


@pytest.mark.parametrize(
    "said",
    [
        "prompt tuning with 20 virtual tokens",
        "We used prefix-tuning.",
        "BitFit trains the biases alone.",
        "with LoHa of rank 8",
        "OFT, an exploration",
    ],
)
def test_another_method_in_a_sentence_is_not_judged_as_lora(said: str) -> None:
    line = "trainable params: 81,920 || all params: 6,738,497,536 || trainable%: 0.0012"
    with pytest.raises(UnsupportedCase, match="the text is about"):
        record_of_text(f"huggyllama/llama-7b {said}\n{line}")
    assert record_of_text(f"huggyllama/llama-7b LoRA, better than {said}\n{line}")["lora"]["r"] in (
        8,
        "unknown",
    )


@pytest.mark.parametrize(
    ("labels", "verdict"),
    [
        (f"NUM = 4\n{CLASSIFIER}num_labels=NUM)", "possible"),
        (f"id2label = {{0: 'a', 1: 'b', 2: 'c', 3: 'd'}}\n{CLASSIFIER}num_labels=len(id2label))", "possible"),
        (f"id2label = {{0: 'a', 1: 'b', 2: 'c', 3: 'd'}}\n{CLASSIFIER}id2label=id2label)", "possible"),
        (f"num_labels = 4\n{CLASSIFIER}num_labels=num_labels)", "possible"),
        (f"NUM = 3\n{CLASSIFIER}num_labels=NUM)", "impossible"),
        (f"{CLASSIFIER}num_labels=len(names))", None),
        (f"{CLASSIFIER}id2label=id2label, label2id=label2id)", None),
    ],
)
def test_the_number_of_labels_is_resolved_or_left_open(
    reader: ShapeReader, labels: str, verdict: str | None
) -> None:
    answer = contracts.answer_record({"text": f"{labels}\n{FOUR_LABELS}"}, answer_claim, reader)
    assert answer.get("verdict") == verdict, answer
    assert answer.get("unsupported", False) == (verdict is None)


def test_two_labels_are_possible_where_their_number_can_not_be_read(reader: ShapeReader) -> None:
    line = (
        "trainable params: 887,042 || all params: 125,534,212 || trainable%: 0.7066"  # 4 labels less 2 x 769
    )
    text = f"{CLASSIFIER}num_labels=len(names))\n{FOUR_LABELS.partition(chr(10))[0]}\n{line}"
    assert contracts.answer_record({"text": text}, answer_claim, reader)["verdict"] == "possible"


def test_of_several_configurations_the_last_one_before_the_line_counts() -> None:
    code = "LoraConfig(r=4)\nLoraConfig(r=8)\n" + LINE + "\nLoraConfig(r=16)"
    assert record_of_text(f"gpt2 {code}")["lora"]["r"] == 8


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("load_in_4bit=True", "4bit"),
        ("load_in_4bit: true", "4bit"),
        ("QLoRA", "4bit"),
        ("load_in_8bit = True", "8bit"),
        ("TheBloke/Llama-2-7B-GPTQ", "gptq"),
        ("AQLM 2bit", "aqlm"),
        ("torch_dtype=torch.bfloat16", "none"),
    ],
)
def test_the_base_models_quantization_is_read(text: str, kind: str) -> None:
    assert find_quantization(text) == kind


FALCON_LINE = "trainable params: 4718592 || all params: 3613463424 || trainable%: 0.13058363808693696"


@pytest.mark.parametrize(
    ("text", "verdict", "failing"),
    [
        (f"falcon-7b with LoraConfig(r=16, target_modules=['query_key_value'])\n{FALCON_LINE}",
         "possible", []),
        ("AutoModelForCausalLM.from_pretrained('tiiuae/falcon-7b')\n"
         f"LoraConfig(r=16, target_modules=['query_key_value'])\n{FALCON_LINE}", "impossible", ["all"]),
        (f"Llama 2 7B, LoRA with rank 8. {LINE}", "underdetermined", []),
        ("from_pretrained('huggyllama/llama-7b')\n"
         f"LoraConfig(r=16, target_modules=['q_proj','v_proj']) {LINE}",
         "impossible", ["trainable", "all"]),
        ("AutoModelForSequenceClassification.from_pretrained('distilbert-base-uncased', num_labels=2)\n"
         "LoraConfig(task_type='SEQ_CLS', r=4, target_modules=['q_lin'])\n"
         "trainable params: 628,994 || all params: 67,584,004 || trainable%: 0.9306847223789819",
         "possible", []),
        ("meta-llama/Llama-2-7b-hf LoraConfig(r=8, target_modules=['q_proj','v_proj'],"
         " rank_pattern={'q_proj': 16})\n"
         "trainable params: 6,291,456 || all params: 6,744,707,072 || trainable%: 0.0933", "possible", []),
        ("meta-llama/Llama-2-7b-hf LoraConfig(r=8, target_modules=['q_proj','v_proj'],"
         " layers_to_transform=list(range(16)))\n"
         "trainable params: 2,097,152 || all params: 6,740,512,768 || trainable%: 0.0311", "possible", []),
        ("meta-llama/Llama-2-7b-hf LoraConfig(r=8, target_modules='all-linear', layers_to_transform=[0])\n"
         "trainable params: 2,097,152", "impossible", ["config"]),
        ("FastLanguageModel.from_pretrained('unsloth/llama-3-8b')\nFastLanguageModel.get_peft_model(model)\n"
         "Trainable parameters = 41,943,040 of 8,072,204,288 (0.52% trained)", "possible", []),
        ('{"base_model_name_or_path": "Qwen/Qwen2.5-1.5B-Instruct", "peft_type": "LORA", "r": 16,'
         ' "target_modules": ["q_proj", "v_proj"], "modules_to_save": ["lm_head"], "bias": "none"}\n'
         "trainable params: 235,552,768 || all params: 1,779,267,072 || trainable%: 13.2388", "possible", []),
        ("facebook/opt-1.3b LoraConfig(r=8, target_modules=['q_proj','v_proj'])\n"
         "Total params: 9,999,999,999, Trainable params: 1,572,864", "impossible", ["all"]),
        ('{"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12}\nLoraConfig(r=8)\n'
         "trainable params: 294,912 || all params: 124,734,720 || trainable%: 0.24", "possible", []),
    ],
)  # fmt: skip
def test_a_pasted_text_gets_the_verdict_of_what_it_says(
    reader: ShapeReader, text: str, verdict: str, failing: list[str]
) -> None:
    answer = contracts.answer_record({"id": 1, "text": text}, answer_claim, reader)
    assert (answer.get("verdict"), answer.get("failing")) == (verdict, failing), answer
    assert "config" not in answer["read"]["model"]


def test_a_halved_total_is_explained_where_the_text_leaves_the_loading_out(reader: ShapeReader) -> None:
    text = f"falcon-7b with LoraConfig(r=16, target_modules=['query_key_value'])\n{FALCON_LINE}"
    why = contracts.answer_record({"text": text}, answer_claim, reader)["why"]
    assert "two to a byte" in why
    assert why.endswith("The text does not say that the base is in 4 bit.")


def test_a_word_that_only_looks_like_a_method_is_none() -> None:
    line = "trainable params: 4,194,304 || all params: 6,742,609,920 || trainable%: 0.0622"
    assert record_of_text(f"llama-7b, the oft-cited setting\n{line}")["lora"]["r"] == "unknown"


def test_lists_that_a_name_joins_are_one() -> None:
    code = 't = ["q_proj"] + ["v_proj"]\nLoraConfig(r=8, target_modules=t)\n'
    line = "trainable params: 4,194,304 || all params: 6,742,609,920 || trainable%: 0.0622"
    assert record_of_text(f"llama-7b\n{code}{line}")["lora"]["target_modules"] == ["q_proj", "v_proj"]


@pytest.mark.parametrize(("written", "rank"), [("4 + 4", 8), ("2**3", 8), ("1000**10", "unknown")])
def test_a_small_calculation_is_worked_out(written: str, rank: object) -> None:
    line = "trainable params: 4,194,304 || all params: 6,742,609,920 || trainable%: 0.0622"
    assert record_of_text(f"llama-7b LoraConfig(r={written})\n{line}")["lora"]["r"] == rank


def test_a_line_of_the_base_is_passed_over_also_in_html() -> None:
    lines = (
        "trainable params: 0 || all params: 6,738,415,616<br>"
        "trainable params: 4,194,304 || all params: 6,742,609,920 || trainable%: 0.0622"
    )
    assert record_of_text(f"llama-7b LoraConfig(r=8)<br>{lines}")["printed"]["trainable"] == 4_194_304
