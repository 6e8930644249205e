"""A class under load, and one whose server is killed: answers lost or doubled, and how long each takes.

    python -m benchmarks.classroom                    # 200 students and a plan of 20 votes; then 20 kills
    python -m benchmarks.classroom --students 50 --kills 0 --drop 0.3
    python -m benchmarks.classroom --like-classquiz   # what ClassQuiz's load-test.py does by default
    python -m benchmarks.classroom --students 200 --kills 0 --drop 0.3 --repeat   # and a network that repeats
    python -m benchmarks.classroom --database-away 20 # nobody can write for 20 s, in the middle of a vote
    python -m benchmarks.classroom --database-away 20 --small-disk FOLDER   # and the disk is full meanwhile
    python -m benchmarks.classroom --classes 10       # after one another: does the server's memory grow?
    python -m tests.postgres python -m benchmarks.classroom --students 1000 --workers 3 --kills 0

The last one needs PostgreSQL: `tests.postgres` starts a throwaway server. Real HTTP clients in a process of
their own, on the same machine as the app. Figures: docs/classroom.md.
"""

import asyncio
import os
import signal
import socket
import sqlite3
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import create_engine, select

from benchmarks.app_process import SERVER, running, start
from benchmarks.class_app import database, lead, list_family, list_votes, open_class, sum_cpu, sum_memory
from classroom.activities.activity import ROUNDS
from classroom.simulation.http_client import Client
from classroom.simulation.student import Student, StudentBehaviour
from study.base.command_line import build_module_parser
from study.store.class_schema import class_answers

THINK_SECONDS = (0.0, 2.0)
AWAY_SECONDS = (0.5, 3.0)
SETTLE_SECONDS = 15.0
"""After a class: its connections end, and a collection has run."""

PUNCTUAL = StudentBehaviour(
    think_seconds=THINK_SECONDS, drop_rate=0.0, away_seconds=AWAY_SECONDS, silent_rate=0.0, late_rate=0.0
)
LIKE_CLASSQUIZ = StudentBehaviour(
    think_seconds=(0.2, 1.0), drop_rate=0.0, silent_rate=0.0, late_rate=1.0, late_seconds=(0.0, 10.0)
)
"""Clients start within 10 s and think .2 to 1 s (load-test.py in its repository, commit 4d1f1d3)."""

CLASSQUIZ_VOTES = 15


@dataclass
class Figures:
    """What the students saw."""

    answer_seconds: list[float] = field(default_factory=list)
    event_seconds: list[float] = field(default_factory=list)
    """From the teacher's step to the state on each phone."""

    last_seconds: dict[tuple[int, int], float] = field(default_factory=dict)
    """From the teacher's step to the state on the last phone, by position and round."""

    vote_seconds: list[float] = field(default_factory=list)
    """From the teacher's step to the last acknowledgement, one for each vote."""

    back_seconds: list[float] = field(default_factory=list)
    """From a phone's waking to its first event."""

    acknowledged: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    copies: Counter[str] = field(default_factory=Counter)
    """The outcomes of answers that the network has repeated."""

    sent_at: dict[tuple[int, int], float] = field(default_factory=dict)

    def note_answer(self, seconds: float, outcome: str, given: Mapping[str, Any]) -> None:
        """An answer was acknowledged or refused."""
        self.outcomes[outcome] += 1
        self.answer_seconds.append(seconds)
        if outcome in ("stored", "repeated"):
            self.acknowledged[given["id"]] = given

    def note_state(self, state: Mapping[str, Any]) -> None:
        """A phone shows a state."""
        asked = (state["position"], state["round"])
        sent = self.sent_at.get(asked)
        if sent is not None and not state["answered"]:
            self.event_seconds.append(time.monotonic() - sent)
            self.last_seconds[asked] = max(self.last_seconds.get(asked, 0.0), self.event_seconds[-1])


