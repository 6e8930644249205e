"""The Ray engine: the cells of a sweep as trials of Ray Tune, on the GPUs and machines of a cluster.

A trial is one worker process on one run folder, so events, table and everything that reads them are those of
the local engine. The run folders also record what is done: after an interruption, resuming the sweep makes
trials of what is left. Every machine needs the same checkout and the same data folder at the same paths
(docs/guide/several-machines.md).
"""

import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import ray
from ray import tune

from lora_lab.data.datasets import Dataset
from lora_lab.data.lab_folder import CHOSEN_VARIABLE, LabHome
from lora_lab.engine.ray_capacity import Capacity, Demand, predict_peaks
from lora_lab.engine.retries import await_workers, list_unfinished
from lora_lab.engine.worker_process import WorkerProcess
from lora_lab.runs import failures, owner
from lora_lab.runs.failures import Failure
from lora_lab.runs.finalize import cut_off, write_terminal_event
from lora_lab.runs.folder import RunFolder, open_run
from lora_lab.runs.sweeps import Sweep, create_sweep, open_sweep
from lora_lab.runs.table import ResultsTable
from lora_lab.settings.grid import Grid
from study.base.errors import LearnerError, first_line
from study.base.settings import ROOT, Settings

LOOK_SECONDS = 0.5
CLOSE_GRACE_SECONDS = 60
WORKER_GRACE_SECONDS = 20


