"""Saved heads and new tokens, fused layers, experts and preferences stand in the lessons they belong to."""

import pytest

from lora_lab.quantities import lora_parameters
from study.base.yaml_loader import load_yaml
from study.lessons.lesson import LESSONS_DIR
from study.text.computed_text import fill_numbers


@pytest.mark.parametrize(
    ("concept", "words", "source"),
    [
        ("adapter-files", ("`modules_to_save`", "new head", "`trainable_token_indices`"), "LoraConfig"),
        ("target-modules", ("is fused", "single A"), "LoraConfig"),
        ("target-modules", ("mixture of experts", "`target_parameters`"), "transformers_weight_conversion"),
        ("fine-tuning", ("DPO", "preferred", "adapter switched off", "reference"), "arXiv:2305.18290"),
    ],
)
def test_a_paragraph_tells_it_and_the_lesson_names_its_source(
    concept: str, words: tuple[str, ...], source: str
) -> None:
    lesson = load_yaml((LESSONS_DIR / f"{concept}.yaml").read_text("utf-8"))
    told = [text for text in lesson["learn"]["paragraphs"] if all(word in text for word in words)]
    assert len(told) == 1
    assert fill_numbers(told[0])
    assert any(source in one for one in lesson["source"])


def test_all_linear_reaches_only_the_attention_of_gpt_oss_but_the_experts_of_mixtral() -> None:
    """The lesson on target modules says so."""
    attention = ["q", "k", "v", "o"]
    of_oss = lora_parameters("gpt-oss-20b", 8, "all-linear")
    assert of_oss == lora_parameters("gpt-oss-20b", 8, attention)
    for model in ("mixtral-8x7b", "qwen3-30b-a3b"):
        assert lora_parameters(model, 8, "all-linear") > 10 * lora_parameters(model, 8, attention)
