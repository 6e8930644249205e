"""Measure the peak of many settings on a CPU, operator by operator, and keep them for the app's table.

    python -m benchmarks.memory_cells      # all, a quarter of an hour; writes lora_lab/runs/memory_cells.json
    python -m benchmarks.memory_cells --model tiny-random --out /tmp/cells.json

Every bit width is measured in both compute types; ranks, targets, sizes, optimizers, variants and
checkpointing are distributed over them, each value equally often.
"""

import gc
import itertools
import json
import os
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from lora_lab.data.batches import RowSize, compute_row_sizes
from lora_lab.data.datasets import build_own_dataset
from lora_lab.memory.ledger import find_heaviest_row
from lora_lab.parameters.shapes import ModelShape, find_shape
from lora_lab.runs.measured_cells import CELLS_FILE, Cells, MeasuredCell
from lora_lab.spec import (
    BITS,
    EMBEDDED_MODEL,
    OPTIMIZERS,
    TARGET_SETS,
    TINY_MODEL,
    VARIANTS,
    Compute,
    RunSpec,
)
from lora_lab.worker.device.machine import Machine
from lora_lab.worker.device.number_type import DTYPES
from lora_lab.worker.model.load import build_tiny_tokenizer, silence_libraries
from lora_lab.worker.model.read_shape import read_config_shape
from lora_lab.worker.training.group import attach_alone
from lora_lab.worker.training.loaded_model import open_model
from lora_lab.worker.training.loop import StepResult
from lora_lab.worker.training.packing import Encoded, cut_to, encode_example, list_lengths
from lora_lab.worker.training.work import list_versions
from study.base.command_line import build_module_parser
from study.base.settings import load_settings
from study.base.units import as_bytes
from tests.lora_lab.worker.alone import train_alone

GROUPED_MODEL = "tiny-grouped"
GROUPED = {
    "hidden_size": 96,
    "intermediate_size": 320,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "vocab_size": 1024,
    "tie_word_embeddings": False,
    "max_position_embeddings": 4096,
}
"""Untrained like tiny-random: grouped-query attention, three query heads per key and value; untied head."""

CPU = torch.device("cpu")
MODELS = (EMBEDDED_MODEL, TINY_MODEL, GROUPED_MODEL)
COMPUTES: tuple[Compute, ...] = ("bf16", "fp32")
RANKS = (8, 1, 64, 16, 4)
SIZES = ((4, 128), (1, 64), (2, 256), (8, 64), (1, 512), (3, 96), (16, 128))  # batch, length
CELLS_A_MODEL = 2 * len(BITS)
STEPS = 3


def format_cells_json(cells: Sequence[MeasuredCell], *, versions: dict[str, str], machine: str) -> str:
    """Format readable JSON, one line per cell, without settings at their default."""
    usual = json.loads(RunSpec().to_json())
    lines = []
    for cell in cells:
        spec = {k: v for k, v in json.loads(cell.spec.to_json()).items() if v != usual[k] or k == "model"}
        rows = [{"lengths": row.lengths, "answer_tokens": row.answer_tokens} for row in cell.rows]
        values = {"spec": spec, "compute": cell.compute, "rows": rows, "peak_bytes": cell.peak_bytes}
        values |= {"graph": True} if cell.graph else {}
        lines.append("  " + json.dumps(values))
    shapes = {cell.spec.model: json.loads(cell.shape.to_json()) for cell in cells}
    head = json.dumps({"versions": versions, "machine": machine, "shapes": shapes}, indent=1)
    return head.removesuffix("\n}") + ',\n "cells": [\n' + ",\n".join(lines) + "\n ]\n}\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all cells and write them; return exit status 0."""
    parser = build_module_parser("benchmarks.memory_cells", __doc__)
    parser.add_argument("--model", choices=MODELS, help="only this one")
    parser.add_argument("--out", type=Path, default=CELLS_FILE)
    options = parser.parse_args(arguments)
    silence_libraries()
    models_dir = load_settings().models_dir
    found = []
    for model in [options.model] if options.model else MODELS:
        for spec, compute in list_grid(model):
            cell = measure(spec, compute, models_dir)
            found.append(cell)
            print(as_text(cell), flush=True)
    here = Machine(device=CPU, compute_dtype=torch.float32).description
    machine = f"{here['name']}, {here['processor']}"
    cells = Cells(cells=tuple(found), versions=list_versions(), machine=machine)
    options.out.write_text(format_cells_json(found, versions=cells.versions, machine=machine), "utf-8")
    print(f"{len(found)} cells, median {cells.median_percent:.2f} %, worst {as_text(cells.worst)}")
    return 0


