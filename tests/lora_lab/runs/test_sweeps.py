"""Sweeps as folders: what is kept, what is found again, and what damage does."""

import csv
import errno
import io
import json
from datetime import timedelta
from pathlib import Path

import pytest

from lora_lab.data.datasets import build_own_dataset
from lora_lab.runs.folder import RunFolder, create_run, delete_run, list_runs
from lora_lab.runs.sweeps import Sweep, create_sweep, delete_sweep, list_sweeps, open_sweep
from lora_lab.runs.table import COLUMNS, ResultsTable
from lora_lab.settings.grid import parse_grid
from lora_lab.spec import RunSpec
from study.base.errors import LearnerError
from study.base.settings import Settings
from tests.lora_lab import run_builders
from tests.lora_lab.run_builders import NOW

GRID = parse_grid(RunSpec(model="tiny-random", steps=3), {"ranks": "1,4", "bits": "nf4,bf16"})


@pytest.fixture
def sweep(settings: Settings) -> Sweep:
    """Four waiting cells."""
    return create_sweep(settings.sweeps_dir, settings.runs_dir, GRID, build_own_dataset(), now=NOW)


def test_a_sweep_is_found_again_with_its_cells_in_order(settings: Settings, sweep: Sweep) -> None:
    assert open_sweep(settings.sweeps_dir, sweep.sweep_id) == sweep
    cells = list(sweep.cells(settings.runs_dir))
    assert [spec for spec, _ in cells] == GRID.list_specs()
    assert [run.spec for _, run in cells if run] == GRID.list_specs()
    assert [run.run_id for _, run in cells if run] == list(sweep.run_ids)
    newest_first = list_runs(settings.runs_dir)
    assert [run.spec for run in newest_first] == GRID.list_specs()[::-1], "lists of runs keep the order"
    assert (sweep.data_digest, sweep.data_label) == (build_own_dataset().digest, build_own_dataset().label)


def test_sweeps_are_listed_newest_first_and_damaged_ones_left_out(settings: Settings, sweep: Sweep) -> None:
    later = create_sweep(
        settings.sweeps_dir, settings.runs_dir, GRID, build_own_dataset(), now=NOW + timedelta(seconds=1)
    )
    assert list(list_sweeps(settings.sweeps_dir)) == [later, sweep]
    (sweep.path / "sweep.json").write_text('{"grid": ')
    assert list(list_sweeps(settings.sweeps_dir)) == [later]


@pytest.mark.parametrize("damage", ["attempts", "grid", "data", "created_at"])
def test_a_sweep_that_lacks_a_part_is_none(settings: Settings, sweep: Sweep, damage: str) -> None:
    file = sweep.path / "sweep.json"
    values = json.loads(file.read_text())
    file.write_text(json.dumps(values | {damage: None}))
    with pytest.raises(LearnerError, match="There is no sweep with that name"):
        open_sweep(settings.sweeps_dir, sweep.sweep_id)


@pytest.mark.parametrize("name", ["", "..", "../runs", "20260304-100000000-sweep-zzzzzz"])
def test_no_other_folder_is_opened(settings: Settings, sweep: Sweep, name: str) -> None:
    with pytest.raises(LearnerError):
        open_sweep(settings.sweeps_dir, name)


