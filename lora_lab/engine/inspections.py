"""Inspections of weights and adapters: a worker takes seconds, shows results as they come and caches them.

    inspection = queue.submit("weights", {"model": "smollm2-135m", "layer": 0, ...})
    queue.find(inspection.id)         its progress; also after a restart, once it is done

Equal orders are the same inspection while the files they inspect are the same.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lora_lab.data.embedded_model import PACKAGE
from lora_lab.data.lab_folder import LabHome, read_json, write_json
from lora_lab.engine.job_queue import Job, JobQueue
from lora_lab.engine.local import LocalEngine
from lora_lab.spec import EMBEDDED_MODEL
from study.base.errors import LearnerError
from study.base.settings import ROOT, Settings

KINDS: dict[str, int] = {"weights": 1, "adapter": 1}
"""The kinds of inspection (worker/inspect/serve.py), with a version to increase when results change."""

KEPT_FILES = 200
LOOK_SECONDS = 0.2
LIBRARIES = ("torch", "transformers", "bitsandbytes", "hqq", "peft")
"""Libraries whose version can change a result."""

WEIGHT_FILES = ("*.safetensors", "*.gguf", "adapter/*.safetensors")


@dataclass(frozen=True, kw_only=True)
class Inspection(Job):
    """An inspection of a model or an adapter, and the results so far."""

    kind: str
    order: Mapping[str, Any]
    done: int = 0
    total: int = 0
    """Total for a progress bar; 0 while unknown."""

    found: Mapping[str, Any] = field(default_factory=dict)


class InspectionQueue(JobQueue[Inspection]):
    """The job queue of inspections. Finished ones are stored as JSON. A training run doesn't wait for one."""

    name = "lab-inspections"
    worker_option = "--inspect"
    waits_for = "Ending an inspection"
    patience_seconds = 0
    starting = "Starting the process that measures, about 10 s, and longer on a busy machine"
    lost = "The process that measures ended, perhaps because memory ran out. Try again."

    def __init__(self, settings: Settings, engine: LocalEngine) -> None:
        super().__init__(settings, engine)
        self._folder = LabHome(settings.home).lab_path / "inspections"

    def submit(self, kind: str, order: Mapping[str, Any], *, learner: str = "") -> Inspection:
        """Enqueue an inspection, unless it is queued or done already. A failed one is tried again.

        Raises LearnerError on an unknown kind, and when too many wait.
        """
        if kind not in KINDS:
            raise LearnerError(
                f"There is no inspection {kind!r}.", do_next=f"Choose one of: {', '.join(KINDS)}."
            )
        inspection = self.derive_id(kind, order)
        with self._changed:
            known = self.find(inspection)
            if known is not None and known.status not in ("stopped", "failed"):
                return known
            return self.enqueue(Inspection(id=inspection, kind=kind, order=dict(order), asked_by=learner))

    def wait(self, kind: str, order: Mapping[str, Any], say: Callable[[str], None]) -> Inspection:
        """Wait for the finished inspection and pass progress to `say`. Raises LearnerError on failure."""
        inspection: Inspection | None = self.submit(kind, order)
        told = ""
        while inspection is not None and not inspection.ended:
            doing = (
                f"{inspection.doing}, {inspection.done} of {inspection.total}"
                if inspection.doing and inspection.total
                else inspection.doing
            )
            if doing not in ("", told):
                told = doing
                say(told)
            time.sleep(LOOK_SECONDS)
            inspection = self.find(inspection.id)
        if inspection is None or inspection.status != "done":
            # A problem ends with its own way out, since the page shows it alone.
            problem = inspection.problem if inspection else self.lost
            raise LearnerError("The measurement failed.", do_next=problem or "Run the command again.")
        return inspection

    def find(self, job_id: str) -> Inspection | None:
        """Find an inspection by its id: waiting, working, or done, also before a restart."""
        return super().find(job_id) or self._read_kept(job_id)

    def derive_id(self, kind: str, order: Mapping[str, Any]) -> str:
        """Compute an order's id: a hash of kind, order, the inspected files, and the libraries' versions."""
        told = [kind, KINDS.get(kind), order, list(_list_files(order)), _read_versions()]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]

    def build_order(self, job: Inspection) -> dict[str, Any]:
        return {"kind": job.kind, "order": dict(job.order)}

    def update_from(self, job: Inspection, said: dict[str, Any]) -> Inspection:
        """Return the inspection with the new results added."""
        return replace(
            job,
            doing=said.get("doing", ""),
            done=said.get("done", 0),
            total=said.get("total", 0),
            found={**job.found, **said["found"]},
        )

    def stop_working(self, job: Inspection) -> None:
        """Stop at once by ending the process, because a measurement doesn't poll. The results so far stay."""
        self.put(replace(job, status="stopped", doing=""))
        self.end_worker()

    def put(self, job: Inspection) -> None:
        """Write a finished inspection to disk before it becomes visible; on a full disk, to memory only."""
        if job.status == "done":
            with contextlib.suppress(OSError):
                write_json(self._path(job.id), {"kind": job.kind, "order": job.order, "found": job.found})
                for old in sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime)[
                    :-KEPT_FILES
                ]:
                    old.unlink(missing_ok=True)
        super().put(job)

    def _read_kept(self, job_id: str) -> Inspection | None:
        kept = read_json(self._path(job_id)) if job_id.isalnum() else {}
        if not {"kind", "order", "found"} <= kept.keys():
            return None
        return Inspection(
            id=job_id, kind=kept["kind"], order=kept["order"], found=kept["found"], status="done"
        )

    def _path(self, job_id: str) -> Path:
        return self._folder / f"{job_id}.json"


@cache
def _read_versions() -> list[str]:
    return [version(name) for name in LIBRARIES]


def _list_files(order: Mapping[str, Any]) -> Iterator[tuple[str, int, int] | str]:
    """List weight files in the order's folders, with size and time; the embedded model's package hash."""
    for value in order.values():
        for named in value if isinstance(value, list | tuple) else (value,):
            if named == EMBEDDED_MODEL:
                yield PACKAGE.sha256
            elif isinstance(named, str) and named and os.path.isdir(folder := _resolve_folder(named)):
                for path in sorted(path for glob in WEIGHT_FILES for path in folder.glob(glob)):
                    yield str(path), path.stat().st_size, path.stat().st_mtime_ns


def _resolve_folder(named: str) -> Path:
    """Resolve the folder as the worker sees it, which starts in the project's own.

    An address may name anything: Path.expanduser and Path.is_dir would raise on some names.
    """
    return ROOT / os.path.expanduser(named)
