"""Cells trained side by side against runs of their own: same start, same losses, same gradients."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean

import pytest
import torch
from torch import Tensor

from lora_lab.data.batches import step_plan
from lora_lab.data.datasets import build_own_dataset
from lora_lab.memory.written_out import WRITTEN_TYPES
from lora_lab.parameters.shapes import find_shape
from lora_lab.spec import EMBEDDED_MODEL, TINY_MODEL, Compute, RunSpec, TargetSet
from lora_lab.worker.training.adapter_stack import CellAdapter
from lora_lab.worker.training.group import AdapterGroup, count_shared_tokens
from lora_lab.worker.training.group_loop import SharedStep, train_group
from lora_lab.worker.training.loaded_model import LoadedModel, attach_adapter, open_model
from lora_lab.worker.training.loop import NonFiniteLoss, StepResult, answer_loss, held_out_loss, train_adapter
from lora_lab.worker.training.packing import Encoded, cut_to, pack_examples
from tests.lora_lab.families import FAMILIES, shape_of
from tests.lora_lab.worker.builders import (
    CPU,
    cell_gradient,
    cosine,
    encode_examples,
    gradient_and_loss,
    machine,
    never_stop,
    shortest_answered,
    silent,
)
from tests.lora_lab.worker.model.family_folders import folder_of
from tests.lora_lab.worker.quick_bf16 import quick_bf16

STEPS = 4
GRADIENTS: dict[Compute, float] = {"fp32": 0.9999, "bf16": 0.999}
LOSSES: dict[Compute, float] = {"fp32": 1e-4, "bf16": 0.02}
TINY = RunSpec(model=TINY_MODEL, bits="nf4-dq", steps=STEPS, learning_rate=2e-4)
FOUR = (
    replace(TINY, rank=2, alpha=4),
    replace(TINY, rank=8, seed=1, learning_rate=1e-3),
    replace(TINY, rank=8, seed=2),
    replace(TINY, rank=32, alpha=64, seed=3, variant="rslora"),
)
"""Ranks, alphas, learning rates and seeds that differ, two ranks that are equal, and another scaling."""


def load_for(spec: RunSpec, compute: Compute, models_dir: Path, device: torch.device = CPU) -> LoadedModel:
    return open_model(spec.model, spec.bits, machine(compute, device), models_dir=models_dir, report=silent)


def examples_for(loaded: LoadedModel, spec: RunSpec) -> list[Encoded]:
    return cut_to(encode_examples(loaded, build_own_dataset()), spec.seq_len_tokens)


# ---- a group and the same cells as runs of their own


@dataclass
class Trained:
    """What the steps of one cell left."""

    losses: list[float]
    norms: list[float]
    adapter: dict[str, Tensor]
    held_out: float


def trained_together(loaded: LoadedModel, specs: Sequence[RunSpec], examples: list[Encoded]) -> list[Trained]:
    group = AdapterGroup(loaded, specs, find_shape(specs[0].model))
    steps: dict[CellAdapter, list[SharedStep]] = {cell: [] for cell in group.cells}
    finished = train_group(
        group,
        examples,
        on_step=lambda cell, step: steps[cell].append(step),
        should_stop=lambda cell: False,
        on_end=lambda cell, error: pytest.fail(f"{cell.name} ended: {error}"),
    )
    assert finished == group.cells
    held_out = group.compute_held_out_losses(group.cells, examples[:6])
    found = [
        Trained(
            [step.loss for step in steps[cell]],
            [step.grad_norm for step in steps[cell]],
            adapter_of(group, cell),
            loss,
        )
        for cell, loss in zip(group.cells, held_out, strict=True)
    ]
    loaded.base = group.model.unload()
    return found


def trained_alone(loaded: LoadedModel, spec: RunSpec, examples: list[Encoded]) -> Trained:
    adapted = attach_adapter(loaded, spec, find_shape(spec.model))
    steps: list[StepResult] = []
    train_adapter(
        adapted.model,
        examples,
        spec,
        loaded.machine,
        on_step=steps.append,
        should_stop=never_stop,
    )
    held_out = held_out_loss(adapted.model, examples[:6], loaded.machine.autocast)
    adapter = {name: p.detach().clone() for name, p in adapted.model.named_parameters() if p.requires_grad}
    loaded.base = adapted.model.unload()
    return Trained([step.loss for step in steps], [step.grad_norm for step in steps], adapter, held_out)


def adapter_of(group: AdapterGroup, cell: CellAdapter) -> dict[str, Tensor]:
    """A cell's parameters under the names that a run of its own has."""
    return {
        name.replace(f".{cell.name}.", ".default."): p.detach().clone()
        for name, p in group.model.named_parameters()
        if f".{cell.name}." in name
    }


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("targets", ["all-linear", "q+v"])
def test_each_cell_trains_as_it_does_in_a_run_of_its_own(
    targets: TargetSet, checkpointing: bool, models_dir: Path
) -> None:
    specs = [replace(spec, targets=targets, checkpointing=checkpointing) for spec in FOUR]
    loaded = load_for(TINY, "fp32", models_dir)
    examples = examples_for(loaded, TINY)
    together = trained_together(loaded, specs, examples)
    for spec, ours in zip(specs, together, strict=True):
        alone = trained_alone(loaded, spec, examples)
        assert ours.losses == pytest.approx(alone.losses, abs=LOSSES["fp32"])
        assert ours.norms == pytest.approx(alone.norms, rel=1e-3)
        assert ours.held_out == pytest.approx(alone.held_out, abs=LOSSES["fp32"])
        assert ours.adapter.keys() == alone.adapter.keys()
        for name, tensor in alone.adapter.items():
            assert torch.allclose(ours.adapter[name], tensor, atol=1e-5), name


