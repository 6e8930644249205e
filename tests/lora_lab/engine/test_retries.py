"""The rest of a stopped sweep, tried again at once. The engine queues and does not serve."""

from datetime import timedelta
from typing import Any

import pytest

from lora_lab.data.datasets import build_own_dataset
from lora_lab.engine import retries
from lora_lab.engine.local import LocalEngine
from lora_lab.runs.folder import RunFolder, create_run, list_runs, open_run
from lora_lab.runs.sweeps import Sweep, open_sweep
from lora_lab.settings.grid import parse_grid
from lora_lab.spec import RunSpec
from study.base.settings import Settings
from tests.lora_lab.run_builders import NOW

GRID = parse_grid(RunSpec(model="tiny-random", steps=3), {"ranks": "1,2,4,8"})
LATER = NOW + timedelta(minutes=1)


@pytest.fixture
def engine(settings: Settings) -> LocalEngine:
    return LocalEngine(settings, warm=False)


def test_the_rest_of_a_sweep_is_tried_again_together_with_its_marks(
    engine: LocalEngine, settings: Settings
) -> None:
    sweep = engine.submit_sweep(GRID, build_own_dataset(), now=NOW, one_alone=True)
    engine.stop_sweep(sweep.sweep_id)
    (open_run(settings.runs_dir, sweep.run_ids[2]).path / "data.json").write_text("{")
    assert engine.retry_sweep(sweep.sweep_id, now=LATER) == 3
    found = open_sweep(settings.sweeps_dir, sweep.sweep_id)
    fresh = [open_run(settings.runs_dir, run_id) for run_id in found.run_ids]
    assert engine.list_waiting() == [run.run_id for run in (fresh[0], fresh[1], fresh[3])]
    assert [run.state().alone for run in fresh] == [True, False, False, False]
    assert [line.split(",")[1] for line in found.table_path.read_text().splitlines()[1:]] == [
        "queued",
        "queued",
        "stopped",
        "queued",
    ]


def test_what_a_full_disk_left_of_a_second_try_is_queued(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = engine.submit_sweep(GRID, build_own_dataset(), now=NOW)
    engine.stop_sweep(sweep.sweep_id)
    made: list[RunFolder] = []

    def create_two(*values: Any, **more: Any) -> RunFolder:
        if len(made) == 2:
            raise OSError(28, "No space left on device")
        made.append(create_run(*values, **more))
        return made[-1]

    monkeypatch.setattr(retries, "create_run", create_two)
    with pytest.raises(OSError, match="No space left"):
        engine.retry_sweep(sweep.sweep_id, now=LATER)
    assert engine.list_waiting() == [run.run_id for run in made]


def test_a_disk_that_takes_no_sweep_leaves_no_new_runs_behind(
    engine: LocalEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = engine.submit_sweep(GRID, build_own_dataset(), now=NOW)
    engine.stop_sweep(sweep.sweep_id)

    def fail(sweep: Sweep) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Sweep, "save", fail)
    with pytest.raises(OSError, match="No space left"):
        engine.retry_sweep(sweep.sweep_id, now=LATER)
    with pytest.raises(OSError, match="No space left"):
        engine.retry(sweep.run_ids[0], now=LATER)
    assert {run.run_id for run in list_runs(settings.runs_dir)} == set(sweep.run_ids)
    assert engine.list_waiting() == []


def test_all_cells_of_a_second_try_are_saved_together(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading and saving a sweep of 200 cells for each of them takes a second, and polls wait."""
    sweep = engine.submit_sweep(GRID, build_own_dataset(), now=NOW)
    engine.stop_sweep(sweep.sweep_id)
    saved: list[Sweep] = []
    monkeypatch.setattr(Sweep, "save", lambda sweep: saved.append(sweep))
    engine.retry_sweep(sweep.sweep_id, now=LATER)
    assert [[len(runs) for runs in each.attempts] for each in saved] == [[2, 2, 2, 2]]
