"""What tests of the command line share: a run that has begun."""

import pytest

from lora_lab.data.datasets import build_own_dataset
from lora_lab.runs.folder import RunFolder, create_run
from lora_lab.spec import RunSpec
from study.base.settings import Settings
from tests.golden.counts import EMBEDDED
from tests.lora_lab.run_builders import NOW, PREDICTED


@pytest.fixture
def run(settings: Settings) -> RunFolder:
    """A run that has begun."""
    made = create_run(settings.runs_dir, RunSpec(), build_own_dataset(), now=NOW)
    made.emit("queued")
    made.emit(
        "started",
        trainable=EMBEDDED[0],
        total=EMBEDDED[1],
        predicted=PREDICTED,
        predicted_bytes=1000,
        row={"lengths": [10] * 4, "answer_tokens": 12},
        device={"name": "CPU, 2 threads", "compute_dtype": "fp32"},
        versions={},
    )
    for number, loss in ((1, 3.5), (2, 2.5)):
        made.emit(
            "step",
            step=number,
            loss=loss,
            grad_norm=1.0,
            tokens=300,
            seconds=2.0,
            peak_bytes=990,
            live_bytes=1,
        )
    return made