def test_in_bf16_each_cell_trains_as_alone_within_rounding(models_dir: Path) -> None:
    loaded = load_for(TINY, "bf16", models_dir)
    examples = examples_for(loaded, TINY)
    together = trained_together(loaded, FOUR, examples)
    for spec, ours in zip(FOUR, together, strict=True):
        alone = trained_alone(loaded, spec, examples)
        assert ours.losses == pytest.approx(alone.losses, abs=LOSSES["bf16"])
        assert ours.held_out == pytest.approx(alone.held_out, abs=LOSSES["bf16"])


def test_a_cell_starts_from_its_own_seed(models_dir: Path) -> None:
    loaded = load_for(TINY, "fp32", models_dir)
    group = AdapterGroup(loaded, FOUR, find_shape(TINY_MODEL))
    fresh = [adapter_of(group, cell) for cell in group.cells]
    loaded.base = group.model.unload()
    for spec, ours in zip(FOUR, fresh, strict=True):
        model = attach_adapter(loaded, spec, find_shape(TINY_MODEL)).model
        alone = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
        loaded.base = model.unload()
        assert ours.keys() == alone.keys()
        assert all(torch.equal(ours[name], tensor) for name, tensor in alone.items())


# ---- gradients


@dataclass
class Look:
    """One cell of a group at one step: its adapter before it, its loss, and its gradient as one vector."""

    adapter: dict[str, Tensor]
    loss: float
    gradient: Tensor


def looks_at(loaded: LoadedModel, specs: Sequence[RunSpec], examples: list[Encoded]) -> list[list[Look]]:
    """Of each cell, one for each step of a real run."""
    group = AdapterGroup(loaded, specs, find_shape(specs[0].model))
    before: dict[CellAdapter, dict[str, Tensor]] = {}
    looks: dict[CellAdapter, list[Look]] = {cell: [] for cell in group.cells}

    def remember(cell: CellAdapter) -> bool:
        before[cell] = adapter_of(group, cell)
        return False

    train_group(
        group,
        examples,
        on_step=lambda cell, step: looks[cell].append(
            Look(before[cell], step.loss, cell_gradient(group, cell))
        ),
        should_stop=remember,
        on_end=lambda cell, error: pytest.fail(f"{cell.name} ended: {error}"),
    )
    loaded.base = group.model.unload()
    return [looks[cell] for cell in group.cells]


