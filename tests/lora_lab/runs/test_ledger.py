"""Which runs have a peak to show, and which of them answer a setting."""

from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

import pytest

from lora_lab.data.batches import RowSize, build_even_row
from lora_lab.data.datasets import Dataset, Example, split_examples
from lora_lab.runs.folder import RunFolder, create_run, list_runs
from lora_lab.runs.predicted_vs_measured import MeasuredPeak, list_devices, read_measured, select_comparable
from lora_lab.spec import RunSpec
from tests.lora_lab.run_builders import PREDICTED, emit_started

ROW = build_even_row(tokens=40, answer_tokens=12, examples=4)
SPEC = RunSpec(model="tiny-random", rank=8, steps=3)
DATA: Dataset = split_examples(
    [Example(prompt=f"p{i}", answer=f"a{i}") for i in range(8)], label="eight pairs"
)


@pytest.fixture
def run(tmp_path: Path, now: datetime) -> RunFolder:
    """A run that has announced itself and not done a step."""
    created = create_run(tmp_path, SPEC, DATA, now=now)
    created.emit("queued")
    created.emit(
        "started",
        device={"name": "CPU, 2 threads", "compute_dtype": "fp32"},
        row=asdict(ROW),
        predicted=PREDICTED,
        versions={},
        total=10_000,
        predicted_bytes=1000,
        trainable=448,
    )
    return created


def step(run: RunFolder, number: int, *, tokens: int, peak_bytes: int) -> None:
    run.emit(
        "step",
        step=number,
        loss=3.0,
        grad_norm=1.0,
        tokens=tokens,
        peak_bytes=peak_bytes,
        live_bytes=1,
        seconds=0.1,
    )


def measured(spec: RunSpec = SPEC, *, row: RowSize = ROW) -> MeasuredPeak:
    return MeasuredPeak(
        run_id="some-run",
        spec=spec,
        peak_bytes=1010,
        predicted_bytes=1000,
        device_name="CPU, 2 threads",
        compute="fp32",
        row=row,
        steps=3,
    )


def test_a_finished_run_shows_its_peak_beside_its_prediction(run: RunFolder, tmp_path: Path) -> None:
    step(run, 1, tokens=30, peak_bytes=700)
    step(run, 2, tokens=40, peak_bytes=990)
    run.emit("finished", step=2)

    (listed,) = list_runs(tmp_path)
    found = read_measured(listed)

    assert found is not None
    assert found.run_id == run.run_id
    assert found.spec == SPEC
    assert (found.peak_bytes, found.predicted_bytes) == (990, 1000)
    assert found.error_percent == pytest.approx(-1.0)
    assert (found.device_name, found.compute, found.steps) == ("CPU, 2 threads", "fp32", 2)
    assert found.row == ROW


def test_a_stopped_or_failed_run_counts_once_its_heaviest_row_came(run: RunFolder) -> None:
    step(run, 1, tokens=40, peak_bytes=990)
    run.emit("failed", step=1, cause="non-finite", what="", do_next="")

    assert read_measured(run) is not None


def test_a_run_that_ended_before_its_heaviest_row_is_left_out(run: RunFolder) -> None:
    step(run, 1, tokens=39, peak_bytes=700)
    run.emit("stopped", step=1)

    assert read_measured(run) is None


def test_a_step_counts_each_token_of_a_beginning_that_its_row_holds_once(
    tmp_path: Path, now: datetime
) -> None:
    sharing = replace(ROW, shared=5)
    run = create_run(tmp_path, SPEC, DATA, now=now)
    emit_started(run, row=asdict(sharing))
    step(run, 1, tokens=39, peak_bytes=700)
    run.emit("stopped", step=1)

    assert sharing.tokens < 39
    assert read_measured(run) is None


def test_a_run_that_still_goes_on_is_left_out(run: RunFolder) -> None:
    step(run, 1, tokens=40, peak_bytes=990)

    assert read_measured(run) is None


def test_a_run_that_failed_before_its_first_step_is_left_out(run: RunFolder) -> None:
    run.emit("failed", step=0, cause="settings", what="", do_next="")

    assert read_measured(run) is None


@pytest.mark.parametrize("changed", [{"alpha": 3.0}, {"learning_rate": 1e-4}, {"rank": 64}])
def test_runs_that_differ_in_nothing_that_costs_memory_are_comparable_by_rank(
    changed: dict[str, float],
) -> None:
    run = measured(replace(SPEC, **changed))  # type: ignore[arg-type]

    assert select_comparable([run], SPEC, free="rank") == [run]


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "gpt2"},
        {"targets": "q+v"},
        {"batch": 2},
        {"seq_len_tokens": 64},
        {"data": "0123456789ab"},
        {"bits": "bf16"},
        {"steps": 4},
        {"seed": 1},
    ],
)
def test_runs_that_differ_in_what_decides_memory_are_not_comparable_by_rank(
    changed: dict[str, object],
) -> None:
    assert select_comparable([measured(replace(SPEC, **changed))], SPEC, free="rank") == []  # type: ignore[arg-type]


def test_by_bits_the_rank_must_be_equal_and_the_bits_need_not() -> None:
    other_bits, other_rank = measured(replace(SPEC, bits="bf16")), measured(replace(SPEC, rank=64))

    assert select_comparable([other_bits, other_rank], SPEC, free="bits") == [other_bits]


def test_with_the_heaviest_row_known_equal_rows_count_whatever_steps_and_seed_led_there() -> None:
    same = measured(replace(SPEC, steps=90, seed=5))
    longer = measured(SPEC, row=replace(ROW, lengths=(*ROW.lengths[:-1], ROW.lengths[-1] + 1)))

    assert select_comparable([same, longer], SPEC, free="rank", row=ROW) == [same]


def test_a_spec_that_asks_for_one_number_type_is_not_compared_with_runs_in_the_other() -> None:
    run = measured()  # in fp32, which the machine chose

    assert select_comparable([run], replace(SPEC, compute_dtype="fp32"), free="rank") == [run]
    assert select_comparable([run], replace(SPEC, compute_dtype="bf16"), free="rank") == []


def test_each_device_is_named_once_in_order() -> None:
    runs = [measured(), replace(measured(), device_name="NVIDIA A10"), measured()]

    assert list_devices(runs) == ("CPU, 2 threads", "NVIDIA A10")
