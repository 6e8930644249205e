"""The processor time of runs like those of the ready-made grids, for a machine that has not finished one yet.

    python -m lora_lab.worker.record.paces

Writes `lora_lab/grids/reference_paces.json`, which names machine, library versions, date and load.
Processor time, not wall time: it is what one core needs, whatever else the machine does meanwhile.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from lora_lab.data.datasets import build_own_dataset
from lora_lab.data.lab_folder import LabHome
from lora_lab.grids.reference_paces import FILE
from lora_lab.runs.events import Event
from lora_lab.runs.folder import RunFolder, create_run
from lora_lab.runs.grouping import MOST, may_share
from lora_lab.settings.grid_form import read_grid_presets
from lora_lab.spec import RunSpec
from lora_lab.worker.device.machine import find_machine
from lora_lab.worker.model.load import silence_libraries
from lora_lab.worker.record.provenance import describe_recording
from lora_lab.worker.training.model_cache import ModelCache
from lora_lab.worker.training.run import execute_group
from study.base.command_line import build_module_parser
from study.base.settings import load_settings

STEPS = 3
"""Of each run: the first one warms up and isn't counted."""

SIZES = (1, 2, MOST)
"""So many runs are timed side by side; an estimate takes the nearest of these."""


class TimedRun(RunFolder):
    """Notes this process's time at every event."""

    def emit(self, kind: str, **values: Any) -> Event:
        event = super().emit(kind, **values)
        with (self.path / "times.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps([kind, time.process_time()]) + "\n")
        return event


def list_kinds() -> list[RunSpec]:
    """List one spec of each model, format and variant that the ready-made grids have."""
    specs = [spec for preset in read_grid_presets() for spec in preset.grid.list_specs()]
    kinds = {(spec.model, spec.bits, spec.variant == "dora"): spec for spec in reversed(specs)}
    return [replace(spec, steps=STEPS) for spec in kinds.values()]


def measure_paces(spec: RunSpec, models_dir: Path) -> list[dict[str, Any]]:
    """Do one run, then groups of them side by side on the same base, as a grid does, and time each.

    Returns the processor seconds of a step and of all that isn't a step: each run's share in a group.
    """
    sizes = SIZES if may_share(spec, replace(spec, seed=1)) else SIZES[:1]
    with tempfile.TemporaryDirectory() as folder:
        home = LabHome(Path(folder))
        cache = ModelCache(models_dir, home=home)
        return [_measure_group(spec, size, home, models_dir, cache) for size in sizes]


def _measure_group(
    spec: RunSpec, size: int, home: LabHome, models_dir: Path, cache: ModelCache
) -> dict[str, Any]:
    runs_dir, now = home.folder / f"runs-{size}", datetime.now(UTC)
    created = [
        create_run(runs_dir, replace(spec, seed=seed), build_own_dataset(), now=now) for seed in range(size)
    ]
    begun = time.process_time()
    if not execute_group([TimedRun(run.path) for run in created], home, models_dir, cache=cache):
        raise SystemExit(f"A run failed: {created[0].state().failure_text}")
    ended = time.process_time()
    lines = (created[0].path / "times.jsonl").read_text("utf-8").splitlines()
    steps = [at for kind, at in map(json.loads, lines) if kind == "step"]
    step = statistics.median(later - earlier for earlier, later in pairwise(steps))
    return {
        "spec": asdict(spec),
        "shared_by": size,
        "cpu_seconds_per_step": round(step / size, 2),
        "other_cpu_seconds": round((ended - begun - STEPS * step) / size, 1),
    }


def main() -> int:
    build_module_parser("lora_lab.worker.record.paces", __doc__).parse_args()
    silence_libraries()
    models_dir = load_settings().models_dir
    machine = find_machine("auto")
    runs = []
    for spec in list_kinds():
        runs += measure_paces(spec, models_dir)
    provenance = describe_recording("lora_lab.worker.record.paces", machine)
    written = {"provenance": provenance | {"load": round(os.getloadavg()[0], 1)}, "runs": runs}
    FILE.write_text(json.dumps(written, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
