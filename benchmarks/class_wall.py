"""How soon a concept wall is read: answers of a class, the whole app with its grader.

python -m benchmarks.class_wall --students 100 --seconds 2
"""

import asyncio
import os
import tempfile
import time
from pathlib import Path
from random import Random

from benchmarks.app_process import running
from benchmarks.class_app import list_family, open_class, sum_cpu
from classroom.simulation.http_client import Client
from classroom.simulation.student import Student
from study.base.command_line import build_module_parser

LOOK_SECONDS = 0.1
PATIENCE_SECONDS = 120


def main() -> None:
    """Open a class at its wall, answer, and print when the last answer had its verdicts."""
    parser = build_module_parser("benchmarks.class_wall", __doc__)
    parser.add_argument("--students", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=2.0, help="in which all answers arrive")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the start")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = f"sqlite:///{folder / 'study.sqlite3'}"
        with running(["app.py", "--class"], folder, url) as (server, address):
            processes = list_family(server.pid)
            before = sum_cpu(processes)
            letters, waited = asyncio.run(_answer(address, options.students, options.seconds))
            processes = list_family(server.pid)
            print(
                f"{options.students} answers of {letters} characters within {options.seconds:g} s: "
                f"all are judged {waited:.1f} s after the last came, "
                f"{sum_cpu(processes) - before:.1f} s of processor time; load {os.getloadavg()[0]:.1f}"
            )


async def _answer(address: str, count: int, seconds: float) -> tuple[int, float]:
    """The answers' mean length, and the seconds from the last one's acknowledgement to its verdicts."""
    teacher = Client(address, "teacher")
    code, plan = await open_class(teacher)
    position = next(number for number, each in enumerate(plan) if each.kind == "wall")
    rng = Random(0)
    texts: list[str] = []
    students = [
        Student(
            address,
            code,
            plan,
            Random(rng.random()),
            heard=lambda _s, _o, given: texts.append(given["text"]),
        )
        for _ in range(count)
    ]
    for student in students:
        await student.join()
    step = {"do": "go", "position": position, "phase": plan[position].phases[0]}
    await teacher.post(f"/class/{code}/command", step)

    async def write(student: Student) -> None:
        await asyncio.sleep(rng.uniform(0, seconds))
        await student.answer(position, 1)

    await asyncio.gather(*map(write, students))
    came = time.monotonic()
    while any(not answer["graded"] for answer in (await _export(teacher, code))["answers"]):
        if time.monotonic() - came > PATIENCE_SECONDS:
            raise SystemExit("The answers were not judged.")
        await asyncio.sleep(LOOK_SECONDS)
    waited = time.monotonic() - came
    for student in students:
        student.client.close()
    teacher.close()
    return round(sum(map(len, texts)) / len(texts)), waited


async def _export(teacher: Client, code: str) -> dict[str, list[dict[str, object]]]:
    _, told = await teacher.get(f"/class/{code}/export/class.json")
    return told  # type: ignore[no-any-return]


if __name__ == "__main__":
    main()
