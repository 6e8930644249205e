"""One weight matrix in one scheme: what it is rounded to, and on which scale its levels are evenly named.

The libraries' own functions do the rounding, so that the numbers are those of a loaded model
(tests/lora_lab/worker/inspect/test_rounding.py compares them), with any number of weights a block.
"""

from dataclasses import dataclass

import bitsandbytes.functional as bnb
import torch
from hqq.core.quantize import Quantizer
from torch import Tensor

from lora_lab.memory.ledger import NESTED_BLOCK_SIZE
from lora_lab.parameters.quantization_levels import LEVELS, even_levels
from lora_lab.spec import HQQ_BITS, Bits
from lora_lab.worker.model.hqq_layers import CONSTANTS_DTYPE, config_of

INT8_STEPS = 127
SMALLEST = 1e-12  # a block of zeros has no largest weight to divide by


@dataclass(frozen=True, kw_only=True)
class Rounded:
    """A matrix (d_out, d_in) as a scheme keeps it."""

    decoded: Tensor  # (d_out, d_in)
    scaled: Tensor  # (d_out * d_in,) each weight on the scale of its block, on which the levels stand
    levels: tuple[float, ...]
    block: int
    """Weights that share constants."""


def rounded(weight: Tensor, bits: Bits, block: int) -> Rounded:
    """`weight` in fp32 on the CPU; int8 takes a row as its block, whatever `block` says."""
    if bits == "int8":
        return _int8(weight)
    if bits in HQQ_BITS:
        return _hqq(weight, bits, block)
    blocks = in_blocks(weight, block)
    scaled = blocks / absmax_of(blocks)[:, None].clamp_min(SMALLEST)
    kind = bits.removesuffix("-dq")
    # A block a row: on a CPU, bitsandbytes 0.50.2 decodes a matrix wrongly whose rows are no whole blocks.
    codes, state = bnb.quantize_4bit(
        blocks, blocksize=block, quant_type=kind, compress_statistics=bits.endswith("-dq")
    )
    return Rounded(
        decoded=as_matrix(bnb.dequantize_4bit(codes, state), weight),
        scaled=scaled.flatten()[: weight.numel()],
        levels=LEVELS[kind],
        block=block,
    )


def _int8(weight: Tensor) -> Rounded:
    """As bitsandbytes' Int8Params does it: fp16 first, then 127ths of the row's largest."""
    codes, largest, _ = bnb.int8_vectorwise_quant(weight.half())
    scales = largest[:, None] / INT8_STEPS
    return Rounded(
        decoded=codes.float() * scales,
        scaled=(weight / largest[:, None].clamp_min(SMALLEST)).flatten(),
        levels=even_levels(INT8_STEPS),
        block=weight.shape[1],
    )


def _hqq(weight: Tensor, bits: Bits, block: int) -> Rounded:
    """Codes 0 to 2^bits - 1 beside the library's scale and zero point; what lies beyond is cut off."""
    options = config_of(bits, block)["weight_quant_params"]
    codes, meta = Quantizer.quantize(
        weight, device="cpu", compute_dtype=CONSTANTS_DTYPE, bitpack=False, **options
    )
    scale, zero = meta["scale"], meta["zero"]  # (blocks, 1)
    return Rounded(
        decoded=((codes.to(CONSTANTS_DTYPE) - zero) * scale).reshape(weight.shape),
        scaled=(in_blocks(weight, block) / scale + zero).flatten(),
        levels=tuple(float(code) for code in range(2 ** HQQ_BITS[bits])),
        block=block,
    )


def in_blocks(weight: Tensor, block: int) -> Tensor:
    """(blocks, block), row after row of the matrix; the last block is filled up with zeros."""
    flat = weight.flatten()
    return torch.nn.functional.pad(flat, (0, -len(flat) % block)).reshape(-1, block)


def absmax_of(blocks: Tensor) -> Tensor:
    """(blocks,) the constants: each block's largest magnitude."""
    return blocks.abs().amax(dim=1)


def as_matrix(blocks: Tensor, like: Tensor) -> Tensor:
    """The inverse of `in_blocks`."""
    return blocks.flatten()[: like.numel()].reshape(like.shape)


@dataclass(frozen=True, kw_only=True)
class DoubleQuantized:
    """Block constants in 32 bits, and what is left of them after their own quantization."""

    constants: Tensor  # (blocks,)
    decoded: Tensor  # (blocks,)


def double_quantized(weight: Tensor, block: int) -> DoubleQuantized:
    """The library's computation: their mean off, then 8-bit codes of blocks of 256 with fp32 constants."""
    blocks = in_blocks(weight, block)
    _, state = bnb.quantize_4bit(blocks, blocksize=block, quant_type="nf4", compress_statistics=True)
    assert state.state2.blocksize == NESTED_BLOCK_SIZE
    decoded = bnb.dequantize_blockwise(state.absmax, state.state2) + state.offset
    return DoubleQuantized(constants=absmax_of(blocks), decoded=decoded.flatten())
