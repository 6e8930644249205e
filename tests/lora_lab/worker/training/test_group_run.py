"""A job of several runs: what each leaves in its folder, and which go side by side."""

import gc
import json
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel

from lora_lab.data.lab_folder import LabHome
from lora_lab.runs.finalize import write_terminal_event
from lora_lab.runs.folder import RunFolder, create_run
from lora_lab.runs.predicted_vs_measured import read_measured
from lora_lab.runs.state import RunState, fold_events
from lora_lab.runs.summary import summarize
from lora_lab.spec import TINY_MODEL, RunSpec
from lora_lab.worker.__main__ import open_log
from lora_lab.worker.training import group_run, model_cache
from lora_lab.worker.training.group import AdapterGroup
from lora_lab.worker.training.group_loop import train_group
from lora_lab.worker.training.loaded_model import open_model
from lora_lab.worker.training.model_cache import ModelCache
from lora_lab.worker.training.packing import Encoded
from lora_lab.worker.training.run import execute_group
from tests.lora_lab.worker.builders import never_stop, plain_peft, small_dataset

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
TINY = RunSpec(model=TINY_MODEL, bits="nf4", steps=3, compute_dtype="fp32")
SPECS = (
    TINY,
    replace(TINY, rank=2, alpha=4, seed=1),
    replace(TINY, learning_rate=1e30),
    replace(TINY, rank=16, learning_rate=1e-3),
    replace(TINY, variant="dora"),
    replace(TINY, bits="bf16"),
)
TOGETHER, DIVERGING = (0, 1, 2, 3), 2


@dataclass
class Job:
    """The runs of one job, and the same run done alone."""

    runs: list[RunFolder]
    states: list[RunState]
    well: bool
    alone: RunFolder
    models_dir: Path


def make_runs(folder: Path, specs: tuple[RunSpec, ...]) -> list[RunFolder]:
    runs = [
        create_run(folder / "runs", spec, small_dataset(), now=NOW + timedelta(seconds=number))
        for number, spec in enumerate(specs)
    ]
    for run in runs:
        run.emit("queued")
        run.emit("status", text="Preparing the run", worker_pid=1)
    return runs


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Job:
    folder = tmp_path_factory.mktemp("job")
    *runs, alone = make_runs(folder, (*SPECS, SPECS[1]))
    cache = ModelCache(models_dir)
    well = execute_group(runs, LabHome(folder), models_dir, cache=cache, app_is_gone=never_stop)
    execute_group([alone], LabHome(folder), models_dir, cache=cache, app_is_gone=never_stop)
    return Job(runs, [fold_events(run.events()) for run in runs], well, alone, models_dir)


def kinds(run: RunFolder) -> list[str]:
    return [event["kind"] for event in run.events() if event["kind"] != "status"]


def test_every_run_ends_and_only_the_diverging_one_failed(job: Job) -> None:
    assert [state.status for state in job.states] == [
        "failed" if place == DIVERGING else "finished" for place in range(len(SPECS))
    ]
    assert not job.well


def test_the_diverging_run_says_so_and_keeps_its_last_good_adapter(job: Job) -> None:
    state = job.states[DIVERGING]
    assert state.failure is not None
    assert state.failure["cause"] == "non-finite"
    assert state.saved_step == len(state.steps) >= 1
    assert job.runs[DIVERGING].adapter_path.is_dir()


def test_runs_that_may_share_do_and_the_others_go_alone(job: Job) -> None:
    assert [state.steps[0].get("shared_by", 1) for state in job.states] == [4, 4, 4, 4, 1, 1]


def test_runs_that_go_after_others_in_a_job_wait_meanwhile(job: Job) -> None:
    """Their time would be that of the whole job, and the next grid's estimate with it."""
    shared, *later = job.states[0], *job.states[4:]
    assert shared.ended_at is not None
    ended_at = shared.ended_at
    for run, state in zip(job.runs[4:], later, strict=True):
        assert state.began_at is not None
        assert state.ended_at is not None
        assert state.began_at >= ended_at
        before = fold_events(event for event in run.events() if event["at"] < ended_at)
        assert (before.status, before.doing) == ("queued", "Waiting for its turn")
        ended_at = state.ended_at


