"""The process that reads files of strangers, with limits on memory and processor time.

`python -m study.io.import_worker` reads its SETUP and then orders from standard input, one JSON object
per line, and answers with lines of JSON:

    {"profile_id": "", "path": "", "name": "deck.apkg", ..., "now": "2026-03-04T10:00:00Z"}
    {"done": 100, "of": 2000}
    {"plan": {...}, "report": {...}, "tables": {"drafts": "..."}, "cpu_seconds": 0.4, "peak_bytes": 120000000}
    {"error": ["deck.apkg can't be read.", "Choose another file."], ...}

SETUP names the data folder, the database, the modules to import first, and the functions that open the
exchanges (`module:function`); an order has the fields of an Upload and the moment. The process ends with its
standard input, so it does not outlive the app.
"""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from study.base.errors import LearnerError
from study.base.import_limits import IMPORT_CPU_SECONDS, READING_BYTES, SPLIT
from study.base.json_lines import open_answers
from study.base.settings import Settings
from study.content.concepts import load_concepts
from study.io.apply_import import Imports
from study.io.backup import BackupExchange
from study.io.exchange import Exchange
from study.io.planning import DirectPlanner, Planner, Upload
from study.io.process_limits import limit_cpu_time, limit_memory
from study.io.reading_process import build_memory_error, encode_error, find_named
from study.store import open_store
from study.store.rows import RowTexts, Tables

if sys.platform != "win32":  # which has no such limits; the app's own limit on time holds there
    import resource


def open_planner(setup: Mapping[str, Any]) -> DirectPlanner:
    """Open the store and the exchanges that SETUP names, in its order; backups come first."""
    settings = Settings(
        home=Path(setup["home"]), database_url=setup["database_url"], models_dir=Path(setup["models_dir"])
    )
    for module in setup["modules"]:
        import_module(module)
    store, concepts = open_store(settings.database_url, home=settings.home), load_concepts()
    exchanges: list[Exchange] = [
        BackupExchange(store=store, home=settings.home, row_problem=find_named(setup["row_problem"])),
        *(find_named(opener)(settings, store, concepts) for opener in setup["openers"]),
    ]
    return DirectPlanner(exchanges=exchanges, imports=Imports(store=store, home=settings.home))


def serve(planner: Planner, orders: IO[bytes], answers: IO[bytes]) -> None:
    """Plan what is ordered until the orders end."""

    def answer(content: Mapping[str, Any]) -> None:
        answers.write(json.dumps(content).encode() + b"\n")
        answers.flush()

    def report(done: int, of: int) -> None:
        answer({"done": done, "of": of})

    for line in orders:
        order = json.loads(line)
        now, begun = datetime.fromisoformat(order.pop("now")), time.process_time()
        upload = Upload(**{**order, "path": Path(order["path"])})
        name = upload.name
        limit_cpu_time(IMPORT_CPU_SECONDS)
        try:
            planned = planner.plan(upload, now=now, progress=report)
            rows = planned.plan.tables if upload.to_import else {}
            plan = replace(planned.plan, tables={})
            found: dict[str, Any] = {"plan": asdict(plan), "report": asdict(planned.report)}
        except LearnerError as error:
            found = encode_error(error)
        except FileNotFoundError:  # others needed its room, or it was sent again
            found = encode_error(LearnerError(f"{name} is no longer there.", do_next="Choose it again."))
        except MemoryError:
            found = {**encode_error(build_memory_error(name, SPLIT)), "ends": True}
        costs = {"cpu_seconds": time.process_time() - begun, "peak_bytes": _measure_peak_bytes()}
        if costs["peak_bytes"] > READING_BYTES / 2:
            found["ends"] = True
        if "plan" in found:
            _write_with_rows(answers, {**found, **costs}, rows)
        else:
            answer({**found, **costs})
        if found.get("ends"):
            return  # its memory is in pieces; a new process takes the next file


def _write_with_rows(answers: IO[bytes], content: Mapping[str, Any], tables: Tables) -> None:
    """Answer with the rows of each table as one text, a line each: neither side parses all at once."""
    answers.write(json.dumps(content).encode()[:-1] + b', "tables": {')
    for number, (name, rows) in enumerate(tables.items()):
        answers.write(f'{", " if number else ""}{json.dumps(name)}: "'.encode())
        for text in rows.texts if isinstance(rows, RowTexts) else map(json.dumps, rows):
            line = text.replace("\n", " ")  # in JSON it is never part of a value
            answers.write(json.dumps(f"{line}\n")[1:-1].encode())
        answers.write(b'"')
    answers.write(b"}}\n")
    answers.flush()


def _measure_peak_bytes() -> int:
    if sys.platform == "win32":
        return 0
    status = Path("/proc/self/status")
    if status.exists():  # on Linux ru_maxrss starts with the peak of the process that started this one
        line = next(each for each in status.read_text().splitlines() if each.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    answers = open_answers()
    planner = open_planner(json.loads(sys.stdin.buffer.readline()))
    limit_memory()
    serve(planner, sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