class RepeatingClient(Client):
    """A network that delivers each answer twice at the same moment, and then the answer before it again."""

    before: Any = None
    copies: Counter[str]

    async def post(self, path: str, body: Any, *, form: bool = False) -> tuple[int, Any]:
        """Return what the first of both was answered."""
        if not path.endswith("/answer"):
            return await super().post(path, body, form=form)
        again = Client(self.address, self.browser)
        try:
            own, *others = await asyncio.gather(super().post(path, body), again.post(path, body))
            if self.before and self.before["id"] != body["id"]:
                others.append(await again.post(path, self.before))
        finally:
            again.close()
        self.before = body
        self.copies.update(told["outcome"] for _, told in others)
        return own


def main() -> None:
    """Run both parts and print their figures."""
    parser = build_module_parser("benchmarks.classroom", __doc__)
    parser.add_argument("--students", type=int, default=200, help="students (default: 200)")
    parser.add_argument("--kills", type=int, default=20, help="times that the server is killed (default: 20)")
    parser.add_argument("--workers", type=int, default=0, help="processes for students, on PostgreSQL")
    parser.add_argument("--votes", type=int, default=0, help="only so many votes of the plan")
    parser.add_argument("--classes", type=int, default=0, help="so many classes after one another, no kills")
    parser.add_argument(
        "--drop", type=float, default=0.0, help="share of answers after which the connection drops"
    )
    parser.add_argument("--repeat", action="store_true", help="deliver answers twice, and old ones again")
    parser.add_argument(
        "--like-classquiz", action="store_true", help="200 students as its load test has them"
    )
    parser.add_argument(
        "--database-away",
        type=float,
        default=0.0,
        help="seconds for which nobody can write, SQLite; no kills",
    )
    parser.add_argument(
        "--small-disk",
        type=Path,
        help="with --database-away: a folder on a small disk, which is filled instead",
    )
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the start")
    if options.classes:
        memory_test(options.classes, options.students)
        return
    if options.database_away:
        away_test(options.students, options.database_away, options.small_disk)
        return
    if options.like_classquiz:
        load_test(200, workers=options.workers, votes=CLASSQUIZ_VOTES, behaviour=LIKE_CLASSQUIZ)
        return
    if options.students:
        behaviour = replace(PUNCTUAL, drop_rate=options.drop)
        load_test(
            options.students,
            workers=options.workers,
            votes=options.votes,
            behaviour=behaviour,
            repeat=options.repeat,
        )
    if options.kills:
        kill_test(options.kills)


