"""The lab on the command line: count, memory, claim, train, sweep, export, microscope, xray, shape.

    python -m lora_lab count --model smollm2-135m --rank 8 --targets all-linear
    python -m lora_lab claim tutorial.md
    python -m lora_lab memory --model llama-3.1-8b --bits nf4-dq --rank 16 --batch 1 --seq-len 512
    python -m lora_lab train --rank 8 --bits nf4-dq --steps 20 --json
    python -m lora_lab sweep --ranks 1,4,8 --bits nf4-dq,int8,bf16 --steps 5 --engine local --json
    python -m lora_lab export --run FOLDER --format script > run.py
    python -m lora_lab xray --run FOLDER --beside FOLDER
    python -m lora_lab microscope --layer 0 --matrix self_attn.q_proj --first nf4 --second hqq4:128
    python -m lora_lab shape config.json --name my-model > my-model.json

With --jsonl, count, memory and claim read one JSON object a line and answer one a line.
"""

import argparse
import io
import json
import shlex
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lora_lab.claims.contract import claim_answer
from lora_lab.cli import contracts
from lora_lab.cli.arguments import (
    add_adapter_options,
    add_claim_options,
    add_memory_options,
    add_microscope_options,
    add_xray_options,
    claim_record,
    claim_text,
    count_text,
    memory_record,
    memory_text,
    read_config,
)
from lora_lab.cli.progress import Watcher, cells_as_they_end
from lora_lab.data.datasets import Dataset, own_dataset, read_upload
from lora_lab.data.lab_folder import LabHome
from lora_lab.engine.grouping import take_cells
from lora_lab.engine.local import LocalEngine, run_now
from lora_lab.engine.protocol import Engine
from lora_lab.engine.queue import take_first
from lora_lab.engine.ray_extra import ray_engine
from lora_lab.engine.shape_reader import KINDS, ShapeReader
from lora_lab.engine.worker_process import start_worker
from lora_lab.grids.estimate import estimate_here, in_words
from lora_lab.parameters.adapter_config import UnsupportedCase
from lora_lab.parameters.catalogue import read_entries
from lora_lab.parameters.shapes import keep_in_catalogue, load_catalogue
from lora_lab.runs.durations import Paces
from lora_lab.runs.export_script import script_of
from lora_lab.runs.folder import RunFolder
from lora_lab.runs.merged_model import Merged
from lora_lab.runs.run_file import run_file
from lora_lab.runs.summary import Summary, summarize
from lora_lab.runs.sweeps import Sweep
from lora_lab.settings.grid import AXES, Grid, grid_from
from lora_lab.spec import BITS, OPTIMIZERS, OWN_DATA, VARIANTS, RunSpec, spec_from
from study.base.errors import LearnerError
from study.base.settings import Settings, load_settings
from study.base.units import as_bytes

SHARED_FLAGS = ("bits", "targets")
"""A grid's axes that have the same flag as a run's setting."""

COMMANDS = {"count": contracts.count_answer, "memory": contracts.memory_answer, "claim": claim_answer}


