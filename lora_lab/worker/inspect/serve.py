"""The inspection server: one kind of inspection is one function, and results are reported as they come.

An order is a line as json_lines.py reads it: `{"job", "kind", "order": {...}}`. Interim messages are `{"job",
"doing", "done", "total", "found"}`, sent when something is new; the results in `found` accumulate.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lora_lab.data.lab_folder import LabHome
from lora_lab.worker.inspect import microscope, xray
from lora_lab.worker.inspect.json_lines import End, ProgressCallback, Say, serve_orders

Inspect = Callable[[Mapping[str, Any], Path, LabHome, ProgressCallback], dict[str, Any]]
"""Takes an order, the models' folder and the lab's folder; returns the results that were not reported yet.

Raises LearnerError on an invalid order. Stopping ends the process, so an inspection doesn't poll for a stop.
"""

INSPECTIONS: dict[str, Inspect] = {"weights": microscope.inspect_matrix, "adapter": xray.inspect_runs}


def serve_inspections(models_dir: Path, home: LabHome) -> None:
    """Do inspections until standard input closes."""

    def inspect(job: dict[str, Any], say: Say, is_stopped: Callable[[], bool]) -> End:
        def report(
            doing: str = "", *, done: int = 0, total: int = 0, found: Mapping[str, Any] | None = None
        ) -> None:
            say(doing=doing, done=done, total=total, found=found or {})

        say(found=INSPECTIONS[job["kind"]](job["order"], models_dir, home, report))
        return "done"

    serve_orders(
        inspect, "The inspection could not be done", do_next="Choose something smaller, or try again."
    )
