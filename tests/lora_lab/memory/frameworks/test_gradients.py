"""After a simulated backward pass every trained number has its gradient, as often as there are matrices."""

from typing import Any

import pytest

from lora_lab.memory.frameworks.contract import parse_setting
from lora_lab.memory.frameworks.forecast import STEPS, forecast_step
from lora_lab.memory.frameworks.transformers import TransformersStep
from lora_lab.parameters.shapes import find_shape

ADAPTERS: list[dict[str, Any]] = [
    {"targets": "all-linear"},
    {"targets": ["q", "v", "head"]},
    {"targets": ["head", "mlp"], "variant": "dora"},
    {"targets": ["k", "head", "mlp"], "variant": "ia3"},
    {"targets": ["q", "v", "head"], "rank_pattern": {"q_proj": 64, "lm_head": 2}},
]
SINGLE_EXPERTS = [("peft, transformers 4.57", "mixtral-8x7b"), ("unsloth", "qwen3-30b-a3b")]
NATIVE = [("litgpt", "mixtral-8x7b"), ("torchtune", "llama-2-7b")]


def gradients_and_trained(framework: str, model: str, adapter: dict[str, Any]) -> tuple[int, int]:
    record = {"framework": framework, "base_dtype": "fp32", "seq_len": 16, "lora": {"r": 8, **adapter}}
    one = parse_setting(record, find_shape(model))
    step = STEPS.get(one.framework, TransformersStep)(one)  # holds the weights, and they their gradients
    return step.simulate_step().live["gradients"], forecast_step(one).adapters


@pytest.mark.parametrize("adapter", ADAPTERS, ids=str)
@pytest.mark.parametrize("model", ["llama-2-7b", "phi-3-mini"])
def test_every_trained_number_has_its_gradient(model: str, adapter: dict[str, Any]) -> None:
    gradients, trained = gradients_and_trained("peft", model, adapter)
    assert gradients == trained


@pytest.mark.parametrize("adapter", ADAPTERS[:4], ids=str)
@pytest.mark.parametrize(("framework", "model"), SINGLE_EXPERTS)
def test_each_expert_that_is_a_matrix_has_gradients_of_its_own(
    framework: str, model: str, adapter: dict[str, Any]
) -> None:
    gradients, trained = gradients_and_trained(framework, model, adapter)
    assert gradients == trained


@pytest.mark.parametrize("adapter", ADAPTERS[:2], ids=str)
@pytest.mark.parametrize(("framework", "model"), NATIVE)
def test_so_it_is_in_frameworks_with_models_of_their_own(
    framework: str, model: str, adapter: dict[str, Any]
) -> None:
    gradients, trained = gradients_and_trained(framework, model, adapter)
    assert gradients == trained
