"""The lab on the command line: count, memory, claim, train, shape.

    python -m lora_lab count --model smollm2-135m --rank 8 --targets all-linear
    python -m lora_lab claim tutorial.md
    python -m lora_lab memory --model llama-3.1-8b --bits nf4-dq --rank 16 --batch 1 --seq-len 512
    python -m lora_lab train --rank 8 --bits nf4-dq --steps 20 --json
    python -m lora_lab shape config.json --name my-model > lora_lab/shapes/my-model.json

With --jsonl, count, memory and claim read one JSON object a line and answer one a line.
"""

import argparse
import io
import json
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lora_lab import contracts
from lora_lab.catalogue import entries
from lora_lab.claims.record import claim_answer
from lora_lab.contracts import Answer
from lora_lab.datasets import own_dataset, read_upload
from lora_lab.memory import COMPONENTS, bits_per_param
from lora_lab.one_case import (
    add_adapter_options,
    add_claim_options,
    claim_record,
    claim_text,
    count_text,
    read_config,
)
from lora_lab.runs.folder import RunFolder
from lora_lab.runs.local import run_now
from lora_lab.runs.state import RunState, fold
from lora_lab.shape_reader import KINDS, ShapeReader
from lora_lab.shapes import catalogue
from lora_lab.spec import BITS, OWN_DATA, RunSpec, spec_from
from study.errors import LearnerError
from study.settings import load_settings
from study.units import as_bytes

WATCH_SECONDS = 0.2
SHAPES_FOLDER = Path(__file__).with_name("shapes")
COMMANDS = {"count": contracts.count_answer, "memory": contracts.memory_answer, "claim": claim_answer}


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 well, 1 when any line or the run failed."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "train":
            return _train(options)
        if options.command == "shape":
            return _shape(options)
        return _answer_lines(options) if options.jsonl else _answer_one(options)
    except LearnerError as error:
        if getattr(options, "json", False):
            print(json.dumps({"error": str(error)}))
        else:
            print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lora_lab", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    counting = commands.add_parser("count", help="trainable and total parameters")
    memory = commands.add_parser("memory", help="peak memory by component")
    claiming = commands.add_parser("claim", help="whether a tutorial's printed line can be true")
    for command in (counting, memory, claiming):
        command.add_argument("--jsonl", action="store_true", help="answer JSON lines from standard input")
        command.add_argument("--model", default="smollm2-135m", help=f"one of {', '.join(catalogue())}")
        command.add_argument("--rank", type=int, default=8 if command is memory else None)
        command.add_argument(
            "--targets",
            default="all-linear",
            help="a set, names separated by commas, or a regular expression",
        )
    for command in (counting, claiming):
        add_adapter_options(command)
    add_claim_options(claiming)
    memory.add_argument("--bits", choices=BITS, default="nf4-dq")
    memory.add_argument("--batch", type=int, default=4)
    memory.add_argument("--seq-len", type=int, default=128)
    shaping = commands.add_parser("shape", help="read a config.json into a catalogue entry")
    shaping.add_argument("config", type=Path, nargs="?", help="a config.json with its model_type")
    shaping.add_argument("--catalogue", action="store_true", help="read every entry of catalogue.yaml again")
    shaping.add_argument("--name", default="", help="what the catalogue calls it")
    shaping.add_argument("--hub-id", default="", help="where its weights are")
    shaping.add_argument("--licence", default="", help="of the weights")
    shaping.add_argument("--kind", choices=KINDS)
    training = commands.add_parser("train", help="one real run")
    _add_spec_options(training)
    return parser


def _add_spec_options(training: argparse.ArgumentParser) -> None:
    """Every setting of a run under its own name; defaults come from RunSpec."""
    choices = {"bits": BITS}
    for field in fields(RunSpec):
        if field.name != "data":
            flag = f"--{field.name.replace('_', '-')}"
            training.add_argument(flag, choices=choices.get(field.name), help=f"default {field.default}")
    training.add_argument("--data", type=Path, help="a .jsonl or .csv file; default: the app's own cards")
    training.add_argument("--data-folder", type=Path, help="where runs and models are kept")
    training.add_argument("--json", action="store_true", help="print one summary object")


def _answer_one(options: argparse.Namespace) -> int:
    reader = ShapeReader()
    if options.command == "count":
        try:
            print(count_text(options, reader))
        finally:
            reader.close()
        return 0
    if options.command == "claim":
        return _claim(options, reader)
    targets = options.targets.split(",") if "," in options.targets else options.targets
    found = contracts.memory_answer(_memory_record(options, targets), reader)
    bits = bits_per_param(options.bits)
    print(f"{as_bytes(found['bytes'])} at the peak of a step; weights at {bits:.3f} bits each")
    for name, label in COMPONENTS:
        size = found["components"][contracts.CONTRACT_NAMES.get(name, name)]
        if size:
            print(f"  {label:<24}{as_bytes(size):>10}")
    return 0


