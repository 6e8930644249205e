"""Benchmark of the weight formats: one short training run per format, on the embedded model.

    python -m benchmarks.bit_widths             # 40 steps each; writes the table of docs/guide/four-bit.md
    python -m benchmarks.bit_widths --steps 4 --out /tmp/table.md

Every run has the same data, order, seed, rank and learning rate; only the stored bits differ. Held-out loss
and memory are the same on a quiet and on a busy machine; CPU-seconds nearly so.
"""

import gc
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from operator import sub
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from benchmarks.memory_cells import with_seed
from lora_lab.data.datasets import build_own_dataset
from lora_lab.memory.ledger import bits_per_param, find_heaviest_row, predict_ledger
from lora_lab.parameters.shapes import find_shape
from lora_lab.runs.predicted_vs_measured import percent_above
from lora_lab.spec import BITS, BITS_LABELS, EMBEDDED_MODEL, RunSpec
from lora_lab.worker.device.machine import Machine, find_machine
from lora_lab.worker.model.load import silence_libraries
from lora_lab.worker.training.group import attach_alone
from lora_lab.worker.training.loaded_model import open_model
from lora_lab.worker.training.loop import StepResult
from lora_lab.worker.training.packing import cut_to, encode_example
from lora_lab.worker.training.work import list_versions
from study.base.command_line import build_module_parser
from study.base.settings import load_settings
from study.base.units import as_bytes
from tests.lora_lab.worker.alone import measure_alone, train_alone

PAGE = Path("docs") / "guide" / "four-bit.md"
START, END = "<!-- measured: python -m benchmarks.bit_widths -->", "<!-- end -->"


@dataclass(frozen=True, kw_only=True)
class BitWidthRow:
    """The measurements of one finished run."""

    spec: RunSpec
    weights_bytes: int
    """Codes and constants, embedding and head included."""

    predicted_bytes: int
    peak_bytes: int
    cpu_seconds_a_step: float
    """Summed over all threads, which other load hardly changes."""

    loss_before: float
    loss_after: float

    def format_cells(self) -> str:
        """Format the run as a line of a Markdown table."""
        error = percent_above(self.peak_bytes, self.predicted_bytes)
        return (
            f"| {BITS_LABELS[self.spec.bits]} | {bits_per_param(self.spec.bits):.4g} "
            f"| {as_bytes(self.weights_bytes)} | {as_bytes(self.peak_bytes)} ({error:+.2f} %) "
            f"| {self.cpu_seconds_a_step:.2f} | {self.loss_before:.3f} | {self.loss_after:.3f} |"
        )


HEAD = (
    "| weights | stored bits each | all weights | peak, measured (against computed) | CPU-seconds per step "
    "| held-out loss before | after |\n|---|---|---|---|---|---|---|"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every format and write the table; return exit status 0."""
    parser = build_module_parser("benchmarks.bit_widths", __doc__)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--model", default=EMBEDDED_MODEL)
    parser.add_argument("--out", type=Path, default=PAGE)
    options = parser.parse_args(arguments)
    silence_libraries()
    machine = find_machine()
    rows = []
    for bits in sorted(BITS, key=bits_per_param, reverse=True):
        spec = RunSpec(model=options.model, bits=bits, steps=options.steps)
        rows.append(measure_bit_width(spec, machine))
        print(rows[-1].format_cells(), flush=True)
    write(options.out, render_table(rows, machine))
    return 0


def measure_bit_width(spec: RunSpec, machine: Machine) -> BitWidthRow:
    """Load, evaluate, train and evaluate as a worker does, without a run folder."""
    models_dir = load_settings().models_dir
    loaded = open_model(spec.model, spec.bits, machine, models_dir=models_dir)
    shape = find_shape(spec.model)
    dataset = build_own_dataset()
    encoded = [encode_example(loaded.tokenizer, example) for example in dataset.train]
    examples = cut_to(encoded, spec.seq_len_tokens)
    adapted = attach_alone(loaded, spec, shape, examples)
    held_out = [encode_example(loaded.tokenizer, example) for example in dataset.held_out]
    kept = cut_to(held_out, spec.seq_len_tokens)
    _, planned = with_seed(spec, spec.seed, encoded)
    ledger = predict_ledger(
        shape, spec, find_heaviest_row(shape, spec, planned, machine.compute_name), machine.compute_name
    )
    results: list[StepResult] = []
    moments: list[float] = []

    def on_step(result: StepResult) -> None:
        results.append(result)
        moments.append(time.process_time())

    train_alone(adapted, loaded, examples, spec, on_step=on_step)
    loss_before, loss_after = measure_alone(adapted, loaded, kept)
    row = BitWidthRow(
        spec=spec,
        weights_bytes=ledger.weights + ledger.constants,
        predicted_bytes=ledger.total_bytes,
        peak_bytes=results[-1].peak_bytes,
        cpu_seconds_a_step=statistics.median(map(sub, moments[1:], moments)),
        loss_before=loss_before,
        loss_after=loss_after,
    )
    del adapted, loaded
    gc.collect()
    return row


def render_table(rows: Sequence[BitWidthRow], machine: Machine) -> str:
    """Render the table, and below it how it was measured."""
    spec, here = rows[0].spec, machine.description
    libraries = ", ".join(f"{name} {version}" for name, version in list_versions().items())
    lines = "\n".join(row.format_cells() for row in rows)
    return (
        f"{HEAD}\n{lines}\n\n"
        f"Measured: {spec.model}, rank {spec.rank} on all linear layers, batch {spec.batch}, "
        f"{spec.steps} steps, learning rate {spec.learning_rate:g}, seed {spec.seed}; the app's own cards as "
        f"they were on {date.today()} (data {build_own_dataset().digest}); "
        f"{here['name']} ({here['processor']}), computing in {here['compute_dtype']}; {libraries}.\n"
    )


def write(path: Path, table: str) -> None:
    """Write the table into its place on the page, or into a file of its own."""
    if path != PAGE:
        path.write_text(table, "utf-8")
        return
    before, _, rest = path.read_text("utf-8").partition(START)
    path.write_text(f"{before}{START}\n\n{table}\n{END}{rest.partition(END)[2]}", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