def load_test(
    count: int, *, workers: int, votes: int, behaviour: StudentBehaviour, repeat: bool = False
) -> None:
    """A class on the whole app: join, then every vote of a plan, or the first ones."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        url = opened.enter_context(database(folder))
        processes = [opened.enter_context(running(["app.py", "--class", "--no-worker"], folder, url))]
        if workers:
            command = ["-m", "classroom", "serve", "--host", "127.0.0.1", "--workers", str(workers)]
            processes.append(opened.enter_context(running(command, folder, url)))
        servers = [each for process, _ in processes for each in list_family(process.pid)]
        memory_before, cpu_before = sum_memory(servers), sum_cpu(servers)
        (_, teacher), (_, students) = processes[0], processes[-1]
        figures = asyncio.run(_play_lesson(teacher, students, count, votes, behaviour, repeat=repeat))
        grown, busy_seconds = sum_memory(servers) - memory_before, sum_cpu(servers) - cpu_before
        lost, doubled, stored = compare(url, figures)
    where = "PostgreSQL" if SERVER else "SQLite"
    served = f"the app and {workers} workers" if workers else "one process"
    played = len(figures.vote_seconds)
    print(f"{count} students, {played} votes, {where}, {served}: {stored} answers stored")
    print(f"  answer, ms:          {format_ms(figures.answer_seconds)}")
    print(f"  press to phone, ms:  {format_ms(figures.event_seconds)}")
    print(f"  press to the last phone of each vote, ms: {format_ms(list(figures.last_seconds.values()))}")
    print(f"  back after a drop, ms: {format_ms(figures.back_seconds)} ({len(figures.back_seconds)} times)")
    print(f"  lost {lost}, doubled {doubled}, {dict(figures.outcomes)}; of copies {dict(figures.copies)}")
    print(f"  answers per second, from press to the last: {stored / sum(figures.vote_seconds):.0f}")
    print(f"  the servers computed {1000 * busy_seconds / stored:.1f} ms per answer, without the database")
    print(f"  memory grew by {grown / 1e6:.0f} MB; load {os.getloadavg()[0]:.1f} at the end")


def away_test(count: int, seconds: float, small_disk: Path | None) -> None:
    """Votes of a class; in the second one another process holds the database's write lock for a while.

    With `small_disk` the data folder is there, and a file fills that disk instead.
    """
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(dir=small_disk)))
        url = f"sqlite:///{folder / 'study.sqlite3'}"
        _, address = opened.enter_context(running(["app.py", "--class", "--no-worker"], folder, url))
        away = partial(fill_disk, folder) if small_disk else partial(hold_lock, folder / "study.sqlite3")
        figures = asyncio.run(_vote_while_away(address, away, count, seconds))
        lost, doubled, stored = compare(url, figures)
    print(f"{count} students, 3 votes, nobody can write for {seconds:.0f} s of the second: {stored} stored")
    print(f"  acknowledged {len(figures.acknowledged)}, of these lost {lost}; doubled {doubled}")
    print(f"  answer, ms: {format_ms(figures.answer_seconds)}; load {os.getloadavg()[0]:.1f} at the end")


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold the write lock of a SQLite file."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@contextmanager
def fill_disk(folder: Path) -> Iterator[None]:
    """Fill the disk of a folder to its last byte."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass
    yield
    filler.unlink()


async def _vote_while_away(
    address: str, away: Callable[[], AbstractContextManager[None]], count: int, seconds: float
) -> Figures:
    async def hold() -> None:
        while len(figures.sent_at) < 2:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)
        before = len(figures.acknowledged)
        with away():
            during = len(figures.acknowledged)
            await asyncio.sleep(seconds)
            print(f"  acknowledged before {before}, while away {len(figures.acknowledged) - during}")

    figures = Figures()
    holding = asyncio.create_task(hold())
    await _play_lesson(address, address, count, 3, PUNCTUAL, figures)
    await holding
    return figures


def memory_test(classes: int, count: int) -> None:
    """Classes of two votes after one another in one server, and its resident memory after each."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        url = opened.enter_context(database(folder))
        server, address = opened.enter_context(running(["app.py", "--class", "--no-worker"], folder, url))
        sizes = [sum_memory(list_family(server.pid))]
        print(f"  before the first class: {sizes[0] / 1e6:.0f} MB", flush=True)
        for number in range(1, classes + 1):
            asyncio.run(_play_lesson(address, address, count, 2, PUNCTUAL))
            time.sleep(SETTLE_SECONDS)
            sizes.append(sum_memory(list_family(server.pid)))
            print(f"  after class {number}: {sizes[-1] / 1e6:.0f} MB", flush=True)
    grown = (sizes[-1] - sizes[2]) / 1e6
    print(f"{classes} classes of {count} students: from the second to the last {grown:+.0f} MB", end="")
    print(f"; load {os.getloadavg()[0]:.1f} at the end")


async def _play_lesson(
    teacher_address: str,
    address: str,
    count: int,
    votes: int,
    behaviour: StudentBehaviour,
    figures: Figures | None = None,
    *,
    repeat: bool = False,
) -> Figures:
    figures, teacher = figures or Figures(), Client(teacher_address, "teacher")
    code, plan = await open_class(teacher)
    students = [
        Student(
            address,
            code,
            plan,
            Random(number),
            behaviour,
            figures.note_answer,
            figures.note_state,
            figures.back_seconds.append,
        )
        for number in range(count)
    ]
    for student in students if repeat else ():
        student.client = client = RepeatingClient(address, student.client.browser)
        client.copies = figures.copies
    began = time.monotonic()
    playing = [asyncio.create_task(student.play()) for student in students]
    while sum(bool(student.name) for student in students) < count:
        await asyncio.sleep(0.05)
    print(f"  {count} joined in {time.monotonic() - began:.1f} s", flush=True)
    await asyncio.sleep(2)
    for position, phase in list_votes(plan)[: votes or None]:
        before = len(figures.answer_seconds)
        sent = figures.sent_at[position, ROUNDS[phase]] = time.monotonic()
        await lead(teacher, code, {"do": "go", "position": position, "phase": phase})
        while len(figures.answer_seconds) < before + count:
            await asyncio.sleep(0.05)
        figures.vote_seconds.append(time.monotonic() - sent)
    await lead(teacher, code, {"do": "end"})
    await asyncio.gather(*playing)
    return figures


def kill_test(kills: int) -> None:
    """40 students vote again and again while the server is killed at random moments and started again."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'study.sqlite3'}"
        figures, done = asyncio.run(_kill_and_count(Path(folder), url, kills))
        lost, doubled, stored = compare(url, figures)
    print(f"kill -9 at {done} random moments of a vote, 40 students: {stored} answers stored")
    print(f"  acknowledged {len(figures.acknowledged)}, of these lost {lost}; doubled {doubled}")
    print(f"  outcomes {dict(figures.outcomes)}")


