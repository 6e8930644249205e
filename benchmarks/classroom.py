"""A class under load, and one whose server is killed: answers lost or doubled, and how long each takes.

    python -m benchmarks.classroom                    # 200 students and a plan of 20 votes; then 20 kills
    python -m benchmarks.classroom --students 50 --kills 0

Real HTTP clients in a process of their own, on the same machine as the app. Figures: docs/classroom.md.
"""

import argparse
import asyncio
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import psutil

from classroom.activities.activity import ROUNDS, Activity, Phase, activity_from
from classroom.simulation.http_client import Client
from classroom.simulation.student import Manners, Student

ROOT = Path(__file__).parents[1]
NO_MANNERS = Manners(think_seconds=(0.0, 2.0), drop_rate=0.0, silent_rate=0.0)


@dataclass
class Figures:
    """What the students saw."""

    answer_seconds: list[float] = field(default_factory=list)
    event_seconds: list[float] = field(default_factory=list)
    """From the teacher's press to the state on each phone."""

    acknowledged: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    pressed_at: dict[tuple[int, int], float] = field(default_factory=dict)

    def heard(self, seconds: float, outcome: str, given: Mapping[str, Any]) -> None:
        """An answer was acknowledged or refused."""
        self.outcomes[outcome] += 1
        self.answer_seconds.append(seconds)
        if outcome in ("stored", "repeated"):
            self.acknowledged[given["id"]] = given

    def saw(self, state: Mapping[str, Any]) -> None:
        """A phone shows a state."""
        pressed = self.pressed_at.get((state["position"], state["round"]))
        if pressed is not None and not state["answered"]:
            self.event_seconds.append(time.monotonic() - pressed)


