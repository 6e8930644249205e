"""4-bit formats that GPUs multiply in, as codecs of one block of weights: MXFP4 and NVFP4, with NF4 beside.

    format  levels               weights per scale  scale                              bits per weight
    NF4     16 normal quantiles  64                 fp32, the largest magnitude        4 + 32/64
    MXFP4   15 of E2M1           32                 E8M0, a power of two               4 + 8/32
    NVFP4   15 of E2M1           16                 E4M3, and one fp32 per tensor      4 + 8/16

MXFP4: OCP Microscaling Formats v1.0, sections 5 and 6.3. NVFP4: arXiv:2509.25149 section 2 and appendix B.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lora_lab.parameters.quantization_levels import NF4_LEVELS, find_nearest

E2M1_SIZES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
E2M1_LEVELS = tuple(sorted({-size for size in E2M1_SIZES} | set(E2M1_SIZES)))
"""Every number with 1 sign bit, 2 exponent bits and 1 mantissa bit. Zero has two codes."""

E2M1_LARGEST = E2M1_SIZES[-1]
E2M1_LARGEST_EXPONENT = 2  # 6 is 1.5 x 2^2

E4M3_LEVELS = tuple(
    sorted(
        {mantissa / 8 * 2.0**-6 for mantissa in range(8)}
        | {
            (1 + mantissa / 8) * 2.0 ** (exponent - 7)
            for exponent in range(1, 16)
            for mantissa in range(8)
            if (exponent, mantissa) != (15, 7)  # this pattern means NaN
        }
    )
)
"""The numbers of E4M3 from 0 to 448 (arXiv:2209.05433 table 1)."""

E4M3_LARGEST = E4M3_LEVELS[-1]


@dataclass(frozen=True, kw_only=True)
class BlockFormat:
    """One way to store a block in 4 bits per weight and a scale."""

    name: str
    block_size: int
    """Weights that share a scale."""

    scale_bits: int
    decode: Callable[[Sequence[float]], list[float]]
    """Round every weight of a tensor to what the format can store."""

    @property
    def bits(self) -> float:
        """Stored bits per weight. NVFP4's one fp32 number per tensor is too little to count."""
        return 4 + self.scale_bits / self.block_size


def _split_blocks(weights: Sequence[float], size: int) -> list[Sequence[float]]:
    return [weights[start : start + size] for start in range(0, len(weights), size)]


def _round_to_levels(weights: Sequence[float], scale: float, levels: Sequence[float]) -> list[float]:
    if scale == 0:
        return [0.0] * len(weights)
    return [levels[find_nearest(weight / scale, levels)] * scale for weight in weights]


def _round_nf4(weights: Sequence[float]) -> list[float]:
    return [
        decoded
        for block in _split_blocks(weights, 64)
        for decoded in _round_to_levels(block, max(map(abs, block)), NF4_LEVELS)
    ]


def _round_mxfp4(weights: Sequence[float]) -> list[float]:
    """Round with a scale per block, a power of two; what then exceeds 6 is stored as 6."""
    decoded: list[float] = []
    for block in _split_blocks(weights, 32):
        largest = max(map(abs, block))
        scale = 2.0 ** (math.floor(math.log2(largest)) - E2M1_LARGEST_EXPONENT) if largest else 0.0
        decoded += _round_to_levels(block, scale, E2M1_LEVELS)
    return decoded


def _round_nvfp4(weights: Sequence[float]) -> list[float]:
    """Scale the tensor so that the largest block scale is E4M3's largest number, then round block scales."""
    tensor_scale = max(map(abs, weights)) / (E2M1_LARGEST * E4M3_LARGEST)
    decoded: list[float] = []
    for block in _split_blocks(weights, 16):
        wanted = max(map(abs, block)) / E2M1_LARGEST / tensor_scale if tensor_scale else 0.0
        scale = E4M3_LEVELS[find_nearest(wanted, E4M3_LEVELS)] * tensor_scale
        decoded += _round_to_levels(block, scale, E2M1_LEVELS)
    return decoded


FORMATS: dict[str, BlockFormat] = {
    "nf4": BlockFormat(name="NF4", block_size=64, scale_bits=32, decode=_round_nf4),
    "mxfp4": BlockFormat(name="MXFP4", block_size=32, scale_bits=8, decode=_round_mxfp4),
    "nvfp4": BlockFormat(name="NVFP4", block_size=16, scale_bits=8, decode=_round_nvfp4),
}


def compute_weight_error(weights: Sequence[float], decoded: Sequence[float]) -> float:
    """Compute ||W - decoded|| / ||W||; 0 when all weights are 0."""
    missed = sum((w - d) ** 2 for w, d in zip(weights, decoded, strict=True))
    whole = sum(w * w for w in weights)
    return math.sqrt(missed / whole) if whole else 0.0
