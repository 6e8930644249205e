"""Figures of quantization against the lab's functions and against bitsandbytes' own codes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_lab.figures.matrices import read_matrices
from lora_lab.figures.quantization import (
    block_size,
    block_steps,
    double_quantization,
    four_bit_formats,
    number_lines,
)
from lora_lab.memory.ledger import BLOCK_SIZES, bits_per_param
from lora_lab.parameters.quantization_levels import FP4_LEVELS, LEVELS, NF4_LEVELS, find_nearest
from lora_lab.quantities import double_quantization_saving_bits, double_quantization_saving_bytes


def test_four_bit_tables_name_sixteen_and_fifteen_values() -> None:
    assert {scheme: len(levels) for scheme, levels in LEVELS.items()} == {
        "nf4": 16, "fp4": 15, "int4": 15, "int8": 255,
    }  # fmt: skip
    assert tuple(-level for level in reversed(FP4_LEVELS)) == FP4_LEVELS


def test_nf4_misses_the_models_weights_least_of_the_4_bit_schemes() -> None:
    for matrix in read_matrices().values():
        nf4, fp4, int4, int8 = (number_lines.compute_numbers(scheme, matrix) for scheme in LEVELS)
        assert int8.error_percent < nf4.error_percent < int4.error_percent < fp4.error_percent


def test_the_smallest_error_is_told_once_and_ticks_have_the_minus_of_the_texts() -> None:
    nf4, fp4 = (number_lines.show(number_lines.SchemeSettings(scheme=scheme)) for scheme in ("nf4", "fp4"))
    assert nf4.finding.count("%") == 1
    assert nf4.finding.endswith("the smallest of the 4-bit schemes.")
    assert "Of the 4-bit schemes, NF4 has the smallest error" in fp4.finding
    assert ">−0.5<" in nf4.picture


@pytest.mark.parametrize("matrix", read_matrices())
def test_the_steps_of_a_block_are_those_of_bitsandbytes(matrix: str) -> None:
    for block in read_matrices()[matrix].blocks:
        _, steps = block_steps.encode_block(block["weights"], "nf4")
        assert [step.code for step in steps] == block["codes"]
        assert [step.decoded for step in steps] == pytest.approx(block["dequantized"], rel=1e-6, abs=1e-9)


@given(st.floats(min_value=-1, max_value=1), st.sampled_from(sorted(LEVELS)))
@settings(max_examples=30)
def test_no_level_is_nearer_than_the_one_chosen(value: float, scheme: str) -> None:
    levels = LEVELS[scheme]
    chosen = levels[find_nearest(value, levels)]
    assert all(abs(chosen - value) <= abs(level - value) for level in levels)


def test_the_figure_names_each_step_of_one_weight() -> None:
    shown = block_steps.show(block_steps.BlockStepsSettings(weight=4, block="0-q-0"))
    absmax, steps = block_steps.encode_block(block_steps.read_block_weights("0-q-0"), "nf4")
    said = dict(shown.numbers)
    assert said["1 largest magnitude"] == f"{absmax:.4g}"
    assert said["4 code"] == f"{steps[3].code} ({steps[3].code:04b})"
    assert steps[3].level == NF4_LEVELS[steps[3].code]


@pytest.mark.parametrize("size", BLOCK_SIZES)
def test_block_size_shows_the_labs_bits_and_the_measured_error(size: int) -> None:
    matrix = read_matrices()["0-q"]
    found = block_size.compute_numbers("nf4-dq", size, matrix)
    assert found.bits == bits_per_param("nf4-dq", block_size=size)
    assert found.error_percent == 100 * matrix.errors["nf4-dq"][str(size)]


def test_larger_blocks_take_fewer_bits_and_miss_more() -> None:
    for matrix in read_matrices().values():
        every = [block_size.compute_numbers("nf4", size, matrix) for size in BLOCK_SIZES]
        assert [one.bits for one in every] == sorted((one.bits for one in every), reverse=True)
        assert [one.error_percent for one in every] == sorted(one.error_percent for one in every)


def test_double_quantization_adds_up_to_the_labs_saving() -> None:
    found = double_quantization.compute_numbers(
        double_quantization.DoubleQuantizationSettings(model="llama-7b")
    )
    assert found.saved == pytest.approx(double_quantization_saving_bits())
    assert found.saved_bytes == double_quantization_saving_bytes("llama-7b")
    assert found.second == pytest.approx(32 / (64 * 256))


def test_the_arithmetic_unfolds_line_by_line() -> None:
    lines = [
        double_quantization.show(double_quantization.DoubleQuantizationSettings(lines=number)).alt.count(
            " = "
        )
        for number in range(1, 6)
    ]
    assert lines == [1, 2, 3, 4, 5]


def test_the_error_of_a_weight_is_the_same_in_the_sentence_and_below_with_the_minus_of_texts() -> None:
    view = block_steps.show(block_steps.BlockStepsSettings(weight=4))
    error = dict(view.numbers)["6 error"]
    assert view.finding.endswith(f"an error of {error}.")
    assert "-" not in view.finding.replace("4-bit", "")


def test_a_block_is_missed_by_the_error_of_its_format() -> None:
    chosen = four_bit_formats.FormatSettings(format="mxfp4")
    shown = four_bit_formats.show(chosen)
    error = four_bit_formats.error_percent("mxfp4", chosen.block)
    assert f"with a relative error of {error:.1f} %" in shown.finding
    assert shown.table is not None
    assert [row[1] for row in shown.table.rows] == ["4.5", "4.25", "4.5"]
