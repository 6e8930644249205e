"""What a grid is said to need before it starts, against what its runs are said to need one by one."""

from dataclasses import replace
from pathlib import Path

import pytest

from lora_lab.data.batches import Length, compute_row_sizes
from lora_lab.data.datasets import build_own_dataset
from lora_lab.data.lab_folder import LabHome
from lora_lab.engine.ray_capacity import GPU_EXTRA_BYTES, PROCESS_BYTES, Capacity, predict_peaks
from lora_lab.grids import estimate
from lora_lab.grids.estimate import count_cells_together, describe_estimate, estimate_grid, estimate_here
from lora_lab.memory import ledger
from lora_lab.parameters.shapes import find_shape
from lora_lab.runs.durations import Pace, Paces, compute_pace, estimate_run_seconds, estimate_time_of_all
from lora_lab.runs.folder import delete_run
from lora_lab.runs.state import fold_events
from lora_lab.runs.sweeps import create_sweep
from lora_lab.settings.grid import Grid, parse_grid
from lora_lab.spec import RunSpec
from study.base.errors import LearnerError
from study.base.settings import Settings
from tests.lora_lab import run_builders
from tests.lora_lab.run_builders import NOW

BASE = RunSpec(steps=20)
GRID = parse_grid(BASE, {"ranks": "1,8,64", "bits": "nf4-dq,int8,bf16", "seeds": "0,1"})
SHAPE = find_shape(BASE.model)
LENGTHS = [Length(tokens=20 + 7 * n % 90, answer_tokens=5 + n % 11) for n in range(60)]


# ---- memory


def test_every_cell_is_predicted_as_its_run_is() -> None:
    found = estimate_grid(GRID, SHAPE, LENGTHS, compute="bf16")
    assert [cell.spec for cell in found.cells] == GRID.list_specs()
    for cell in found.cells:
        rows = compute_row_sizes(LENGTHS, RunSpec(batch=4, steps=20, seed=cell.spec.seed, seq_len_tokens=128))
        row = ledger.find_heaviest_row(SHAPE, cell.spec, rows, "bf16")
        assert cell.ledger == ledger.predict_ledger(SHAPE, cell.spec, row, "bf16")


def test_the_largest_cell_is_the_one_with_the_highest_peak() -> None:
    found = estimate_grid(GRID, SHAPE, LENGTHS, compute="bf16")
    assert (found.largest.spec.rank, found.largest.spec.bits) == (64, "bf16")
    assert found.largest.ledger.total_bytes == max(cell.ledger.total_bytes for cell in found.cells)


def test_without_lengths_the_estimate_is_what_the_settings_allow() -> None:
    bound = estimate_grid(GRID, SHAPE, [], compute="bf16")
    assert not bound.exact
    assert estimate_grid(GRID, SHAPE, LENGTHS, compute="bf16").exact
    row = ledger.find_upper_bound(BASE)
    assert bound.cells[0].ledger == ledger.predict_ledger(SHAPE, GRID.list_specs()[0], row, "bf16")
    assert describe_estimate(GRID, bound).startswith("18 cells. Largest predicted peak: at most ")


def test_a_machine_that_is_too_small_is_named(settings: Settings) -> None:
    home = LabHome(settings.home)
    home.write_worker_state(state="ready", device={"memory_bytes": 10**6, "compute_dtype": "fp32"})
    found = estimate_here(home, GRID, build_own_dataset().digest, [])
    assert not found.fits
    assert describe_estimate(GRID, found).endswith("This machine has 1.00 MB.")


def test_a_model_that_was_never_read_has_no_estimate(settings: Settings) -> None:
    unknown = parse_grid(replace(BASE, model="owner/unread"), {})
    with pytest.raises(LearnerError):
        estimate_here(LabHome(settings.home), unknown, "", [])


# ---- time


def pace(spec: RunSpec, seconds_per_step: float, other_seconds: float = 6.0) -> Pace:
    return Pace(spec=spec, seconds_per_step=seconds_per_step, other_seconds=other_seconds)


