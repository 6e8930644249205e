"""Looking into weights and adapters: one kind of inspection is one function, its results said as they come.

An order is a line as json_lines.py reads it: `{"job", "kind", "order": {...}}`. On the way come
`{"job", "doing", "done", "total", "found"}`, each where there is something new; what was found adds up.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from lora_lab.data.lab_folder import LabHome
from lora_lab.worker.inspect import microscope, xray
from lora_lab.worker.inspect.json_lines import End, Say, serve


class Report(Protocol):
    """How an inspection says how far it is."""

    def __call__(
        self, doing: str = "", *, done: int = 0, total: int = 0, found: Mapping[str, Any] | None = None
    ) -> None:
        """What is being done, its place on a progress bar, and what is new among the results."""


Inspect = Callable[[Mapping[str, Any], Path, LabHome, Report], dict[str, Any]]
"""An order, the models' folder and the lab's home; gives the results that were not reported yet.

Raises LearnerError on an order that can't be done. Stopping ends the process, so nothing need look for it.
"""

KINDS: dict[str, Inspect] = {"weights": microscope.inspect, "adapter": xray.inspect}


def serve_inspections(models_dir: Path, home: LabHome) -> None:
    """Inspect until standard input closes."""

    def inspect(job: dict[str, Any], say: Say, is_stopped: Callable[[], bool]) -> End:
        def report(
            doing: str = "", *, done: int = 0, total: int = 0, found: Mapping[str, Any] | None = None
        ) -> None:
            say(doing=doing, done=done, total=total, found=found or {})

        say(found=KINDS[job["kind"]](job["order"], models_dir, home, report))
        return "done"

    serve(inspect, "The inspection could not be done", do_next="Choose something smaller, or try again.")