class RayEngine:
    """An engine for one sweep on a cluster: the one at `address`, or a private one on this machine."""

    def __init__(
        self, settings: Settings, *, address: str | None = None, cpus_per_run: int | None = None
    ) -> None:
        self.settings = settings
        self._address = address
        self._cpus_per_run = cpus_per_run
        self._table = ResultsTable(settings.runs_dir, settings.sweeps_dir)
        self._sweep: Sweep | None = None
        self._cells: list[RunFolder] = []
        self._thread = threading.Thread(target=self._serve, name="ray-engine", daemon=True)

    def submit_sweep(self, grid: Grid, dataset: Dataset, *, now: datetime) -> Sweep:
        sweep = create_sweep(self.settings.sweeps_dir, self.settings.runs_dir, grid, dataset, now=now)
        return self._hold(sweep, [RunFolder(self.settings.runs_dir / run_id) for run_id in sweep.run_ids])

    def resume_sweep(self, sweep_id: str, *, now: datetime) -> Sweep:
        await_workers(self.settings, sweep_id)
        left = list_unfinished(self.settings, sweep_id, now=now)
        return self._hold(open_sweep(self.settings.sweeps_dir, sweep_id), [*left])

    def start(self) -> None:
        """Connect to the cluster and start. Raises LearnerError when it can't be reached."""
        assert self._sweep is not None
        _interruption_path(self._sweep).unlink(missing_ok=True)
        join_cluster(self._address)
        self._thread.start()

    def stop(self, run_id: str) -> None:
        open_run(self.settings.runs_dir, run_id).ask_to_stop()

    def close(self) -> None:
        if self._sweep is not None and self._thread.is_alive():
            if not all(run.state().ended for run in self._cells):
                _interruption_path(self._sweep).touch()
            self._thread.join(CLOSE_GRACE_SECONDS)
        ray.shutdown()

    def _hold(self, sweep: Sweep, cells: Sequence[RunFolder]) -> Sweep:
        for run in cells:
            run.emit("queued", sweep=sweep.sweep_id, held_by=owner.name_this_process())
        self._sweep, self._cells = sweep, [*cells]
        self._table.write(sweep)
        return sweep

    def _serve(self) -> None:
        assert self._sweep is not None
        problem = "Ray ended without running it"
        try:
            problem = self._tune(self._sweep) or problem
        except Exception as error:
            # The thread's outermost frame: the cluster's error becomes the terminal event of every open cell.
            problem = first_line(error)
        for run in self._cells:
            self._end(
                run, failures.describe("cluster", problem=problem), _interruption_path(self._sweep).exists()
            )
        self._table.write(self._sweep)

    def _end(self, run: RunFolder, failure: Failure, interrupted: bool) -> None:
        """Write the terminal event of a cell whose trial is gone without one."""
        state = run.state()
        if state.ended or (state.status == "queued" and interrupted):
            return
        if state.status != "queued" or run.stop_path.exists():
            cut_off(run, failures.describe("lost-machine", step=len(state.steps)))
        else:
            run.emit("failed", step=0, **asdict(failure))

    def _tune(self, sweep: Sweep) -> str:
        """Run every cell that fits on the cluster; return the first trial's error in one line, or ""."""
        demands = self._compute_demands(sweep)
        if not demands:
            return ""

        def build_demand(config: dict[str, Any]) -> tune.PlacementGroupFactory:
            return tune.PlacementGroupFactory([demands[config["run"]]])

        results = tune.Tuner(
            tune.with_resources(CellTrial, build_demand),
            param_space={
                "run": tune.grid_search([*demands]),
                "home": str(self.settings.home),
                "models_dir": str(self.settings.models_dir),
                "interruption": str(_interruption_path(sweep)),
            },
            tune_config=tune.TuneConfig(reuse_actors=True),
            run_config=tune.RunConfig(
                storage_path=str(sweep.path / "ray"),
                callbacks=[_Tabulate(self._table, sweep)],
                failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        ).fit()
        return first_line(results.errors[0]) if results.errors else ""

    def _compute_demands(self, sweep: Sweep) -> dict[str, Demand]:
        """Compute the resources of each cell's trial. A cell that fits on no machine fails here, in words.

        All cells of one bit width take what the largest one needs, so a process can go from one to the next.
        """
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        device = LabHome(self.settings.home).describe_device()
        capacity = Capacity.from_nodes(nodes, device, cpus_per_run=self._cpus_per_run)
        peaks = predict_peaks(self.settings, sweep)
        fitting = []
        for run in self._cells:
            peak_bytes = peaks.get(run.spec, 0)
            if capacity.compute_demand(peak_bytes) is not None:
                fitting.append((run, peak_bytes))
                continue
            failure = failures.describe_too_large(run.spec, peak_bytes, capacity.largest_bytes)
            run.emit("failed", step=0, **asdict(failure))
        largest: dict[str, int] = {}
        for run, peak_bytes in fitting:
            largest[run.spec.bits] = max(peak_bytes, largest.get(run.spec.bits, 0))
        demands = {str(run.path): capacity.compute_demand(largest[run.spec.bits]) for run, _ in fitting}
        return {path: demand for path, demand in demands.items() if demand is not None}


class _Tabulate(tune.Callback):  # type: ignore[misc]
    """A callback that keeps the results table up to date."""

    def __init__(self, table: ResultsTable, sweep: Sweep) -> None:
        self._table, self._sweep = table, sweep

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._table.write(self._sweep)


def join_cluster(address: str | None) -> None:
    """Connect to the cluster at `address`, or start one here. Raises LearnerError when that fails."""
    try:
        ray.init(
            address=address or "local",
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise LearnerError(
            f"The cluster at {address or 'this machine'} can't be reached ({first_line(error)}).",
            do_next="Check `ray status` there, or leave --address out.",
        ) from error


class CellTrial(tune.Trainable):  # type: ignore[misc]
    """A trial on a machine of the cluster: one cell after the other, in a worker with a loaded base."""

    def setup(self, config: dict[str, Any]) -> None:
        """Set up the trial on its machine."""
        self._worker: WorkerProcess | None = None
        self.reset_config(config)
        if int(os.environ.get("OMP_NUM_THREADS", "0")) >= (os.cpu_count() or 1):
            del os.environ["OMP_NUM_THREADS"]  # the run has all cores: let it choose, as on a single machine

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Set the next cell, which asks for the same resources."""
        self._run, self._interruption = RunFolder(Path(new_config["run"])), Path(new_config["interruption"])
        self._settings = Settings(
            home=Path(new_config["home"]), database_url="", models_dir=Path(new_config["models_dir"])
        )
        return True

    def step(self) -> dict[str, Any]:
        """Do the whole cell: its training steps are in its events."""
        if self._run.stop_path.exists():
            self._run.emit("stopped", step=0)
        elif not self._interruption.exists():
            self._do()
        state = self._run.state()
        measured = {"eval_loss": state.loss_after, "peak_bytes": state.peak_bytes}
        return {"done": True, "status": state.status, **measured}

    def cleanup(self) -> None:
        """End the worker after the last cell."""
        if self._worker is not None:
            self._worker.finish(WORKER_GRACE_SECONDS)

    def _do(self) -> None:
        if self._worker is None or not self._worker.is_alive:
            os.environ[CHOSEN_VARIABLE] = ""  # Ray has given this trial its device
            self._worker = WorkerProcess(self._settings, ["--cold"])
        self._run.emit("status", text="Starting the worker", worker_pid=self._worker.pid)
        done = threading.Event()
        watch = (self._worker, self._interruption, done)
        threading.Thread(target=_end_if_interrupted, args=watch, daemon=True).start()
        exit_code = self._worker.do([self._run])
        done.set()
        if self._interruption.exists():
            cut_off(self._run)
        write_terminal_event(self._run, exit_code or 0)


def _end_if_interrupted(worker: WorkerProcess, interruption: Path, done: threading.Event) -> None:
    while not done.wait(LOOK_SECONDS):
        if interruption.exists():
            worker.finish(WORKER_GRACE_SECONDS)
            return


def _interruption_path(sweep: Sweep) -> Path:
    """Return the path of a file whose presence asks every trial to save its adapter and end."""
    return sweep.path / "interrupted"