def check_gradients(
    loaded: LoadedModel,
    specs: Sequence[RunSpec],
    examples: list[Encoded],
    compute: Compute,
    models_dir: Path,
    *,
    least: float | None = None,
) -> None:
    """The steps of every cell against a model that has the cell's adapter alone and computes in fp32.

    Cosines are compared in the mean over a cell's steps, because a batch here and there is sensitive to every
    rounding: a step may be twice as far off as the mean, and in bf16 the mean as far off as PyTorch's graph.
    """
    limit = least or GRADIENTS[compute]
    wide = loaded if compute == "fp32" else load_for(specs[0], "fp32", models_dir)
    for spec, looks in zip(specs, looks_at(loaded, specs, examples), strict=True):
        plan = step_plan(len(examples), batch=spec.batch, steps=spec.steps, seed=spec.seed)
        batches = [[examples[i] for i in picked] for picked in plan]
        found, expected = [], []
        for look, (right, loss) in zip(looks, graph_looks(wide, spec, looks, batches), strict=True):
            expected.append(right)
            found.append(cosine(right, look.gradient))
            assert look.loss == pytest.approx(loss, abs=LOSSES[compute])
        if compute == "bf16" and fmean(found) <= limit:
            narrow = [right for right, _ in graph_looks(loaded, spec, looks, batches)]
            assert fmean(found) > fmean(map(cosine, expected, narrow)) - 1e-4
        else:
            assert fmean(found) > limit
            assert min(found) > 1 - 2 * (1 - limit)


def graph_looks(
    loaded: LoadedModel, spec: RunSpec, looks: Sequence[Look], batches: Sequence[Sequence[Encoded]]
) -> list[tuple[Tensor, float]]:
    """The gradient and the loss with PyTorch's graph, of each look's adapter on its batch."""
    model = attach_adapter(loaded, spec, find_shape(spec.model)).model.train()
    found: list[tuple[Tensor, float]] = []
    for look, batch in zip(looks, batches, strict=True):
        assert not model.load_state_dict(look.adapter, strict=False).unexpected_keys
        row = pack_examples(batch, CPU)
        found.append(gradient_and_loss(model, partial(answer_loss, model, row, loaded.machine.autocast())))
    loaded.base = model.unload()
    return found


@pytest.mark.parametrize("compute", GRADIENTS)
def test_each_cells_gradients_are_those_of_a_run_of_its_own(compute: Compute, models_dir: Path) -> None:
    loaded = load_for(TINY, compute, models_dir)
    check_gradients(loaded, FOUR, examples_for(loaded, TINY), compute, models_dir)


ALONE: dict[Compute, float] = {"fp32": 0.9999999, "bf16": 0.999}


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("compute", ALONE)
def test_a_run_that_is_alone_has_the_gradients_of_pytorchs_graph(
    compute: Compute, checkpointing: bool, models_dir: Path
) -> None:
    """A group of one, over real steps."""
    spec = replace(FOUR[1], checkpointing=checkpointing)
    loaded = load_for(spec, compute, models_dir)
    check_gradients(loaded, [spec], examples_for(loaded, spec), compute, models_dir, least=ALONE[compute])


@pytest.mark.embedded
def test_the_embedded_models_run_has_the_gradients_of_pytorchs_graph(embedded_dir: Path) -> None:
    """In bf16; test_gradient_gate.py compares a run in fp32 with plain PEFT's."""
    spec = replace(FOUR[1], model=EMBEDDED_MODEL, steps=2)
    loaded = load_for(spec, "bf16", embedded_dir)
    examples = shortest_answered(examples_for(loaded, spec))
    with quick_bf16():
        check_gradients(loaded, [spec], examples, "bf16", embedded_dir, least=ALONE["bf16"])


@pytest.mark.embedded
@pytest.mark.parametrize("compute", GRADIENTS)
def test_the_embedded_models_cells_have_the_gradients_of_runs_of_their_own(
    compute: Compute, embedded_dir: Path
) -> None:
    """In fp32 batches of two are enough, because there is no rounding to outweigh."""
    specs = [
        replace(spec, model=EMBEDDED_MODEL, steps=2, learning_rate=rate, batch=2 if compute == "fp32" else 4)
        for spec, rate in zip((FOUR[0], FOUR[3]), (2e-4, 1e-3), strict=True)
    ]
    loaded = load_for(specs[0], compute, embedded_dir)
    with quick_bf16():
        examples = shortest_answered(examples_for(loaded, specs[0]))
        check_gradients(loaded, specs, examples, compute, embedded_dir)


