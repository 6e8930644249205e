"""What fits: never less in more memory, never more at a greater length; presets in what they name."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from lora_lab.memory import ledger
from lora_lab.memory.frameworks.forecast import forecast_step
from lora_lab.memory.frameworks.largest_batch import (
    BITS_SHOWN,
    CONTEXT_BYTES,
    PRESET_SIZES_GB,
    preset_size_gb,
    usual_recipe,
    what_fits,
)
from lora_lab.memory.frameworks.setting import StepSetting
from lora_lab.parameters.shapes import find_shape
from lora_lab.settings.run_form import Preset, read_presets
from study.base.units import GB

SOME = ["llama-3.2-1b", "llama-2-7b"]


@limits(max_examples=8)
@given(size_gb=st.integers(1, 100), more_gb=st.integers(0, 100), seq_len=st.integers(64, 4096))
def test_more_memory_never_fits_less(size_gb: int, more_gb: int, seq_len: int) -> None:
    small = what_fits(size_gb * GB, ranks=[8], lengths=[seq_len], models=SOME)
    large = what_fits((size_gb + more_gb) * GB, ranks=[8], lengths=[seq_len], models=SOME)
    assert all(a.batch <= b.batch for a, b in zip(small, large, strict=True))


@limits(max_examples=8)
@given(size_gb=st.integers(1, 100), seq_len=st.integers(64, 2048), factor=st.integers(1, 4))
def test_longer_sequences_never_fit_a_larger_batch(size_gb: int, seq_len: int, factor: int) -> None:
    short = what_fits(size_gb * GB, ranks=[8], lengths=[seq_len], models=SOME)
    long = what_fits(size_gb * GB, ranks=[8], lengths=[seq_len * factor], models=SOME)
    assert all(a.batch >= b.batch for a, b in zip(short, long, strict=True))


def test_every_model_is_there_in_every_width_rank_and_length() -> None:
    fits = what_fits(24 * GB, ranks=[8, 64], lengths=[512, 2048], models=SOME)
    assert len(fits) == len(SOME) * len(BITS_SHOWN) * 4
    assert {(fit.rank, fit.seq_len) for fit in fits} == {(8, 512), (8, 2048), (64, 512), (64, 2048)}


def test_the_batch_shown_is_the_largest_that_is_predicted_to_fit() -> None:
    (fit,) = [
        fit
        for fit in what_fits(24 * GB, ranks=[16], lengths=[1024], models=["llama-2-7b"])
        if fit.bits == "nf4-dq"
    ]
    needed = [
        forecast_step(_with_batch(batch)).total_bytes + CONTEXT_BYTES for batch in (fit.batch, fit.batch + 1)
    ]
    assert needed[0] <= 24 * GB < needed[1]


def _with_batch(batch: int) -> StepSetting:
    recipe = usual_recipe(find_shape("llama-2-7b"), "nf4-dq", rank=16, seq_len=1024)
    return replace(recipe, batch=batch)


def test_what_does_not_fit_at_all_says_zero() -> None:
    assert {fit.batch for fit in what_fits(8 * GB, ranks=[8], lengths=[512], models=["llama-65b"])} == {0}


@pytest.mark.parametrize("preset", read_presets(), ids=[preset.id for preset in read_presets()])
def test_a_preset_fits_in_the_memory_it_names(preset: Preset) -> None:
    shape = find_shape(preset.spec.model)
    row = ledger.upper_bound(preset.spec)
    needed = ledger.predict_ledger(shape, preset.spec, row, "fp32").total_bytes
    size = preset_size_gb(preset.spec, shape)
    assert needed <= size * GB
    assert needed > size * GB / 4 or size == min(PRESET_SIZES_GB)
