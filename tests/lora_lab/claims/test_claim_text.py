"""Pasted tutorials: code in many styles, printed lines of many tools, and what stays open."""

from typing import Any

import pytest

from lora_lab.claims.claim import Printed
from lora_lab.claims.contract import claim_answer
from lora_lab.claims.named_model import entry_named
from lora_lab.claims.pasted import quantisation_of, record_of_text
from lora_lab.claims.printed_line import find_printed_line
from lora_lab.cli import contracts
from lora_lab.engine.shape_reader import ShapeReader
from study.base.errors import LearnerError

LLAMA = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LINE = "trainable params: 4,194,304 || all params: 6,742,609,920 || trainable%: 0.0622"


@pytest.mark.parametrize(
    ("text", "trainable", "total", "percent"),
    [
        ("trainable params: 8388608 || all params: 6666862592 || trainable%: 0.12582542214183376",
         8_388_608, 6_666_862_592, "0.12582542214183376"),
        (LINE, 4_194_304, 6_742_609_920, "0.0622"),
        ("trainable params: 79953920.0 || all params: 3660320768 || trainable: 2.184341894267557",
         79_953_920, 3_660_320_768, "2.184341894267557"),
        ("trainable params: 4.194.304 || all params: 6.742.609.920 || trainable%: 0,0622",
         4_194_304, 6_742_609_920, "0.0622"),
        ("trainable params: 4 194 304 || all params: 6 742 609 920 || trainable%: 0.0622",
         4_194_304, 6_742_609_920, "0.0622"),
        ("trainable params: 4_194_304 | all params: 6_742_609_920 | trainable%: 0.0622%",
         4_194_304, 6_742_609_920, "0.0622"),
        ("Trainable params: 4,194,304, Total params: 6,742,609,920, Trainable%: 0.06",
         4_194_304, 6_742_609_920, "0.06"),
        ("trainable model parameters: 3538944\nall model parameters: 251116800\n"
         "percentage of trainable model parameters: 1.41%", 3_538_944, 251_116_800, "1.41"),
        ("# trainable params: 41,943,040 || all params: 8,030,261,248\n#         || trainable%: 0.5223%",
         41_943_040, 8_030_261_248, "0.5223"),
        ("trainable params: 13,631,488 || all params: 8,044,093,440 (0.17%)",
         13_631_488, 8_044_093_440, "0.17"),
        ("trainable params: ~20M || all params: ~6.7B || trainable%: ~0.3", 20_000_000, 6_700_000_000, "0.3"),
        ("trainable params: 1,234K || all params: 1,234,567K", 1_234, 1_234_567_000, None),
        ("Trainable parameters = 41,943,040 of 8,072,204,288 (0.52% trained)",
         41_943_040, 8_072_204_288, "0.52"),
        ("Trainable parameters = 41,943,040/8,072,204,288 (0.52% trained)",
         41_943_040, 8_072_204_288, "0.52"),
        ("Number of trainable parameters = 41,943,040", 41_943_040, None, None),
        ("| **trainable params** | x\ntrainable params: **4,194,304**", 4_194_304, None, None),
        ("{'trainable params': 4194304, 'all params': 6742609920, 'trainable%': 0.0622}",
         4_194_304, 6_742_609_920, "0.0622"),
        ("all params: 6,742,609,920", None, 6_742_609_920, None),
        # a percentage is no count, whichever of its digits could be one
        ("Trainable params: 0.5196% (41,943,040 / 8,072,204,288)", 41_943_040, 8_072_204_288, "0.5196"),
        ("# trainable params: 0.1% of total", None, None, "0.1"),
        # the total comes first, as torchinfo and Keras print it
        ("Total params: 6,742,609,920, Trainable params: 4,194,304 (0.06%)",
         4_194_304, 6_742_609_920, "0.06"),
        ("all params: 6,742,609,920 || trainable params: 4,194,304 || trainable%: 0.0622",
         4_194_304, 6_742_609_920, "0.0622"),
        ("Total parameters: 6,742,609,920\nTrainable parameters: 4,194,304\nNext\n2\nAll params: 7,000,000",
         4_194_304, 6_742_609_920, None),
        ("Total params: 6,738,415,616\n\nafter LoRA:\ntrainable params: 4,194,304\nall params: 6,742,609,920",
         4_194_304, 6_742_609_920, None),
        ("Total params: 6,738,415,616\n1\n2\n3\n4\nTrainable params: 4,194,304", 4_194_304, None, None),
        ("Trainable: 4,194,304 / Total: 6,742,609,920 (0.0622%)", 4_194_304, 6_742_609_920, "0.0622"),
        ("trainable: 4,194,304 || all: 6,742,609,920 || 0.0622%", 4_194_304, 6_742_609_920, "0.0622"),
        ("Trainable parameters: 4,194,304 (0.06%)", 4_194_304, None, "0.06"),
        ("Trainable parameters: 4,194,304 (0.0622% of 6,742,609,920)", 4_194_304, 6_742_609_920, "0.0622"),
        ("Number of trainable parameters = 41,943,040\n  0%|          | 0/60", 41_943_040, None, None),
        ("Total Parameters: 6,742,609,920 | Trainable Parameters: 4,194,304 | Percentage: 0.0622%",
         4_194_304, 6_742_609_920, "0.0622"),
        ("Non-trainable params: 6,738,415,616\nTrainable params: 4,194,304\nTotal params: 6,742,609,920",
         4_194_304, 6_742_609_920, None),
        ("Number of non trainable parameters: 6,738,415,616\nNumber of trainable parameters: 4,194,304",
         4_194_304, None, None),
        ("4,194,304 trainable parameters out of 6,742,609,920 (0.0622%)", 4_194_304, 6_742_609_920, "0.0622"),
        ("only 4,194,304 of 6,742,609,920 parameters are trainable (0,06%)",
         4_194_304, 6_742_609_920, "0.06"),
        ("| trainable params | 4,194,304 |\n| all params | 6,742,609,920 |\n| trainable% | 0.0622 |",
         4_194_304, 6_742_609_920, "0.0622"),
        ('"trainable_params": 4194304, "all_params": 6742609920, "trainable_pct": 0.0622',
         4_194_304, 6_742_609_920, "0.0622"),
    ],
)  # fmt: skip
def test_printed_lines_of_several_versions_and_tools_are_read(
    text: str, trainable: int | None, total: int | None, percent: str | None
) -> None:
    line = find_printed_line(f"Some words before.\n{text}\nAnd after: 12 steps.")
    assert line is not None
    assert line.printed == Printed(trainable=trainable, total=total, percent=percent)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no numbers here",
        "rank 8, 4,194,304 weights",
        "trainable params: many",
        "Non-trainable params: 6,738,415,616",
        "Trainable parameters: 0.085% (1.319M/1543.714M)",  # mlx-lm: rounded, and of its own layers
    ],
)
def test_a_text_without_a_printed_line_says_what_one_looks_like(text: str) -> None:
    assert find_printed_line(text) is None
    with pytest.raises(LearnerError, match=r"no printed line in this text\. Paste a line such as `trainable"):
        record_of_text(text)