def main(arguments: list[str] | None = None) -> int:
    """Run a command. Return the exit status: 0 on success, 1 when any line or the run failed."""
    options = _build_parser().parse_args(arguments)
    try:
        if options.command == "train":
            return _train(options)
        if options.command == "sweep":
            return _run_sweep(options)
        if options.command == "shape":
            return _count_shape(options)
        if options.command == "export":
            return _export(options)
        if options.command == "xray":
            return _run_xray(options)
        if options.command == "microscope":
            return _run_microscope(options)
        return _answer_lines(options) if options.jsonl else _answer_one(options)
    except UnsupportedCase as case:
        print(f"This is not computed: {case}.", file=sys.stderr)
        return 1
    except LearnerError as error:
        if getattr(options, "json", False):
            print(json.dumps({"error": str(error)}))
        else:
            print(error, file=sys.stderr)
        return 1


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lora_lab", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    counting = commands.add_parser("count", help="trainable and total parameters")
    memory = commands.add_parser("memory", help="peak memory by component")
    claiming = commands.add_parser("claim", help="whether a tutorial's printed line can be true")
    for command in (counting, memory, claiming):
        command.add_argument("--jsonl", action="store_true", help="answer JSON lines from standard input")
        command.add_argument("--model", default="smollm2-135m", help=f"one of {', '.join(load_catalogue())}")
        command.add_argument("--rank", type=int, default=8 if command is memory else None)
        command.add_argument(
            "--targets",
            default="all-linear",
            help="a set, names separated by commas, or a regular expression",
        )
    for command in (counting, claiming):
        add_adapter_options(command)
    add_claim_options(claiming)
    add_memory_options(memory)
    shaping = commands.add_parser("shape", help="read a config.json into a catalogue entry")
    shaping.add_argument("config", type=Path, nargs="?", help="a config.json with its model_type")
    shaping.add_argument("--catalogue", action="store_true", help="read every entry of catalogue.yaml again")
    shaping.add_argument("--name", default="", help="what the catalogue calls it")
    shaping.add_argument("--hub-id", default="", help="where its weights are")
    shaping.add_argument("--licence", default="", help="of the weights")
    shaping.add_argument("--kind", choices=KINDS)
    exporting = commands.add_parser("export", help="a run as a script or JSON, or merged into one model")
    exporting.add_argument("--run", type=Path, required=True, help="the run's folder")
    exporting.add_argument("--format", choices=("script", "json", "merged"), required=True)
    exporting.add_argument("--data-folder", type=Path, help="where models are kept")
    add_xray_options(commands.add_parser("xray", help="what a run's updates look like inside"))
    add_microscope_options(commands.add_parser("microscope", help="one matrix in two schemes, measured"))
    training = commands.add_parser("train", help="one real run")
    _add_spec_options(training)
    _add_sweep_options(
        commands.add_parser("sweep", help="a grid of runs: every combination of the lists given")
    )
    return parser


def _add_spec_options(training: argparse.ArgumentParser, *, leave_out: Collection[str] = ()) -> None:
    """Add every setting of a run under its own name; defaults come from RunSpec."""
    choices: dict[str, tuple[str, ...]] = {
        "bits": BITS,
        "variant": VARIANTS,
        "optimizer": OPTIMIZERS,
        "checkpointing": ("true", "false"),
    }
    for field in fields(RunSpec):
        if field.name not in {"data", *leave_out}:
            flag = f"--{field.name.replace('_', '-')}"
            training.add_argument(flag, choices=choices.get(field.name), help=f"default {field.default}")
    training.add_argument("--data", type=Path, help="a .jsonl or .csv file; default: the app's own cards")
    training.add_argument("--data-folder", type=Path, help="where runs and models are kept")
    training.add_argument("--json", action="store_true", help="print one summary object a run")


def _add_sweep_options(sweeping: argparse.ArgumentParser) -> None:
    for axis, setting in AXES.items():
        sweeping.add_argument(f"--{axis.replace('_', '-')}", help=f"values of {setting}, commas between them")
    sweeping.add_argument(
        "--alpha-per-rank", help="set alpha to this times the rank; default: the same alpha"
    )
    sweeping.add_argument(
        "--engine", choices=("local", "ray"), default="local", help="the engine that runs the cells"
    )
    sweeping.add_argument(
        "--one-by-one",
        action="store_true",
        help="local: train no cells side by side; slower, and each cell's own peak is measured",
    )
    sweeping.add_argument(
        "--resume", metavar="SWEEP_ID", help="continue an interrupted sweep with its settings"
    )
    sweeping.add_argument("--address", help="ray: of a running cluster, such as auto; default: this machine")
    sweeping.add_argument(
        "--cpus-per-run", type=int, help="ray: default: all of a machine's, one run at a time"
    )
    _add_spec_options(sweeping, leave_out=SHARED_FLAGS)