async def _kill_and_count(folder: Path, url: str, kills: int) -> tuple[Figures, int]:
    figures, rng = Figures(), Random(7)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["-m", "benchmarks.class_server"]
    server, address = await asyncio.to_thread(start, command, folder, url, port)
    teacher = Client(address, "teacher")
    done = 0
    while done < kills:
        # A plan of eight questions has 24 votes; then the next class begins.
        code, plan = await open_class(teacher)
        behaviour = StudentBehaviour(
            think_seconds=(0.0, 0.8), drop_rate=0.1, away_seconds=(0.0, 0.5), silent_rate=0.0, late_rate=0.0
        )
        students = [
            Student(address, code, plan, Random(f"{code}/{number}"), behaviour, figures.note_answer)
            for number in range(40)
        ]
        playing = [asyncio.create_task(student.play()) for student in students]
        for position, phase in list_votes(plan):
            if done < kills:
                await lead(teacher, code, {"do": "go", "position": position, "phase": phase})
                await asyncio.sleep(rng.uniform(0.0, 0.9))
                server.kill()
                await asyncio.to_thread(server.wait)
                teacher.close()
                done += 1
                server, _ = await asyncio.to_thread(start, command, folder, url, port)
                await asyncio.sleep(1.5)
        await lead(teacher, code, {"do": "end"})
        await asyncio.wait_for(asyncio.gather(*playing), 60)
    server.send_signal(signal.SIGKILL)
    server.wait()
    return figures, done


def compare(url: str, figures: Figures) -> tuple[int, int, int]:
    """Acknowledged answers that are not stored as sent; answers stored twice; all stored ones."""
    columns = class_answers.c
    engine = create_engine(url)
    with engine.connect() as connection:
        wanted = select(columns.id, columns.student_id, columns.position, columns.round)
        rows = [tuple(row) for row in connection.execute(wanted)]
    engine.dispose()
    stored = {row[0]: (row[2], row[3]) for row in rows}
    lost = sum(
        stored.get(key) != (given["position"], given["round"]) for key, given in figures.acknowledged.items()
    )
    return lost, len(rows) - len({row[1:] for row in rows}), len(rows)


def format_ms(seconds: list[float]) -> str:
    """The median, the 95th percentile and the highest value, in milliseconds."""
    ordered = sorted(seconds)
    if not ordered:
        return "none"
    p95 = ordered[int(0.95 * (len(ordered) - 1))]
    middle = statistics.median(ordered)
    return f"median {1000 * middle:.0f}, p95 {1000 * p95:.0f}, highest {1000 * ordered[-1]:.0f}"


if __name__ == "__main__":
    main()
