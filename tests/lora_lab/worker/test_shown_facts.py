"""What figures, lessons and cards say, against the libraries: codes of FP4, what is paged, first steps."""

import re
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import bitsandbytes as bnb
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, get_scheduler

from lora_lab.figures.adapters.backward_graph import DERIVATIVES
from lora_lab.figures.recorded import read_recording
from lora_lab.figures.training.paged_optimizer import compute_movable_bytes
from lora_lab.memory.optimizer_state import SMALLEST_PAGED_NUMBERS
from lora_lab.parameters.quantization_levels import FP4_CODES, FP4_LEVELS, LEVELS, encode_level, find_nearest
from tests.lora_lab.families import FAMILIES

ROOT = Path(__file__).parents[3]
SHOWN = [
    (path.name, line.strip())
    for folder in ("study/lessons", "flashcards/decks", "quizzes/questions")
    for path in sorted((ROOT / folder).glob("*.yaml"))
    for line in path.read_text("utf-8").splitlines()
]
ADAPTER_DERIVATIVE = re.compile(r"\\frac\{\\partial L\}\{\\partial [AB]\}\s*=\s*([^,$]+)")
"""The right side of a formula for the gradient of A or B."""

MIXTURES = {
    "mixtral": FAMILIES["mixtral"],
    "qwen3_moe": FAMILIES["llama"] | {"num_experts": 4, "moe_intermediate_size": 16},
    "gpt_oss": FAMILIES["llama"] | {"num_local_experts": 4, "head_dim": 8},
}


def build_tiny(family: str, config: dict[str, object]) -> PreTrainedModel:
    """Build a model with random weights, two layers and a vocabulary of 64."""
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **config))


def codes(packed: torch.Tensor) -> list[int]:
    """Unpack two 4-bit codes a byte, the first in the high half."""
    return [half for byte in packed.flatten().tolist() for half in (byte >> 4, byte & 15)]


@pytest.mark.parametrize("scheme", ["nf4", "fp4"])
def test_the_codes_shown_are_those_that_bitsandbytes_stores(scheme: str) -> None:
    weights = torch.tensor([*LEVELS[scheme], *torch.linspace(-1, 1, 64 - len(LEVELS[scheme])).tolist()])
    packed, _ = bnb.functional.quantize_4bit(weights, blocksize=64, quant_type=scheme)
    found = [encode_level(scheme, find_nearest(value, LEVELS[scheme])) for value in weights.tolist()]
    assert found[: len(LEVELS[scheme])] == codes(packed)[: len(LEVELS[scheme])]


def test_each_fp4_code_stands_for_the_level_beside_it() -> None:
    table = bnb.functional.get_4bit_type("fp4", device="cpu").tolist()
    assert [table[code] for code in FP4_CODES] == pytest.approx(FP4_LEVELS)


@pytest.mark.parametrize(
    ("numbers", "paged"),
    [(SMALLEST_PAGED_NUMBERS - 1, False), (SMALLEST_PAGED_NUMBERS, True), (98_304, False)],
)
def test_bitsandbytes_pages_tensors_of_100_000_numbers_and_more(numbers: int, paged: bool) -> None:
    optimizer = bnb.optim.PagedAdamW32bit([nn.Parameter(torch.zeros(1))])
    on_a_gpu = SimpleNamespace(device=SimpleNamespace(type="cuda"), shape=(numbers,), numel=lambda: numbers)
    with (
        patch("bitsandbytes.functional.get_paged", side_effect=RuntimeError("paged")) as ask,
        patch("torch.zeros_like", side_effect=RuntimeError("kept")),
        pytest.raises(RuntimeError),
    ):
        optimizer.get_state_buffer(on_a_gpu)
    assert ask.called == paged


