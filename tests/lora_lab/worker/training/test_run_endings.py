"""Ends that a run does not reach by its last step: a stop before the first, a lost command, an unknown error.

Each on both ways to train: side by side in the written layer, and with PyTorch's graph (DoRA).
"""

import io
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lora_lab.data.lab_folder import LabHome
from lora_lab.runs.folder import RunFolder, create_run
from lora_lab.spec import Variant
from lora_lab.worker.__main__ import main
from lora_lab.worker.training import group_run, work
from lora_lab.worker.training.run import execute_group
from study.base.model_files import Progress
from tests.lora_lab.run_builders import NOW
from tests.lora_lab.worker.builders import TINY, never_stop, small_dataset


@pytest.fixture(params=["lora", "dora"])
def variant(request: pytest.FixtureRequest) -> Variant:
    found: Variant = request.param
    return found


def a_run(folder: Path, variant: Variant, *, steps: int = 3) -> RunFolder:
    spec = replace(TINY, variant=variant, steps=steps)
    return create_run(folder / "runs", spec, small_dataset(), now=NOW)


def kinds(run: RunFolder) -> list[str]:
    return [event["kind"] for event in run.events()]


def test_a_run_that_was_stopped_before_it_begins_loads_and_measures_nothing(
    tmp_path: Path, models_dir: Path, variant: Variant
) -> None:
    run = a_run(tmp_path, variant)
    run.ask_to_stop()
    assert execute_group([run], LabHome(tmp_path), models_dir, app_is_gone=never_stop)
    assert kinds(run) == ["stopped"]
    assert not run.state().cut_off


def test_a_run_that_is_stopped_while_its_model_loads_measures_nothing(
    tmp_path: Path, models_dir: Path, variant: Variant
) -> None:
    run = a_run(tmp_path, variant)
    looks = 2 if variant == "lora" else 1  # before it trains

    def stopped_at_the_last_look() -> bool:
        nonlocal looks
        looks -= 1
        if looks == 0:
            run.ask_to_stop()
        return False

    assert execute_group([run], LabHome(tmp_path), models_dir, app_is_gone=stopped_at_the_last_look)
    assert [kind for kind in kinds(run) if kind != "status"] == ["started", "stopped"]


def test_a_run_that_is_stopped_after_its_last_step_is_saved_and_measured_no_further(
    tmp_path: Path, models_dir: Path, variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell of a grid is measured all the same: its row costs seconds."""
    report = work.Work.report

    def stopped_when_measured(at_work: work.Work, progress: Progress) -> None:
        if progress.step.startswith("Measuring"):
            at_work.run.ask_to_stop()
        report(at_work, progress)

    monkeypatch.setattr(work.Work, "report", stopped_when_measured)
    for sweep, kind in (("", "stopped"), ("20260304-grid", "finished")):
        run = a_run(tmp_path / kind, variant)
        run.emit("queued", sweep=sweep)
        assert execute_group([run], LabHome(tmp_path), models_dir, app_is_gone=never_stop)
        state = run.state()
        assert (state.status, state.saved_step) == (kind, 3)
        assert (state.loss_after is None, bool(state.note)) == (not sweep, not sweep)


def test_an_error_that_nothing_foresees_ends_its_run_in_words_and_not_the_process(
    tmp_path: Path, models_dir: Path, variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("nothing")

    for place, trained in ((work, "train_adapter"), (group_run, "train_group")):
        monkeypatch.setattr(place, trained, fail)
    run = a_run(tmp_path, variant)
    assert not execute_group([run], LabHome(tmp_path), models_dir, app_is_gone=never_stop)
    failure = run.state().failure
    assert failure is not None
    assert failure["cause"] == "crash"
    assert "after step 0 with an error that the app doesn't know (KeyError: 'nothing')" in failure["what"]
    assert "stdout.log" in failure["do_next"]


def test_a_run_whose_command_is_gone_ends(
    tmp_path: Path, models_dir: Path, variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its standard input closes with the process that started it: a lost terminal, a killed command."""
    run = a_run(tmp_path, variant, steps=100)
    where = ["--home", str(tmp_path), "--models-dir", str(models_dir)]
    monkeypatch.setattr(sys, "argv", ["worker", *where, "--run", str(run.path)])
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    main()
    assert (run.state().status, run.state().cut_off) == ("stopped", True)
    assert len(run.state().steps) < 100
