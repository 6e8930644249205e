"""The quantities that content may check against: named as promised, and right where papers print them."""

import pytest

from lora_lab import quantities
from lora_lab.memory.ledger import compute_constant_bytes
from lora_lab.parameters.quantization_levels import NF4_LEVELS
from lora_lab.parameters.shapes import find_shape
from study.base.checks import Check, Quantity, evaluate, list_quantities
from study.base.errors import LearnerError
from tests.golden.memory import ADAPTER_FILE, FULL_FINETUNING_65B, SAVED_BITS

PROMISED = """
    lora_parameters lora_parameters_matrix trainable_percent base_parameters linear_parameters bits_per_param
    quantization_overhead_bits double_quantization_saving_bits weight_bytes full_finetuning_bytes
    adamw_state_bytes trainable_state_bytes adapter_file_bytes lora_scaling rslora_scaling nf4_level
    quantization_levels logits_bytes
"""
MODELS = """
    smollm2-135m smollm2-360m smollm2-1.7b tinyllama-1.1b qwen2.5-0.5b llama-3.2-1b llama-3.2-3b llama-3.1-8b
    mistral-7b llama-7b llama-2-7b llama-2-13b llama-65b gpt2 roberta-base gpt3-175b
"""


def value(quantity: str, **arguments: object) -> float:
    return evaluate(Check(quantity=quantity, arguments=arguments, expect=0))


def test_every_promised_quantity_is_registered() -> None:
    assert set(PROMISED.split()) <= set(list_quantities())


def test_every_quantity_has_a_formula_that_a_learner_can_read() -> None:
    for name in PROMISED.split():
        asked = Quantity(quantity=name, arguments={})
        assert asked.formula, name
        assert name not in asked.formula


@pytest.mark.parametrize("model", MODELS.split())
def test_every_promised_model_is_known(model: str) -> None:
    assert value("base_parameters", model=model) == find_shape(model).total_parameters
    assert value("lora_parameters", model=model, rank=1, targets="all-linear") > 0


@pytest.mark.parametrize(
    ("quantity", "arguments", "expected"),
    [
        ("lora_parameters", {"model": "gpt3-175b", "rank": 8, "targets": ["q", "v"]}, 37_748_736),
        ("lora_parameters", {"model": "smollm2-135m", "rank": 8, "targets": "all-linear"}, 2_442_240),
        ("lora_parameters_matrix", {"d_in": 4096, "d_out": 11008, "rank": 64}, 64 * 15_104),
        ("linear_parameters", {"d_in": 4096, "d_out": 4096}, 16_777_216),
        ("bits_per_param", {"scheme": "nf4"}, 4.5),
        ("bits_per_param", {"scheme": "nf4", "block_size": 128}, 4.25),
        ("quantization_overhead_bits", {"double_quantization": False}, 0.5),
        ("quantization_overhead_bits", {"double_quantization": True}, 0.126953125),
        ("weight_bytes", {"model": "gpt3-175b", "bits": 16}, 2 * find_shape("gpt3-175b").total_parameters),
        ("adamw_state_bytes", {"parameters": 1000}, 8000),
        ("trainable_state_bytes", {"parameters": 1000}, 16_000),
        ("lora_scaling", {"alpha": 16, "rank": 64}, 0.25),
        ("rslora_scaling", {"alpha": 16, "rank": 64}, 2.0),
        ("quantization_levels", {"bits": 4}, len(NF4_LEVELS)),
        ("nf4_level", {"index": 0}, -1.0),
        ("nf4_level", {"index": 7}, 0.0),
        ("nf4_level", {"index": 15}, 1.0),
        ("logits_bytes", {"batch": 4, "tokens": 512, "vocab": 128_256, "bytes_per_value": 4}, 1_050_673_152),
        ("kv_cache_bytes", {"model": "llama-3.1-8b", "tokens": 1}, 2 * 32 * 8 * 128 * 2),
        ("kv_cache_bytes", {"model": "llama-2-7b", "tokens": 10, "batch": 3}, 30 * 2 * 32 * 32 * 128 * 2),
        ("embedding_parameters", {"model": "smollm2-135m"}, 49_152 * 576),
        ("block_parameters", {"model": "smollm2-135m"}, 2 * 576 * 576 + 2 * 576 * 192 + 3 * 576 * 1536),
        ("padding_percent", {"lengths": [100, 100, 100, 500]}, 60.0),
        ("effective_batch", {"examples": 4, "accumulation": 4, "gpus": 2}, 32),
        ("dora_parameters", {"model": "llama-2-7b", "rank": 16, "targets": "all-linear"}, 41_336_832),
        ("vera_parameters_matrix", {"d_out": 4096, "rank": 256}, 4352),
        ("share_of_matrix_percent", {"d_in": 4096, "d_out": 4096, "rank": 8}, 0.390625),
        ("block_bits", {"code_bits": 4, "block_size": 32, "extra_bits": 8}, 4.25),
        ("block_bits", {"code_bits": 6, "block_size": 256, "extra_bits": 16 * 8 + 16}, 6.5625),
        ("concatenated_rank", {"ranks": [8, 16]}, 24),
        ("zero_bytes_per_gpu", {"parameters": 1000, "gpus": 8, "stage": 3}, 2000),
    ],
)
def test_a_quantity_has_its_value(quantity: str, arguments: dict[str, object], expected: float) -> None:
    assert value(quantity, **arguments) == expected


