"""Which runs share a base, and how many go at once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.data.batches import build_even_row
from lora_lab.data.datasets import build_own_dataset
from lora_lab.engine.marks import mark_cells
from lora_lab.memory.group_memory import CellBytes, compute_cell_bytes, group_bytes, peak_bytes, split_stacks
from lora_lab.memory.ledger import predict_ledger
from lora_lab.parameters.shapes import find_shape
from lora_lab.runs.folder import RunFolder, create_run
from lora_lab.runs.grouping import MOST, count_together, group_by_base, may_share, split_chunks, take_cells
from lora_lab.settings.grid_form import GridPreset, read_grid_presets
from lora_lab.spec import RunSpec

SPEC = RunSpec()
NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "own",
    [{"rank": 64}, {"alpha": 3.0}, {"learning_rate": 1e-5}, {"seed": 7}, {"variant": "rslora"}],
)
def test_rank_alpha_learning_rate_seed_and_scaling_are_each_cells_own(own: dict[str, Any]) -> None:
    assert may_share(SPEC, replace(SPEC, **own))


@pytest.mark.parametrize(
    "other",
    [
        {"model": "tiny-random"},
        {"bits": "nf4"},
        {"targets": "q+v"},
        {"steps": 41},
        {"batch": 2},
        {"seq_len_tokens": 64},
        {"data": "0123456789ab"},
        {"compute_dtype": "fp32"},
        {"checkpointing": True},
        {"variant": "dora"},
        {"optimizer": "adamw8bit"},
    ],
)
def test_whatever_else_differs_keeps_cells_apart(other: dict[str, Any]) -> None:
    assert not may_share(SPEC, replace(SPEC, **other))


def test_sets_keep_the_order_of_their_first_runs() -> None:
    specs = [SPEC, replace(SPEC, bits="fp4"), replace(SPEC, rank=2), replace(SPEC, variant="dora")]
    assert group_by_base([*specs, replace(specs[1], seed=3), specs[3]]) == [[0, 2], [1, 4], [3], [5]]


def of_size(kept: int) -> CellBytes:
    return CellBytes(kept=kept, loss=0, layer=(), base=0, lengths=())


@given(st.lists(st.integers(1, 100), min_size=1, max_size=40), st.integers(1, 1000))
def test_every_cell_is_in_one_chunk_in_order_and_no_chunk_is_over_its_limits(
    sizes: list[int], free_bytes: int
) -> None:
    found = split_chunks([of_size(size) for size in sizes], free_bytes=free_bytes)
    assert [place for chunk in found for place in chunk] == list(range(len(sizes)))
    for chunk in found:
        assert len(chunk) <= MOST
        assert len(chunk) == 1 or sum(sizes[place] for place in chunk) <= free_bytes


def test_chunks_are_even() -> None:
    assert [len(chunk) for chunk in split_chunks([of_size(1)] * 8, free_bytes=1000)] == [4, 4]
    assert [len(chunk) for chunk in split_chunks([of_size(1)] * 12, free_bytes=1000)] == [6, 6]


def test_a_group_holds_the_base_and_the_logits_of_a_loss_once() -> None:
    shape, row = find_shape("smollm2-135m"), build_even_row(tokens=340, answer_tokens=400, examples=4)
    cell = compute_cell_bytes(shape, [(SPEC, row)], "bf16")
    assert group_bytes([cell] * 2) - group_bytes([cell]) == cell.kept
    alone = predict_ledger(shape, SPEC, row, "bf16")
    assert cell.base == alone.weights + alone.constants
    assert group_bytes([cell]) == alone.total_bytes


def test_the_gradients_in_a_layer_are_those_of_all_cells_and_its_decoded_weight_is_one() -> None:
    shape, row = find_shape("smollm2-135m"), build_even_row(tokens=340, answer_tokens=4, examples=4)
    cell = compute_cell_bytes(shape, [(SPEC, row)], "bf16")
    assert group_bytes([cell]) == predict_ledger(shape, SPEC, row, "bf16").total_bytes
    apart = [replace(cell, lengths=(number,)) for number in range(40)]
    more = group_bytes(apart) - group_bytes(apart[:39]) - cell.kept
    assert more == 2 * 2 * row.tokens * shape.intermediate  # the gradients of gate and up, in two bytes each


def test_cells_whose_examples_are_as_long_attend_together() -> None:
    shape, row = find_shape("smollm2-135m"), build_even_row(tokens=340, answer_tokens=4, examples=4)
    cell = compute_cell_bytes(shape, [(SPEC, row)], "bf16")
    assert group_bytes([cell] * 40) > group_bytes([replace(cell, lengths=(n,)) for n in range(40)])


def test_stacks_hold_an_eighth_of_the_width_and_a_wide_cell_is_alone() -> None:
    parts = split_stacks([4, 8, 32, 16, 100, 1, 1], hidden=576, stacked=True)
    assert parts == [slice(0, 4), slice(4, 5), slice(5, 7)]
    assert split_stacks([4, 8], hidden=576, stacked=False) == [slice(0, 1), slice(1, 2)]


def test_a_stack_may_have_more_ranks_than_a_run() -> None:
    """Llama-3.1-8B is 4,096 wide; the largest rank of a run is 256."""
    shape = find_shape("llama-3.1-8b")
    row = replace(build_even_row(tokens=340, answer_tokens=120, examples=4), on_gpu=True)
    spec = replace(SPEC, model=shape.name, rank=200)
    one, two = (peak_bytes(shape, [(spec, [row] * 2)] * count, "bf16") for count in (1, 2))
    ledger = predict_ledger(shape, spec, row, "bf16")
    assert two - one > ledger.adapters + ledger.gradients + ledger.optimizer


# ---- a queue's next job


def waiting(folder: Path, specs: list[RunSpec], sweeps: list[str]) -> list[RunFolder]:
    runs = []
    for number, (spec, sweep) in enumerate(zip(specs, sweeps, strict=True)):
        run = create_run(folder, spec, build_own_dataset(), now=NOW + timedelta(seconds=number))
        run.emit("queued", **({"sweep": sweep} if sweep else {}))
        runs.append(run)
    return runs


def test_cells_of_one_sweep_that_may_share_are_one_job(tmp_path: Path) -> None:
    specs = [SPEC, replace(SPEC, bits="fp4"), replace(SPEC, rank=2), replace(SPEC, rank=4), SPEC]
    runs = waiting(tmp_path, specs, ["a", "a", "a", "b", ""])
    assert take_cells(runs) == [runs[0], runs[2]]


def test_a_run_that_is_no_cell_stays_alone(tmp_path: Path) -> None:
    runs = waiting(tmp_path, [SPEC, replace(SPEC, rank=2)], ["", ""])
    assert take_cells(runs) == [runs[0]]


def test_no_job_is_larger_than_what_pays(tmp_path: Path) -> None:
    runs = waiting(tmp_path, [replace(SPEC, seed=seed) for seed in range(9)], ["a"] * 9)
    assert take_cells(runs) == runs[:MOST]


@pytest.mark.parametrize("preset", read_grid_presets(), ids=[preset.id for preset in read_grid_presets()])
@pytest.mark.parametrize("one_alone", [True, False])
def test_cells_are_counted_together_as_the_queue_takes_them(
    preset: GridPreset, tmp_path: Path, *, one_alone: bool
) -> None:
    specs, dataset = preset.grid.list_specs(), build_own_dataset()
    first_seed = preset.grid.seeds[0] if one_alone else None
    marks = mark_cells(specs, "a-sweep", first_seed=first_seed)
    waiting = []
    for place, (spec, marked) in enumerate(zip(specs, marks, strict=True)):
        run = create_run(tmp_path, spec, dataset, now=NOW + timedelta(seconds=place))
        run.emit("queued", **marked)
        waiting.append(run)
    places = {run.run_id: place for place, run in enumerate(waiting)}
    taken = [0] * len(specs)
    while waiting:
        job = {run.run_id for run in take_cells(waiting)}
        for run_id in job:
            taken[places[run_id]] = len(job)
        waiting = [run for run in waiting if run.run_id not in job]
    assert count_together(specs, first_seed=first_seed) == taken
