"""Variants, optimizers and checkpointing: what each changes of a run, and what it must not."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lora_lab.spec import OPTIMIZERS, VARIANTS, Bits, Compute, Optimizer, RunSpec, Variant
from lora_lab.worker.training.loop import build_optimizer
from tests.lora_lab.worker.builders import TINY, Lab, gradient, open_lab, small_dataset

COMPUTES: tuple[Compute, ...] = ("fp32", "bf16")


def lab_of(spec: RunSpec, compute: Compute, models_dir: Path) -> Lab:
    return open_lab(spec, compute, models_dir, dataset=small_dataset())


@pytest.mark.parametrize("compute", COMPUTES)
@pytest.mark.parametrize("bits", ["bf16", "int8", "nf4-dq", "hqq3"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_fresh_adapter_leaves_the_model_as_it_was_to_the_last_bit(
    variant: Variant, bits: Bits, compute: Compute, models_dir: Path
) -> None:
    lab = lab_of(replace(TINY, variant=variant, bits=bits), compute, models_dir)
    batch = lab.examples[:4]
    with_adapter = lab.loss(batch).item()
    with lab.model.disable_adapter():
        assert lab.loss(batch).item() == with_adapter


@pytest.mark.parametrize("compute", COMPUTES)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("bits", ["fp32", "nf4-dq", "hqq4"])
def test_gradients_and_steps_with_checkpointing_are_those_without(
    bits: Bits, variant: Variant, compute: Compute, models_dir: Path
) -> None:
    """Bit by bit: the same operators run again. In packed rows too, whose examples must stay apart."""
    kept = lab_of(replace(TINY, variant=variant, bits=bits), compute, models_dir)
    again = lab_of(replace(TINY, variant=variant, bits=bits, checkpointing=True), compute, models_dir)
    batch = kept.examples[:4]
    assert torch.equal(
        gradient(kept.model.train(), lambda: kept.loss(batch)),
        gradient(again.model.train(), lambda: again.loss(batch)),
    )
    steps, repeated = kept.train(), again.train()
    assert [step.loss for step in steps] == [step.loss for step in repeated]
    assert repeated[-1].peak_bytes < steps[-1].peak_bytes


def test_the_next_run_on_the_same_base_forgets_checkpointing(models_dir: Path) -> None:
    lab = lab_of(replace(TINY, checkpointing=True), "fp32", models_dir)
    assert lab.loaded.base.is_activation_checkpointing
    assert not lab.reattach(TINY).loaded.base.is_activation_checkpointing


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_lowers_the_loss(optimizer: Optimizer, models_dir: Path) -> None:
    """Without a warning: a CPU has nowhere to page to, and nobody is told so at every run."""
    lab = lab_of(replace(TINY, optimizer=optimizer, rank=64, steps=8), "fp32", models_dir)
    losses = [step.loss for step in lab.train()]
    assert losses[-1] < losses[0] - 0.1


def test_8_bit_moments_are_8_bit_where_the_tensor_is_large_enough() -> None:
    large, small = (torch.nn.Parameter(torch.zeros(size)) for size in (4096, 4095))
    optimizer = build_optimizer([large, small], RunSpec(optimizer="adamw8bit"))
    for parameter in (large, small):
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert [optimizer.state[p]["state1"].dtype for p in (large, small)] == [torch.uint8, torch.float32]


def test_8_bit_moments_take_nearly_the_same_steps(models_dir: Path) -> None:
    exact, narrow = (
        lab_of(replace(TINY, optimizer=optimizer, rank=64, steps=4), "fp32", models_dir).train()
        for optimizer in ("adamw", "adamw8bit")
    )
    for one, other in zip(exact, narrow, strict=True):
        assert other.loss == pytest.approx(one.loss, abs=0.01)
    assert [step.loss for step in exact] != [step.loss for step in narrow]
