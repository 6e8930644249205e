"""Groups of adapters on a simulated GPU, where cells are stacked: losses, gradients, memory, overflow."""

import gc
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lora_lab.data.batches import step_plan
from lora_lab.parameters.shapes import find_shape
from lora_lab.spec import TINY_MODEL, Bits, Compute, RunSpec
from lora_lab.worker.device.gpu import live_bytes, workspace_bytes
from lora_lab.worker.training.group import AdapterGroup
from lora_lab.worker.training.group_loop import train_group
from lora_lab.worker.training.packing import cut_to, encode_example
from lora_lab.worker.training.session import meter_for, open_session
from tests.lora_lab.worker.builders import CPU, cosine, machine, open_lab, silent, small_dataset
from tests.lora_lab.worker.training.test_grouped import (
    FOUR,
    GRADIENTS,
    examples_for,
    graph_look,
    looks_at,
    peak_error_percent,
    session_for,
)
from tests.simulated_gpu.device import DEVICE, OneDevice

pytestmark = [pytest.mark.simulated_gpu, pytest.mark.usefixtures("emptied_gpu")]

TINY = RunSpec(model=TINY_MODEL, steps=3, compute_dtype="fp32")
STACK_PERCENT = 0.3
"""Of several stacks, the last one works when the others have freed a part of what they kept."""


def group_losses(bits: Bits, models_dir: Path, device: torch.device) -> dict[str, list[float]]:
    session = open_session(TINY_MODEL, bits, machine("fp32", device), models_dir=models_dir, report=silent)
    specs = [replace(TINY, bits=bits, rank=rank, alpha=2.0 * rank) for rank in (2, 4, 8, 16)]
    group = AdapterGroup(session, specs, find_shape(TINY_MODEL))
    encoded = [encode_example(session.tokenizer, example) for example in small_dataset().train]
    examples = cut_to(encoded, TINY.seq_len_tokens)
    assert group.agrees_with_library(examples[:2])
    found: dict[str, list[float]] = {}
    train_group(
        group,
        examples,
        meter=meter_for(group.model, session.machine),
        on_step=lambda cell, step: found.setdefault(cell.name, []).append(step.loss),
        should_stop=lambda cell: False,
        on_end=lambda cell, error: None,
    )
    found["held out"] = [group.base_loss(examples[:4]), *group.held_out_losses(group.cells, examples[:4])]
    return found


@pytest.mark.parametrize("bits", ["nf4-dq", "int8", "bf16", "fp32", "hqq4"])
def test_a_group_of_four_has_the_cpus_losses(bits: Bits, models_dir: Path) -> None:
    """PEFT leaves the second adapter on an HQQ layer on the CPU (worker/model/quantization.py)."""
    with OneDevice():
        found = group_losses(bits, models_dir, DEVICE)
    expected = group_losses(bits, models_dir, CPU)
    assert {name: pytest.approx(values, abs=2e-5) for name, values in expected.items()} == found


def test_a_stacks_gradients_in_bf16_are_near_those_of_fp32(models_dir: Path) -> None:
    """Of every cell at every step; on the CPU, with PyTorch's graph."""
    specs = [replace(spec, steps=3) for spec in FOUR]
    session = session_for(specs[0], "bf16", models_dir, DEVICE)
    examples = examples_for(session, specs[0])
    with OneDevice():
        found = looks_at(session, specs, examples)
    wide = session_for(specs[0], "fp32", models_dir)
    for spec, looks in zip(specs, found, strict=True):
        plan = step_plan(len(examples), batch=spec.batch, steps=spec.steps, seed=spec.seed)
        for picked, look in zip(plan, looks, strict=True):
            adapter = {name: values.cpu() for name, values in look.adapter.items()}
            expected, _ = graph_look(wide, spec, adapter, [examples[i] for i in picked])
            assert cosine(expected, look.gradient) > GRADIENTS["bf16"]


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("ranks", [(2, 4, 8, 16), (16, 16, 16, 2)], ids=["one stack", "two stacks"])
@pytest.mark.parametrize("compute", ["fp32", "bf16"])
def test_a_stacks_peak_is_predicted(
    compute: Compute, ranks: tuple[int, ...], checkpointing: bool, models_dir: Path
) -> None:
    specs = [
        replace(TINY, bits="nf4-dq", rank=rank, seed=seed, steps=3, checkpointing=checkpointing)
        for seed, rank in enumerate(ranks)
    ]
    gc.collect()
    held_bytes = live_bytes(DEVICE) - workspace_bytes(DEVICE)
    with OneDevice():
        found = peak_error_percent(specs, compute, models_dir, DEVICE, held_bytes)
    assert abs(found) < STACK_PERCENT


def test_a_cell_that_overflows_in_a_stack_leaves_the_others_as_they_are(models_dir: Path) -> None:
    """Zero times infinity would carry it to the others' gradients."""
    specs = [replace(TINY, bits="nf4", rank=4, seed=seed, steps=4) for seed in range(3)]
    specs[1] = replace(specs[1], learning_rate=1e30)
    found: dict[str, list[float]] = {}
    ended: list[str] = []
    session = open_session(TINY_MODEL, "nf4", machine("fp32", DEVICE), models_dir=models_dir, report=silent)
    encoded = [encode_example(session.tokenizer, example) for example in small_dataset().train]
    with OneDevice():
        group = AdapterGroup(session, specs, find_shape(TINY_MODEL))
        train_group(
            group,
            cut_to(encoded, TINY.seq_len_tokens),
            meter=meter_for(group.model, session.machine),
            on_step=lambda cell, step: found.setdefault(cell.name, []).append(step.loss),
            should_stop=lambda cell: False,
            on_end=lambda cell, error: ended.append(cell.name),
        )
    assert ended == ["cell1"]
    assert torch.isfinite(group.cells[1].flat).all()
    for spec, name in ((specs[0], "cell0"), (specs[2], "cell2")):
        assert found[name] == pytest.approx(
            [
                step.loss
                for step in open_lab(spec, "fp32", models_dir, dataset=small_dataset(), graph=False).train()
            ],
            abs=2e-5,
        )
