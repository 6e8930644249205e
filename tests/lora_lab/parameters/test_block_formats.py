"""4-bit formats: their levels are the standards', and their codecs round to them block by block."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_lab.parameters.block_formats import (
    E2M1_LEVELS,
    E4M3_LEVELS,
    FORMATS,
    compute_weight_error,
)
from lora_lab.parameters.quantization_levels import NF4_LEVELS

WEIGHTS = st.lists(st.floats(-1, 1, width=32), min_size=64, max_size=64)


def test_e4m3_has_the_numbers_that_pytorch_has() -> None:
    codes = torch.arange(0, 127, dtype=torch.uint8)  # 127 is NaN; higher codes are negative
    assert codes.view(torch.float8_e4m3fn).to(torch.float64).tolist() == list(E4M3_LEVELS)


def test_e2m1_is_every_sign_exponent_and_mantissa() -> None:
    decoded = {
        sign * (mantissa / 2 if exponent == 0 else (1 + mantissa / 2) * 2.0 ** (exponent - 1))
        for sign in (1, -1)
        for exponent in range(4)
        for mantissa in range(2)
    }
    assert set(E2M1_LEVELS) == decoded
    assert len(E2M1_LEVELS) == 15


def test_bits_count_the_scale_of_a_block() -> None:
    assert {form: one.bits for form, one in FORMATS.items()} == {"nf4": 4.5, "mxfp4": 4.25, "nvfp4": 4.5}


@given(WEIGHTS)
@settings(max_examples=50)
def test_mxfp4_scales_by_powers_of_two_and_cuts_at_six(weights: list[float]) -> None:
    decoded = FORMATS["mxfp4"].decode(weights)
    for start in (0, 32):
        largest = max(map(abs, weights[start : start + 32]))
        if largest < 1e-30:
            continue
        scale = 2.0 ** (math.floor(math.log2(largest)) - 2)
        assert all(value / scale in E2M1_LEVELS for value in decoded[start : start + 32])


def test_a_large_weight_spoils_its_own_block_only() -> None:
    weights = [0.1] * 64
    for form, far in (("mxfp4", 40), ("nvfp4", 20)):
        spoilt = FORMATS[form].decode([8.0, *weights[1:]])
        assert spoilt[1] == 0
        assert spoilt[far] == pytest.approx(0.1, rel=0.2)


def test_what_a_format_can_store_is_stored_exactly() -> None:
    for form, levels in (("nf4", NF4_LEVELS), ("mxfp4", E2M1_LEVELS), ("nvfp4", E2M1_LEVELS)):
        weights = [levels[place % len(levels)] for place in range(64)]
        assert FORMATS[form].decode(weights) == pytest.approx(weights, abs=1e-12)


def test_zeros_stay_zeros_and_have_no_error() -> None:
    for one in FORMATS.values():
        assert one.decode([0.0] * 64) == [0.0] * 64
    assert compute_weight_error([0.0], [0.0]) == 0
    assert compute_weight_error([3.0, 4.0], [3.0, 0.0]) == pytest.approx(0.8)
