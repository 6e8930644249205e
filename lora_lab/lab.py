"""The lab's shared state, used by pages, downloads and Today."""

import threading
from collections.abc import Sequence
from pathlib import Path

from lora_lab.data.lab_folder import LabHome
from lora_lab.data.uploads import Uploads
from lora_lab.engine.chat import ChatQueue
from lora_lab.engine.inspections import InspectionQueue
from lora_lab.engine.local import LocalEngine
from lora_lab.engine.shape_jobs import ShapeJobs
from lora_lab.engine.worker_process import Worker, kill_worker, start_worker
from lora_lab.grids.estimate import count_cells_together
from lora_lab.grids.results import GridCell, build_grid_cells
from lora_lab.parameters.shapes import ModelShape
from lora_lab.runs.durations import Paces
from lora_lab.runs.extra_measurements import ExtraMeasurements
from lora_lab.runs.folder import RunFolder, delete_run, list_runs, list_with_damaged, open_run
from lora_lab.runs.merged_model import Merged
from lora_lab.runs.predicted_vs_measured import MeasuredPeak, read_measured
from lora_lab.runs.sweeps import Sweep, delete_sweep, list_damaged_sweeps, list_sweeps, open_sweep
from lora_lab.settings.grid import Grid
from study.base.errors import LearnerError
from study.base.settings import Settings

WORKERS_AT_ONCE = 2  # beside a run and a queue's worker: each imports torch, some 300 MB, and loads a model
CLOSE_SECONDS = 2.5
"""A step of the embedded model takes 2 s on two cores; the whole app closes in under 5 s."""


