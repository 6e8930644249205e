"""Real runs of the tiny model, made before an app starts on their folder."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

from lora_lab.data.datasets import own_dataset
from lora_lab.engine.own_worker import run_now
from lora_lab.runs.folder import RunFolder
from lora_lab.spec import RunSpec
from study.base.settings import load_settings


def finished_runs(home: Path, specs: Sequence[RunSpec]) -> list[str]:
    """Ids of the runs, in order."""
    settings = load_settings(home=home)
    return [
        run_now(settings, spec, own_dataset(), now=datetime.now(UTC), watch=_wait_a_moment).run_id
        for spec in specs
    ]


def _wait_a_moment(run: RunFolder) -> None:
    Event().wait(0.1)
