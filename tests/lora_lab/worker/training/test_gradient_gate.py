"""The gradient gate: the adapter's whole gradient against plain fp32 PEFT on the same stored weights.

At step 0 and after three real steps, because a bf16 sum can swallow an adapter that has just begun to learn
(docs/traps.md 11 and 12). Cosines are taken in float64.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
import torch
from bitsandbytes.functional import int8_vectorwise_dequant
from peft import PeftModel
from torch import Tensor, nn

from lora_lab.spec import BITS, EMBEDDED_MODEL, TINY_MODEL, Bits, Compute, RunSpec, Variant
from lora_lab.worker.training.group import AdapterGroup
from lora_lab.worker.training.loaded_model import Adapted, keep_residual_in_fp32
from lora_lab.worker.training.lora_matmul import Decoder, install_forwards
from tests.lora_lab.worker.builders import (
    Lab,
    copy_adapter,
    cosine,
    gradient,
    gradient_and_loss,
    linears,
    open_lab,
    padded_loss,
    plain_peft,
    stored_codes,
)
from tests.lora_lab.worker.quick_bf16 import quick_bf16

LIMITS: dict[Compute, float] = {"fp32": 0.99999, "bf16": 0.999}
EMBEDDED_LIMITS: dict[Compute, float] = {"fp32": 0.9999999, "bf16": 0.999}
LOSS_LIMITS: dict[Compute, float] = {"fp32": 1e-4, "bf16": 0.01}
GATED_STEPS = 3


def spec(model: str, bits: Bits) -> RunSpec:
    """The learning rate of the QLoRA recipe: the slower one learns, the smaller a young adapter's output."""
    return RunSpec(model=model, bits=bits, learning_rate=2e-4, steps=GATED_STEPS, compute_dtype="bf16")


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("compute", LIMITS)
@pytest.mark.parametrize("bits", BITS)
def test_a_tiny_models_gradients_pass_the_gate(
    bits: Bits, compute: Compute, graph: bool, models_dir: Path
) -> None:
    """Through the layer that is written out, and with PyTorch's graph."""
    lab = open_lab(spec(TINY_MODEL, bits), compute, models_dir, graph=graph)
    plain = same_weights_in_fp32(lab, models_dir)
    check(lab, plain, compute)
    lab.train()
    check(lab, plain, compute)


@pytest.mark.parametrize("compute", LIMITS)
@pytest.mark.parametrize("variant", ["rslora", "dora"])
@pytest.mark.parametrize("bits", ["bf16", "int8", "nf4-dq", "hqq3"])
def test_other_variants_gradients_pass_the_gate_too(
    bits: Bits, variant: Variant, compute: Compute, models_dir: Path
) -> None:
    """A magnitude's gradient is one of them."""
    lab = open_lab(replace(spec(TINY_MODEL, bits), variant=variant), compute, models_dir, graph=False)
    assert isinstance(lab.adapted, AdapterGroup) == (variant != "dora")
    plain = same_weights_in_fp32(lab, models_dir)
    check(lab, plain, compute)
    lab.train()
    check(lab, plain, compute)


def check(lab: Lab, plain: PeftModel, compute: Compute) -> None:
    copy_adapter(lab.model, plain)
    batch = lab.examples[20:24]  # of two examples, one alone can decide the cosine
    (ours, loss), usual = lab.look(batch), partial(padded_loss, plain, batch)
    assert cosine(ours, gradient(plain.train(), usual)) >= LIMITS[compute]
    assert loss == pytest.approx(usual().item(), abs=LOSS_LIMITS[compute])


def same_weights_in_fp32(lab: Lab, models_dir: Path) -> PeftModel:
    """The library's own fp32 model on the stored weights of `lab`. 8-bit weights are decoded by the library,
    because its product rounds activations to 8 bits as well, which the lab's weight-only form does not.
    """
    if lab.spec.bits != "int8":
        plain = plain_peft(lab.spec, models_dir)
        for ours, theirs in zip(linears(lab.model), linears(plain), strict=True):
            assert torch.equal(stored_codes(ours), stored_codes(theirs)), "not the same stored weights"
        return plain.float() if lab.spec.bits == "bf16" else plain
    plain = plain_peft(lab.spec, models_dir, bits="fp32")
    for ours, theirs in zip(linears(lab.model), linears(plain), strict=True):
        theirs.weight.data = int8_vectorwise_dequant(ours.weight.CB, ours.weight.SCB)
    return plain


@dataclass(frozen=True)
class Point:
    """The embedded model's gradient and loss at one moment of a run, in each form."""

    gradients: dict[str, Tensor]
    losses: dict[str, float]


@pytest.fixture(scope="module")
def points(embedded_dir: Path) -> list[Point]:
    """Before the first step and after three of a run in bf16 through the written-out layer, on nf4-dq.

    The same fp32 model serves both as it comes from the library and, once changed, in the lab's form.
    """
    with quick_bf16():
        return measured_points(embedded_dir)


def measured_points(embedded_dir: Path) -> list[Point]:
    usual = replace(spec(EMBEDDED_MODEL, "nf4-dq"), batch=2)
    lab = open_lab(usual, "bf16", embedded_dir, graph=False)
    batch = lab.examples[20:24]  # of two examples, one alone can decide the cosine
    adapters: list[dict[str, Tensor]] = []
    measured: list[dict[str, tuple[Tensor, float]]] = []
    for _ in range(2):
        own = {name: p.detach().clone() for name, p in lab.model.named_parameters() if "lora_" in name}
        adapters.append(own)
        measured.append({"bf16": lab.look(batch)})
        if len(measured) == 1:
            lab.train()

    def look_again(form: str, model: nn.Module, look: Callable[[], tuple[Tensor, float]]) -> None:
        for adapter, found in zip(adapters, measured, strict=True):
            assert not model.load_state_dict(adapter, strict=False).unexpected_keys
            found[form] = look()

    with_graph = lab.reattach(usual, graph=True)
    look_again("bf16 with graph", with_graph.model, lambda: with_graph.look(batch))
    assert lab.loaded.written_out
    in_fp32 = open_lab(usual, "fp32", embedded_dir, graph=False, tried=True)
    assert isinstance(in_fp32.adapted, AdapterGroup)
    look_again("fp32", in_fp32.model, lambda: in_fp32.look(batch))
    plain = same_weights_in_fp32(with_graph, embedded_dir)
    look_again("plain", plain, lambda: gradient_and_loss(plain.train(), lambda: padded_loss(plain, batch)))

    keep_residual_in_fp32(plain, torch.float32)
    install_forwards(plain, Decoder(torch.float32))
    as_lab = Adapted(model=plain, decoder=Decoder(torch.float32))
    wide = Lab(in_fp32.loaded, as_lab, lab.examples, lab.spec)
    look_again("fp32 with graph", plain, lambda: wide.look(batch))
    return [Point({k: g for k, (g, _) in m.items()}, {k: v for k, (_, v) in m.items()}) for m in measured]


@pytest.mark.embedded
@pytest.mark.parametrize("path", ["", " with graph"])
@pytest.mark.parametrize("compute", LIMITS)
@pytest.mark.parametrize("step", [0, GATED_STEPS])
def test_the_embedded_models_gradients_pass_the_gate(
    points: list[Point], compute: Compute, path: str, step: int
) -> None:
    point, form = points[0 if step == 0 else 1], compute + path
    found = cosine(point.gradients[form], point.gradients["plain"])
    assert found >= EMBEDDED_LIMITS[compute]
    assert point.losses[form] == pytest.approx(point.losses["plain"], abs=LOSS_LIMITS[compute])
