"""What figures and lessons show, against the libraries: codes of FP4, what is paged, derivatives."""

import re
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import bitsandbytes as bnb
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from lora_lab.figures.adapters.backward_graph import DERIVATIVES
from lora_lab.figures.recorded import read_recording
from lora_lab.figures.training.paged_optimizer import movable_bytes
from lora_lab.memory.optimizer_state import SMALLEST_PAGED_NUMBERS
from lora_lab.parameters.quantization_levels import FP4_CODES, FP4_LEVELS, LEVELS, code_of, find_nearest

ROOT = Path(__file__).parents[3]
SHOWN = [
    (path.name, line.strip())
    for folder in ("study/lessons", "flashcards/decks", "quizzes/questions")
    for path in sorted((ROOT / folder).glob("*.yaml"))
    for line in path.read_text("utf-8").splitlines()
]
ADAPTER_DERIVATIVE = re.compile(r"\\frac\{\\partial L\}\{\\partial [AB]\}\s*=\s*([^,$]+)")
"""The right side of a formula for the gradient of A or B."""


def codes(packed: torch.Tensor) -> list[int]:
    """Unpack two 4-bit codes a byte, the first in the high half."""
    return [half for byte in packed.flatten().tolist() for half in (byte >> 4, byte & 15)]


@pytest.mark.parametrize("scheme", ["nf4", "fp4"])
def test_the_codes_shown_are_those_that_bitsandbytes_stores(scheme: str) -> None:
    weights = torch.tensor([*LEVELS[scheme], *torch.linspace(-1, 1, 64 - len(LEVELS[scheme])).tolist()])
    packed, _ = bnb.functional.quantize_4bit(weights, blocksize=64, quant_type=scheme)
    found = [code_of(scheme, find_nearest(value, LEVELS[scheme])) for value in weights.tolist()]
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
    assert 0 < movable_bytes() < run["optimizer_bytes"]
    assert movable_bytes() == 8 * 30 * 3 * 1536 * run["rank"]  # gate and up: B, down: A; in each of 30 layers


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