def test_a_link_is_no_sweep(settings: Settings, sweep: Sweep, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    sweep.path.rename(elsewhere)
    sweep.path.symlink_to(elsewhere)
    assert list(list_sweeps(settings.sweeps_dir)) == []


def test_another_attempt_takes_a_cells_place_and_the_first_is_remembered(
    settings: Settings, sweep: Sweep
) -> None:
    fresh = create_run(settings.runs_dir, GRID.list_specs()[2], build_own_dataset(), now=NOW)
    sweep.with_attempts({sweep.run_ids[2]: fresh.run_id}).save()
    found = open_sweep(settings.sweeps_dir, sweep.sweep_id)
    assert found.run_ids == (*sweep.run_ids[:2], fresh.run_id, sweep.run_ids[3])
    assert found.attempts[2] == (sweep.run_ids[2], fresh.run_id)


def test_deleting_a_sweep_deletes_its_runs_and_no_other(settings: Settings, sweep: Sweep) -> None:
    other = run_builders.finished(settings.runs_dir)
    first = RunFolder(settings.runs_dir / sweep.run_ids[0])
    delete_run(first)
    assert [run is None for _, run in sweep.cells(settings.runs_dir)] == [True, False, False, False]
    delete_sweep(sweep, settings.runs_dir)
    assert list(list_sweeps(settings.sweeps_dir)) == []
    assert list(list_runs(settings.runs_dir)) == [other]


def test_a_disk_that_is_full_leaves_no_cells_behind(settings: Settings) -> None:
    settings.sweeps_dir.write_text("a file where the folder should be")
    with pytest.raises(OSError, match=r"File exists|Not a directory"):
        create_sweep(settings.sweeps_dir, settings.runs_dir, GRID, build_own_dataset(), now=NOW)
    assert list(list_runs(settings.runs_dir)) == []


@pytest.mark.parametrize("written", ["lora_lab.data.datasets.save_dataset", "os.replace"])
def test_a_disk_that_fills_while_a_sweep_is_made_leaves_no_half_made_folder(
    written: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a cell's data is written, or sweep.json."""

    def fail(*given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(written, fail)
    with pytest.raises(OSError, match="No space left"):
        create_sweep(settings.sweeps_dir, settings.runs_dir, GRID, build_own_dataset(), now=NOW)
    assert [*settings.runs_dir.glob("*"), *settings.sweeps_dir.glob("*")] == []


def test_the_table_shows_every_cell_as_far_as_it_is(settings: Settings, sweep: Sweep) -> None:
    finished = run_builders.finished(settings.runs_dir, GRID.list_specs()[0])
    failed = run_builders.failed(settings.runs_dir, GRID.list_specs()[1])
    going_on = run_builders.training(settings.runs_dir, GRID.list_specs()[2])
    for cell, run in enumerate((finished, failed, going_on)):
        sweep = sweep.with_attempts({sweep.run_ids[cell]: run.run_id})
    delete_run(RunFolder(settings.runs_dir / sweep.run_ids[3]))

    ResultsTable(settings.runs_dir, settings.sweeps_dir).write(sweep)
    with sweep.table_path.open(newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert reader.fieldnames == list(COLUMNS)
    assert len(set(COLUMNS)) == len(COLUMNS)
    assert [row["status"] for row in rows] == ["finished", "failed", "training", "deleted"]
    assert [row["rank"] for row in rows] == ["1", "4", "1", "4"]
    assert [row["eval_loss_after"] for row in rows] == ["2.25", "", "", ""]
    assert [row["peak_bytes"] for row in rows] == ["990000", "990000", "", ""]
    assert rows[0]["seconds_per_step"] == "0.5"
    assert rows[1]["error"] == "The process was killed. Start again."


def test_a_name_that_a_spreadsheet_would_evaluate_is_a_text_in_the_table(settings: Settings) -> None:
    grid = parse_grid(RunSpec(model="=1+1", steps=3), {"ranks": "1,4"})
    named = create_sweep(settings.sweeps_dir, settings.runs_dir, grid, build_own_dataset(), now=NOW)
    [first, *_] = csv.DictReader(
        io.StringIO(ResultsTable(settings.runs_dir, settings.sweeps_dir).text(named))
    )
    assert first["model"] == "'=1+1"


def test_a_table_written_later_shows_what_changed_since(settings: Settings, sweep: Sweep) -> None:
    table = ResultsTable(settings.runs_dir, settings.sweeps_dir)
    run = run_builders.training(settings.runs_dir, GRID.list_specs()[0])
    sweep = sweep.with_attempts({sweep.run_ids[0]: run.run_id})
    table.write(sweep)
    run.emit("finished", step=3)
    table.write(sweep)
    assert sweep.table_path.read_text().splitlines()[1].startswith("1,finished,tiny-random,")
