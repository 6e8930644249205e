"""Names of models in texts: which place counts, and which two names mean one model."""

import pytest

from lora_lab.claims.named_model import find_named_entry
from lora_lab.claims.pasted import record_of_text
from study.base.errors import LearnerError

LINE = "trainable params: 4,194,304 || all params: 6,742,609,920 || trainable%: 0.0622"


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
        ("t5-base is smaller than t5-large.", "t5-base"),
        ("google-t5/t5-base", "t5-base"),
        ("openai-community/gpt2", "gpt2"),
        ("phi-2 by Microsoft", "phi-2"),
        (
            "AutoTokenizer.from_pretrained('gpt2')\nAutoModelForCausalLM.from_pretrained('huggyllama/llama-7b')",
            "llama-7b",
        ),
        ("AutoTokenizer.from_pretrained('gpt2')\nmodel = build_model()", "gpt2"),
        ("model: LoRA-tuned Llama 7B, checkpoint: checkpoint-500", "llama-7b"),
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
        ("beats Mistral-7B-v0.1\nmodel_name_or_path: 01-acme/Zi-6B", "01-acme/Zi-6B"),
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
        ("facebook/opt-13b", None),
        ("qwen2_5-7b", "qwen2.5-7b"),
        ("google-bert/bert-base-uncased", "bert-base"),
        ("./models/bert-base-uncased", "bert-base"),
        ("/data/bert-base-uncased", "bert-base"),
        ("somebody/llama-2-7b-hf", "llama-2-7b"),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-8B", "llama-3.1-8b"),
        ("unsloth/DeepSeek-R1-Distill-Qwen-1.5B-unsloth-bnb-4bit", "deepseek-r1-distill-qwen-1.5b"),
        ("Qwen/QwQ-32B", "qwen2.5-32b"),
        ("Qwen/Qwen2.5-Coder-7B-Instruct", "qwen2.5-7b"),
        ("unsloth/gemma-3-4b-it", "gemma-3-4b"),
    ],
)
def test_a_name_means_one_model(written: str, name: str | None) -> None:
    found = find_named_entry(written)
    assert (found and found.name) == name


@pytest.mark.parametrize("name", ["", "x", "v2", "model"])
def test_a_word_is_no_model(name: str) -> None:
    assert find_named_entry(name) is None