def list_grid(model: str) -> Iterator[tuple[RunSpec, Compute]]:
    """List every bit width in both compute types; other settings equally often, shuffled per model name."""
    rng = random.Random(model)

    def shuffle(values: Sequence[Any]) -> list[Any]:
        cards = [values[i % len(values)] for i in range(CELLS_A_MODEL)]
        rng.shuffle(cards)
        return cards

    columns = (RANKS, TARGET_SETS, SIZES, (False, True), OPTIMIZERS, VARIANTS)
    settings = zip(itertools.product(BITS, COMPUTES), *map(shuffle, columns), strict=True)
    for (bits, compute), rank, targets, (batch, length), checkpointing, optimizer, variant in settings:
        spec = RunSpec(
            model=model,
            bits=bits,
            rank=rank,
            targets=targets,
            batch=batch,
            seq_len_tokens=length,
            checkpointing=checkpointing,
            optimizer=optimizer,
            variant=variant,
            steps=STEPS,
        )
        yield spec, compute


def measure(spec: RunSpec, compute: Compute, models_dir: Path) -> MeasuredCell:
    """Train a few steps as a worker does and return the peak of live tensors.

    The seed is the first whose heaviest row, by its predicted peak, is not the first row: before the first
    step gradients and moments don't exist yet, and every longer run has them in addition to its heaviest row.
    """
    machine = Machine(device=CPU, compute_dtype=DTYPES[compute])
    source = write_grouped_model(models_dir) if spec.model == GROUPED_MODEL else spec.model
    loaded = open_model(source, spec.bits, machine, models_dir=models_dir)
    shape = read_grouped_shape() if spec.model == GROUPED_MODEL else find_shape(spec.model)
    everything = [encode_example(loaded.tokenizer, example) for example in build_own_dataset().train]
    seeds = (with_seed(spec, seed, everything) for seed in itertools.count())
    spec, rows = next(each for each in seeds if find_heaviest_row(shape, *each, compute) != each[1][0])
    examples = cut_to(everything, spec.seq_len_tokens)
    adapted = attach_alone(loaded, spec, shape, examples)
    results: list[StepResult] = []
    train_alone(adapted, loaded, examples, spec, on_step=results.append)
    del adapted, loaded
    gc.collect()
    peak_bytes = results[-1].peak_bytes
    return MeasuredCell(spec=spec, compute=compute, shape=shape, rows=rows, peak_bytes=peak_bytes)


def with_seed(spec: RunSpec, seed: int, examples: list[Encoded]) -> tuple[RunSpec, tuple[RowSize, ...]]:
    """Return the spec with this seed, and the packed rows of its steps."""
    spec = replace(spec, seed=seed)
    return spec, tuple(compute_row_sizes(list_lengths(examples), spec))


def write_grouped_model(models_dir: Path) -> str:
    """Write the second untrained model once, seeded; return its folder."""
    folder = models_dir / GROUPED_MODEL
    if not (folder / "config.json").exists():
        torch.manual_seed(0)
        LlamaForCausalLM(LlamaConfig(**GROUPED)).to(torch.bfloat16).save_pretrained(folder)
        build_tiny_tokenizer().save_pretrained(folder)
    return str(folder)


def read_grouped_shape() -> ModelShape:
    """Read the shape from the configuration, as for any model outside the catalogue."""
    return read_config_shape({"model_type": "llama", **GROUPED}, name=GROUPED_MODEL)


def as_text(cell: MeasuredCell) -> str:
    """Format a cell as one line of the log."""
    spec, row = cell.spec, cell.row
    what = f"{spec.model} {spec.bits} {cell.compute} r={spec.rank} {spec.targets} {spec.variant}"
    kept = spec.optimizer + (", checkpointing" if spec.checkpointing else "")
    sizes = f"{as_bytes(cell.peak_bytes)} measured, {cell.error_percent:+.2f} %"
    return f"{what}, {row.examples} examples, {row.tokens} tokens, {kept}: {sizes}"


if __name__ == "__main__":
    sys.exit(main())
