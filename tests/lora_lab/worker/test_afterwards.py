"""What a worker measures on a finished run: decoding first keeps the model, rounding again does not."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lora_lab.data.lab_folder import LabHome
from lora_lab.runs.extra_measurements import ExtraMeasurements
from lora_lab.runs.folder import RunFolder, create_run, delete_run
from lora_lab.runs.state import fold_events
from lora_lab.spec import Bits
from lora_lab.worker import extra_measurements
from lora_lab.worker.extra_measurements import measure_run
from lora_lab.worker.training.run import execute_group
from tests.lora_lab import run_builders
from tests.lora_lab.worker.builders import TINY, never_stop, small_dataset

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)


def trained(tmp_path: Path, models_dir: Path, bits: Bits) -> RunFolder:
    spec = replace(TINY, bits=bits, steps=5, learning_rate=0.02)
    run = create_run(tmp_path / "runs", spec, small_dataset(), now=NOW)
    assert execute_group([run], LabHome(tmp_path), models_dir, app_is_gone=never_stop)
    return run


@pytest.mark.parametrize("bits", ["nf4-dq", "bf16"])
def test_a_finished_run_is_measured_on_general_questions_and_merged_in_every_way(
    bits: Bits, tmp_path: Path, models_dir: Path
) -> None:
    run = trained(tmp_path, models_dir, bits)
    assert ExtraMeasurements(run).can_be_measured
    assert measure_run(run, models_dir)
    values, ended = ExtraMeasurements(run).values, fold_events(run.events())
    assert not ExtraMeasurements(run).can_be_measured
    assert values["before"] == pytest.approx(ended.loss_before, rel=0.01)
    assert values["after"] == pytest.approx(ended.loss_after, rel=0.01)
    assert values["general_before"] != values["general_after"]
    assert values["decoded_error"] < 1e-5
    assert values["decoded_loss"] == pytest.approx(values["after"], abs=1e-4)
    assert values["decoded_error"] < values["bf16_error"] < 0.02
    assert ("requantized_error" in values) == (bits == "nf4-dq")
    if bits == "nf4-dq":
        assert values["requantized_error"] > 10 * values["bf16_error"]


def test_a_run_without_a_readable_adapter_says_why_it_is_not_measured(
    tmp_path: Path, models_dir: Path
) -> None:
    run = create_run(tmp_path / "runs", TINY, small_dataset(), now=NOW)
    assert not measure_run(run, models_dir)
    assert ExtraMeasurements(run).problem
    assert ExtraMeasurements(run).values == {}


def test_a_run_that_is_deleted_while_it_is_measured_does_not_come_back(
    tmp_path: Path, models_dir: Path
) -> None:
    run = create_run(tmp_path / "runs", TINY, small_dataset(), now=NOW)
    delete_run(run)
    assert not measure_run(run, models_dir)
    assert not run.path.exists()


def test_a_failed_measurement_says_why_and_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lack_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(extra_measurements, "load_base", lack_memory)
    run = run_builders.finished(tmp_path)
    assert not measure_run(run, tmp_path)
    assert ExtraMeasurements(run).problem.startswith("There was not enough memory: this holds the whole")
    assert ExtraMeasurements(run).can_be_measured
