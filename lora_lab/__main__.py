"""The lab on the command line: count, memory, claim, train, sweep, export, microscope, xray, shape.

    python -m lora_lab count --model smollm2-135m --rank 8 --targets all-linear
    python -m lora_lab claim tutorial.md
    python -m lora_lab memory --model llama-3.1-8b --bits nf4-dq --rank 16 --batch 1 --seq-len-tokens 512
    python -m lora_lab train --rank 8 --bits nf4-dq --steps 20 --json
    python -m lora_lab sweep --ranks 1,4,8 --bits nf4-dq,int8,bf16 --steps 5 --engine local --json
    python -m lora_lab export --run FOLDER --format script > run.py
    python -m lora_lab xray --run FOLDER --beside FOLDER
    python -m lora_lab microscope --layer 0 --matrix self_attn.q_proj --first nf4 --second hqq4:128
    python -m lora_lab shape config.json --name my-model > my-model.json

With --jsonl, count, memory and claim read one JSON object per line and answer with one per line.
"""

import argparse
import io
import json
import sys
from contextlib import closing
from dataclasses import replace
from typing import Any

from lora_lab.claims.contract import answer_claim
from lora_lab.cli import contracts
from lora_lab.cli.arguments import (
    build_claim_record,
    build_memory_record,
    count_text,
    format_claim,
    format_memory,
    read_config,
)
from lora_lab.cli.options import build_parser
from lora_lab.cli.runs import open_run_at, read_input, run_one, run_sweep, say
from lora_lab.data.lab_folder import LabHome
from lora_lab.engine.shape_reader import ShapeReader
from lora_lab.engine.worker_process import kill_worker, start_worker
from lora_lab.parameters.adapter_config import UnsupportedCase
from lora_lab.parameters.catalogue import read_entries
from lora_lab.parameters.shapes import keep_in_catalogue
from lora_lab.runs.export_script import build_script
from lora_lab.runs.merged_model import Merged
from lora_lab.runs.run_file import run_file
from study.base.command_line import run_program
from study.base.errors import LearnerError, StorageError, classify_refusal
from study.base.settings import load_settings

ANSWERS = {"count": contracts.count_answer, "memory": contracts.answer_memory, "claim": answer_claim}


def main(arguments: list[str] | None = None) -> int:
    """Run a command. Return the exit status: 0 on success, 1 when any line or the run failed."""
    options = build_parser(__doc__).parse_args(arguments)
    try:
        if options.command in ANSWERS:
            return _answer_lines(options) if options.jsonl else _answer_one(options)
        return COMMANDS[options.command](options)
    except UnsupportedCase as case:
        print(
            f"This is not computed: {case}. Choose another model, task or framework; `--help` lists them.",
            file=sys.stderr,
        )
        return 1
    except LearnerError as error:
        return _tell(error, options)
    except OSError as error:
        kind = classify_refusal(error)
        if kind is None:
            raise
        return _tell(StorageError(kind), options)


def _tell(error: LearnerError, options: argparse.Namespace) -> int:
    if getattr(options, "json", False):
        print(json.dumps({"error": str(error)}))
    else:
        print(error, file=sys.stderr)
    return 1


def _answer_one(options: argparse.Namespace) -> int:
    with closing(ShapeReader()) as reader:
        if options.command == "count":
            print(count_text(options, reader))
        elif options.command == "claim":
            print(format_claim(answer_claim(_read_claim(options), reader)))
        else:
            record = build_memory_record(options)
            record["framework"] = record["framework"] or contracts.choose_usual_framework(record, reader)
            print(format_memory(record, contracts.answer_memory(record, reader), options.bits))
    return 0


def _read_claim(options: argparse.Namespace) -> dict[str, Any]:
    if options.line is not None:
        return build_claim_record(options)
    if options.file is None or str(options.file) == "-":
        return {"text": sys.stdin.read()}
    return {"text": read_input(options.file).decode("utf-8", "replace")}


def _answer_lines(options: argparse.Namespace) -> int:
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="backslashreplace")  # invalid bytes spoil only their own line
    failed = False
    with closing(ShapeReader()) as reader:
        for line in filter(str.strip, sys.stdin):
            found = contracts.answer_record(_parse_line(line), ANSWERS[options.command], reader)
            failed = failed or "error" in found
            print(json.dumps(found), flush=True)
    return 1 if failed else 0


def _parse_line(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _read_catalogue() -> int:
    """Write the shape of every entry; a shape without an entry stays as it is."""
    with closing(ShapeReader()) as reader:
        keep_in_catalogue(
            replace(
                reader.read(entry.config, kind=entry.kind, anew=True),
                name=entry.name,
                hub_id=entry.hub_id,
                licence=entry.licence,
            )
            for entry in read_entries()
        )
    return 0


def _print_shape(options: argparse.Namespace) -> int:
    if options.catalogue:
        return _read_catalogue()
    if options.config is None or not options.name:
        raise LearnerError("A shape needs a config.json and a --name.", do_next="Pass both, or --catalogue.")
    with closing(ShapeReader()) as reader:
        shape = reader.read(read_config(options.config), kind=options.kind)
    print(replace(shape, name=options.name, hub_id=options.hub_id, licence=options.licence).to_json())
    return 0


def _export(options: argparse.Namespace) -> int:
    """Print a script or JSON to standard output; write a merged model next to its adapter."""
    settings, run = load_settings(home=options.data_folder), open_run_at(options.run)
    if options.format == "json":
        print(run_file(run))
    elif options.format == "script":
        print(build_script(run, LabHome(settings.home), settings.models_dir), end="")
    else:
        worker = start_worker(settings, ["--merge", str(run.path)], log=sys.stderr.fileno())
        try:
            worker.wait()
        finally:
            kill_worker(worker)  # it has a session of its own, so Ctrl-C does not reach it
        merged = Merged(run)
        if merged.state["state"] != "done":
            raise LearnerError(merged.state["text"] or "The worker ended early.", do_next="Try again.")
        print(merged.folder)
    return 0


def _run_xray(options: argparse.Namespace) -> int:
    from lora_lab.cli.xray import format_xray  # imports matplotlib, which takes a second

    print(format_xray(options, say))
    return 0


def _run_microscope(options: argparse.Namespace) -> int:
    from lora_lab.cli.microscope import format_microscope  # imports matplotlib, which takes a second

    print(format_microscope(options, say))
    return 0


COMMANDS = {
    "train": run_one,
    "sweep": run_sweep,
    "shape": _print_shape,
    "export": _export,
    "xray": _run_xray,
    "microscope": _run_microscope,
}


if __name__ == "__main__":
    sys.exit(run_program(main))