def test_the_figure_moves_only_moments_that_bitsandbytes_would_page() -> None:
    run = read_recording("training")["spike"]
    assert 0 < compute_movable_bytes() < run["optimizer_bytes"]
    assert (
        compute_movable_bytes() == 8 * 30 * 3 * 1536 * run["rank"]
    )  # gate and up: B, down: A; in each of 30 layers


@pytest.mark.parametrize("alpha", [4, 16])
def test_the_derivatives_shown_are_those_of_peft_with_alpha_over_r(alpha: int) -> None:
    torch.manual_seed(0)
    rank, d_in, d_out = 2, 5, 3
    model = get_peft_model(
        nn.Sequential(nn.Linear(d_in, d_out, bias=False)),
        LoraConfig(r=rank, lora_alpha=alpha, target_modules=["0"]),
    )
    layer = model.base_model.model[0]
    a, b, w = layer.lora_A["default"].weight, layer.lora_B["default"].weight, layer.base_layer.weight
    nn.init.normal_(b)
    x, delta = torch.randn(d_in, requires_grad=True), torch.randn(d_out)
    layer(x).backward(delta)
    s = alpha / rank
    with torch.no_grad():
        torch.testing.assert_close(b.grad, s * torch.outer(delta, a @ x))
        torch.testing.assert_close(a.grad, s * torch.outer(b.T @ delta, x))
        torch.testing.assert_close(x.grad, w.T @ delta + s * (a.T @ (b.T @ delta)))


def test_no_derivative_of_an_adapter_is_shown_without_its_factor() -> None:
    found = [(name, right) for name, line in SHOWN for right in ADAPTER_DERIVATIVE.findall(line)]
    assert len(found) >= 8
    assert [(name, right) for name, right in found if not re.match(r"s\b|0|\\frac\{\\alpha\}", right)] == []
    assert "dB = s δ" in DERIVATIVES
    assert "dA = s (" in DERIVATIVES
    assert "+ s Aᵀ" in DERIVATIVES
    assert "s = alpha / r" in DERIVATIVES


# PEFT adds the patterns itself, and then warns of them.
@pytest.mark.filterwarnings("ignore:The following (rank|alpha)_pattern keys:RuntimeWarning")
@pytest.mark.parametrize(
    ("family", "targets", "reached"),
    [
        ("mixtral", "all-linear", True),
        ("mixtral", ["w1", "w2", "w3"], True),
        ("qwen3_moe", "all-linear", True),
        ("gpt_oss", "all-linear", False),
        ("mixtral", ["q_proj", "v_proj"], False),
    ],
)
def test_peft_finds_the_experts_of_some_models_and_not_those_of_gpt_oss(
    family: str, targets: str | list[str], reached: bool
) -> None:
    model = get_peft_model(build_tiny(family, MIXTURES[family]), LoraConfig(target_modules=targets))
    trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert trained
    assert any("experts" in name for name in trained) == reached


def test_target_parameters_reaches_the_experts_of_gpt_oss() -> None:
    experts = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    model = get_peft_model(
        build_tiny("gpt_oss", MIXTURES["gpt_oss"]), LoraConfig(target_modules=[], target_parameters=experts)
    )
    trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert len(trained) == 2 * 2 * 2  # A and B of two tensors in two layers
    assert all("experts" in name for name in trained)


def test_a_warm_up_of_transformers_moves_nothing_in_its_first_step() -> None:
    model = get_peft_model(build_tiny("llama", FAMILIES["llama"]), LoraConfig(target_modules="all-linear"))
    factors = {
        letter: [weight for name, weight in model.named_parameters() if f"lora_{letter}" in name]
        for letter in "AB"
    }
    optimizer = torch.optim.AdamW(factors["A"] + factors["B"], lr=1e-3)
    schedule = get_scheduler("linear", optimizer, num_warmup_steps=3, num_training_steps=9)
    tokens = torch.arange(32).view(2, 16)
    seen = []
    for _ in range(3):
        optimizer.zero_grad()
        model(input_ids=tokens, labels=tokens).loss.backward()
        a_has_a_gradient = any(bool(weight.grad.any()) for weight in factors["A"])
        optimizer.step()
        schedule.step()
        seen.append((a_has_a_gradient, all(bool(weight.any()) for weight in factors["B"])))
    assert seen == [(False, False), (False, True), (True, True)]  # A has a gradient, B has moved