def main() -> None:
    """Run both parts and print their figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--students", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the start")
    if options.students:
        load_test(options.students)
    if options.kills:
        kill_test(options.kills)


def load_test(count: int) -> None:
    """A class on the whole app: join, then every vote of a plan."""
    with tempfile.TemporaryDirectory() as folder:
        server, address = start(["app.py", "--class", "--no-worker"], Path(folder))
        try:
            process = psutil.Process(server.pid)
            memory_before, cpu_before = process.memory_info().rss, process.cpu_times()
            figures = asyncio.run(_lesson(address, count))
            grown, cpu = process.memory_info().rss - memory_before, process.cpu_times()
            busy_seconds = cpu.user + cpu.system - cpu_before.user - cpu_before.system
        finally:
            server.kill()
            server.wait()
        lost, doubled, stored = compare(Path(folder), figures)
    print(f"{count} students, a plan of eight questions: {stored} answers stored")
    print(f"  answer, ms:          {spread(figures.answer_seconds)}")
    print(f"  press to phone, ms:  {spread(figures.event_seconds)}")
    print(f"  lost {lost}, doubled {doubled}, outcomes {dict(figures.outcomes)}")
    print(f"  the server computed {1000 * busy_seconds / stored:.1f} ms for each answer, all else included")
    print(f"  memory grew by {grown / 1e6:.0f} MB; load {os.getloadavg()[0]:.1f} at the end")


async def _lesson(address: str, count: int) -> Figures:
    figures, teacher = Figures(), Client(address, "teacher")
    code, plan = await open_class(teacher)
    students = [
        Student(address, code, plan, Random(number), NO_MANNERS, figures.heard, figures.saw)
        for number in range(count)
    ]
    began = time.monotonic()
    playing = [asyncio.create_task(student.play()) for student in students]
    while sum(bool(student.name) for student in students) < count:
        await asyncio.sleep(0.05)
    print(f"  {count} joined in {time.monotonic() - began:.1f} s")
    await asyncio.sleep(2)
    for position, phase in votes_of(plan):
        before = len(figures.answer_seconds)
        figures.pressed_at[position, ROUNDS[phase]] = time.monotonic()
        await teacher.post(f"/class/{code}/command", {"do": "go", "position": position, "phase": phase})
        while len(figures.answer_seconds) < before + count:
            await asyncio.sleep(0.05)
    await teacher.post(f"/class/{code}/command", {"do": "end"})
    await asyncio.gather(*playing)
    return figures


def kill_test(kills: int) -> None:
    """40 students vote again and again while the server is killed at random moments and started again."""
    with tempfile.TemporaryDirectory() as folder:
        figures, done = asyncio.run(_killed(Path(folder), kills))
        lost, doubled, stored = compare(Path(folder), figures)
    print(f"kill -9 at {done} random moments of a vote, 40 students: {stored} answers stored")
    print(f"  acknowledged {len(figures.acknowledged)}, of these lost {lost}; doubled {doubled}")
    print(f"  outcomes {dict(figures.outcomes)}")


async def _killed(folder: Path, kills: int) -> tuple[Figures, int]:
    figures, dice = Figures(), Random(7)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["-m", "benchmarks.class_server"]
    server, address = await asyncio.to_thread(start, command, folder, port)
    teacher = Client(address, "teacher")
    done = 0
    while done < kills:
        # A plan of eight questions has 24 votes; then the next class begins.
        code, plan = await open_class(teacher)
        manners = Manners(think_seconds=(0.0, 0.8), drop_rate=0.1, away_seconds=(0.0, 0.5), silent_rate=0.0)
        students = [
            Student(address, code, plan, Random(f"{code}/{number}"), manners, figures.heard)
            for number in range(40)
        ]
        playing = [asyncio.create_task(student.play()) for student in students]
        for position, phase in votes_of(plan):
            if done < kills:
                await lead(teacher, code, {"do": "go", "position": position, "phase": phase})
                await asyncio.sleep(dice.uniform(0.0, 0.9))
                server.kill()
                await asyncio.to_thread(server.wait)
                teacher.close()
                done += 1
                server, _ = await asyncio.to_thread(start, command, folder, port)
                await asyncio.sleep(1.5)
        await lead(teacher, code, {"do": "end"})
        await asyncio.wait_for(asyncio.gather(*playing), 60)
    server.send_signal(signal.SIGKILL)
    server.wait()
    return figures, done


def votes_of(plan: list[Activity]) -> list[tuple[int, Phase]]:
    """Every vote on the questions of a plan: (position, phase)."""
    return [
        (position, phase)
        for position, activity in enumerate(plan)
        if activity.kind == "question"
        for phase in activity.phases
        if phase in ROUNDS
    ]


async def open_class(teacher: Client) -> tuple[str, list[Activity]]:
    """Start the revision plan; its code and activities."""
    _, place = await teacher.post("/class/open", "plan=revision&days=1", form=True)
    code = str(place).split("/")[2]
    _, told = await teacher.get(f"/class/{code}/export/class.json")
    plan = [activity_from(spec) for spec in told["activities"]]
    return code, plan


async def lead(teacher: Client, code: str, order: Mapping[str, Any]) -> None:
    """A command, again until the server is there."""
    while True:
        try:
            await teacher.post(f"/class/{code}/command", order)
            return
        except ConnectionError:
            await asyncio.sleep(0.1)


def compare(folder: Path, figures: Figures) -> tuple[int, int, int]:
    """Acknowledged answers that are not stored as sent; answers stored twice; all stored ones."""
    with sqlite3.connect(folder / "study.sqlite3") as database:
        rows = database.execute("SELECT id, student_id, position, round FROM class_answers").fetchall()
    stored = {row[0]: (row[2], row[3]) for row in rows}
    lost = sum(
        stored.get(key) != (given["position"], given["round"]) for key, given in figures.acknowledged.items()
    )
    return lost, len(rows) - len({row[1:] for row in rows}), len(rows)


def start(command: list[str], folder: Path, port: int = 0) -> tuple["subprocess.Popen[str]", str]:
    """Start a server and wait until it says where it is."""
    server = subprocess.Popen(
        [sys.executable, *command, "--port", str(port), "--data-folder", str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    for line in server.stdout:
        if ready := re.search(r"Ready: (http://\S+)", line):
            return server, ready[1]
    raise SystemExit("The server did not start.")


def spread(seconds: list[float]) -> str:
    """The median, the 95th percentile and the highest value, in milliseconds."""
    ordered = sorted(seconds)
    if not ordered:
        return "none"
    p95 = ordered[int(0.95 * (len(ordered) - 1))]
    middle, highest = ordered[len(ordered) // 2], ordered[-1]
    return f"median {1000 * middle:.0f}, p95 {1000 * p95:.0f}, highest {1000 * highest:.0f}"


if __name__ == "__main__":
    main()