def test_cells_that_do_not_fit_into_memory_with_others_fail_alone_and_wait_for_their_turn(
    tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks: list[int] = []

    def lack_memory_once(group: AdapterGroup, *given: Any, **named: Any) -> Any:
        chunks.append(len(group.cells))
        if len(chunks) == 1:
            raise MemoryError
        return train_group(group, *given, **named)

    monkeypatch.setattr(group_run, "free_bytes", lambda device: 1)
    monkeypatch.setattr(group_run, "train_group", lack_memory_once)
    runs = make_runs(tmp_path, SPECS[:2])
    assert not execute_group(runs, LabHome(tmp_path), models_dir, app_is_gone=never_stop)
    first, second = (fold_events(run.events()) for run in runs)
    assert chunks == [1, 1]
    assert first.failure is not None
    assert first.failure["cause"] == "out-of-memory"
    assert second.status == "finished"
    assert second.began_at is not None
    assert first.ended_at is not None
    assert second.began_at >= first.ended_at


def test_the_runs_of_a_job_have_one_log(tmp_path: Path) -> None:
    """The last words of a library, such as bitsandbytes for want of memory, are looked for in each folder."""
    runs = make_runs(tmp_path, SPECS[:2])
    with open(open_log(runs), "wb") as log:
        log.write(b"Error out of memory at line 383 in file /src/csrc/ops.cu")
    for run in runs:
        failure = write_terminal_event(run, 1).failure
        assert failure is not None
        assert failure["cause"] == "out-of-memory"


def test_a_shared_run_leaves_the_events_of_a_run_that_is_alone(job: Job) -> None:
    assert kinds(job.runs[1]) == kinds(job.alone)
    ours, theirs = job.runs[1].events(), job.alone.events()
    for kind in ("evaluated", "saved", "finished"):
        a, b = (next(e for e in events if e["kind"] == kind) for events in (ours, theirs))
        assert a.keys() == b.keys()
    a, b = (next(e for e in events if e["kind"] == "started") for events in (ours, theirs))
    assert a.keys() - b.keys() == {"shared_by", "group_predicted_bytes"}
    assert {k: v for k, v in b.items() if k not in ("at", "kind")} == {
        k: v for k, v in a.items() if k in b and k not in ("at", "kind")
    }


def test_a_shared_run_has_the_results_of_a_run_that_is_alone(job: Job) -> None:
    ours, alone = fold_events(job.runs[1].events()), fold_events(job.alone.events())
    assert [s["loss"] for s in ours.steps] == pytest.approx([s["loss"] for s in alone.steps], abs=1e-4)
    assert ours.loss_before == pytest.approx(alone.loss_before, abs=1e-4)
    assert ours.loss_after == pytest.approx(alone.loss_after, abs=1e-4)
    assert job.runs[1].samples() == job.alone.samples()
    assert summarize(job.runs[1]).keys() - {"shared_by"} == summarize(job.alone).keys()


def test_a_shared_step_says_how_it_was_shared_and_claims_no_peak_of_its_own(job: Job) -> None:
    step = job.states[0].steps[0]
    assert step["shared_by"] == 4
    assert step["seconds"] == pytest.approx(step["shared_seconds"] / 4)
    assert step["group_peak_bytes"] > 0
    assert "peak_bytes" not in step
    assert job.states[0].peak_bytes == 0
    summary = summarize(job.runs[0])
    assert (summary["peak_bytes"], summary["shared_by"]) == (job.states[0].group_peak_bytes, 4)
    assert job.states[0].started is not None
    assert summary["predicted_bytes"] == job.states[0].started["group_predicted_bytes"]


def test_no_shared_run_is_held_against_the_prediction_of_a_run_that_is_alone(job: Job) -> None:
    measured = {run.run_id for run in (*job.runs, job.alone) if read_measured(run)}
    assert measured == {job.runs[4].run_id, job.runs[5].run_id, job.alone.run_id}


def test_peft_loads_what_a_shared_run_saved(job: Job) -> None:
    """And computes with it what it computes with the adapter of a run that was alone."""
    logits = []
    for run in (job.runs[1], job.alone):
        base = plain_peft(TINY, job.models_dir).unload()
        model = PeftModel.from_pretrained(base, str(run.adapter_path)).eval()
        with torch.no_grad():
            logits.append(model(input_ids=torch.arange(20)[None]).logits.double().flatten())
    assert torch.allclose(logits[0], logits[1], atol=1e-4)
    config = json.loads((job.runs[1].adapter_path / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (2, 4)
    assert sorted(p.name for p in job.runs[1].adapter_path.iterdir()) == sorted(
        p.name for p in job.alone.adapter_path.iterdir()
    )


# ---- asked to stop


@dataclass
class StoppedAfter:
    """Stops runs once the first has done some steps, as a learner does in the middle of training."""

    watched: RunFolder
    steps: int
    then: Callable[[], None]
    done: bool = False

    def __call__(self) -> bool:
        if not self.done and len(fold_events(self.watched.events()).steps) >= self.steps:
            self.done = True
            self.then()
        return False


def test_a_stopped_run_is_evaluated_and_ends_while_the_others_go_on(tmp_path: Path, models_dir: Path) -> None:
    longer = replace(TINY, steps=6)
    first, second = make_runs(tmp_path, (longer, replace(longer, seed=1)))
    watch = StoppedAfter(first, 2, second.ask_to_stop)
    assert execute_group([first, second], LabHome(tmp_path), models_dir, app_is_gone=watch)
    stopped, finished = fold_events(second.events()), fold_events(first.events())
    assert (stopped.status, finished.status) == ("stopped", "finished")
    assert len(stopped.steps) < 6 == len(finished.steps)
    assert stopped.loss_after is not None
    assert second.adapter_path.is_dir()
    assert stopped.ended_at is not None
    assert stopped.ended_at < finished.steps[-1]["at"]


def test_when_the_app_goes_away_every_run_is_saved_and_ends_as_cut_off(
    tmp_path: Path, models_dir: Path
) -> None:
    runs = make_runs(tmp_path, (replace(TINY, steps=50), replace(TINY, steps=50, seed=1)))

    def gone() -> bool:
        return len(fold_events(runs[0].events()).steps) >= 2

    execute_group(runs, LabHome(tmp_path), models_dir, app_is_gone=gone)
    for run in runs:
        state = fold_events(run.events())
        assert (state.status, state.cut_off) == ("stopped", True)
        assert state.saved_step == len(state.steps) >= 2
        assert state.loss_after is None


def test_the_base_is_measured_once_for_runs_on_the_same_data(
    tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in a later job; other held-out data are measured anew."""
    measured: list[int] = []
    whole = AdapterGroup.compute_base_loss

    def counted(group: AdapterGroup, examples: Sequence[Encoded], on_batch: Any = None) -> float:
        if on_batch is not None:  # not the trial of the layer
            measured.append(len(examples))
        return whole(group, examples, on_batch)

    monkeypatch.setattr(AdapterGroup, "compute_base_loss", counted)
    cache = ModelCache(models_dir)
    runs = make_runs(tmp_path, (TINY, replace(TINY, rank=2)))
    fewer = replace(small_dataset(), held_out=small_dataset().held_out[:2])
    runs.append(create_run(tmp_path / "runs", TINY, fewer, now=NOW + timedelta(minutes=1)))
    for run in runs:
        assert execute_group([run], LabHome(tmp_path), models_dir, cache=cache, app_is_gone=never_stop)
    assert measured == [3, 2]
    first, second, third = (fold_events(run.events()).loss_before for run in runs)
    assert first == second != third


def test_data_that_nothing_is_left_of_fails_every_run_in_words(tmp_path: Path, models_dir: Path) -> None:
    short = replace(TINY, seq_len_tokens=16)
    runs = make_runs(tmp_path, (short, replace(short, seed=1)))
    assert not execute_group(runs, LabHome(tmp_path), models_dir, app_is_gone=never_stop)
    failures = [fold_events(run.events()).failure for run in runs]
    assert all(failure is not None and failure["cause"] == "settings" for failure in failures)


def test_what_a_failed_chunk_held_is_free_before_the_next_one_loads_its_model(
    tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most likely memory ran out: a second base beside the first would make that worse."""
    bases: list[weakref.ref[Any]] = []
    still_there: list[int] = []
    tried: list[int] = []

    def open_and_note(*asked: Any, **options: Any) -> Any:
        still_there.append(sum(base() is not None for base in bases))
        loaded = open_model(*asked, **options)
        bases.append(weakref.ref(loaded.base))
        return loaded

    def train_the_second(group: AdapterGroup, *asked: Any, **options: Any) -> Any:
        tried.append(len(group.cells))
        if len(tried) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return train_group(group, *asked, **options)

    monkeypatch.setattr(model_cache, "open_model", open_and_note)
    monkeypatch.setattr(group_run, "train_group", train_the_second)
    monkeypatch.setattr(group_run.Material, "split_chunks", lambda _self, works: [[work] for work in works])
    runs = make_runs(tmp_path, (TINY, replace(TINY, seed=1)))
    gc.disable()
    try:
        execute_group(runs, LabHome(tmp_path), models_dir, app_is_gone=never_stop)
    finally:
        gc.enable()
    assert [fold_events(run.events()).status for run in runs] == ["failed", "finished"]
    assert still_there == [0, 0]
