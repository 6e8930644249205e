"""The quantization microscope: one matrix of a model in two schemes, from single weights to held-out loss.

An order: `{"model", "layer", "matrix", "first": {"bits", "block"}, "second": {...}, "data"}`. The cheap parts
come first; the last ones run the model over the held-out examples five times (microscope_losses.py).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lora_lab.data.datasets import build_own_dataset
from lora_lab.data.lab_folder import LabHome
from lora_lab.memory.ledger import BLOCK_SIZE, BLOCK_SIZES
from lora_lab.microscope.query import MAP_CELLS, OUTLIER_STDS, SCHEMES, SIDES, Side, can_hold, has_blocks
from lora_lab.spec import HQQ_BITS, SEQ_LEN_LIMITS, Bits
from lora_lab.worker.device.machine import find_machine
from lora_lab.worker.inspect.json_lines import ProgressCallback
from lora_lab.worker.inspect.microscope_losses import Losses
from lora_lab.worker.inspect.rounding import Rounded, quantize_twice, round_weight
from lora_lab.worker.model.quantization import copy_weight, list_linears
from lora_lab.worker.training.loaded_model import LoadedModel, open_model
from lora_lab.worker.training.loop import EVALUATION_BATCH, answer_loss
from lora_lab.worker.training.packing import Encoded, cut_to, encode_example, pack_examples
from lora_lab.worker.training.work import describe_setup
from study.base.errors import LearnerError

BINS = 96
LARGEST = 8
COLUMNS = 5
SEARCHED_WEIGHTS = 2**17
"""HQQ searches its zero points, 40 times in the table of errors: on this many weights that takes seconds."""


@torch.no_grad()
def inspect_matrix(
    order: Mapping[str, Any], models_dir: Path, home: LabHome, report: ProgressCallback
) -> dict[str, Any]:
    """Inspect one matrix as described above. Raises LearnerError on an unknown model, layer or matrix."""
    loaded = _open_model(order["model"], models_dir, report)
    name, layer = _find_layer(loaded, int(order["layer"]), order["matrix"])
    weight = copy_weight(layer)
    schemes = {side: order[side] for side in SIDES}
    report(
        "Rounding the matrix",
        found={"where": describe_setup(loaded.machine), "matrix": _describe_matrix(name, weight)},
    )
    sides = {side: round_weight(weight, each["bits"], each["block"]) for side, each in schemes.items()}
    report(
        "Rounding in other block sizes",
        found={side: _describe_side(weight, one) for side, one in sides.items()},
    )
    found = {
        "outliers": _find_outliers(weight, sides),
        "double": _measure_double(weight, _choose_nf4_block(schemes)),
    }
    errors = dict(_measure_errors(weight, [bits for bits in SCHEMES if bits not in HQQ_BITS]))
    report("Running the layer", found=found | {"sweep": {"errors": errors, "rows": {}}})
    examples = _encode_held_out(loaded)
    report(
        "Searching HQQ's zero points",
        found={"output": _measure_output(loaded, layer, weight, sides, examples)},
    )
    sampled = _take_sample(weight)
    errors |= dict(_measure_errors(sampled, list(HQQ_BITS)))
    rows = dict.fromkeys(HQQ_BITS, len(sampled))
    report("Measuring the held-out loss", found={"sweep": {"errors": errors, "rows": rows}})
    decoded = {side: one.decoded for side, one in sides.items()}
    try:
        Losses(loaded, examples, report, models_dir).measure(layer, weight, decoded, schemes)
    except BaseException:
        _kept.clear()  # some weights may still be rounded
        raise
    return {}


_kept: dict[tuple[str, Path], LoadedModel] = {}
"""A cache of the last model: its original weights are always restored."""


def _open_model(model: str, models_dir: Path, report: ProgressCallback) -> LoadedModel:
    """Load the model in fp32."""
    if (model, models_dir) not in _kept:
        _kept.clear()  # freed before the next one is loaded

        report("Loading the model")
        _kept[model, models_dir] = open_model(
            model,
            "fp32",
            find_machine("fp32"),
            models_dir=models_dir,
            report=lambda progress: report(progress.step),
        )
    return _kept[model, models_dir]


def _find_layer(loaded: LoadedModel, number: int, matrix: str) -> tuple[str, nn.Module]:
    """Find the linear layer named `matrix` in layer `number`, with its whole name."""
    linears = dict(list_linears(loaded.base))
    inside = {name.partition(f".{number}.")[2]: name for name in linears if f".{number}." in name}
    if matrix not in inside:
        has = f"Layer {number} has {', '.join(inside)}." if inside else "Choose a lower layer."
        raise LearnerError(f"{loaded.model_name} has no {matrix} in layer {number}.", do_next=has)
    return inside[matrix], linears[inside[matrix]]


def _describe_matrix(name: str, weight: Tensor) -> dict[str, Any]:
    return {
        "name": name,
        "d_out": weight.shape[0],
        "d_in": weight.shape[1],
        "std": _round_short(weight.double().std()),
        "largest": _round_short(weight.abs().max()),
    }


def _describe_side(weight: Tensor, one: Rounded) -> dict[str, Any]:
    """Describe one scheme alone: levels, histogram, error, error map."""
    low, high = one.levels[0], one.levels[-1]
    beyond = (high - low) * 0.05
    counts = torch.histc(one.scaled.clamp(low - beyond, high + beyond), BINS, low - beyond, high + beyond)
    missed = (weight - one.decoded).abs()
    return {
        "block": one.block,
        "levels": list(one.levels),
        "histogram": {"low": low - beyond, "high": high + beyond, "counts": [int(n) for n in counts]},
        "error": compute_relative_error(weight, one.decoded),
        "largest_miss_stds": _round_short(missed.max() / weight.std()),
        "map": [[_round_short(cell) for cell in row] for row in compute_error_map(missed / weight.std())],
    }


def compute_relative_error(weight: Tensor, decoded: Tensor) -> float:
    """Compute ||W - decoded|| / ||W||."""
    true = weight.double()
    return _round_short((true - decoded.double()).norm() / true.norm())


def compute_error_map(missed: Tensor) -> Tensor:
    """Compute means over cells of equal size, at most 48 along each side; the last cells may be smaller."""
    sizes = [-(-length // MAP_CELLS) for length in missed.shape]
    for axis, size in enumerate(sizes):
        missed = torch.stack([piece.mean(axis) for piece in missed.split(size, axis)], axis)
    return missed


def _find_outliers(weight: Tensor, sides: Mapping[Side, Rounded]) -> dict[str, Any]:
    """Find the outlier weights, their positions, and their blocks' share of the error."""
    stds = weight.abs() / weight.std()
    far = stds > OUTLIER_STDS
    largest = stds.flatten().topk(min(LARGEST, stds.numel())).indices.tolist()
    d_in = weight.shape[1]
    columns = far.sum(0).topk(min(COLUMNS, d_in))
    return {
        "count": int(far.sum()),
        "largest": [
            {
                "row": at // d_in,
                "column": at % d_in,
                "value": _round_short(weight.flatten()[at]),
                "stds": _round_short(stds.flatten()[at]),
            }
            for at in largest
        ],
        "columns": [
            {"column": column, "count": count}
            for count, column in zip(columns.values.tolist(), columns.indices.tolist(), strict=True)
            if count
        ],
        "with_any": int((far.sum(0) > 0).sum()),
    } | {side: _count_blocks_with(far, weight - one.decoded, one.block) for side, one in sides.items()}