class Lab:
    """Engine, data folder, and caches of ended runs."""

    def __init__(self, settings: Settings, engine: LocalEngine) -> None:
        self.settings = settings
        self.engine = engine
        self.home = LabHome(settings.home)
        self.uploads = Uploads(self.home.uploads_path)
        self.paces = Paces(settings.runs_dir)
        self.chat = ChatQueue(settings, engine)
        self.inspections = InspectionQueue(settings, engine)
        self._shape_jobs = ShapeJobs(lambda model: self._start_worker("--shape", model))
        self._cells: dict[tuple[str, ...], list[GridCell]] = {}
        self._measured: dict[str, MeasuredPeak | None] = {}
        self._workers: dict[tuple[str, ...], Worker] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Stop every process that works for the lab, within CLOSE_SECONDS."""
        self._shape_jobs.close()
        self.chat.close()
        self.inspections.close()
        with self._lock:
            for worker in self._workers.values():
                kill_worker(worker)
        self.engine.close(grace_seconds=CLOSE_SECONDS)
        if self.engine.fork_server is not None:
            self.engine.fork_server.close()  # last: it tells how its workers ended

    def runs(self) -> list[RunFolder]:
        """Return every run, newest first."""
        return list(list_runs(self.settings.runs_dir))

    def run(self, run_id: str) -> RunFolder:
        """Open one run. Raises LearnerError when it doesn't exist."""
        return open_run(self.settings.runs_dir, run_id)

    def find_run(self, run_id: str) -> RunFolder | None:
        """Return one run; None when it doesn't exist."""
        try:
            return self.run(run_id)
        except LearnerError:
            return None

    def sweeps(self) -> list[Sweep]:
        """Return every sweep, newest first."""
        return list(list_sweeps(self.settings.sweeps_dir))

    def sweep(self, sweep_id: str) -> Sweep:
        """Open one sweep. Raises LearnerError when it doesn't exist."""
        return open_sweep(self.settings.sweeps_dir, sweep_id)

    def scan_runs(self) -> tuple[list[RunFolder], list[Path]]:
        """Return all runs and all unreadable entries, from one scan of the folder."""
        return list_with_damaged(self.settings.runs_dir)

    def scan_damaged_sweeps(self) -> list[Path]:
        """Return the unreadable entries of the folder of sweeps, newest first."""
        return list_damaged_sweeps(self.settings.sweeps_dir)

    def cells(self, sweep: Sweep) -> list[GridCell]:
        """Return the sweep's current cells in the order of its grid; an ended sweep is read only once."""
        known = self._cells.get(sweep.run_ids)
        if known is not None:
            return known
        cells = build_grid_cells(sweep.cells(self.settings.runs_dir), RunFolder.state)
        if all(cell.ended for cell in cells):
            self._cells[sweep.run_ids] = cells
        return cells

    def count_cells_together(self, grid: Grid, *, first_seed: int | None = None) -> list[int]:
        """Count for each cell of a grid how many are trained side by side with it, itself included."""
        digest = self.uploads.find_digest(grid.base.data)
        return count_cells_together(self.home, grid, digest, first_seed=first_seed)

    def list_measured_peaks(self) -> list[MeasuredPeak]:
        """List the measured peaks of all ended runs, newest first."""
        found = []
        for run in self.runs():
            if run.run_id not in self._measured and run.state().ended:
                self._measured[run.run_id] = read_measured(run)
            measured = self._measured.get(run.run_id)
            if measured is not None:
                found.append(measured)
        return found

    def delete_run(self, run: RunFolder) -> None:
        """Delete an ended run. What merges it is ended first: it would write on into the folder."""
        self._end_worker("--merge", run.run_id)
        delete_run(run)
        self._forget(run.run_id)

    def delete_sweep(self, sweep: Sweep) -> None:
        """Delete an ended sweep with all its runs, and end what merges or measures them."""
        run_ids = [run_id for runs in sweep.attempts for run_id in runs]
        self._end_worker("--afterwards", sweep.sweep_id)
        for run_id in run_ids:
            self._end_worker("--merge", run_id)
        delete_sweep(sweep, self.settings.runs_dir)
        for run_id in run_ids:
            self._forget(run_id)

    def _end_worker(self, *key: str) -> None:
        with self._lock:
            worker = self._workers.pop(key, None)
        if worker is not None:
            kill_worker(worker)

    def _forget(self, run_id: str) -> None:
        """Clear the caches of a deleted run."""
        self._measured.pop(run_id, None)
        self._cells.clear()

    def find_known_shape(self, model: str) -> ModelShape | None:
        """Return the shape of a model in the catalogue or the data folder; None of any other."""
        try:
            return self.home.find_shape(model)
        except LearnerError:
            return None

    def ask_for_shape(self, model: str, *, browser_id: str) -> ModelShape | None:
        """Return a model's shape; None while a worker reads it for the browser that asks.

        Raises LearnerError when it can't be read, and when it is not known and `browser_id` is empty, because
        whoever asks may have none read, whether it exists or not.
        """
        if known := self.find_known_shape(model):
            return known
        if not browser_id:
            raise LearnerError(
                f"{model} is not among the models of this server.",
                do_next="Choose one of the list, or ask the owner to add it on the Models page.",
            )
        if self._shape_jobs.is_working(model, browser_id=browser_id):
            return None
        if known := self.find_known_shape(model):
            return known
        self._shape_jobs.forget(model)
        raise LearnerError(
            f"{model} could not be read: no such folder, or the hub does not answer.",
            do_next="Check the name and the network, or choose the embedded model.",
        )

    def read_data(self, model: str, data: str) -> None:
        """Start a worker that tokenizes a data set, unless one is already running.

        Raises LearnerError while WORKERS_AT_ONCE others read, merge or measure.
        """
        order = ("--read", model, "--data", data)
        self._start_unless_busy(order, order)

    def is_reading(self, model: str, data: str) -> bool:
        """Return whether a worker is tokenizing that data set for that model."""
        return self._is_busy(("--read", model, "--data", data))

    def merge(self, run: RunFolder) -> None:
        """Start a worker that merges a run's adapter into its base; its progress is in the run's folder.

        Raises LearnerError as `read_data`.
        """
        merged = Merged(run)
        with self._lock:
            if merged.state["state"] != "working":
                worker = self._start(("--merge", run.run_id), ["--merge", str(run.path)])
                state = {"state": "working", "text": "Starting", "pid": worker.pid}
                run.write_json(merged.state_path.name, state)

    def measure_afterwards(self, sweep: Sweep) -> None:
        """Start a worker that measures the sweep's finished runs with an adapter and no such measurement.

        Raises LearnerError as `read_data`.
        """
        runs = [run for _, run in sweep.cells(self.settings.runs_dir) if run is not None]
        left = [str(run.path) for run in runs if ExtraMeasurements(run).can_be_measured]
        if left:
            self._start_unless_busy(("--afterwards", sweep.sweep_id), ["--afterwards", *left])

    def is_measuring(self, sweep: Sweep) -> bool:
        """Return whether a worker is measuring the sweep's finished runs."""
        return self._is_busy(("--afterwards", sweep.sweep_id))

    def _start_unless_busy(self, key: tuple[str, ...], options: Sequence[str]) -> None:
        with self._lock:
            if not self._is_busy(key):
                self._start(key, options)

    def _start(self, key: tuple[str, ...], options: Sequence[str]) -> Worker:
        """Start a worker; the caller holds the lock."""
        self._workers = {known: worker for known, worker in self._workers.items() if worker.poll() is None}
        if len(self._workers) >= WORKERS_AT_ONCE:
            raise LearnerError(
                f"{WORKERS_AT_ONCE} processes of the Lab are reading examples, merging or measuring.",
                do_next="Wait until one of them ends, then press again.",
            )
        self._workers[key] = self._start_worker(*options)
        return self._workers[key]

    def _start_worker(self, *options: str) -> Worker:
        return start_worker(self.settings, [*options], fork_server=self.engine.fork_server)

    def _is_busy(self, key: tuple[str, ...]) -> bool:
        worker = self._workers.get(key)
        return worker is not None and worker.poll() is None

    def open_extra_measurements(self, run_id: str) -> ExtraMeasurements:
        return ExtraMeasurements(self.run(run_id))