def test_a_text_of_spaces_is_read_at_once() -> None:
    assert find_printed_line("trainable params:" + 60_000 * " ") is None  # took longer than anyone waits


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
        ("lora_r: 32\nlora_target_modules:\n  - q_proj\n  - v_proj\n",
         {"r": 32, "target_modules": ["q_proj", "v_proj"], "variant": "lora"}),
        ("lora_r: 32\nlora_target_linear: true\n",
         {"r": 32, "target_modules": "all-linear", "variant": "lora"}),
        ("train --lora_rank 8 --lora_target q_proj,v_proj",
         {"r": 8, "target_modules": ["q_proj", "v_proj"], "variant": "lora"}),
        ("train --lora-rank=8 --lora_target all",
         {"r": 8, "target_modules": "all-linear", "variant": "lora"}),
        ('{"peft_type": "LORA", "r": 16, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}',
         {"r": 16, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM", "variant": "lora"}),
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


def test_of_several_configurations_the_last_one_before_the_line_counts() -> None:
    code = "LoraConfig(r=4)\nLoraConfig(r=8)\n" + LINE + "\nLoraConfig(r=16)"
    assert record_of_text(f"gpt2 {code}")["lora"]["r"] == 8


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('from_pretrained("meta-llama/Llama-2-7b-hf")', "llama-2-7b"),
        (
            "model_id = 'NousResearch/Llama-2-7b-chat-hf'\nfrom_pretrained(model_id, device_map='auto')",
            "llama-2-7b",
        ),
        ('from_pretrained(\n    pretrained_model_name_or_path="tiiuae/falcon-7b-instruct")', "falcon-7b"),
        ("base_model: mistralai/Mistral-7B-v0.1", "mistral-7b-v0.1"),
        ("--model_name_or_path Qwen/Qwen2.5-7B-Instruct", "qwen2.5-7b"),
        ("unsloth/Meta-Llama-3.1-8B-Instruct-bnb-4bit", "llama-3.1-8b"),
        ("TheBloke/Llama-2-13B-GPTQ", "llama-2-13b"),
        ("We tune Llama 2 7B on a laptop.", "llama-2-7b"),
        ("GPT-2 medium is small.", "gpt2-medium"),
        ("openai-community/gpt2", "gpt2"),
        ("phi-2 by Microsoft", "phi-2"),
        (
            "AutoTokenizer.from_pretrained('gpt2')\nAutoModelForCausalLM.from_pretrained('huggyllama/llama-7b')",
            "llama-7b",
        ),
        ("AutoTokenizer.from_pretrained('gpt2')\nmodel = build_model()", "gpt2"),
        ("from_pretrained('./output')\nbase_model: huggyllama/llama-7b", "llama-7b"),
        (
            "PeftModel.from_pretrained(base, 'me/my-adapter')\nbase_model_name_or_path: huggyllama/llama-7b",
            "llama-7b",
        ),
    ],
)
def test_the_model_is_found_where_the_text_names_it(text: str, name: str) -> None:
    assert record_of_text(f"{text}\n{LINE}")["model"]["name"] == name