def _count_blocks_with(far: Tensor, missed: Tensor, block: int) -> dict[str, Any]:
    """Count the blocks that hold an outlier, and compute their share of the squared error."""
    numbers = torch.arange(far.numel()) // block
    blocks = int(numbers[-1]) + 1
    hit = torch.zeros(blocks).index_add_(0, numbers, far.flatten().float()) > 0
    squared = torch.zeros(blocks, dtype=torch.float64)
    squared.index_add_(0, numbers, missed.double().square().flatten())
    return {
        "blocks": blocks,
        "with_outliers": int(hit.sum()),
        "error_share": _round_short(squared[hit].sum() / squared.sum().clamp_min(1e-300)),
    }


def _choose_nf4_block(schemes: Mapping[Side, Mapping[str, Any]]) -> int:
    """Choose the block size at which double quantization is shown: a chosen one, or the default."""
    chosen = [each["block"] for each in schemes.values() if each["bits"].startswith(("nf4", "fp4"))]
    return int(chosen[0]) if chosen else BLOCK_SIZE


def _measure_double(weight: Tensor, block: int) -> dict[str, Any]:
    """Measure what double quantization changes in NF4: the constants, and through them the weights."""
    constants, decoded = quantize_twice(weight, block)
    plain, double = round_weight(weight, "nf4", block).decoded, round_weight(weight, "nf4-dq", block).decoded
    off = (constants - decoded).abs()
    return {
        "block": block,
        "constants": constants.numel(),
        "mean_constant": _round_short(constants.mean()),
        "constants_error": compute_relative_error(constants, decoded),
        "largest_share_off": _round_short((off / constants.clamp_min(1e-12)).max()),
        "error_plain": compute_relative_error(weight, plain),
        "error_double": compute_relative_error(weight, double),
        "weights_moved": _round_short((plain - double).double().norm() / weight.double().norm()),
    }