def _claim(options: argparse.Namespace, reader: ShapeReader) -> int:
    if options.line is not None:
        record = claim_record(options)
    elif options.file is None or str(options.file) == "-":
        record = {"text": sys.stdin.read()}
    else:
        record = {"text": _read(options.file).decode("utf-8", "replace")}
    try:
        print(claim_text(claim_answer(record, reader)))
    finally:
        reader.close()
    return 0


def _memory_record(options: argparse.Namespace, targets: str | list[str]) -> dict[str, Any]:
    quant = {"nf4-dq": "nf4"}.get(options.bits, options.bits)
    return {
        "model": options.model,
        "base_dtype": options.bits if options.bits in ("fp32", "bf16") else "bf16",
        "quant": None if options.bits in ("fp32", "bf16") else quant,
        "double_quant": options.bits == "nf4-dq",
        "lora": {"r": options.rank, "targets": targets},
        "micro_batch": options.batch,
        "seq_len": options.seq_len,
    }


def _answer_lines(options: argparse.Namespace) -> int:
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="backslashreplace")  # bytes that are no text spoil their own line only
    reader = ShapeReader()
    failed = False
    try:
        for line in _filled(sys.stdin):
            found = contracts.answer(_parsed(line), COMMANDS[options.command], reader)
            failed = failed or "error" in found
            print(json.dumps(found), flush=True)
    finally:
        reader.close()
    return 1 if failed else 0


def _filled(lines: Iterable[str]) -> Iterator[str]:
    return (line for line in lines if line.strip())


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _read_catalogue() -> int:
    """Write the shape of every entry; a shape without an entry stays as it is."""
    reader = ShapeReader()
    try:
        for entry in entries():
            shape = reader.read(entry.config, kind=entry.kind)
            named = replace(shape, name=entry.name, hub_id=entry.hub_id, licence=entry.licence)
            (SHAPES_FOLDER / f"{entry.name}.json").write_text(named.to_json() + "\n", "utf-8")
    finally:
        reader.close()
    return 0


def _shape(options: argparse.Namespace) -> int:
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


def _train(options: argparse.Namespace) -> int:
    settings = load_settings(home=options.data_folder)
    names = [field.name for field in fields(RunSpec) if field.name != "data"]
    values = {name: value for name in names if (value := getattr(options, name)) is not None}
    dataset = own_dataset() if options.data is None else read_upload(options.data.name, _read(options.data))
    spec = spec_from(values | {"data": OWN_DATA if options.data is None else dataset.digest})
    watcher = Watcher()
    run = run_now(settings, spec, dataset, now=datetime.now(UTC), watch=watcher.look)
    summary = summarize(run)
    if options.json:
        print(json.dumps(summary))
    else:
        print("\n".join(f"{name}: {value}" for name, value in summary.items()))
    return 1 if "error" in summary else 0


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LearnerError(f"{path} can't be read ({error.strerror}).", do_next="Check the path.") from error


class Watcher:
    """Prints what a run does to standard error, as it does it."""

    def __init__(self) -> None:
        self._shown = ""
        self._steps = 0

    def look(self, run: RunFolder) -> None:
        """Show what is new, then wait a moment."""
        state = fold(run.events())
        for step in state.steps[self._steps :]:
            print(
                f"step {step['step']}  loss {step['loss']:.3f}  {step['seconds']:.2f} s  "
                f"peak {as_bytes(step['peak_bytes'])}",
                file=sys.stderr,
            )
        self._steps = len(state.steps)
        doing = _doing(state)
        if doing != self._shown:
            print(doing, file=sys.stderr)
            self._shown = doing
        if not state.ended:
            time.sleep(WATCH_SECONDS)


def _doing(state: RunState) -> str:
    if state.total_bytes:
        return f"{state.doing}: {as_bytes(state.done_bytes)} of {as_bytes(state.total_bytes)}"
    return state.doing


def summarize(run: RunFolder) -> Answer:
    """The summary object of the command-line contract; `error` when the run failed."""
    state = fold(run.events())
    started: dict[str, Any] = state.started or {}
    device = started.get("device", {})
    summary: Answer = {
        "run_dir": str(run.path),
        "trainable": started.get("trainable"),
        "total": started.get("total"),
        "loss_first": state.steps[0]["loss"] if state.steps else None,
        "loss_last": state.steps[-1]["loss"] if state.steps else None,
        "eval_loss_before": state.loss_before,
        "eval_loss_after": state.loss_after,
        "peak_bytes": state.peak_bytes,
        "predicted_bytes": started.get("predicted_bytes"),
        "tokens_per_second": state.tokens_per_second,
        "seconds": (state.ended_at or time.time()) - state.queued_at,
        "device": device.get("name"),
        "compute_dtype": device.get("compute_dtype"),
        "spec": asdict(run.spec),
    }
    if state.failure:
        summary["error"] = f"{state.failure['what']} {state.failure['do_next']}"
    return summary


if __name__ == "__main__":
    sys.exit(main())
