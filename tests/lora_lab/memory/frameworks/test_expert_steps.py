"""The forecast against real steps of mixtures of experts, in live CPU bytes."""

from typing import Any

import pytest

from lora_lab.memory.frameworks.forecast import forecast_step
from tests.lora_lab.memory.frameworks.family_step import FamilyCell, family_setting, measure_family

SIZES = {
    "hidden_size": 128,
    "intermediate_size": 352,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 256,
    "pad_token_id": 0,
}
MIXTRAL = SIZES | {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2}
QWEN3 = SIZES | {
    "model_type": "qwen3_moe",
    "head_dim": 32,
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 96,
}
QWEN2 = QWEN3 | {"model_type": "qwen2_moe", "shared_expert_intermediate_size": 64}
OLMOE = SIZES | {"model_type": "olmoe", "num_experts": 8, "num_experts_per_tok": 3}
GPT_OSS = SIZES | {"model_type": "gpt_oss", "head_dim": 32, "num_local_experts": 4, "num_experts_per_tok": 2}
PROJECTIONS = ("q_proj", "v_proj")
EXPERTS = {"target_parameters": ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]}

# PEFT doubles the rank of gate and up together, and says so where only one of its two names matches.
pytestmark = pytest.mark.filterwarnings("ignore:The following (rank|alpha)_pattern keys:RuntimeWarning")


def cell(config: dict[str, Any], **values: Any) -> FamilyCell:
    return FamilyCell(config=config, kind="causal", **{"base": "bf16", **values})


CELLS = {
    "mixtral": cell(MIXTRAL, targets=PROJECTIONS),
    "mixtral, all linear": cell(MIXTRAL),
    "mixtral nf4, whose experts stay as they are": cell(MIXTRAL, quant="nf4", targets=PROJECTIONS),
    "qwen3": cell(QWEN3, targets=PROJECTIONS),
    "qwen3, all linear": cell(QWEN3),
    "qwen3 full": cell(QWEN3, everything=True),
    "qwen3, recomputed": cell(QWEN3, checkpointing=True),
    "qwen2 with a shared expert": cell(QWEN2, targets=PROJECTIONS),
    "qwen2, all linear": cell(QWEN2),
    "olmoe": cell(OLMOE, targets=PROJECTIONS),
    "olmoe fp32, all linear": cell(OLMOE, base="fp32"),
    "gpt-oss": cell(GPT_OSS, eager=True),
    "gpt-oss with its experts": cell(GPT_OSS, eager=True, targets=PROJECTIONS, narrowing=EXPERTS),
    "gpt-oss, experts alone, recomputed": cell(
        GPT_OSS, eager=True, targets=(), narrowing=EXPERTS, checkpointing=True
    ),
    "gpt-oss, one tensor": cell(
        GPT_OSS, eager=True, targets=PROJECTIONS, narrowing={"target_parameters": ["experts.gate_up_proj"]}
    ),
    "gpt-oss, the router": cell(
        GPT_OSS, eager=True, targets=PROJECTIONS, narrowing={"target_parameters": ["router.weight"]}
    ),
    "qwen3, experts by name": cell(QWEN3, targets=PROJECTIONS, narrowing=EXPERTS),
    "mixtral nf4, experts by name": cell(MIXTRAL, quant="nf4", targets=PROJECTIONS, narrowing=EXPERTS),
    "olmoe, one tensor, no layers": cell(
        OLMOE, targets=(), narrowing={"target_parameters": ["experts.down_proj"]}
    ),
}


@pytest.mark.parametrize("name", CELLS)
def test_the_peak_of_a_mixture_of_experts_is_right_to_two_percent(name: str) -> None:
    ledger, counted = forecast_step(family_setting(CELLS[name])), measure_family(CELLS[name])
    assert ledger.total_bytes == pytest.approx(counted.peak, rel=0.02)
    stays = ledger.weights + ledger.constants + ledger.adapters + ledger.optimizer
    assert stays == pytest.approx(counted.resident, rel=0.002)
