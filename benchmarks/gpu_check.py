"""The lab end to end on a GPU: whole runs, groups, chat, merging, scripts and workers, and a report of it.

    python -m benchmarks.gpu_check [--only NAME ...] [--skip NAME ...]

Each row of the report is a whole run as the page does it: load, train, save, evaluate, answer. Its peak is
what tensors ask for, without cuBLAS' workspaces, beside the prediction made before the run started; the
allocator's and the driver's figures stand next to it. The report is written after every check, whatever
fails, and the exit status is 0 only when nothing did.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from benchmarks.gpu_checks import (
    CHECKS,
    LARGE,
    LIMIT_PERCENT,
    RANK_OF_WIDTHS,
    CheckMachine,
    CheckRow,
    describe_miss,
    run_once,
    run_specs,
)
from lora_lab.spec import BITS_LABELS, EMBEDDED_MODEL, RunSpec
from lora_lab.worker.device.machine import Machine, find_machine
from lora_lab.worker.model.load import silence_libraries
from lora_lab.worker.training.work import list_versions
from study.base.command_line import build_module_parser
from study.base.errors import LearnerError, first_line
from study.base.settings import load_settings
from study.base.units import as_bytes, as_count

RUNS = "runs"
COLUMNS = (
    "weights", "setting", "rank", "trainable", "predicted", "measured", "error", "allocated", "reserved",
    "on the device", "tokens/s", "held-out loss",
)  # fmt: skip
REPORT = Path("docs") / "gpu-report.md"
NOTHING = "No GPU was found, so there is nothing to check."
CUT_SHORT = "**Cut short:** the other checks had not ended when this was written."


@dataclass(frozen=True, kw_only=True)
class CheckOutcome:
    """The result of one check."""

    name: str
    says: str
    failed: bool
    seconds: float


@dataclass
class CheckReport:
    """Everything found so far."""

    machine: Machine
    spec: RunSpec
    path: Path
    rows: list[CheckRow] = field(default_factory=list)
    outcomes: list[CheckOutcome] = field(default_factory=list)
    ended: bool = False
    """Whether all checks are done: a report that was cut short says so."""

    @property
    def failed(self) -> list[CheckOutcome]:
        """The checks that failed."""
        return [outcome for outcome in self.outcomes if outcome.failed]

    def add(self, outcome: CheckOutcome) -> None:
        """Add an outcome, print it, and write the report anew."""
        self.outcomes.append(outcome)
        mark = "FAILED" if outcome.failed else "ok"
        print(f"{mark}  {outcome.name}: {outcome.says} ({outcome.seconds:.0f} s)", flush=True)
        self._write()

    def end(self) -> None:
        """Write the report once more, now that all checks are done."""
        self.ended = True
        self._write()

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(self.text(now=datetime.now(UTC)), "utf-8")

    def text(self, *, now: datetime) -> str:
        """Render the report page: device, versions, a table with every run, a line for every other check."""
        device, spec = self.machine.description, self.spec
        failed = "; ".join(f"{outcome.name} ({outcome.says})" for outcome in self.failed)
        passed = f"{len(self.outcomes)} checks passed"
        verdict = [f"All {passed}."]
        if not self.ended:
            verdict = [f"{passed} so far.", "", CUT_SHORT]
        if failed:
            verdict[0] = f"**Failed:** {failed}."
        lines = [
            f"# The lab on {'a GPU' if self.machine.on_gpu else 'a CPU'}: {device['name']}",
            "",
            f"Device: {device['name']}, {as_bytes(device['memory_bytes'])}, computing in "
            f"{device['compute_dtype']}, because {device['because']}.",
            f"{_name_software()} Written by `make gpu-check` at {now:%Y-%m-%d %H:%M} UTC.",
            f"Model: {spec.model}; {spec.steps} steps of {spec.batch} examples per run.",
            "",
            *verdict,
            "",
        ]
        if self.rows:
            worst = max(self.rows, key=lambda row: abs(row.error_percent))
            lines += [
                f"Largest miss of a predicted peak: {worst.error_percent:+.2f} % (limit {LIMIT_PERCENT} %), "
                f"for {BITS_LABELS[worst.spec.bits]} at rank {worst.spec.rank}.",
                "",
                f"| {' | '.join(COLUMNS)} |",
                "|---" * len(COLUMNS) + "|",
                *map(_format_cells, self.rows),
                "",
            ]
        others = [outcome for outcome in self.outcomes if not outcome.name.startswith(RUNS)]
        if others:
            lines += ["| check | result | seconds |", "|---|---|---|"]
            lines += [
                f"| {each.name} | {'**failed**: ' if each.failed else ''}{each.says} | {each.seconds:.0f} |"
                for each in others
            ]
        return "\n".join([*lines, ""])


def main(arguments: Sequence[str] | None = None) -> int:
    """Do all checks; return 0 if all passed, 1 without a GPU, 2 if one failed."""
    options = _parse_options(arguments)
    try:
        machine = find_machine()
    except LearnerError as error:  # the device that LORA_STUDY_DEVICE names
        print(f"{NOTHING} {error}")
        return 1
    if not machine.on_gpu and not options.allow_cpu:
        why = f" {machine.notice.what} {machine.notice.do_next}" if machine.notice else ""
        print(f"{NOTHING}{why}")
        return 1
    silence_libraries()
    spec = RunSpec(model=options.model, steps=options.steps, rank=RANK_OF_WIDTHS)
    report = CheckReport(machine, spec, options.out)
    with tempfile.TemporaryDirectory() as folder:
        place = CheckMachine(
            machine=machine,
            models_dir=load_settings().models_dir,
            folder=Path(folder),
            spec=spec,
            large=LARGE | dict(options.large),
        )
        if _is_asked(RUNS, options):
            _do_runs(place, report)
        for name, check in CHECKS.items():
            if _is_asked(name, options):
                report.add(_run_check(name, partial(check, place)))
    report.end()
    print(f"Written: {options.out}; {len(report.failed)} of {len(report.outcomes)} checks failed.")
    return 2 if report.failed else 0


def _parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = build_module_parser("benchmarks.gpu_check", __doc__)
    parser.add_argument("--model", default=EMBEDDED_MODEL)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--out", type=Path, default=REPORT)
    parser.add_argument("--allow-cpu", action="store_true", help="run on a CPU where there is no GPU")
    parser.add_argument("--only", nargs="+", default=[], choices=[RUNS, *CHECKS], help="do these checks only")
    parser.add_argument("--skip", nargs="+", default=[], choices=[RUNS, *CHECKS], help="leave these out")
    parser.add_argument(
        "--large", nargs="+", default=[], type=_parse_setting, metavar="NAME=NUMBER", help="sizes"
    )
    return parser.parse_args(arguments)


def _parse_setting(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    return name, int(number)


def _is_asked(name: str, options: argparse.Namespace) -> bool:
    return name not in options.skip and (not options.only or name in options.only)


def _do_runs(place: CheckMachine, report: CheckReport) -> None:
    for spec in run_specs(report.spec):

        def check(spec: RunSpec = spec) -> str:
            row = run_once(place, spec)
            report.rows.append(row)
            if problem := describe_miss(row):
                raise RuntimeError(problem)
            return f"{row.error_percent:+.2f} %"

        report.add(
            _run_check(f"{RUNS}: {BITS_LABELS[spec.bits]}, {_name_setting(spec)}, rank {spec.rank}", check)
        )


def _run_check(name: str, check: Any) -> CheckOutcome:
    began = time.perf_counter()
    try:
        says, failed = check(), False
    except Exception as error:
        # The outermost frame of a check: whatever it raises is its result, and the next check runs.
        traceback.print_exc()
        says, failed = first_line(error), True
    return CheckOutcome(name=name, says=says, failed=failed, seconds=time.perf_counter() - began)


def _name_software() -> str:
    """Name the versions, the driver, and the kernels of attention."""
    named = ", ".join(f"{name} {version}" for name, version in list_versions().items())
    if not torch.cuda.is_available():
        return f"Versions: {named}."
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        driver = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        driver = "unknown"
    kernels = {
        "flash": torch.backends.cuda.flash_sdp_enabled(),
        "memory-efficient": torch.backends.cuda.mem_efficient_sdp_enabled(),
        "cuDNN": torch.backends.cuda.cudnn_sdp_enabled(),
    }
    allowed = ", ".join(name for name, is_on in kernels.items() if is_on)
    return f"Driver {driver}, CUDA {torch.version.cuda}, attention: {allowed}. Versions: {named}."


def _name_setting(spec: RunSpec) -> str:
    usual = RunSpec()
    named: list[str] = [spec.variant] if spec.variant != usual.variant else []
    named += [spec.optimizer] if spec.optimizer != usual.optimizer else []
    named += ["checkpointing"] if spec.checkpointing else []
    named += [f"in {spec.compute_dtype}"] if spec.compute_dtype != "auto" else []
    return ", ".join(named) or "usual"


def _format_cells(row: CheckRow) -> str:
    state, started, gpu = row.state, row.started, row.state.gpu_memory or {}
    cells = (
        BITS_LABELS[row.spec.bits],
        _name_setting(row.spec),
        row.spec.rank,
        as_count(started["trainable"]),
        as_bytes(started["predicted_bytes"]),
        as_bytes(row.measured_bytes),
        f"{row.error_percent:+.2f} %",
        *(as_bytes(gpu[name]) if gpu else "" for name in ("allocated", "reserved", "device")),
        f"{state.tokens_per_second:.0f}",
        f"{state.loss_before:.3f} → {state.loss_after:.3f}",
    )
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    sys.exit(main())