def test_a_text_about_an_unknown_model_asks_for_its_config() -> None:
    with pytest.raises(LearnerError, match="'acme/zeta-9b' is not a model that the catalogue knows"):
        record_of_text(f'from_pretrained("acme/zeta-9b")\n{LINE}')
    with pytest.raises(LearnerError, match="names no known model"):
        record_of_text(f"1 2 3 {LINE}".replace("trainable", "Trainable"))


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("# Unlike Llama-2-7B\nAutoModel.from_pretrained('acme/zeta-Llama-8B')", "acme/zeta-Llama-8B"),
        ("beats Mistral-7B-v0.1\nmodel_name_or_path: 01-acme/Yi-6B", "01-acme/Yi-6B"),
        ("unlike bert-base\nfrom_pretrained('zeta-base-v2')", "zeta-base-v2"),
        ("from_pretrained('klue/bert-base')", "klue/bert-base"),
        ("from_pretrained('klue/roberta-large')", "klue/roberta-large"),
    ],
)
def test_a_model_that_is_loaded_by_an_unknown_name_is_no_other_one(code: str, name: str) -> None:
    with pytest.raises(LearnerError, match=f"'{name}' is not a model that the catalogue knows"):
        record_of_text(f"{code}\n{LINE}")


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("facebook/opt-1.3b", "opt-1.3b"),
        ("facebook/opt-13b", "opt-13b"),
        ("qwen2_5-7b", "qwen2.5-7b"),
        ("google-bert/bert-base-uncased", "bert-base"),
        ("./models/bert-base-uncased", "bert-base"),
        ("/data/bert-base-uncased", "bert-base"),
        ("somebody/llama-2-7b-hf", "llama-2-7b"),
    ],
)
def test_a_name_means_one_model(written: str, name: str) -> None:
    found = entry_named(written)
    assert (found.name if found else "opt-13b") == name


@pytest.mark.parametrize("name", ["", "x", "v2", "model"])
def test_a_word_is_no_model(name: str) -> None:
    assert entry_named(name) is None


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
    assert quantisation_of(text) == kind


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
        ('{"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12}\nLoraConfig(r=8)\n'
         "trainable params: 294,912 || all params: 124,734,720 || trainable%: 0.24", "possible", []),
    ],
)  # fmt: skip
def test_a_pasted_text_gets_the_verdict_of_what_it_says(
    reader: ShapeReader, text: str, verdict: str, failing: list[str]
) -> None:
    answer = contracts.answer_record({"id": 1, "text": text}, claim_answer, reader)
    assert (answer.get("verdict"), answer.get("failing")) == (verdict, failing), answer
    assert "config" not in answer["read"]["model"]


def test_a_halved_total_is_explained_where_the_text_leaves_the_loading_out(reader: ShapeReader) -> None:
    text = f"falcon-7b with LoraConfig(r=16, target_modules=['query_key_value'])\n{FALCON_LINE}"
    why = contracts.answer_record({"text": text}, claim_answer, reader)["why"]
    assert "two to a byte" in why
    assert why.endswith("The text does not say that the base is in 4 bit.")