def _answer_one(options: argparse.Namespace) -> int:
    reader = ShapeReader()
    if options.command == "count":
        try:
            print(count_text(options, reader))
        finally:
            reader.close()
        return 0
    if options.command == "claim":
        return _check_claims(options, reader)
    try:
        print(memory_text(contracts.memory_answer(memory_record(options), reader), options.bits))
    finally:
        reader.close()
    return 0


def _check_claims(options: argparse.Namespace, reader: ShapeReader) -> int:
    if options.line is not None:
        record = claim_record(options)
    elif options.file is None or str(options.file) == "-":
        record = {"text": sys.stdin.read()}
    else:
        record = {"text": _read_input(options.file).decode("utf-8", "replace")}
    try:
        print(claim_text(claim_answer(record, reader)))
    finally:
        reader.close()
    return 0


def _answer_lines(options: argparse.Namespace) -> int:
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="backslashreplace")  # invalid bytes spoil only their own line
    reader = ShapeReader()
    failed = False
    try:
        for line in _skip_blank(sys.stdin):
            found = contracts.answer_record(_parse_line(line), COMMANDS[options.command], reader)
            failed = failed or "error" in found
            print(json.dumps(found), flush=True)
    finally:
        reader.close()
    return 1 if failed else 0


def _skip_blank(lines: Iterable[str]) -> Iterator[str]:
    return (line for line in lines if line.strip())


