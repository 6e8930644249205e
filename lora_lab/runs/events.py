"""events.jsonl, an append-only log: one process works on a run and appends, others read from an offset."""

import json
import os
import time
from pathlib import Path
from typing import Any

Event = dict[str, Any]
"""`kind` and `at` (seconds since 1970), and the kind's own fields."""


def append_event(path: Path, kind: str, **values: Any) -> Event:
    """Append one whole line in one call. An earlier writer's unfinished line is terminated first."""
    event = {"kind": kind, "at": time.time(), **values}
    line = json.dumps(event, allow_nan=True) + "\n"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        start = "" if _ends_whole(descriptor) else "\n"
        os.write(descriptor, (start + line).encode())
    finally:
        os.close(descriptor)
    return event


def _ends_whole(descriptor: int) -> bool:
    if os.fstat(descriptor).st_size == 0:
        return True
    os.lseek(descriptor, -1, os.SEEK_END)
    return os.read(descriptor, 1) == b"\n"


def read_events(path: Path, *, offset_bytes: int = 0) -> tuple[list[Event], int]:
    """Read whole events from `offset_bytes` on; return them and the next offset. Skip damaged lines."""
    try:
        with path.open("rb") as file:
            file.seek(offset_bytes)
            data = file.read()
    except FileNotFoundError:
        return [], offset_bytes
    whole = data[: data.rfind(b"\n") + 1]
    events = [event for line in whole.splitlines() if (event := _parse_line(line)) is not None]
    return events, offset_bytes + len(whole)


def _parse_line(line: bytes) -> Event | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("kind"), str) else None
