"""One weight matrix in one scheme: its rounded values, and the scale on which its levels are evenly defined.

The libraries' own functions do the rounding, so the numbers are those of a loaded model
(tests/lora_lab/worker/inspect/test_rounding.py compares them), with any number of weights per block.
"""

from dataclasses import dataclass

import bitsandbytes.functional as bnb
import torch
from hqq.core.quantize import Quantizer
from torch import Tensor

from lora_lab.memory.ledger import BLOCK_SIZE, NESTED_BLOCK_SIZE
from lora_lab.parameters.quantization_levels import LEVELS, build_even_levels
from lora_lab.spec import HQQ_BITS, Bits
from lora_lab.worker.model.hqq_layers import CONSTANTS_DTYPE, build_config
from lora_lab.worker.model.load import STORED_DTYPE

INT8_STEPS = 127
SMALLEST = 1e-12  # avoids division by zero in a block of zeros


@dataclass(frozen=True, kw_only=True)
class Rounded:
    """A matrix (d_out, d_in) as a scheme stores it."""

    decoded: Tensor  # (d_out, d_in)
    scaled: Tensor  # (d_out * d_in,) each weight on the scale of its block, the scale of the levels
    levels: tuple[float, ...]
    block: int
    """Weights that share constants."""


def round_weight(weight: Tensor, bits: Bits, block: int) -> Rounded:
    """Round `weight`, fp32 on the CPU; int8 uses a row as its block, whatever `block` is."""
    if bits == "int8":
        return _round_int8(weight)
    if bits in HQQ_BITS:
        return _round_hqq(weight, bits, block)
    blocks = split_into_blocks(weight, block)
    scaled = blocks / compute_absmax(blocks)[:, None].clamp_min(SMALLEST)
    kind = bits.removesuffix("-dq")
    # One block per row: on a CPU, bitsandbytes 0.50.2 misdecodes a matrix whose rows aren't whole blocks.
    codes, state = bnb.quantize_4bit(
        blocks, blocksize=block, quant_type=kind, compress_statistics=bits.endswith("-dq")
    )
    return Rounded(
        decoded=bnb.dequantize_4bit(codes, state).flatten()[: weight.numel()].reshape(weight.shape),
        scaled=scaled.flatten()[: weight.numel()],
        levels=LEVELS[kind],
        block=block,
    )


def round_to(weight: Tensor, bits: Bits) -> Tensor:
    """Return the numbers that a model in `bits` would keep of `weight`, fp32 on the CPU."""
    if bits in STORED_DTYPE:
        return weight.to(STORED_DTYPE[bits]).float()
    return round_weight(weight, bits, BLOCK_SIZE).decoded


def _round_int8(weight: Tensor) -> Rounded:
    """Round as bitsandbytes' Int8Params does: fp16 first, then 127ths of the row's largest magnitude."""
    codes, largest, _ = bnb.int8_vectorwise_quant(weight.half())
    scales = largest[:, None] / INT8_STEPS
    return Rounded(
        decoded=codes.float() * scales,
        scaled=(weight / largest[:, None].clamp_min(SMALLEST)).flatten(),
        levels=build_even_levels(INT8_STEPS),
        block=weight.shape[1],
    )


def _round_hqq(weight: Tensor, bits: Bits, block: int) -> Rounded:
    """Round to codes 0 to 2^bits - 1 with the library's scale and zero point; values beyond are clipped."""
    options = build_config(bits, block)["weight_quant_params"]
    codes, meta = Quantizer.quantize(
        weight, device="cpu", compute_dtype=CONSTANTS_DTYPE, bitpack=False, **options
    )
    scale, zero = meta["scale"], meta["zero"]  # (blocks, 1)
    return Rounded(
        decoded=((codes.to(CONSTANTS_DTYPE) - zero) * scale).reshape(weight.shape),
        scaled=(split_into_blocks(weight, block) / scale + zero).flatten(),
        levels=tuple(float(code) for code in range(2 ** HQQ_BITS[bits])),
        block=block,
    )


def split_into_blocks(weight: Tensor, block: int) -> Tensor:
    """Split a matrix row by row into (blocks, block); the last block is padded with zeros."""
    flat = weight.flatten()
    return torch.nn.functional.pad(flat, (0, -len(flat) % block)).reshape(-1, block)


def compute_absmax(blocks: Tensor) -> Tensor:
    """Compute the constants (blocks,): each block's largest magnitude."""
    return blocks.abs().amax(dim=1)


def quantize_twice(weight: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Return block constants (blocks,) in 32 bits, and their values (blocks,) after their own quantization.

    As in the library: minus their mean, 8-bit codes, an fp32 constant per 256.
    """
    blocks = split_into_blocks(weight, block)
    _, state = bnb.quantize_4bit(blocks, blocksize=block, quant_type="nf4", compress_statistics=True)
    assert state.state2.blocksize == NESTED_BLOCK_SIZE
    decoded = bnb.dequantize_blockwise(state.absmax, state.state2) + state.offset
    return compute_absmax(blocks), decoded.flatten()
