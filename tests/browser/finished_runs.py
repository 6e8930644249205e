"""Real runs of the tiny model, made once for all test processes and copied to where an app starts."""

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from lora_lab.data.datasets import build_own_dataset
from lora_lab.engine.worker_process import WorkerProcess
from lora_lab.runs.folder import RunFolder, create_run
from lora_lab.spec import TINY_MODEL, RunSpec
from study.base.settings import load_settings

RECORDED = {
    "rank 2": RunSpec(model=TINY_MODEL, steps=4, rank=2),
    "rank 4": RunSpec(model=TINY_MODEL, steps=4, rank=4, seed=1),
    "rank 8": RunSpec(model=TINY_MODEL, steps=40, seed=7),
    "six steps at rank 2": RunSpec(model=TINY_MODEL, steps=6, rank=2),
    "six steps at rank 16": RunSpec(model=TINY_MODEL, steps=6, rank=16),
}


def record_runs(home: Path) -> None:
    """Train all of them, one after the other in one worker; the first process that asks for them does."""
    settings = load_settings(home=home)
    done = home / "all-recorded"
    with FileLock(home.with_suffix(".lock")):
        if done.exists():
            return
        worker = WorkerProcess(settings, ["--cold"])
        for spec in RECORDED.values():
            run = create_run(settings.runs_dir, spec, build_own_dataset(), now=datetime.now(UTC))
            run.emit("queued")
            assert worker.do([run]) is None, (home / "worker.log").read_text("utf-8")
        worker.finish(grace_seconds=5)
        done.touch()


def copy_runs(recorded: Path, home: Path, names: Sequence[str]) -> list[str]:
    """Put these runs into a data folder; returns their ids, in order."""
    ids = []
    for name in names:
        [run] = [
            run
            for folder in (recorded / "runs").iterdir()
            if (run := RunFolder(folder)).spec == RECORDED[name]
        ]
        shutil.copytree(run.path, home / "runs" / run.run_id)
        ids.append(run.run_id)
    return ids
