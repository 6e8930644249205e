"""The lab's forward and backward against plain autograd and against PEFT's own layers."""

from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM

from lora_lab.spec import RunSpec
from lora_lab.worker.training.lora_matmul import (
    Decoder,
    DoRAMatmul,
    FrozenMatmul,
    LoRAMatmul,
    install_forwards,
)
from tests.lora_lab.families import FAMILIES
from tests.lora_lab.worker.builders import adapt, cosine, gradient

SHAPES = [  # tokens, d_in, d_out, rank
    (1, 4, 3, 1),
    (7, 5, 9, 2),
    (16, 32, 8, 8),
    (3, 8, 8, 16),
    (40, 64, 48, 64),
]
SCALING = 2.0
ROUNDING = 1e-6  # gradients of the adapter are handed back as fp32
# Families with the linear layers that the lab offers: with and without bias, and GPT-2's transposed Conv1D.
TRAINABLE_FAMILIES = ["llama", "qwen2", "gpt2", "opt", "phi3", "gpt_neox"]


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gradients_of(output: Tensor, *inputs: Tensor) -> list[Tensor]:
    """Of a loss that weighs every output differently."""
    return list(torch.autograd.grad((output * torch.arange(output.numel()).view_as(output)).sum(), inputs))


@pytest.mark.parametrize(("tokens", "d_in", "d_out", "rank"), SHAPES)
def test_lora_matmul_equals_plain_autograd(tokens: int, d_in: int, d_out: int, rank: int) -> None:
    x = numbers(tokens, d_in, seed=1).requires_grad_()
    a, b = (numbers(*shape, seed=2).requires_grad_() for shape in ((rank, d_in), (d_out, rank)))
    w = numbers(d_out, d_in, seed=3)

    ours: Any = LoRAMatmul.apply(x, a, b, lambda: w, SCALING)
    plain = x @ w.T + SCALING * (x @ a.T) @ b.T

    torch.testing.assert_close(ours, plain)
    for found, expected in zip(gradients_of(ours, x, a, b), gradients_of(plain, x, a, b), strict=True):
        assert float((found.double() - expected).norm() / expected.norm()) < ROUNDING


@pytest.mark.parametrize(("tokens", "d_in", "d_out", "rank"), SHAPES)
def test_dora_matmul_equals_plain_autograd_with_a_constant_norm(
    tokens: int, d_in: int, d_out: int, rank: int
) -> None:
    """arXiv:2402.09353 section 4.3: the norm gets no gradient."""
    x = numbers(tokens, d_in, seed=1).requires_grad_()
    a, b = (numbers(*shape, seed=2).requires_grad_() for shape in ((rank, d_in), (d_out, rank)))
    w, m = numbers(d_out, d_in, seed=3), numbers(d_out, seed=4).requires_grad_()

    ours: Any = DoRAMatmul.apply(x, a, b, m, w.norm(dim=1), lambda: w, SCALING)
    turned = w + SCALING * b @ a
    plain = x @ (m / turned.norm(dim=1).detach() * turned.T)

    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-5)
    for found, expected in zip(gradients_of(ours, x, a, b, m), gradients_of(plain, x, a, b, m), strict=True):
        assert float((found.double() - expected).norm() / expected.norm()) < 1e-5


def test_a_young_magnitude_survives_the_product_in_bf16() -> None:
    """A thousandth more than the norm is less than bf16 can tell from 1."""
    young = YoungAdapter()
    norm = young.w.float().norm(dim=1)
    zero_b = torch.zeros_like(young.b)

    def product(magnitude: Tensor) -> Tensor:
        given = (young.x, young.a, zero_b, magnitude, norm, young.decode, SCALING)
        output: Tensor = DoRAMatmul.apply(*given)
        return output.double()

    started, grown = product(norm), product(1.001 * norm)
    naive = (started.bfloat16() * 1.001).bfloat16().double()

    assert torch.equal(started, (young.x @ young.w.T).double())
    assert 0.9 < float(((grown - started) * started).sum() / (0.001 * started * started).sum()) < 1.1
    assert torch.equal(naive, started), "the control: multiplied afterwards, it is lost"


def test_lora_matmul_gives_no_gradient_to_an_input_that_wants_none() -> None:
    x = numbers(4, 6, seed=1)
    a, b, w = (
        numbers(2, 6, seed=2).requires_grad_(),
        numbers(5, 2, seed=3).requires_grad_(),
        numbers(5, 6, seed=4),
    )
    decoded = 0

    def decode() -> Tensor:
        nonlocal decoded
        decoded += 1
        return w

    output: Any = LoRAMatmul.apply(x, a, b, decode, SCALING)
    output.sum().backward()

    assert x.grad is None
    assert a.grad is not None
    assert decoded == 1, "the backward pass decoded a weight that it did not need"