def _parse_line(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _read_catalogue() -> int:
    """Write the shape of every entry; a shape without an entry stays as it is."""
    reader = ShapeReader()
    try:
        keep_in_catalogue(
            replace(
                reader.read(entry.config, kind=entry.kind, anew=True),
                name=entry.name,
                hub_id=entry.hub_id,
                licence=entry.licence,
            )
            for entry in read_entries()
        )
    finally:
        reader.close()
    return 0


def _count_shape(options: argparse.Namespace) -> int:
    if options.catalogue:
        return _read_catalogue()
    if options.config is None or not options.name:
        raise LearnerError("A shape needs a config.json and a --name.", do_next="Or pass --catalogue.")
    config = read_config(options.config)
    reader = ShapeReader()
    try:
        shape = reader.read(config, kind=options.kind)
    finally:
        reader.close()
    print(replace(shape, name=options.name, hub_id=options.hub_id, licence=options.licence).to_json())
    return 0


def _export(options: argparse.Namespace) -> int:
    """Print a script or JSON to standard output; write a merged model next to its adapter."""
    settings, run = load_settings(home=options.data_folder), RunFolder(options.run.resolve())
    if not (run.path / "spec.json").is_file():
        raise LearnerError(f"{options.run} isn't a run's folder.", do_next="Name one that `train` printed.")
    if options.format == "json":
        print(run_file(run))
    elif options.format == "script":
        print(script_of(run, LabHome(settings.home), settings.models_dir), end="")
    else:
        start_worker(settings, ["--merge", str(run.path)], 0, log=sys.stderr.fileno()).wait()
        merged = Merged(run)
        if merged.state["state"] != "done":
            raise LearnerError(merged.state["text"] or "The worker ended early.", do_next="Then try again.")
        print(merged.folder)
    return 0


def _run_xray(options: argparse.Namespace) -> int:
    from lora_lab.cli.xray import xray_text  # imports matplotlib, which takes a second

    print(xray_text(options, _say))
    return 0


def _run_microscope(options: argparse.Namespace) -> int:
    from lora_lab.cli.microscope import microscope_text  # imports matplotlib, which takes a second

    print(microscope_text(options, _say))
    return 0


def _train(options: argparse.Namespace) -> int:
    settings = load_settings(home=options.data_folder)
    spec, dataset = _asked_for(options)
    watcher = Watcher(_say)
    summary = summarize(run_now(settings, spec, dataset, now=datetime.now(UTC), watch=watcher.look))
    if options.json:
        print(json.dumps(summary))
    else:
        print("\n".join(f"{name}: {value}" for name, value in summary.items()))
    return 1 if "error" in summary else 0


def _asked_for(options: argparse.Namespace, *, leave_out: Collection[str] = ()) -> tuple[RunSpec, Dataset]:
    """Return the run and the data that the flags describe; settings without a flag have their defaults."""
    names = [field.name for field in fields(RunSpec) if field.name not in {"data", *leave_out}]
    values = {name: value for name in names if (value := getattr(options, name)) is not None}
    dataset = (
        own_dataset() if options.data is None else read_upload(options.data.name, _read_input(options.data))
    )
    return spec_from(values | {"data": OWN_DATA if options.data is None else dataset.digest}), dataset


def _run_sweep(options: argparse.Namespace) -> int:
    settings = load_settings(home=options.data_folder)
    engine = _build_engine(options, settings)
    now = datetime.now(UTC)
    if options.resume:
        sweep = engine.go_on(options.resume, now=now)
    else:
        base, dataset = _asked_for(options, leave_out=SHARED_FLAGS)
        given = {name: getattr(options, name) for name in (*AXES, "alpha_per_rank")}
        grid = grid_from(base, {name: value for name, value in given.items() if value is not None})
        _say(_estimate_sweep(settings, grid, dataset))
        sweep = engine.submit_sweep(grid, dataset, now=now)
    engine.start()
    failed = False
    try:
        for run in cells_as_they_end(sweep, settings.runs_dir, _say):
            summary = summarize(run) | {"spec": asdict(run.spec), "table": str(sweep.table_path)}
            failed = failed or "error" in summary
            print(json.dumps(summary) if options.json else _cell_line(sweep, run, summary), flush=True)
    except KeyboardInterrupt:
        _say("Stopping; what is finished stays.")
        engine.close()
        _say(f"Go on with: {_find_resumable(sweep, options)}")
        return 130
    engine.close()
    _say(f"Results table: {sweep.table_path}")
    return 1 if failed else 0


def _find_resumable(sweep: Sweep, options: argparse.Namespace) -> str:
    words = ["python", "-m", "lora_lab", "sweep", "--resume", sweep.sweep_id, "--engine", options.engine]
    for name in ("address", "cpus_per_run", "data_folder"):
        if getattr(options, name):
            words += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    return shlex.join(words)


def _estimate_sweep(settings: Settings, grid: Grid, dataset: Dataset) -> str:
    paces = Paces(settings.runs_dir).newest_first()
    try:
        return in_words(grid, estimate_here(LabHome(settings.home), grid, dataset.digest, paces))
    except LearnerError:
        return f"{grid.count} cells. Their peaks are known once the model's configuration was read."


def _cell_line(sweep: Sweep, run: RunFolder, summary: Summary) -> str:
    if "error" in summary:
        return f"{sweep.grid.label(run.spec)}: {summary['error']}"
    before, after = summary["eval_loss_before"], summary["eval_loss_after"]
    loss = f"held-out loss {before:.3f} -> {after:.3f}, " if after is not None else "stopped, "
    with_others = f" of {summary['shared_by']} together" if "shared_by" in summary else ""
    return f"{sweep.grid.label(run.spec)}: {loss}peak {as_bytes(summary['peak_bytes'] or 0)}{with_others}"


def _build_engine(options: argparse.Namespace, settings: Settings) -> Engine:
    if options.engine == "local":
        gather = take_first if options.one_by_one else take_cells
        return LocalEngine(settings, warm=False, own_only=True, gather=gather)
    return ray_engine(settings, address=options.address, cpus_per_run=options.cpus_per_run)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _read_input(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LearnerError(f"{path} can't be read ({error.strerror}).", do_next="Check the path.") from error


if __name__ == "__main__":
    sys.exit(main())