def test_a_grids_time_is_the_sum_of_its_cells_or_unknown() -> None:
    paces = [pace(replace(BASE, bits=bits), 2.0) for bits in ("nf4-dq", "int8")]
    some = estimate_grid(GRID, SHAPE, LENGTHS, compute="bf16", paces=paces)
    assert (some.seconds, some.without_pace) == (None, 6)
    assert (some.time.known_seconds, some.time.unknown_formats) == (12 * (6 + 20 * 2), ["bf16"])
    paces.append(pace(replace(BASE, bits="bf16"), 1.0))
    all_of_them = estimate_grid(GRID, SHAPE, LENGTHS, compute="bf16", paces=paces)
    assert all_of_them.seconds == 12 * (6 + 20 * 2) + 6 * (6 + 20 * 1)
    assert describe_estimate(GRID, all_of_them).endswith("Time: about 12 min.")


def test_the_nearest_run_gives_the_pace_and_the_newest_of_equals() -> None:
    other_variant = pace(replace(BASE, variant="dora", rank=8), 9.0)
    far, near, older = (pace(replace(BASE, rank=rank), s) for rank, s in ((64, 3.0), (4, 2.0), (4, 1.0)))
    assert estimate_run_seconds(replace(BASE, rank=8), [other_variant, far, near, older]) == 6 + 20 * 2.0
    assert estimate_run_seconds(replace(BASE, rank=64, variant="dora"), [far, other_variant]) == 6 + 20 * 9.0


def test_a_cell_that_is_trained_with_others_takes_what_a_run_in_such_a_group_took() -> None:
    alone = Pace(spec=BASE, seconds_per_step=2.0, other_seconds=9.0)
    in_group = Pace(spec=BASE, seconds_per_step=1.0, other_seconds=3.0, shared_by=6)
    for paces in ([alone, in_group], [in_group, alone]):
        assert estimate_run_seconds(BASE, paces, together=1) == 9 + 20 * 2.0
        assert estimate_run_seconds(BASE, paces, together=5) == 3 + 20 * 1.0
    specs = [replace(BASE, seed=seed) for seed in range(7)]
    found = estimate_time_of_all(specs, [alone, in_group], together=[1, *[6] * 6])
    assert found.seconds == (9 + 20 * 2.0) + 6 * (3 + 20 * 1.0)


def test_a_steps_time_grows_with_the_batch() -> None:
    assert estimate_run_seconds(replace(BASE, batch=8), [pace(BASE, 2.0)]) == 6 + 20 * 4.0


@pytest.mark.parametrize(
    "other",
    [
        replace(BASE, bits="int8"),
        replace(BASE, model="tiny-random"),
        replace(BASE, seq_len_tokens=64),
        replace(BASE, compute_dtype="fp32"),
        replace(BASE, checkpointing=True),
        replace(BASE, data="0123456789ab"),
    ],
)
def test_a_run_of_another_kind_says_nothing_about_the_time(other: RunSpec) -> None:
    assert estimate_run_seconds(BASE, [pace(other, 2.0)]) is None


def test_only_finished_runs_have_a_pace(settings: Settings) -> None:
    done = run_builders.finished(settings.runs_dir)
    run_builders.failed(settings.runs_dir)
    going_on = run_builders.training(settings.runs_dir)
    paces = Paces(settings.runs_dir)
    assert [found.spec for found in paces.list_newest_first()] == [done.spec]
    assert paces.list_newest_first()[0].seconds_per_step == 0.5
    going_on.emit("finished", step=3)
    assert len(paces.list_newest_first()) == 2
    delete_run(done)
    assert len(paces.list_newest_first()) == 1
    assert compute_pace(going_on.spec, fold_events([])) is None


# ---- what a cluster has room for

CPU_NODES = [{"CPU": 8.0, "memory": 16e9}, {"CPU": 4.0, "memory": 8e9}]
GPU_NODES = [{"CPU": 16.0, "memory": 60e9, "GPU": 2.0}, {"CPU": 4.0, "memory": 8e9}]
GPU = {"type": "cuda", "memory_bytes": 80 * 10**9}


def test_without_gpus_a_run_takes_all_of_the_smallest_machine_and_the_memory_it_is_predicted_to() -> None:
    capacity = Capacity.from_nodes(CPU_NODES, {}, cpus_per_run=None)
    assert capacity.compute_demand(10**9) == {"CPU": 4, "memory": 10**9 + PROCESS_BYTES}
    assert Capacity.from_nodes(CPU_NODES, {}, cpus_per_run=2).compute_demand(10**9) == {
        "CPU": 2,
        "memory": 10**9 + PROCESS_BYTES,
    }