def test_only_the_first_layers_q_k_and_v_need_no_derivative_of_their_input() -> None:
    model = get_peft_model(build_tiny("llama", FAMILIES["llama"]), LoraConfig(target_modules="all-linear"))
    needs: dict[str, bool] = {}

    def remember(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        needs[names[layer]] = given[0].requires_grad

    names = {part: name for name, part in model.named_modules() if name.endswith("_proj")}
    for layer in names:
        layer.register_forward_pre_hook(remember)
    model(input_ids=torch.arange(16).view(1, 16))
    without = {name.partition("layers.")[2] for name, needed in needs.items() if not needed}
    assert without == {f"0.self_attn.{letter}_proj" for letter in "qkv"}
    assert len(needs) == 14


@pytest.mark.parametrize(("rslora", "growth"), [(False, 1 / 16), (True, 1)])
def test_the_first_plain_step_adds_equally_much_only_with_rslora(rslora: bool, growth: float) -> None:
    def first_step(rank: int) -> float:
        torch.manual_seed(0)
        settings = LoraConfig(r=rank, lora_alpha=16, use_rslora=rslora, target_modules=["0"])
        model = get_peft_model(nn.Sequential(nn.Linear(1024, 32, bias=False)), settings)
        x, delta = torch.randn(1024), torch.randn(32)
        before = model(x)
        before.backward(delta)
        with torch.no_grad():
            for weight in model.parameters():
                if weight.grad is not None:
                    weight -= weight.grad
            return float((model(x) - before).norm())

    assert first_step(256) / first_step(16) == pytest.approx(growth, rel=0.5)


def test_peft_fills_a_with_smaller_values_the_more_inputs_a_layer_has() -> None:
    model = get_peft_model(
        nn.Sequential(nn.Linear(64, 4096), nn.Linear(4096, 64)), LoraConfig(target_modules=["0", "1"])
    )
    for layer, d_in in zip(model.base_model.model, (64, 4096), strict=True):
        drawn = layer.lora_A["default"].weight.detach()
        assert 0.9 * d_in**-0.5 < float(drawn.abs().max()) <= d_in**-0.5


def test_a_model_of_transformers_shifts_the_labels_itself() -> None:
    model = build_tiny("llama", FAMILIES["llama"])
    tokens = torch.arange(16).view(1, 16)
    with torch.no_grad():
        found = model(input_ids=tokens, labels=tokens)
    expected = nn.functional.cross_entropy(found.logits[0, :-1], tokens[0, 1:])
    torch.testing.assert_close(found.loss, expected)


def test_adapters_of_activated_lora_share_the_keys_of_the_prompt_and_others_do_not() -> None:
    tokens = torch.arange(16).view(1, 16)
    shared = {}
    for invocation in (None, [8, 9]):
        settings = LoraConfig(
            task_type="CAUSAL_LM",
            target_modules="all-linear",
            init_lora_weights=False,
            alora_invocation_tokens=invocation,
        )
        model = get_peft_model(build_tiny("llama", FAMILIES["llama"]), settings, adapter_name="one")
        model.add_adapter("two", settings)
        keys = []
        for adapter in ("one", "two"):
            model.set_adapter(adapter)
            with torch.no_grad():
                cache = model(input_ids=tokens, use_cache=True).cache
            keys.append(cache.layers[1].keys)
        shared[invocation is not None] = [
            torch.equal(keys[0][:, :, part], keys[1][:, :, part]) for part in (slice(8), slice(8, 16))
        ]
    assert shared == {False: [False, False], True: [True, False]}
