"""A run folder: spec.json, data-*.jsonl, events.jsonl, adapter/, samples.json, stdout.log."""

import contextlib
import json
import re
import secrets
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from lora_lab.data import datasets
from lora_lab.data.datasets import Dataset
from lora_lab.data.lab_folder import replace_text
from lora_lab.runs.events import Event, append_event, read_events
from lora_lab.runs.state import RunState, fold_events
from lora_lab.spec import RunSpec
from study.base.days import format_moment
from study.base.errors import LearnerError

WITHIN_SECONDS = "within-seconds"
RUN_ID = re.compile(r"^\d{8}-\d{9}-[a-z0-9.-]{1,60}-[0-9a-f]{6}$")


@dataclass(frozen=True)
class RunFolder:
    path: Path

    @property
    def run_id(self) -> str:
        """The folder's name, safe to show and to put into a URL."""
        return self.path.name

    @property
    def started_at(self) -> str:
        """When it was submitted, as `4 March 2026, 10:00:07 UTC`: the seconds tell equal runs apart."""
        return say_start(self.run_id)

    @property
    def events_path(self) -> Path:
        """The append-only log of the run."""
        return self.path / "events.jsonl"

    @property
    def stop_path(self) -> Path:
        """The file whose presence asks the worker to stop after the current step."""
        return self.path / "stop"

    @property
    def within_seconds(self) -> float:
        """The time that it was asked to keep to; 0 for a run that takes as long as its settings take."""
        try:
            return max(0.0, float((self.path / WITHIN_SECONDS).read_text("utf-8")))
        except (OSError, ValueError):
            return 0.0

    @property
    def log_path(self) -> Path:
        """What the worker printed during the run's job; the runs of one job share the file."""
        return self.path / "stdout.log"

    @property
    def adapter_path(self) -> Path:
        """The trained adapter as PEFT saves it."""
        return self.path / "adapter"

    @property
    def has_adapter(self) -> bool:
        """Whether an adapter was saved that PEFT, the chat and the X-ray can read."""
        return (self.adapter_path / "adapter_config.json").is_file()

    @property
    def spec(self) -> RunSpec:
        path = self.path / "spec.json"
        return _read_spec(path, path.stat().st_mtime_ns)

    @property
    def data_label(self) -> str:
        """The name of its data set, such as the learner's file; the setting's value for a damaged one."""
        return datasets.read_label(self.path) or self.spec.data

    def emit(self, kind: str, **values: Any) -> Event:
        return append_event(self.events_path, kind, **values)

    def events(self) -> list[Event]:
        """Read all whole events so far."""
        return read_events(self.events_path)[0]

    def state(self) -> RunState:
        """Return the run as its events tell it. Only what was appended since the last call is read."""
        return _STATES.read(self.events_path)

    def ask_to_stop(self) -> None:
        """Ask the worker to save the adapter and end after its current step."""
        self.stop_path.touch()

    def write_json(self, name: str, values: dict[str, Any]) -> None:
        """Replace a JSON file of the run. Once another process has deleted it, nothing brings it back."""
        with contextlib.suppress(FileNotFoundError):
            replace_text(self.path / name, json.dumps(values))

    def samples(self) -> list[dict[str, str]]:
        """Read prompt, reference, base and tuned answers; empty until they are written."""
        try:
            kept = json.loads((self.path / "samples.json").read_text("utf-8"))
            samples = list(kept["samples"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return []
        whole = all(
            isinstance(sample, dict)
            and {"prompt", "reference", "base", "tuned"} <= sample.keys()
            and all(isinstance(text, str) for text in sample.values())
            for sample in samples
        )
        return samples if whole else []


@lru_cache(maxsize=4096)  # written once, before the run is known
def _read_spec(path: Path, _written_ns: int) -> RunSpec:
    return RunSpec.from_json(path.read_text("utf-8"))


KEPT_STATES = 500


class _States:
    """The state of each run and how far its events were read, for the newest runs: the last runs of a longer
    list, which are read again each time, do not push out the first ones.
    """

    def __init__(self) -> None:
        self._known: dict[Path, tuple[int, RunState]] = {}
        self._lock = threading.Lock()

    def read(self, path: Path) -> RunState:
        """Return the state now. A file that is shorter than what was read of it is read from its start."""
        with self._lock:
            offset_bytes, state = self._known.get(path, (0, RunState()))
        try:
            size_bytes = path.stat().st_size
        except OSError:
            size_bytes = 0
        if size_bytes == offset_bytes:
            return state
        if size_bytes < offset_bytes:
            offset_bytes, state = 0, RunState()
        events, offset_bytes = read_events(path, offset_bytes=offset_bytes)
        state = fold_events(events, state)
        with self._lock:
            self._known[path] = (offset_bytes, state)
            if len(self._known) > KEPT_STATES:
                del self._known[min(self._known)]  # names sort by time
        return state


_STATES = _States()


def create_run(
    runs_dir: Path, spec: RunSpec, dataset: Dataset, *, now: datetime, within_seconds: float = 0
) -> RunFolder:
    """Create a folder with the spec and the exact data; from then on the run survives a crash.

    `within_seconds` is a time to keep to, by fewer steps and fewer measured examples; 0 for none.
    """
    model = re.sub(r"[^a-z0-9.-]+", "-", Path(spec.model).name.lower())[:30].strip("-.") or "model"
    name = f"{format_time_stamp(now)}-{model}-r{spec.rank}-{spec.bits}-{secrets.token_hex(3)}"
    building = runs_dir / f".{name}"
    building.mkdir(parents=True)
    try:
        (building / "spec.json").write_text(spec.to_json() + "\n", "utf-8")
        datasets.save_dataset(dataset, building)
        if within_seconds:
            (building / WITHIN_SECONDS).write_text(f"{within_seconds}\n", "utf-8")
        building.rename(runs_dir / name)
    except OSError:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return RunFolder(runs_dir / name)


def format_time_stamp(now: datetime) -> str:
    """Return the start of a folder's name, in milliseconds: names sort by time."""
    return f"{now:%Y%m%d-%H%M%S}{now.microsecond // 1000:03d}"


def say_start(name: str) -> str:
    """Return the time at the start of a folder's name, as `4 March 2026, 10:00:07 UTC`."""
    at = datetime.strptime(name[:15], "%Y%m%d-%H%M%S")
    return f"{format_moment(at)}:{at:%S} UTC"


def open_run(runs_dir: Path, run_id: str) -> RunFolder:
    """Open a run by its id, never outside `runs_dir`. Raises LearnerError when it doesn't exist."""
    folder = runs_dir / run_id
    if not RUN_ID.fullmatch(run_id) or not _is_run(folder):
        raise LearnerError("There is no run with that name.", do_next="Choose one from the list of runs.")
    return RunFolder(folder)


def list_runs(runs_dir: Path) -> Iterator[RunFolder]:
    """Yield every run, newest first; damaged ones are skipped."""
    return (RunFolder(path) for path in list_paths(RUN_ID, runs_dir) if _is_run(path))


def list_with_damaged(runs_dir: Path) -> tuple[list[RunFolder], list[Path]]:
    """List every run, and what has a run's name and can't be read as one, both newest first."""
    found = [(path, _is_run(path)) for path in list_paths(RUN_ID, runs_dir)]
    runs = [RunFolder(path) for path, is_run in found if is_run]
    return runs, [path for path, is_run in found if not is_run]


def list_paths(pattern: re.Pattern[str], folder: Path) -> list[Path]:
    """List the paths in a folder whose whole name matches, newest first; none where there is no folder."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted((path for path in found if pattern.fullmatch(path.name)), reverse=True)


def _is_run(path: Path) -> bool:
    """Return whether a folder is a run: not a link out of the runs folder, and with readable settings."""
    try:
        spec: RunSpec | None = RunFolder(path).spec
    except (OSError, UnicodeDecodeError, LearnerError):
        spec = None
    return spec is not None and not path.is_symlink()


def delete_run(run: RunFolder) -> None:
    shutil.rmtree(run.path)
