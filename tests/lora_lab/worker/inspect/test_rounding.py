"""One matrix in one scheme is what the libraries make of it, and what the formulas say."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lora_lab.memory.ledger import BLOCK_SIZES
from lora_lab.microscope.query import SCHEMES
from lora_lab.parameters.quantization_levels import LEVELS
from lora_lab.spec import Bits
from lora_lab.worker.inspect.rounding import (
    compute_absmax,
    quantize_twice,
    round_to,
    round_weight,
    split_into_blocks,
)
from lora_lab.worker.model.quantization import decode_dense_weight
from tests.lora_lab.worker.builders import TINY, linears, plain_peft

FOUR_BIT: tuple[Bits, ...] = ("nf4", "fp4")
TWICE: tuple[Bits, ...] = ("nf4", "nf4-dq")


def matrix(rows: int = 96, columns: int = 576) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("bits", SCHEMES)
def test_a_matrix_is_rounded_as_in_a_model_that_is_loaded_so(bits: Bits, models_dir: Path) -> None:
    plain = linears(plain_peft(TINY, models_dir, bits="fp32"))
    stored = linears(plain_peft(TINY, models_dir, bits=bits))
    for before, after in zip(plain, stored, strict=True):
        found = round_weight(decode_dense_weight(before, torch.float32), bits, 64)
        torch.testing.assert_close(
            found.decoded, decode_dense_weight(after, torch.float32), rtol=1e-6, atol=1e-7
        )


@pytest.mark.parametrize("bits", ["nf4", "fp4"])
@pytest.mark.parametrize("size", [*BLOCK_SIZES[1::2], 4096])
def test_four_bits_are_the_nearest_level_times_the_blocks_largest(bits: Bits, size: int) -> None:
    weight = matrix(7, 100)  # 700 weights: no whole number of blocks of any size
    levels, by_hand = torch.tensor(LEVELS[bits]), []
    for block in weight.flatten().split(size):
        largest = block.abs().max()
        by_hand.append(levels[((block / largest)[:, None] - levels).abs().argmin(1)] * largest)
    found = round_weight(weight, bits, size)
    torch.testing.assert_close(found.decoded.flatten(), torch.cat(by_hand))
    assert found.scaled.shape == (700,)
    assert found.scaled.abs().max() == 1


@pytest.mark.parametrize("bits", ["nf4", "nf4-dq", "fp4"])
def test_a_model_keeps_rows_that_are_no_whole_blocks_as_exactly_as_whole_ones(bits: Bits) -> None:
    """The library's own decoding of such a matrix on a CPU can miss by three times as much."""
    whole, other = (matrix(5, columns) for columns in (128, 96))
    errors = [float((weight - round_to(weight, bits)).norm() / weight.norm()) for weight in (whole, other)]
    assert errors[1] == pytest.approx(errors[0], rel=0.1)


def test_int8_has_a_constant_a_row_and_127_steps_on_each_side() -> None:
    weight = matrix(8, 32).half().float()
    largest = weight.abs().amax(1, keepdim=True)
    by_hand = (weight / largest * 127).round() * largest / 127
    found = round_weight(weight, "int8", 4096)
    torch.testing.assert_close(found.decoded, by_hand)
    assert (found.block, len(found.levels)) == (32, 255)


@pytest.mark.parametrize("bits", ["hqq8", "hqq4", "hqq2"])
def test_hqq_rounds_each_weight_to_the_nearest_code_of_its_block(bits: Bits) -> None:
    weight = matrix(16, 128)
    found = round_weight(weight, bits, 128)
    codes = found.scaled.round().clamp(0, found.levels[-1])
    first, values = codes[:128], found.decoded[0]  # a row is a block
    low, high = int(first.argmin()), int(first.argmax())
    step = (values[high] - values[low]) / (first[high] - first[low])
    torch.testing.assert_close(values, values[low] + (first - first[low]) * step, rtol=1e-4, atol=1e-5)


def test_double_quantization_moves_constants_by_less_than_a_step_and_weights_with_them() -> None:
    weight = matrix(256, 576)
    constants, decoded = quantize_twice(weight, 64)
    assert torch.equal(constants, compute_absmax(split_into_blocks(weight, 64)))
    off = (constants - decoded).norm() / constants.norm()
    assert 0 < off < 0.01
    plain, double = (round_weight(weight, bits, 64).decoded for bits in TWICE)
    ratio = decoded / constants
    expected = plain.flatten().reshape(-1, 64) * ratio[:, None]
    torch.testing.assert_close(double.flatten().reshape(-1, 64), expected, rtol=1e-4, atol=1e-6)


def test_normal_weights_have_the_published_relative_errors() -> None:
    weight = matrix(1024, 512)
    errors = {
        bits: float((weight - round_weight(weight, bits, 64).decoded).norm() / weight.norm())
        for bits in FOUR_BIT
    }
    assert math.isclose(errors["nf4"], 0.092, abs_tol=0.001)  # docs/traps.md 2
    assert math.isclose(errors["fp4"], 0.122, abs_tol=0.001)
