"""Inspections: looks into weights and adapters that take a worker seconds, shown as they come and then kept.

    inspection = desk.look("weights", {"model": "smollm2-135m", "layer": 0, ...})
    desk.find(inspection.id)          how far it is; also after a restart, once it is done

Equal orders are the same inspection while what they look into is the same.
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lora_lab.data.embedded_model import PACKAGE
from lora_lab.data.lab_folder import read_json, write_json
from lora_lab.engine.job_queue import Desk, Job
from lora_lab.engine.local import LocalEngine
from lora_lab.spec import EMBEDDED_MODEL
from study.base.errors import LearnerError
from study.base.settings import Settings

KINDS: dict[str, int] = {"weights": 1, "adapter": 1}
"""What can be inspected (worker/inspect/serve.py), with the version of its results: raise it with them."""

KEPT_FILES = 200
LOOK_SECONDS = 0.2
LIBRARIES = ("torch", "transformers", "bitsandbytes", "hqq", "peft")
"""Whose version can change a result."""

WEIGHT_FILES = ("*.safetensors", "*.gguf", "adapter/*.safetensors")


@dataclass(frozen=True, kw_only=True)
class Inspection(Job):
    """One look into a model or an adapter, and what was found so far."""

    kind: str
    order: Mapping[str, Any]
    done: int = 0
    total: int = 0
    """For a progress bar; 0 while nobody knows."""

    found: Mapping[str, Any] = field(default_factory=dict)


class InspectionDesk(Desk[Inspection]):
    """Finished inspections stand as JSON in the data folder. A training run does not wait for one."""

    name = "lab-inspections"
    worker_option = "--inspect"
    waits_for = "Ending an inspection"
    patience_seconds = 0
    lost = "The process that measures ended, perhaps for want of memory. Try again."

    def __init__(self, settings: Settings, engine: LocalEngine) -> None:
        super().__init__(settings, engine)
        self._folder = settings.home / "lab" / "inspections"

    def look(self, kind: str, order: Mapping[str, Any]) -> Inspection:
        """Put an inspection in line, unless it is there or was done before. One that failed is tried anew.

        Raises LearnerError on a kind that there is not.
        """
        if kind not in KINDS:
            raise LearnerError(
                f"There is no inspection of {kind!r}.", do_next=f"There are: {', '.join(KINDS)}."
            )
        look = self.id_of(kind, order)
        with self._changed:
            known = self.find(look)
            if known is not None and known.status not in ("stopped", "failed"):
                return known
            return self.line_up(Inspection(id=look, kind=kind, order=dict(order)))

    def wait(self, kind: str, order: Mapping[str, Any], say: Callable[[str], None]) -> Inspection:
        """The finished inspection; what it does meanwhile is said. Raises LearnerError otherwise."""
        look: Inspection | None = self.look(kind, order)
        told = ""
        while look is not None and not look.ended:
            doing = f"{look.doing}, {look.done} of {look.total}" if look.doing and look.total else look.doing
            if doing not in ("", told):
                told = doing
                say(told)
            time.sleep(LOOK_SECONDS)
            look = self.find(look.id)
        if look is None or look.status != "done":
            raise LearnerError(look.problem if look else self.lost, do_next="Then try again.")
        return look

    def find(self, job_id: str) -> Inspection | None:
        """An inspection by its id: waiting, in hand, or done, also before a restart."""
        return super().find(job_id) or self._kept(job_id)

    def id_of(self, kind: str, order: Mapping[str, Any]) -> str:
        """What an order is called: by kind, order, the files it looks into, and the libraries' versions."""
        told = [kind, KINDS.get(kind), order, list(_files_of(order)), _versions()]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]

    def order_of(self, job: Inspection) -> dict[str, Any]:
        """Kind and order."""
        return {"kind": job.kind, "order": dict(job.order)}

    def after(self, job: Inspection, said: dict[str, Any]) -> Inspection:
        """With what is new among the results."""
        return replace(
            job,
            doing=said.get("doing", ""),
            done=said.get("done", 0),
            total=said.get("total", 0),
            found={**job.found, **said["found"]},
        )

    def stop_working(self, job: Inspection) -> None:
        """At once, and the process with it: a measurement does not look for a stop. What was found stays."""
        self.put(replace(job, status="stopped", doing=""))
        self.end_worker()

    def put(self, job: Inspection) -> None:
        """A finished one is kept on disk before anyone sees it; where the disk is full, in memory alone."""
        if job.status == "done":
            with contextlib.suppress(OSError):
                write_json(self._path(job.id), {"kind": job.kind, "order": job.order, "found": job.found})
                for old in sorted(self._folder.glob("*.json"), key=_age)[:-KEPT_FILES]:
                    old.unlink(missing_ok=True)
        super().put(job)

    def _kept(self, job_id: str) -> Inspection | None:
        kept = read_json(self._path(job_id)) if job_id.isalnum() else {}
        if not {"kind", "order", "found"} <= kept.keys():
            return None
        return Inspection(
            id=job_id, kind=kept["kind"], order=kept["order"], found=kept["found"], status="done"
        )

    def _path(self, job_id: str) -> Path:
        return self._folder / f"{job_id}.json"


@cache
def _versions() -> list[str]:
    return [version(name) for name in LIBRARIES]


def _age(path: Path) -> float:
    return path.stat().st_mtime


def _files_of(order: Mapping[str, Any]) -> Iterator[tuple[str, int, int] | str]:
    """Weight files in the folders that an order names, with size and time; the embedded model's package."""
    for value in order.values():
        for named in value if isinstance(value, list | tuple) else (value,):
            if named == EMBEDDED_MODEL:
                yield PACKAGE.sha256
            elif isinstance(named, str) and named.startswith(("/", ".", "~")):
                folder = Path(named).expanduser()
                for path in sorted(path for glob in WEIGHT_FILES for path in folder.glob(glob)):
                    yield str(path), path.stat().st_size, path.stat().st_mtime_ns
