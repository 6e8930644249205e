"""The embedded model's real weights for the figures: spectra, histograms, rounding errors, single blocks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import bitsandbytes.functional as bnb
import torch
from torch import Tensor

from lora_lab.memory.ledger import BLOCK_SIZE, BLOCK_SIZES
from lora_lab.spec import EMBEDDED_MODEL, Bits
from lora_lab.worker.device.machine import Machine
from lora_lab.worker.inspect import rounding
from lora_lab.worker.model.load import load_model

LAYERS = (0, 14, 29)
ROLES = {"q": "self_attn.q_proj", "v": "self_attn.v_proj", "up": "mlp.up_proj", "down": "mlp.down_proj"}
BLOCKS = 4  # per matrix
BINS = 80
UNIFORM_STEPS = {"int4": 7, "int8": 127}
"""Levels on each side of zero, evenly spaced."""


def record_weights(models_dir: Path, machine: Machine) -> dict[str, Any]:
    """Measure everything that the figures show of weights."""
    model = load_model(
        EMBEDDED_MODEL, "fp32", compute_dtype=torch.float32, device=machine.device, models_dir=models_dir,
    )  # fmt: skip
    named = dict(model.named_parameters())
    return {
        "model": EMBEDDED_MODEL,
        "matrices": [
            _record_matrix(named[f"model.layers.{layer}.{path}.weight"].detach(), layer, role)
            for layer in LAYERS
            for role, path in ROLES.items()
        ],
    }


def _record_matrix(weight: Tensor, layer: int, role: str) -> dict[str, Any]:
    scaled = rounding.round_weight(weight, "nf4", BLOCK_SIZE).scaled
    counts = torch.histc(scaled, bins=BINS, min=-1, max=1)
    return {
        "layer": layer,
        "role": role,
        "d_out": weight.shape[0],
        "d_in": weight.shape[1],
        "singular_values": _round_short(torch.linalg.svdvals(weight)),
        "histogram": {"bins": BINS, "block_size": BLOCK_SIZE, "counts": [int(n) for n in counts.tolist()]},
        "errors": {
            scheme: {str(size): _measure_error(weight, scheme, size) for size in BLOCK_SIZES}
            for scheme in ("nf4", "nf4-dq", "fp4", "int4", "int8")
        },
        "blocks": list(_pick_blocks(weight)),
    }


def _measure_error(weight: Tensor, scheme: str, block_size: int) -> float:
    """Compute ||W - decoded|| / ||W||."""
    decoded = round_weight(weight, scheme, block_size)
    return float(f"{((weight - decoded).norm() / weight.norm()).item():.5g}")


def round_weight(weight: Tensor, scheme: str, block_size: int) -> Tensor:
    """Encode and decode: 4 bits by bitsandbytes; evenly spaced levels, which it doesn't have, by rounding."""
    steps = UNIFORM_STEPS.get(scheme)
    if steps is None:
        return rounding.round_weight(weight, cast(Bits, scheme), block_size).decoded
    blocks = weight.reshape(-1, block_size)
    absmax = blocks.abs().amax(dim=1, keepdim=True).clamp_min(1e-12)
    return ((blocks / absmax * steps).round() / steps * absmax).reshape(weight.shape)


def _pick_blocks(weight: Tensor) -> Iterator[dict[str, Any]]:
    """Yield the first block, the one with the largest weight, and others; with bitsandbytes' codes."""
    blocks = weight.reshape(-1, BLOCK_SIZE)
    picked = dict.fromkeys(
        [0, int(blocks.abs().amax(dim=1).argmax()), len(blocks) // 3, 2 * len(blocks) // 3]
    )
    for number in list(picked)[:BLOCKS]:
        block = blocks[number].clone()
        codes, state = bnb.quantize_4bit(block[None], blocksize=BLOCK_SIZE, quant_type="nf4")
        yield {
            "number": number,
            "weights": [float(f"{value:.9g}") for value in block.tolist()],
            "codes": [code for packed in codes.flatten().tolist() for code in (packed >> 4, packed & 15)],
            "dequantized": [
                float(f"{value:.9g}") for value in bnb.dequantize_4bit(codes, state).flatten().tolist()
            ],
        }


def _round_short(values: Tensor) -> list[float]:
    return [float(f"{value:.4g}") for value in values.tolist()]
