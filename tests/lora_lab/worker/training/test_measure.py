"""Live bytes, counted exactly and repeatably."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lora_lab.memory.ledger import predict_ledger
from lora_lab.parameters.shapes import find_shape
from lora_lab.spec import TINY_MODEL, Bits, Compute, RunSpec
from lora_lab.worker.training.memory_meter import LiveStorages
from tests.lora_lab.worker.builders import TINY, open_lab, rows_of, small_dataset


def test_the_counter_follows_a_known_pattern_of_tensors_exactly() -> None:
    with LiveStorages() as meter:
        a = torch.zeros(1000)
        assert meter.live_bytes == 4000
        b = a + 1
        assert meter.live_bytes == 8000
        view = b.view(10, 100)
        b += 1
        assert meter.live_bytes == 8000, "a view and a change in place take no memory"
        del a
        assert meter.live_bytes == 4000
        both = torch.cat([b, b]).to(torch.bfloat16)
        assert meter.live_bytes == 8000, "the fp32 result of cat is gone, its bf16 copy is not"
        del b
        assert meter.live_bytes == 8000, "the view keeps the storage alive"
        del view
        assert meter.live_bytes == 4000
        del both
        assert meter.live_bytes == 0
    assert meter.peak_bytes == 4000 + 8000 + 4000


def test_memory_of_an_operator_that_returns_several_tensors_counts_once_each() -> None:
    with LiveStorages() as meter:
        parts = torch.zeros(10, 10).unbind()
        assert meter.live_bytes == 400
        values, indices = parts[0].sort()
        assert meter.live_bytes == 400 + values.numel() * 4 + indices.numel() * 8


def test_resident_tensors_count_from_the_start_and_shared_storage_counts_once() -> None:
    weight = torch.zeros(50, 20)
    meter = LiveStorages([weight, weight.t(), weight[:10], torch.empty(0)])
    assert meter.live_bytes == meter.peak_bytes == 4000
    with meter:
        copy = weight * 2
    assert (meter.live_bytes, meter.peak_bytes) == (8000, 8000)
    del copy
    assert (meter.live_bytes, meter.peak_bytes) == (4000, 8000)


def test_what_is_made_outside_is_not_counted_but_its_end_is() -> None:
    meter = LiveStorages()
    with meter:
        inside = torch.zeros(10)
    outside = torch.zeros(1000)
    assert meter.live_bytes == 40
    del inside, outside
    assert meter.live_bytes == 0


@pytest.mark.parametrize("compute", ["fp32", "bf16"])
@pytest.mark.parametrize("bits", ["nf4-dq", "int8", "bf16"])
def test_two_equal_runs_report_equal_peaks_and_losses_to_the_last_bit(
    bits: Bits, compute: Compute, models_dir: Path
) -> None:
    """docs/traps.md 5: memory of the process would differ. The third is a warm worker's next run."""
    spec = replace(TINY, bits=bits, steps=4, compute_dtype=compute)
    first = open_lab(spec, compute, models_dir, graph=False)
    results = [
        first.train(),
        open_lab(spec, compute, models_dir, graph=False).train(),
        first.reattach(spec).train(),
    ]
    told = [[(r.loss, r.grad_norm, r.live_bytes, r.peak_bytes) for r in result] for result in results]
    assert told[0] == told[1] == told[2]


def test_after_a_step_only_weights_adapter_and_training_state_are_left(models_dir: Path) -> None:
    spec = RunSpec(model=TINY_MODEL, bits="nf4", steps=3, compute_dtype="fp32")
    lab = open_lab(spec, "fp32", models_dir, dataset=small_dataset(), graph=False)
    last, row = lab.train()[-1], rows_of(lab)[-1]
    ledger = predict_ledger(find_shape(TINY_MODEL), spec, row, "fp32")
    copies_bytes, positions_bytes = ledger.adapters, 8 * (row.tokens + row.answer_tokens)
    assert last.live_bytes == ledger.resident_bytes + copies_bytes + positions_bytes