@pytest.mark.parametrize(("tokens", "d_in", "d_out", "rank"), SHAPES)
def test_frozen_matmul_equals_plain_autograd(tokens: int, d_in: int, d_out: int, rank: int) -> None:
    x, w = numbers(tokens, d_in, seed=1).requires_grad_(), numbers(d_out, d_in, seed=2)

    ours: Any = FrozenMatmul.apply(x, lambda: w)

    torch.testing.assert_close(ours, x @ w.T)
    torch.testing.assert_close(gradients_of(ours, x), gradients_of(x @ w.T, x))


class OneLayer(nn.Module):
    """The smallest model that PEFT adapts."""

    def __init__(self, *, bias: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.q_proj = nn.Linear(6, 10, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.q_proj(x)
        return output

    def get_output_embeddings(self) -> None:
        """It has no head."""


@pytest.mark.parametrize("shape", [(5, 6), (2, 5, 6), (2, 3, 4, 6), (1, 1, 6)])
@pytest.mark.parametrize("bias", [False, True])
def test_an_installed_layer_takes_rows_of_any_number_of_axes(shape: tuple[int, ...], *, bias: bool) -> None:
    results = []
    for ours in (False, True):
        model = one_adapted_layer(bias=bias)
        if ours:
            install_forwards(model, Decoder(torch.float32))
        x = numbers(*shape, seed=1).float().requires_grad_()
        output = model(x)
        results.append((output, *gradients_of(output, x, *trained(model))))

    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def one_adapted_layer(*, bias: bool) -> PeftModel:
    """With B away from zero, so that A has a gradient too."""
    model: PeftModel = get_peft_model(
        OneLayer(bias=bias), LoraConfig(r=3, lora_alpha=6, target_modules=["q_proj"])
    )
    torch.manual_seed(1)
    for parameter in trained(model):
        nn.init.normal_(parameter)
    return model


def trained(model: nn.Module) -> list[Tensor]:
    return [p for p in model.parameters() if p.requires_grad]


@pytest.mark.filterwarnings("ignore:fan_in_fan_out")  # PEFT sets it for Conv1D itself, and says so
@pytest.mark.parametrize("family", TRAINABLE_FAMILIES)
def test_every_family_gets_the_losses_and_gradients_that_peft_gives_it(family: str) -> None:
    results = []
    for ours in (False, True):
        model = adapted_family(family)
        if ours:
            install_forwards(model, Decoder(torch.float32))
        ids = torch.randint(3, 60, (2, 12), generator=torch.Generator().manual_seed(0))

        def loss(model: nn.Module = model, ids: Tensor = ids) -> Tensor:
            found: Tensor = model(input_ids=ids, labels=ids, use_cache=False).loss
            return found

        results.append((loss().item(), gradient(model, loss)))

    (plain_loss, plain_gradient), (our_loss, our_gradient) = results
    assert our_loss == pytest.approx(plain_loss, abs=1e-5)
    assert cosine(our_gradient, plain_gradient) > 0.9999999
    assert float(our_gradient.norm() / plain_gradient.norm()) == pytest.approx(1, abs=1e-5)


def adapted_family(family: str) -> PeftModel:
    """All linear layers of a tiny model of the family, with B away from zero."""
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **FAMILIES[family]))
    for parameter in base.parameters():
        parameter.data.normal_(std=0.1)
    model = adapt(base, RunSpec(rank=2))
    for parameter in trained(model):
        parameter.data.normal_(std=0.1)
    return model.eval()


def test_a_young_adapter_survives_the_sum_in_bf16() -> None:
    """docs/traps.md 12: after one step at rank 8 the adapter's output is below the last bit of x Wᵀ."""
    young = YoungAdapter()

    ours: Any = LoRAMatmul.apply(young.x, young.a, young.b, young.decode, SCALING)
    naive = (young.x @ young.w.T).addmm_(young.x @ young.a.bfloat16().T, (young.b * SCALING).bfloat16().T)

    assert young.surviving_share(ours) > 0.95
    assert young.surviving_share(naive) < 0.8, "the control: added to a rounded sum, most of it is lost"


class YoungAdapter:
    """One layer of the embedded model's width, and B as AdamW leaves it after one step: lr times a sign."""

    def __init__(self) -> None:
        rng = torch.Generator().manual_seed(0)
        d_in, d_out, rank, tokens, learning_rate = 576, 576, 8, 256, 2e-4
        self.x = torch.randn(tokens, d_in, generator=rng).bfloat16()
        self.w = (0.1 * torch.randn(d_out, d_in, generator=rng)).bfloat16()
        self.a = torch.empty(rank, d_in).uniform_(-(d_in**-0.5), d_in**-0.5, generator=rng)
        self.b = learning_rate * torch.randn(d_out, rank, generator=rng).sign()

    def decode(self) -> Tensor:
        return self.w

    def surviving_share(self, output: Tensor) -> float:
        """How much of what the adapter adds is in `output`, against the frozen layer's own rounded output."""
        frozen: Any = FrozenMatmul.apply(self.x, self.decode)
        a, b = self.a.bfloat16().double(), (self.b * SCALING).bfloat16().double()
        added = (self.x.double() @ a.T) @ b.T
        return float(((output.double() - frozen.double()) * added).sum() / (added * added).sum())