@pytest.mark.parametrize(
    ("quantity", "arguments", "published", "source"),
    [
        (
            "largest_float",
            {"exponent_bits": 4, "mantissa_bits": 3, "finite_only": True},
            448,
            "2209.05433 table 1",
        ),
        ("largest_float", {"exponent_bits": 5, "mantissa_bits": 2}, 57_344, "2209.05433 table 1"),
        ("largest_float", {"exponent_bits": 2, "mantissa_bits": 1, "finite_only": True}, 6, "OCP MX v1.0"),
        ("largest_float", {"exponent_bits": 5, "mantissa_bits": 10}, 65_504, "IEEE 754 binary16"),
        (
            "vera_parameters",
            {"model": "llama-2-7b", "rank": 256, "targets": "all-linear"},
            1.4e6,
            "2310.11454v1",
        ),
        (
            "zero_bytes_per_gpu",
            {"parameters": 7_500_000_000, "gpus": 64, "stage": 0},
            120e9,
            "1910.02054 fig. 1",
        ),
        (
            "zero_bytes_per_gpu",
            {"parameters": 7_500_000_000, "gpus": 64, "stage": 1},
            31.4e9,
            "1910.02054 fig. 1",
        ),
        (
            "zero_bytes_per_gpu",
            {"parameters": 7_500_000_000, "gpus": 64, "stage": 2},
            16.6e9,
            "1910.02054 fig. 1",
        ),
        (
            "zero_bytes_per_gpu",
            {"parameters": 7_500_000_000, "gpus": 64, "stage": 3},
            1.9e9,
            "1910.02054 fig. 1",
        ),
    ],
)
def test_a_quantity_is_what_is_printed(
    quantity: str, arguments: dict[str, object], published: float, source: str
) -> None:
    assert value(quantity, **arguments) == pytest.approx(published, rel=0.014), source


@pytest.mark.parametrize(
    ("schedule", "step", "expected"),
    [
        ("constant", 900, 2e-4),
        ("linear", 50, 1e-4),
        ("linear", 100, 2e-4),
        ("linear", 550, 1e-4),
        ("cosine", 550, 1e-4),
        ("cosine", 1000, 0.0),
    ],
)
def test_a_rate_warms_up_and_then_follows_its_schedule(schedule: str, step: int, expected: float) -> None:
    rate = value("scheduled_rate", schedule=schedule, peak=2e-4, step=step, steps=1000, warmup=100)
    assert rate == pytest.approx(expected, abs=1e-12)


def test_decay_and_the_error_of_a_score_are_their_formulas() -> None:
    assert value("weight_decay_percent", rate=0.1, decay=0.5, steps=2) == pytest.approx(100 * (1 - 0.95**2))
    assert value("dare_rescale", dropped_percent=90) == pytest.approx(10)
    assert value("accuracy_standard_error", accuracy=0.5, questions=100) == pytest.approx(5.0)
    assert value("pass_at_k", samples=10, right=3, k=1) == pytest.approx(0.3)
    assert value("pass_at_k", samples=4, right=2, k=2) == pytest.approx(1 - 1 / 6)


def test_a_base_is_split_evenly_and_its_constants_are_on_every_gpu() -> None:
    whole = value("base_bytes_per_gpu", model="llama-2-70b", scheme="nf4-dq", gpus=1)
    split = value("base_bytes_per_gpu", model="llama-2-70b", scheme="nf4-dq", gpus=2)
    constants = compute_constant_bytes(find_shape("llama-2-70b"), "nf4-dq")
    assert split == (whole - constants) / 2 + constants
    assert whole > value("weight_bytes", model="llama-2-70b", bits=4)


def test_an_unknown_stage_says_which_there_are() -> None:
    with pytest.raises(LearnerError, match="Pick a stage of 0 to 3"):
        value("zero_bytes_per_gpu", parameters=1, gpus=2, stage=4)


def test_the_share_of_trained_numbers_counts_the_adapters_in() -> None:
    percent = value("trainable_percent", model="smollm2-135m", rank=8, targets="all-linear")
    assert percent == pytest.approx(100 * 2_442_240 / 136_957_248)


def test_full_fine_tuning_of_65b_takes_the_published_780_gb() -> None:
    published, source = FULL_FINETUNING_65B
    assert quantities.full_finetuning_bytes(65 * 10**9) == published, source


def test_double_quantization_saves_the_published_bits() -> None:
    published, source = SAVED_BITS
    assert quantities.double_quantization_saving_bits() == published, source


def test_an_adapter_file_is_its_numbers_and_a_small_header() -> None:
    parameters, file_bytes, source = ADAPTER_FILE
    header = file_bytes - quantities.adapter_file_bytes(parameters)
    assert 0 < header < 20_000, source


def test_a_quantity_of_an_unknown_model_names_the_known_ones() -> None:
    with pytest.raises(LearnerError, match="Known models: "):
        value("base_parameters", model="gpt5")
