"""Export of a run as one JSON file, and its import, which starts the same run where the model exists."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from lora_lab.data import datasets
from lora_lab.data.datasets import Dataset, Example, read_pairs
from lora_lab.data.uploads import Uploads
from lora_lab.runs.folder import RunFolder
from lora_lab.spec import RunSpec, parse_spec
from study.base.errors import LearnerError

MAX_RUN_FILE_BYTES = 2_900_000
"""The largest data set, 2,000 steps with their measurements, and the answers. In base64 it must stay below
what a browser may send (study/web/security/middleware.py).
"""


def run_file(run: RunFolder) -> str:
    """Return settings, exact data, every event and the answers as JSON."""
    dataset = datasets.load_saved(run.path)
    content = {
        "spec": asdict(run.spec),
        "data": asdict(dataset),
        "events": run.events(),
        "samples": run.samples(),
    }
    return json.dumps(_replace_non_finite(content), indent=1, allow_nan=False, ensure_ascii=False)


def _replace_non_finite(value: Any) -> Any:
    """Replace NaN and infinity by words, because strict JSON readers refuse the file otherwise."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: _replace_non_finite(item) for name, item in value.items()}
    return [_replace_non_finite(item) for item in value] if isinstance(value, list | tuple) else value


@dataclass(frozen=True, kw_only=True)
class ExportedRun:
    """Settings and data of a run file."""

    spec: RunSpec
    dataset: Dataset


def parse_run_file(name: str, content: bytes) -> ExportedRun:
    """Parse the settings and data of an exported run.

    Raises LearnerError on anything else, and on settings outside their limits here.
    """
    if len(content) > MAX_RUN_FILE_BYTES:
        raise LearnerError(
            f"{name} has {len(content):,} bytes; the limit is {MAX_RUN_FILE_BYTES:,}.",
            do_next="A run exported here is smaller: export it again.",
        )
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise LearnerError(f"{name} is not JSON.", do_next="Choose a run exported as JSON.") from error
    if not isinstance(found, dict) or not isinstance(found.get("spec"), dict):
        raise LearnerError(
            f"There is no run in {name}.", do_next="Choose a run exported with “This run as JSON”."
        )
    return ExportedRun(spec=parse_spec(found["spec"]), dataset=_read_dataset(name, found.get("data")))


ParseRun = Callable[[str, bytes], ExportedRun]


def read_run_file(
    name: str, content: bytes, uploads: Uploads, *, parse: ParseRun = parse_run_file
) -> tuple[RunSpec, Dataset]:
    """Read an exported run and store its data among the uploads. Raises LearnerError as `parse` does."""
    found = parse(name, content)
    dataset = uploads.adopt(found.dataset)
    return replace(found.spec, data=uploads.name_dataset(dataset)), dataset


def _read_dataset(name: str, data: object) -> Dataset:
    if not isinstance(data, dict):
        raise LearnerError(f"{name} holds settings but no data.", do_next="Export the run again.")
    parts: dict[str, tuple[Example, ...]] = {}
    for part in ("train", "held_out"):
        rows = data.get(part)
        if not isinstance(rows, list) or not rows:
            raise LearnerError(f"{name} has no examples under {part}.", do_next="Export the run again.")
        parts[part] = tuple(read_pairs(f"{name}, {part}", enumerate(rows, start=1), unit="example"))
    label = str(data.get("label", name))[:120]
    return datasets.build_dataset(label, train=parts["train"], held_out=parts["held_out"])
