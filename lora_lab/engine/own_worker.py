"""One run in a worker of its own, for the command line."""

from collections.abc import Callable
from datetime import datetime

from lora_lab.data.datasets import Dataset
from lora_lab.engine.worker_process import start_worker
from lora_lab.runs import owner
from lora_lab.runs.finalize import write_terminal_event
from lora_lab.runs.folder import RunFolder, create_run
from lora_lab.spec import RunSpec
from study.base.settings import Settings


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