def _measure_errors(weight: Tensor, schemes: Sequence[Bits]) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield errors by scheme and block size, without the sizes that a scheme doesn't support."""
    for bits in schemes:
        sizes = BLOCK_SIZES if has_blocks(bits) else (weight.shape[1],)
        yield (
            bits,
            {
                str(size): compute_relative_error(weight, round_weight(weight, bits, size).decoded)
                for size in sizes
                if can_hold(bits, size, weight.numel())
            },
        )


def _take_sample(weight: Tensor) -> Tensor:
    """Return the first rows, as many as make whole blocks of any size where the matrix allows it."""
    most = max(1, SEARCHED_WEIGHTS // weight.shape[1])
    if weight.shape[0] <= most:
        return weight
    whole = [rows for rows in range(most, 0, -1) if rows * weight.shape[1] % BLOCK_SIZES[-1] == 0]
    return weight[: (whole or [most])[0]]


def _encode_held_out(loaded: LoadedModel) -> list[Encoded]:
    examples = [encode_example(loaded.tokenizer, example) for example in build_own_dataset().held_out]
    return cut_to(examples, SEQ_LEN_LIMITS[1])


def _measure_output(
    loaded: LoadedModel,
    layer: nn.Module,
    weight: Tensor,
    sides: Mapping[Side, Rounded],
    examples: Sequence[Encoded],
) -> dict[str, Any]:
    """Measure how far x·Wᵀ moves on real inputs: hidden states of the first held-out examples."""
    some = examples[:EVALUATION_BATCH]
    x = _record_inputs(loaded, layer, some)  # (tokens, d_in)
    expected = x @ weight.t()  # (tokens, d_out)
    return {"tokens": len(x), "examples": len(some)} | {
        side: compute_relative_error(expected, x @ one.decoded.t()) for side, one in sides.items()
    }


def _record_inputs(loaded: LoadedModel, layer: nn.Module, examples: Sequence[Encoded]) -> Tensor:
    seen: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0].detach().float().cpu().flatten(0, -2))

    hook = layer.register_forward_pre_hook(keep)
    try:
        loaded.base.eval()
        answer_loss(loaded.base, pack_examples(examples, loaded.machine.device), nullcontext())
    finally:
        hook.remove()
    return torch.cat(seen)


def _round_short(value: Tensor) -> float:
    return float(f"{float(value):.5g}")
