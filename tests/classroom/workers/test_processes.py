"""`python -m classroom serve`: workers in processes of their own, of which one may die."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest

from classroom.__main__ import main
from classroom.activities.activity import parse_activity_spec
from classroom.live.live_room import LiveRoom
from classroom.simulation.student import Student, StudentBehaviour
from study.base.settings import Settings
from tests.classroom.builders import PLAN, plan_of
from tests.classroom.rooms import School, record_of
from tests.waiting import until

pytestmark = pytest.mark.postgres

needs_several_processes = pytest.mark.skipif(
    os.name == "nt", reason="several processes on one port need Linux or macOS"
)

ROOT = Path(__file__).parents[3]
SECONDS = 60.0
"""Until something must have happened: the machine may be busy."""

WORKERS = 2
STUDENTS = 24


def test_a_mistyped_command_is_told_the_commands_that_are_for_people(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["nonsense"])
    assert "(choose from" in (said := capsys.readouterr().err)
    assert "serve" in said
    assert "work" not in said


def test_without_a_database_server_the_command_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    assert main(["serve", "--data-folder", str(tmp_path)]) == 1
    assert "deploy/compose.yaml" in capsys.readouterr().err


@needs_several_processes
@pytest.mark.parametrize("share_socket", [False, True] if sys.platform == "linux" else [True])
def test_one_of_two_workers_is_killed_in_a_vote_and_the_class_goes_on(
    school: School, settings: Settings, share_socket: bool
) -> None:
    acknowledged: dict[str, dict[str, Any]] = {}

    def heard(_seconds: float, outcome: str, given: Any) -> None:
        assert outcome in ("stored", "repeated")
        acknowledged[given["id"]] = given

    async def play(address: str, parent: psutil.Process) -> LiveRoom:
        live = await school.start(plan_of(*PLAN[:2]))
        plan = [parse_activity_spec(activity.to_json()) for activity in live.plan]
        behaviour = StudentBehaviour(
            think_seconds=(0.2, 1.0), drop_rate=0.3, away_seconds=(0.0, 0.3), silent_rate=0.0, late_rate=0.0
        )
        students = [
            Student(address, live.room.code, plan, Random(number), behaviour, heard)
            for number in range(STUDENTS)
        ]
        playing = [asyncio.create_task(student.play()) for student in students]
        await until(lambda: len(live.online()) == STUDENTS)
        busy = [worker for worker in parent.children() if connected(worker)]
        assert share_socket or len(busy) == WORKERS
        await school.hub.carry_out(live, {"do": "next"})
        await until(lambda: len(live.answers(1)) >= STUDENTS // 4)
        busy[0].send_signal(signal.SIGKILL)
        await until(lambda: len(live.answers(1)) == STUDENTS)
        await school.hub.carry_out(live, {"do": "go", "position": 0, "phase": "revote"})
        await until(lambda: len(live.answers(2)) == STUDENTS)
        await until(lambda: len([each for each in parent.children() if each.pid != busy[0].pid]) == WORKERS)
        await school.hub.carry_out(live, {"do": "end"})
        await asyncio.wait_for(asyncio.gather(*playing), SECONDS)
        return live

    with served(settings, share_socket=share_socket) as (address, parent):
        live = asyncio.run(asyncio.wait_for(play(address, parent), 3 * SECONDS))
    record = record_of(school.context, live.room.code)
    stored = {answer.id: (answer.position, answer.round) for answer in record.answers}
    assert {key: (given["position"], given["round"]) for key, given in acknowledged.items()} == stored
    assert len({(a.student_id, a.position, a.round) for a in record.answers}) == 2 * STUDENTS == len(stored)
    assert len(record.students) == STUDENTS == len({student.name for student in record.students})


@needs_several_processes
def test_workers_end_with_the_process_that_started_them(settings: Settings) -> None:
    command = Serving(settings, share_socket=False)
    _, parent = command.start()
    workers = parent.children()
    assert len(workers) == WORKERS
    parent.kill()
    _, alive = psutil.wait_procs([parent, *workers], timeout=SECONDS)
    assert alive == []
    command.end()


def connected(worker: psutil.Process) -> bool:
    """Whether phones have a stream at a worker."""
    found = worker.net_connections("tcp")
    own = {each.laddr.port for each in found if each.status == psutil.CONN_LISTEN}
    return any(each.status == psutil.CONN_ESTABLISHED and each.laddr.port in own for each in found)


class Serving:
    """`python -m classroom serve` in a process of its own."""

    def __init__(self, settings: Settings, *, share_socket: bool) -> None:
        script = "import sys; from classroom.__main__ import main; "
        if share_socket:
            script += "from classroom.workers.supervisor import Supervisor; Supervisor.share_socket = True; "
        script += "sys.exit(main())"
        arguments = ["serve", "--workers", str(WORKERS), "--host", "127.0.0.1", "--port", "0"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", script, *arguments, "--data-folder", str(settings.home)],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": settings.database_url},
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self) -> tuple[str, psutil.Process]:
        """Wait until it answers; returns its address and the process."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if ready := re.search(r"Ready: (http://\S+)", line):
                return ready[1], psutil.Process(self._process.pid)
        raise AssertionError("The workers did not start.")

    def end(self) -> int:
        """End it, if it runs; returns its exit status."""
        self._process.terminate()
        status = self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return status


@contextmanager
def served(settings: Settings, *, share_socket: bool) -> Iterator[tuple[str, psutil.Process]]:
    """Its address and the process, until the end of the block; then it and its workers have ended."""
    command = Serving(settings, share_socket=share_socket)
    try:
        address, parent = command.start()
        yield address, parent
        children = parent.children()
    finally:
        status = command.end()
    assert status == 0
    assert not any(child.is_running() for child in children)
