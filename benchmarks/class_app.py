"""The app that a benchmark of a class runs on: its database, its processes, and its teacher's steps."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.app_process import SERVER
from classroom.activities.activity import ROUNDS, Activity, Phase, parse_activity_spec
from classroom.simulation.http_client import Client
from tests.postgres import new_database


@contextmanager
def database(folder: Path) -> Iterator[str]:
    """A new database on the server of DATABASE_URL, or the file in a data folder."""
    if not SERVER:
        yield f"sqlite:///{folder / 'study.sqlite3'}"
        return
    with new_database(SERVER) as url:
        yield url


async def open_class(teacher: Client) -> tuple[str, list[Activity]]:
    """Start the revision plan; its code and activities."""
    _, place = await teacher.post("/class/open", "plan=revision&days=1", form=True)
    code = str(place).split("/")[2]
    _, told = await teacher.get(f"/class/{code}/export/class.json")
    plan = [parse_activity_spec(spec) for spec in told["activities"]]
    return code, plan


def list_votes(plan: list[Activity]) -> list[tuple[int, Phase]]:
    """List every vote on the questions of a plan: (position, phase)."""
    return [
        (position, phase)
        for position, activity in enumerate(plan)
        if activity.kind == "question"
        for phase in activity.phases
        if phase in ROUNDS
    ]


async def lead(teacher: Client, code: str, order: Mapping[str, Any]) -> None:
    """A command, again until the server is there."""
    while True:
        try:
            await teacher.post(f"/class/{code}/command", order)
            return
        except ConnectionError:
            await asyncio.sleep(0.1)


def list_family(pid: int) -> list[psutil.Process]:
    """List a process and those that it has started."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def sum_memory(processes: list[psutil.Process]) -> int:
    """Resident bytes."""
    return sum(process.memory_info().rss for process in processes)


def sum_cpu(processes: list[psutil.Process]) -> float:
    """Seconds of processor time."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)