def test_a_run_that_fits_on_no_machine_is_refused() -> None:
    capacity = Capacity.from_nodes(CPU_NODES, {}, cpus_per_run=None)
    assert capacity.largest_bytes == 16 * 10**9 - PROCESS_BYTES
    assert capacity.compute_demand(capacity.largest_bytes) is not None
    assert capacity.compute_demand(capacity.largest_bytes + 1) is None


def test_as_many_runs_share_a_gpu_as_it_has_room_for() -> None:
    capacity = Capacity.from_nodes(GPU_NODES, GPU, cpus_per_run=None)
    assert capacity.compute_demand(19 * 10**9) == {"CPU": 1, "GPU": 0.25}
    assert capacity.compute_demand(20 * 10**9) == {"CPU": 1, "GPU": 0.3}
    assert capacity.compute_demand(80 * 10**9 - GPU_EXTRA_BYTES) == {"CPU": 1, "GPU": 1.0}
    assert capacity.compute_demand(80 * 10**9) is None


def test_a_gpu_is_not_shared_while_its_memory_or_the_peak_is_not_known() -> None:
    assert Capacity.from_nodes(GPU_NODES, {}, cpus_per_run=None).compute_demand(10**9) == {"CPU": 1, "GPU": 1}
    assert Capacity.from_nodes(GPU_NODES, GPU, cpus_per_run=None).compute_demand(0) == {"CPU": 1, "GPU": 1}


def test_while_the_number_type_is_not_known_a_cell_is_given_the_higher_peak(settings: Settings) -> None:
    sweep = create_sweep(settings.sweeps_dir, settings.runs_dir, GRID, build_own_dataset(), now=NOW)
    unknown = predict_peaks(settings, sweep)
    both = [estimate_grid(GRID, SHAPE, [], compute=compute).cells for compute in ("fp32", "bf16")]
    for in_fp32, in_bf16 in zip(*both, strict=True):
        assert unknown[in_fp32.spec] == max(in_fp32.ledger.total_bytes, in_bf16.ledger.total_bytes)
    LabHome(settings.home).write_worker_state(state="ready", device={"compute_dtype": "bf16"})
    assert predict_peaks(settings, sweep) == {cell.spec: cell.ledger.total_bytes for cell in both[1]}


def test_runs_side_by_side_count_their_share_of_the_time(tmp_path: Path) -> None:
    """Otherwise the time left of a grid would be three times what it is."""
    run = run_builders.side_by_side(tmp_path, shared_by=3)
    state = replace(fold_events(run.events()), began_at=100.0, ended_at=107.2)
    found = compute_pace(run.spec, state)
    assert found is not None
    assert found.seconds_per_step == pytest.approx(0.2)
    assert found.other_seconds == pytest.approx((7.2 - 1.2) / 3)
    assert state.estimate_seconds_left(12) == pytest.approx(10 * 0.6)


# ---- how many side by side


def test_fewer_cells_are_side_by_side_where_memory_is_short(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, free = LabHome(settings.home), {"bytes": 64 * 10**9}
    monkeypatch.setattr(estimate, "find_free_bytes", lambda device: free["bytes"])
    grid = parse_grid(BASE, {"ranks": "1,2,4,8,16,32"})
    assert count_cells_together(home, grid, "") == [6] * 6
    free["bytes"] = ledger_of_all(grid) // 3
    few = count_cells_together(home, grid, "")
    assert 1 < max(few) < 6
    free["bytes"] = 0
    assert count_cells_together(home, grid, "") == [1] * 6


def ledger_of_all(grid: Grid) -> int:
    return sum(cell.ledger.total_bytes for cell in estimate_grid(grid, SHAPE, [], compute="bf16").cells)


def test_the_queue_alone_decides_while_a_models_shape_is_unknown(settings: Settings) -> None:
    unknown = parse_grid(replace(BASE, model="nobody/unknown"), {"ranks": "1,2"})
    assert count_cells_together(LabHome(settings.home), unknown, "") == [2, 2]


@pytest.mark.parametrize("model", ["gpt2", "phi-2"])
def test_cells_of_a_model_whose_layer_is_not_written_out_are_trained_one_by_one(
    model: str, settings: Settings
) -> None:
    grid = parse_grid(replace(BASE, model=model, targets="attention"), {"ranks": "1,2,4"})
    assert count_cells_together(LabHome(settings.home), grid, "") == [1, 1, 1]