@pytest.mark.parametrize("prefix", [20, 150])
def test_what_all_examples_begin_with_is_in_a_row_once_and_changes_nothing(
    prefix: int, models_dir: Path
) -> None:
    """Also a prefix of more than half of what attention is written out for."""
    loaded = load_for(TINY, "fp32", models_dir)
    examples = [
        Encoded(ids=(*range(3, 3 + prefix), *(i * n % 250 for i in range(2, 9 * n))), answer_tokens=6)
        for n in (2, 3, 4, 5)
    ]
    shared = count_shared_tokens(examples, CPU)
    assert shared >= prefix
    plain, once = pack_examples(examples, CPU), pack_examples(examples, CPU, shared=shared)
    assert once.input_ids.numel() == plain.input_ids.numel() - 3 * shared
    assert torch.equal(once.targets, plain.targets)

    group = AdapterGroup(loaded, FOUR[:2], find_shape(TINY_MODEL))
    for cell in group.cells:
        cell.flat.data.normal_(std=0.05, generator=torch.Generator().manual_seed(0))
    found = []
    for row in (plain, once):
        losses, _ = group.compute_gradients(group.cells, [row, row])
        found.append((losses, [cell.grad.double() for cell in group.cells]))
    assert found[1][0] == pytest.approx(found[0][0], abs=1e-5)
    for ours, theirs in zip(found[1][1], found[0][1], strict=True):
        assert cosine(ours, theirs) > 0.9999999
        assert float(ours.norm()) == pytest.approx(float(theirs.norm()), rel=1e-5)


def test_long_examples_take_the_fused_kernel_and_agree_with_the_library(models_dir: Path) -> None:
    loaded = load_for(TINY, "fp32", models_dir)
    group = AdapterGroup(loaded, [TINY], find_shape(TINY_MODEL))
    long = [Encoded(ids=tuple(i % 250 for i in range(n)), answer_tokens=20) for n in (300, 40)]
    assert group.agrees_with_library(long)


@pytest.mark.parametrize("family", sorted(WRITTEN_TYPES))
def test_every_type_that_is_grouped_has_the_layer_that_is_written_here(family: str, tmp_path: Path) -> None:
    folder = folder_of(family, FAMILIES[family], tmp_path / family)
    loaded = load_for(replace(TINY, model=str(folder)), "fp32", tmp_path)
    group = AdapterGroup(loaded, [TINY], shape_of(family))
    examples = [Encoded(ids=tuple(range(3, 3 + n)), answer_tokens=4) for n in (20, 9)]
    assert group.agrees_with_library(examples)


# ---- cells that end before the others


def test_a_cell_that_diverges_or_is_stopped_leaves_the_others_as_they_are(models_dir: Path) -> None:
    diverging = replace(TINY, learning_rate=1e30, seed=4)
    stopped = replace(TINY, rank=4, seed=5)
    loaded = load_for(TINY, "fp32", models_dir)
    examples = examples_for(loaded, TINY)
    group = AdapterGroup(loaded, [FOUR[0], diverging, stopped, FOUR[1]], find_shape(TINY_MODEL))
    steps: dict[str, list[SharedStep]] = {cell.name: [] for cell in group.cells}
    ended: dict[str, NonFiniteLoss | None] = {}

    finished = train_group(
        group,
        examples,
        on_step=lambda cell, step: steps[cell.name].append(step),
        should_stop=lambda cell: cell.spec == stopped and len(steps[cell.name]) == 2,
        on_end=lambda cell, error: ended.update({cell.name: error}),
    )

    assert [cell.spec for cell in finished] == [FOUR[0], FOUR[1]]
    lost = ended["cell1"]
    assert lost is not None
    assert lost.step == len(steps["cell1"]) + 1
    assert torch.isfinite(group.cells[1].flat).all(), "the update that would spoil it must not be made"
    assert ended["cell2"] is None
    assert [step.shared_by for step in steps["cell0"]][-1] == 2
    loaded.base = group.model.unload()
    for spec, name in ((FOUR[0], "cell0"), (FOUR[1], "cell3")):
        alone = trained_alone(loaded, spec, examples)
        assert [step.loss for step in steps[name]] == pytest.approx(alone.losses, abs=LOSSES["fp32"])
