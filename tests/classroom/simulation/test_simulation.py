"""Simulated students against a real server: what was acknowledged is stored, once each."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from classroom.__main__ import main
from classroom.simulation.rehearsal import Rehearsal
from classroom.simulation.student import Student, StudentBehaviour, answer_to
from quizzes.session.class_answers import QuizClassKinds
from study.ports.context import Context
from tests.classroom.builders import NUMBER, POLL, QUESTION, TEXT, WALL
from tests.classroom.rooms import School, record_of
from tests.classroom.serving import serving

QUICK = StudentBehaviour(
    think_seconds=(0.0, 0.2), drop_rate=0.5, away_seconds=(0.0, 0.2), silent_rate=0.0, late_rate=0.0
)


@pytest.fixture
def address(school: School) -> Iterator[str]:
    with serving(school) as served:
        yield served


def test_a_rehearsal_loses_and_doubles_nothing(address: str, context: Context) -> None:
    lines: list[str] = []
    played = Rehearsal(
        address=address,
        students=25,
        kinds=QuizClassKinds(),
        say=lines.append,
        plan="short",
        lead_seconds=1.0,
        behaviour=QUICK,
    )
    asyncio.run(asyncio.wait_for(played.play(), 60))
    [room] = context.store.classes.rooms()
    record = record_of(context, room.code)
    assert len(record.students) == 25
    assert len(record.answers) == played.outcomes["stored"] > 25
    assert len({(a.student_id, a.position, a.round) for a in record.answers}) == len(record.answers)
    assert record.events[-1].kind == "end"
    assert any(f"/class/{room.code}/teach" in line for line in lines)
    assert "The class has ended." in lines[-2]


def test_a_rehearsal_takes_part_in_a_class_that_the_teacher_leads(
    address: str, school: School, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", "--address", address, "--code", "000000"]) == 1
    assert "no class with the code 000000" in capsys.readouterr().err
    assert main(["simulate", "--address", address, "--plan", "nothing"]) == 1
    assert "no lesson plan" in capsys.readouterr().err


def test_without_an_app_the_command_says_how_to_start_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--address", "http://127.0.0.1:9"]) == 1
    assert "python app.py --class" in capsys.readouterr().err


@pytest.mark.parametrize("students", ["-3", "0", "many"])
def test_a_class_of_nobody_is_not_started(students: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["simulate", "--students", students, "--address", "http://127.0.0.1:1"])
    assert f"must be a whole number from 1, got '{students}'" in capsys.readouterr().err


def test_a_tenth_joins_late() -> None:
    class Waiting(Student):
        async def join(self) -> None:
            raise PermissionError  # the class takes nobody, so that playing ends here

    async def count_late() -> int:
        behaviour = StudentBehaviour(late_seconds=(60.0, 60.0))
        students = [Waiting("http://127.0.0.1:9", "1", (), Random(seed), behaviour) for seed in range(400)]
        playing = [asyncio.create_task(student.play()) for student in students]
        _, late = await asyncio.wait(playing, timeout=2)
        for task in late:
            task.cancel()
        await asyncio.gather(*playing, return_exceptions=True)
        return len(late)

    assert 20 <= asyncio.run(count_late()) <= 60


@pytest.mark.parametrize("address", ["https://class.example.org", "127.0.0.1:7860", "http://"])
def test_an_address_that_is_not_plain_http_is_refused(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", "--address", address]) == 1
    assert f"plain HTTP only, so they can't use {address.rstrip('/')}." in capsys.readouterr().err


def test_answers_are_right_at_the_rate_of_their_round() -> None:
    rng = Random(3)

    def rate(number: int, level: str = "") -> float:
        asked = replace(QUESTION, asked=replace(QUESTION.asked, level=level))  # type: ignore[type-var]
        given: list[Any] = [answer_to(asked, number, rng) for _ in range(2000)]
        return sum(bool(each["option"] == "right") for each in given) / len(given)

    assert rate(1) == pytest.approx(0.45, abs=0.04)
    assert rate(2) == pytest.approx(0.70, abs=0.04)
    assert rate(1, "beginner") == pytest.approx(0.65, abs=0.04)
    assert rate(1, "advanced") == pytest.approx(0.25, abs=0.04)
    assert {answer_to(POLL, 1, rng)["option"] for _ in range(50)} == {"1", "2"}
    assert 0 < float(answer_to(NUMBER, 1, rng)["number"]) < 40 * 20


def test_simulated_students_write_different_things_and_rarely_that_they_do_not_know() -> None:
    rng = Random(3)
    for activity in (TEXT, WALL):
        texts = [answer_to(activity, 1, rng)["text"] for _ in range(400)]
        assert len(set(texts)) >= 5
        unsure = sum(text in ("I don't know.", "No idea yet.") for text in texts)
        assert 10 <= unsure <= 60
    walls = [answer_to(WALL, 1, rng)["text"] for _ in range(400)]
    main, last = (sum(definition in text for text in walls) for definition in (
        "The base is frozen.", "Two small matrices are trained.",
    ))  # fmt: skip
    assert main > 1.5 * last > 0
