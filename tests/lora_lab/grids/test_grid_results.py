"""Cells as their run folders tell them."""

import pytest

from lora_lab.grids.results import build_grid_cells, group_by_setting
from lora_lab.runs.folder import RunFolder, delete_run
from lora_lab.runs.state import RunState, fold_events
from study.base.settings import Settings
from tests.lora_lab.sweep_builders import begin, fail, finish, finished_sweep, runs_of, sweep_of


def state_of(run: RunFolder) -> RunState:
    return fold_events(run.events())


def test_every_ending_of_a_cell_has_its_word(settings: Settings) -> None:
    sweep = sweep_of(settings)
    waiting, running, finished, failed, stopped, cancelled, deleted, _ = runs_of(settings, sweep)
    begin(running)
    finish(finished, 2.5)
    fail(failed)
    begin(stopped)
    stopped.emit("stopped", step=2)
    cancelled.emit("stopped", step=0)
    delete_run(deleted)
    cells = build_grid_cells(sweep.cells(settings.runs_dir), state_of)
    words = ["waiting", "running", "finished", "failed", "stopped", "cancelled", "deleted", "waiting"]
    assert [cell.status for cell in cells] == words
    assert [cell.comparable for cell in cells] == [word == "finished" for word in words]
    assert cells[0].run_id == waiting.run_id
    assert cells[6].run_id == ""
    assert cells[3].failure == "Ran out of memory. Try a batch of 2."


def test_a_finished_cell_has_its_measurements(settings: Settings) -> None:
    sweep = finished_sweep(settings)
    cell = build_grid_cells(sweep.cells(settings.runs_dir), state_of)[0]
    assert (cell.spec.rank, cell.loss_before, cell.loss_after) == (2, 5.5, 2.8)
    assert (cell.peak_bytes, cell.predicted_bytes, cell.trainable) == (920_000, 1_000_000, 448)
    assert (cell.seconds_a_step, cell.tokens_per_second) == (0.5, 80.0)
    assert (cell.device, cell.compute) == ("CPU, 2 threads", "fp32")
    assert dict(cell.versions)["peft"] == "0.21.2"


def test_a_cell_is_measured_before_it_answers_questions_and_says_what_it_does(settings: Settings) -> None:
    sweep = sweep_of(settings)
    whole, cut_short, *_ = runs_of(settings, sweep)
    begin(whole, steps=3)
    begin(cut_short, steps=2)
    for run in (whole, cut_short):
        run.emit("status", text="Measuring the held-out loss before and after")
    cells = build_grid_cells(sweep.cells(settings.runs_dir), state_of)
    assert [cell.doing for cell in cells[:3]] == ["Measuring the held-out loss before and after"] * 2 + [""]
    assert not cells[0].comparable
    for run in (whole, cut_short):
        run.emit("evaluated", loss_before=5.5, loss_after=2.5, examples=20)
        run.emit("status", text="Asking both models the same questions")
    cells = build_grid_cells(sweep.cells(settings.runs_dir), state_of)
    assert [cell.comparable for cell in cells[:2]] == [True, False]  # a stopped run is evaluated, too
    setting = group_by_setting(cells)[0]
    assert (setting.losses, setting.peak_bytes, setting.seconds_a_step) == ((2.5,), 920_000, 0.5)


def test_a_loss_that_is_no_number_is_no_loss(settings: Settings) -> None:
    sweep = sweep_of(settings)
    run = runs_of(settings, sweep)[0]
    finish(run, float("nan"))
    cell = build_grid_cells(sweep.cells(settings.runs_dir), state_of)[0]
    assert cell.loss_after is None
    assert not cell.comparable


def test_an_arm_is_a_setting_over_its_seeds(settings: Settings) -> None:
    sweep = finished_sweep(settings)
    grouped = group_by_setting(build_grid_cells(sweep.cells(settings.runs_dir), state_of))
    assert [(setting.levels.bits, setting.levels.rank) for setting in grouped] == [
        ("nf4", 2), ("nf4", 8), ("bf16", 2), ("bf16", 8)
    ]  # fmt: skip
    assert grouped[0].losses == pytest.approx((2.8, 2.801))
    assert grouped[1].peak_bytes == 980_000


def test_an_arm_without_a_number_says_why_by_its_worst_cell(settings: Settings) -> None:
    sweep = sweep_of(settings)
    runs = runs_of(settings, sweep)
    begin(runs[0])
    fail(runs[2])
    by_setting = {
        (setting.levels.bits, setting.levels.rank): setting
        for setting in group_by_setting(build_grid_cells(sweep.cells(settings.runs_dir), state_of))
    }
    assert by_setting["nf4", 2].word == "failed"  # one seed failed, the other runs
    assert by_setting["nf4", 8].word == "waiting"
