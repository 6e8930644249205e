"""`train` and `sweep`: runs with their progress on standard error."""

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Collection
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path

from lora_lab.cli.options import SHARED_FLAGS
from lora_lab.cli.progress import Watcher, watch_cells
from lora_lab.data.datasets import Dataset, build_own_dataset, read_upload
from lora_lab.data.lab_folder import LabHome
from lora_lab.engine.local import LocalEngine
from lora_lab.engine.protocol import Engine
from lora_lab.engine.queue import take_first
from lora_lab.engine.ray_extra import build_ray_engine
from lora_lab.engine.worker_process import start_worker
from lora_lab.grids.estimate import count_cells_together, describe_estimate, estimate_here
from lora_lab.runs import owner
from lora_lab.runs.durations import Paces
from lora_lab.runs.finalize import write_terminal_event
from lora_lab.runs.folder import RunFolder, create_run
from lora_lab.runs.grouping import take_cells
from lora_lab.runs.summary import Summary, summarize
from lora_lab.runs.sweeps import Sweep
from lora_lab.settings.grid import AXES, Grid, parse_grid
from lora_lab.spec import OWN_DATA, RunSpec, parse_spec
from study.base.command_line import INTERRUPTED
from study.base.errors import LearnerError
from study.base.settings import Settings, load_settings
from study.base.units import as_bytes


def run_one(options: argparse.Namespace) -> int:
    """Run `train`. Return 1 when the run failed, 130 when it was stopped."""
    settings = load_settings(home=options.data_folder)
    spec, dataset = read_run(options)
    watcher = Watcher(say)
    run = run_now(settings, spec, dataset, now=datetime.now(UTC), watch=watcher.look, say=say)
    summary = summarize(run)
    if options.json:
        print(json.dumps(summary))
    else:
        print("\n".join(f"{name}: {value}" for name, value in summary.items() if value is not None))
    if run.state().status == "stopped":
        return INTERRUPTED
    return 1 if "error" in summary else 0


def run_now(
    settings: Settings,
    spec: RunSpec,
    dataset: Dataset,
    *,
    now: datetime,
    watch: Callable[[RunFolder], None],
    say: Callable[[str], None],
) -> RunFolder:
    """Do one run in its own worker, for the command line. Ctrl-C stops it and keeps the adapter."""
    run = create_run(settings.runs_dir, spec, dataset, now=now)
    run.emit("queued", held_by=owner.name_this_process())
    log = run.log_path.open("ab")
    with log:
        worker = start_worker(settings, ["--run", str(run.path)], log=log.fileno())
        run.emit("status", text="Starting the worker", worker_pid=worker.pid)
        try:
            while worker.poll() is None:
                watch(run)
        except KeyboardInterrupt:
            run.ask_to_stop()
            say("Stopping after this step.")
            worker.wait()
    write_terminal_event(run, worker.returncode)
    watch(run)
    return run


def read_run(options: argparse.Namespace, *, leave_out: Collection[str] = ()) -> tuple[RunSpec, Dataset]:
    """Return the run and the data that the flags describe; settings without a flag have their defaults."""
    names = [field.name for field in fields(RunSpec) if field.name not in {"data", *leave_out}]
    values = {name: value for name in names if (value := getattr(options, name)) is not None}
    dataset = (
        build_own_dataset()
        if options.data is None
        else read_upload(options.data.name, read_input(options.data))
    )
    return parse_spec(values | {"data": OWN_DATA if options.data is None else dataset.digest}), dataset


def run_sweep(options: argparse.Namespace) -> int:
    """Run `sweep`. Return 1 when a run failed, 130 when it was interrupted."""
    settings = load_settings(home=options.data_folder)
    engine = _build_engine(options, settings)
    now = datetime.now(UTC)
    if options.resume:
        sweep = engine.resume_sweep(options.resume, now=now)
    else:
        base, dataset = read_run(options, leave_out=SHARED_FLAGS)
        given = {name: getattr(options, name) for name in (*AXES, "alpha_per_rank")}
        grid = parse_grid(base, {name: value for name, value in given.items() if value is not None})
        one_by_one = options.one_by_one or options.engine != "local"
        say(_estimate_sweep(settings, grid, dataset, one_by_one=one_by_one))
        sweep = engine.submit_sweep(grid, dataset, now=now)
    engine.start()
    failed = False
    try:
        for run in watch_cells(sweep, settings.runs_dir, say):
            summary = summarize(run) | {"spec": asdict(run.spec), "table": str(sweep.table_path)}
            failed = failed or "error" in summary
            print(json.dumps(summary) if options.json else _format_cell(sweep, run, summary), flush=True)
    except KeyboardInterrupt:
        say("Stopping; what is finished stays.")
        engine.close()
        say(f"Continue with: {_find_resumable(sweep, options)}")
        return INTERRUPTED
    except Exception:  # such as nobody who reads on what is printed
        engine.close()
        raise
    engine.close()
    say(f"Results table: {sweep.table_path}")
    return 1 if failed else 0


def _find_resumable(sweep: Sweep, options: argparse.Namespace) -> str:
    words = ["python", "-m", "lora_lab", "sweep", "--resume", sweep.sweep_id, "--engine", options.engine]
    for name in ("address", "cpus_per_run", "data_folder"):
        if getattr(options, name):
            words += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    words += ["--one-by-one"] if options.one_by_one else []
    return shlex.join(words)


def _estimate_sweep(settings: Settings, grid: Grid, dataset: Dataset, *, one_by_one: bool) -> str:
    paces, home = Paces(settings.runs_dir).list_newest_first(), LabHome(settings.home)
    together = [1] * grid.count if one_by_one else count_cells_together(home, grid, dataset.digest)
    try:
        found = estimate_here(home, grid, dataset.digest, paces, together=together)
        return describe_estimate(grid, found)
    except LearnerError:
        return f"{grid.count} cells. Their peaks are known once the model's configuration was read."


def _format_cell(sweep: Sweep, run: RunFolder, summary: Summary) -> str:
    if "error" in summary:
        return f"{sweep.grid.label(run.spec)}: {summary['error']}"
    before, after = summary["eval_loss_before"], summary["eval_loss_after"]
    loss = f"held-out loss {before:.3f} -> {after:.3f}, " if after is not None else "stopped, "
    with_others = f" of {summary['shared_by']} together" if "shared_by" in summary else ""
    return f"{sweep.grid.label(run.spec)}: {loss}peak {as_bytes(summary['peak_bytes'] or 0)}{with_others}"


def _build_engine(options: argparse.Namespace, settings: Settings) -> Engine:
    if options.engine == "local":
        gather = take_first if options.one_by_one else take_cells
        return LocalEngine(settings, warm=False, own_only=True, gather=gather)
    return build_ray_engine(settings, address=options.address, cpus_per_run=options.cpus_per_run)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def open_run_at(path: Path) -> RunFolder:
    """Open the run in a folder. Raises LearnerError when the folder is not a run's."""
    run = RunFolder(path.resolve())
    if not (run.path / "spec.json").is_file():
        raise LearnerError(f"{path} isn't a run's folder.", do_next="Name one that `train` printed.")
    return run


def read_input(path: Path) -> bytes:
    """Read a file that an option names. Raises LearnerError when it can't be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise LearnerError(f"{path} can't be read ({error.strerror}).", do_next="Check the path.") from error
