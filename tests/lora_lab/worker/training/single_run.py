"""One run that is done in the process of its test, and what it left."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from lora_lab.data.datasets import Dataset
from lora_lab.data.lab_folder import LabHome
from lora_lab.runs.folder import RunFolder, create_run
from lora_lab.runs.state import RunState, fold_events
from lora_lab.spec import RunSpec
from lora_lab.worker.training.run import execute_group
from tests.lora_lab.worker.builders import never_stop, silent, small_dataset

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
ADAPTER = "adapter_model.safetensors"

RunIt = Callable[..., RunFolder]


def do_run(
    folder: Path,
    models_dir: Path,
    spec: RunSpec,
    dataset: Dataset | None = None,
    prepare: Callable[[RunFolder], object] = silent,
) -> RunFolder:
    """Do one run in a data folder."""
    run = create_run(folder / "runs", spec, dataset or small_dataset(), now=NOW)
    prepare(run)
    execute_group([run], LabHome(folder), models_dir, app_is_gone=never_stop)
    return run


def state_of(run: RunFolder) -> RunState:
    return fold_events(run.events())


def kinds(run: RunFolder) -> list[str]:
    return [event["kind"] for event in run.events() if event["kind"] != "status"]


def losses(run: RunFolder) -> list[float]:
    return [step["loss"] for step in state_of(run).steps]
