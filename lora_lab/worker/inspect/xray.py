"""X-ray of a finished run's adapter: its updates compared with their weights, or two runs' directions.

The base is loaded in the run's own bits and decoded one matrix at a time, so W is what the run trained on.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lora_lab.data.lab_folder import LabHome
from lora_lab.runs.folder import RunFolder
from lora_lab.worker.device.machine import find_machine
from lora_lab.worker.inspect.json_lines import ProgressCallback
from lora_lab.worker.inspect.lora_update import Adapter, Update, read_adapter
from lora_lab.worker.inspect.subspaces import (
    compute_bases,
    compute_dora_change,
    compute_overlap,
    compute_spectrum,
    count_nonzero,
    decompose_update,
    project_through_weight,
    sample_directions,
)
from lora_lab.worker.model.load import load_model
from lora_lab.worker.model.quantization import decode_dense_weight
from lora_lab.xray.result import SIDES, count_directions, list_stops, stable_rank
from study.base.errors import LearnerError

SEED = 0
"""Seed of the random baselines, so repeating an X-ray gives the same numbers."""

DIGITS = 6
"""Decimal digits of an overlap."""


@torch.no_grad()
def inspect_runs(
    order: Mapping[str, Any], models_dir: Path, home: LabHome, report: ProgressCallback
) -> dict[str, Any]:
    """Inspect one run with {"run"}, or compare two with {"run", "beside"}; both are folders.

    Raises LearnerError on an adapter that is missing, damaged, of another kind, or does not fit its base.
    """
    run = RunFolder(Path(order["run"]))
    if "beside" in order:
        return _inspect_pair(run, RunFolder(Path(order["beside"])), report)
    return _inspect_one(run, models_dir, home, report)


def _inspect_one(run: RunFolder, models_dir: Path, home: LabHome, report: ProgressCallback) -> dict[str, Any]:
    report("Reading the adapter")
    adapter = _read_adapter(run)
    spec = run.spec
    machine = find_machine(spec.compute_dtype, home)
    base = load_model(
        spec.model,
        spec.bits,
        compute_dtype=machine.compute_dtype,
        device=machine.device,
        models_dir=models_dir,
        report=lambda progress: report(progress.step),
    )
    rng = torch.Generator().manual_seed(SEED)
    place = {name: number for number, (name, _) in enumerate(base.named_modules())}
    modules = []
    for done, update in enumerate(sorted(adapter.updates, key=lambda update: place.get(update.name, -1))):
        report(f"Looking into {update.name}", done=done, total=len(adapter.updates))
        try:
            layer = base.get_submodule(update.name)
        except AttributeError as error:
            raise LearnerError(
                f"The base model has no {update.name}, which the adapter changes.",
                do_next="Start the run again.",
            ) from error
        modules.append(_inspect_module(update, decode_dense_weight(layer, torch.float32).cpu(), rng))
    return {"method": adapter.method, "beside": list(adapter.beside), "modules": modules}


def _inspect_module(update: Update, weight: Tensor, rng: torch.Generator) -> dict[str, Any]:
    """Inspect one update and its weight (d_out, d_in)."""
    d_out, d_in = weight.shape
    narrow = update.narrow(d_out, d_in)
    found = decompose_update(narrow)
    count = count_nonzero(found.values, max(d_out, d_in))
    seen = None
    if count:
        outputs, inputs = sample_directions(d_out, count, rng), sample_directions(d_in, count, rng)
        seen = {
            "directions": count,
            "update": project_through_weight(weight, found.outputs[:, :count], found.inputs[:, :count]),
            "own": float(compute_spectrum(weight)[:count].norm()),
            "random": project_through_weight(weight, outputs, inputs),
        }
    values = found.values.tolist() if count else [0.0] * len(found.values)
    return {
        "name": update.name,
        "d_out": d_out,
        "d_in": d_in,
        "rank": update.rank,
        "values": values,
        "weight_norm": float(weight.norm()),
        "seen": seen,
        "whole": _inspect_whole(narrow, weight) if update.magnitude is not None else None,
    }


def _inspect_whole(update: Update, weight: Tensor) -> dict[str, Any]:
    change = compute_dora_change(update, weight)
    values = compute_spectrum(change).tolist()
    return {
        "norm": float(change.norm()),
        "used": count_directions(values),
        "stable_rank": stable_rank(values),
    }


def _inspect_pair(run: RunFolder, beside: RunFolder, report: ProgressCallback) -> dict[str, Any]:
    """Compare two runs. Only the adapters are read, not the weights."""
    if run.spec.model != beside.spec.model:
        raise LearnerError(
            "The two runs adapt different models, whose directions can't be compared.",
            do_next="Choose a second run of the same model.",
        )
    report("Reading the adapters")
    first, second = (_read_lora(each) for each in (run, beside))
    ones, others = ({update.name: update for update in each.updates} for each in (first, second))
    shared = [name for name in ones if name in others]
    if not shared:
        raise LearnerError(
            "The two runs adapt no matrix in common.", do_next="Choose a second run with the same targets."
        )
    firsts, seconds = (list_stops(max(each[name].rank for name in shared)) for each in (ones, others))
    modules = []
    for done, name in enumerate(shared):
        report(f"Comparing {name}", done=done, total=len(shared))
        one, other = compute_bases(ones[name]), compute_bases(others[name])
        d_out, d_in = len(ones[name].left), ones[name].right.shape[1]
        phis = {side: _round_rows(compute_overlap(one[side], other[side], firsts, seconds)) for side in SIDES}
        shape: dict[str, Any] = {"name": name, "d_out": d_out, "d_in": d_in}
        modules.append(shape | {str(side): phi for side, phi in phis.items()})
    sizes = sorted({size for module in modules for size in (module["d_out"], module["d_in"])})
    return {
        "firsts": firsts,
        "seconds": seconds,
        "modules": modules,
        "random": {str(size): _compute_random_overlap(size, firsts, seconds) for size in sizes},
        "only_one": sorted(set(ones) ^ set(others)),
    }


def _compute_random_overlap(
    size: int, firsts: Sequence[int], seconds: Sequence[int]
) -> list[list[float | None]]:
    """Compute the overlap of two independent random subspaces of `size` dimensions."""
    rng = torch.Generator().manual_seed(SEED)
    one, other = (sample_directions(size, most, rng) for most in (firsts[-1], seconds[-1]))
    return _round_rows(compute_overlap(one, other, firsts, seconds))


def _read_adapter(run: RunFolder) -> Adapter:
    if not run.has_adapter:
        raise LearnerError("This run has saved no adapter.", do_next="Choose a run that has trained.")
    return read_adapter(run.adapter_path)


def _read_lora(run: RunFolder) -> Adapter:
    adapter = _read_adapter(run)
    if adapter.method == "VERA":
        raise LearnerError(
            "VeRA's A and B are drawn once and never trained: their overlap is set by a seed, not learnt.",
            do_next="Choose two runs of LoRA, rsLoRA or DoRA.",
        )
    return adapter


def _round_rows(rows: list[list[float | None]]) -> list[list[float | None]]:
    return [[None if value is None else round(value, DIGITS) for value in row] for row in rows]
