"""The crowd's grid: claims, a fair queue, the heat map, a phone's curve, real cells of the tiny model."""

import asyncio
import re
import time
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from classroom.live.hub import Hub
from classroom.live.live_room import LiveRoom
from classroom.plans.plan import Plan
from classroom.reports.report import build_report
from classroom.views.crowd import draw_curve
from classroom.views.screens import build_student_state, build_teacher_state, screen_state
from lora_lab.lab import Lab
from lora_lab.settings.run_form import parse_spec_address
from lora_lab.views.class_grids import LabClassGrids
from quizzes.session.class_answers import QuizClassKinds
from study.base.errors import LearnerError
from study.ports.context import Context
from tests.classroom.builders import GRID, TALK, Grader, Grids, Runs, plan_of
from tests.classroom.rooms import School, phone, played, record_of
from tests.waiting import until

GRID_PLAN = plan_of(GRID, TALK)
SETTING = {"model": "tiny-random", "bits": "fp32", "steps": 4, "batch": 1, "seq_len_tokens": 64}
AXES = {"ranks": [1, 4], "bits": ["fp32", "nf4"], "seeds": [0, 1]}


def test_a_cell_is_claimed_once_for_each_seed(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start(GRID_PLAN)
        await school.lead(live, "next")
        async with (
            phone(school, live, "a") as ana,
            phone(school, live, "b") as ben,
            phone(school, live, "c") as cyd,
        ):
            both = await asyncio.gather(*(each.answer(0, 1, cell="1/0", number="5") for each in (ana, ben)))
            assert [answer.json()["outcome"] for answer in both] == ["stored", "stored"]
            assert set(live.reservations()) == {"1/0/0", "1/0/1"}
            late = await cyd.answer(0, 1, cell="1/0", number="5")
            assert (late.status_code, "taken" in late.json()["error"]) == (400, True)
            shown = await cyd.state()
            assert shown["free"] == {"0/0": 2, "0/1": 2, "1/0": 0, "1/1": 2}
            assert '<span class="sr">nf4, r=1: </span><span data-free="1/0">taken</span>' in shown["html"]
            assert "aria-label" not in shown["html"]  # it would be read out in place of that
            assert (await cyd.answer(0, 1, cell="1/1", number="4.5")).json()["outcome"] == "stored"
            assert (await cyd.answer(0, 1, cell="0/0", number="4.5")).json()["outcome"] == "answered"
            assert (await cyd.answer(0, 1, cell="7/7", number="4.5")).status_code == 400
            assert "nf4, r=1, seed" in (await ana.state())["html"]

    played(play)


@pytest.mark.parametrize(
    ("vocab", "said"),
    [
        (258, "With 258 tokens its loss is ln 258 = 5.55 nats."),
        (0, "the natural logarithm of the number of tokens."),
    ],
)
def test_who_guesses_a_loss_sees_that_of_a_model_that_knows_nothing(
    context: Context, vocab: int, said: str
) -> None:
    school = School(context)
    assert GRID.crowd is not None
    grid = replace(GRID, crowd=replace(GRID.crowd, vocab=vocab))

    async def play() -> None:
        live = await school.start(replace(GRID_PLAN, activities=(grid,)))
        await school.lead(live, "next")
        async with phone(school, live, "a") as ana:
            assert said in (await ana.state())["html"]
            refused = (await ana.answer(0, 1, cell="1/0", number="abc")).json()
        assert said in screen_state(live, link="x")["html"]
        assert refused == {
            "error": "'abc' is not a number. Write digits, such as 2.5 for 2.5 nats.",
            "field": "number",
        }

    played(play)


def test_who_claims_first_is_trained_first_and_the_map_fills(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start(GRID_PLAN)
        await school.lead(live, "next")
        async with phone(school, live, "a") as ana, phone(school, live, "b") as ben:
            await ana.answer(0, 1, cell="1/1", number="5")
            await ben.answer(0, 1, cell="0/1", number="4")
            await until(lambda: live.grid_seconds)
            assert "8 runs, about" in build_teacher_state(live)["html"]
            await school.lead(live, "next")
            assert school.grids.started == [((1, 1, 0), (0, 1, 0))]
            await school.lead(live, "back")
            await school.lead(live, "next")
            assert len(school.grids.started) == 1  # the same grid goes on

            school.grids.losses = {(1, 1, 0): 5.25, (1, 1, 1): 5.75, (0, 1, 1): 5.125}
            while live.grids.get(0) is None or count(live) < 3:
                await asyncio.sleep(0.05)
            shown = screen_state(live, link="x")["html"]
            assert "5.500" in shown  # the mean of both seeds
            assert "3 of 8 runs have ended" in shown
            assert "So far each number is the mean held-out loss of the seeds that have ended" in shown
            assert "5.500</span>" in shown  # both seeds of the cell have ended
            assert "5.125 (1 of 2)</span>" in shown
            assert "step 2 of 20</span>" in shown
            assert "Lighter is lower" in shown
            own = build_student_state(live, live.students[live.reservations()["1/1/0"]])["html"]
            assert "<svg" in own
            assert "Measured:" in own
            assert "within 10 %" in own
            assert "one of 2 with different seeds" in own
            assert "Measured:" not in (await ben.state())["html"]
            name = live.students[live.reservations()["1/1/0"]].name
            assert "".join(word[0] for word in name.split()) in shown
            assert name not in shown

    def count(live: LiveRoom) -> int:
        return sum(cell.doing == "finished" for cell in live.grids[0].cells)

    played(play)


def test_a_finding_appears_when_all_cells_have_ended_and_survives_a_restart(context: Context) -> None:
    school = School(context)
    school.grids.findings = ("r=8 ends 0.2 ± 0.1 lower than r=1.",)

    async def play() -> None:
        live = await school.start(GRID_PLAN)
        await school.lead(live, "next")
        async with phone(school, live, "a") as ana:
            await ana.answer(0, 1, cell="0/1", number="5")
        await school.lead(live, "next")
        await school.lead(live, "next")  # the class goes on while the cells train
        assert "0.2 ± 0.1" not in screen_state(live, link="x")["html"]
        places = [(row, column, seed) for row in range(2) for column in range(2) for seed in range(2)]
        school.grids.losses = dict.fromkeys(places, 5.0)
        while not live.state.grids:
            await asyncio.sleep(0.05)
        again = await school.new_hub(context).find(live.room.code)
        await school.lead(live, "back")
        again = await school.new_hub(context).find(live.room.code)
        assert "0.2 ± 0.1" in screen_state(again, link="x")["html"]
        record = record_of(context, live.room.code)
        found = build_report(record)
        assert (found.students[0].guesses, found.students[0].guesses_close) == (1, 1)
        assert found.items[0].close == 1.0
        async with school.teacher() as teacher:
            page = (await teacher.get(f"/class/{live.room.code}/report")).text
        assert page.count("5.000 (2 seeds)") == 4
        assert "0.2 ± 0.1" in page

    played(play)


def test_a_phones_curve_has_an_axis_before_the_first_step() -> None:
    drawn = draw_curve((), steps=20, guess=5.4)
    assert re.findall(r">(\d\.\d\d)<", drawn) == ["5.45", "5.35"]


def test_a_finding_reaches_every_phone(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start(GRID_PLAN)
        await school.lead(live, "next")
        async with phone(school, live, "a") as ana, phone(school, live, "b") as ben:
            await ana.answer(0, 1, cell="0/0", number="5")
            await school.lead(live, "next")
            places = [(row, column, seed) for row in range(2) for column in range(2) for seed in range(2)]
            school.grids.losses = dict.fromkeys(places[:-1], 5.0)  # hers has ended
            while live.grids.get(0) is None or "finished" not in str(live.grids[0]):
                await asyncio.sleep(0.05)
            before = [await each.state() for each in (ana, ben)]
            school.grids.findings = ("r=8 ends lower.",)
            school.grids.losses = dict.fromkeys(places, 5.0)
            while not live.state.grids:
                await asyncio.sleep(0.05)
            after = [await each.state() for each in (ana, ben)]
            assert ["r=8 ends lower." in each["html"] for each in after] == [True, True]
            assert [one["key"] != other["key"] for one, other in zip(before, after, strict=True)] == [
                True
            ] * 2

    played(play)


def test_two_presses_start_one_grid(context: Context) -> None:
    class SlowGrids(Grids):
        def start(self, *given: Any) -> str:
            time.sleep(0.2)
            return super().start(*given)

    school = School(context, grids=SlowGrids())

    async def play() -> None:
        live = await school.start(GRID_PLAN)
        await school.lead(live, "next")
        pressed = await asyncio.gather(*(school.lead(live, "next", after=live.state.last) for _ in range(2)))
        assert sorted(answer.status_code for answer in pressed) == [200, 400]
        assert len(school.grids.started) == 1

    played(play)


def test_what_leads_a_class_nowhere_refuses_no_step(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start(replace(GRID_PLAN, activities=(TALK, GRID)))
        student = await school.hub.join(live, "ana")
        seen = live.state.last
        for do in ("kick", "readmit"):
            await school.lead(live, do, student=student.id)
        assert (await school.lead(live, "next", after=seen)).status_code == 200

    played(play)


def test_a_press_that_comes_twice_closes_no_claims(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start(replace(GRID_PLAN, activities=(TALK, GRID)))
        await school.lead(live, "next")
        seen = live.state.last
        pressed = [await school.lead(live, "next", after=seen) for _ in range(2)]
        assert [answer.status_code for answer in pressed] == [200, 400]
        assert (live.state.position, live.state.phase, school.grids.started) == (1, "vote", [])

    played(play)


def test_a_grid_that_failed_says_why_and_can_be_started_again(context: Context) -> None:
    school = School(context)
    school.grids.error = "At 32 tokens no example is left. Set the length to 36."

    async def play() -> None:
        live = await school.start(GRID_PLAN)
        await school.lead(live, "next")
        await school.lead(live, "next")
        while not live.state.grids:
            await asyncio.sleep(0.05)
        assert "Set the length to 36." in build_teacher_state(live)["html"]
        await school.lead(live, "go", position=0, phase="run")
        assert len(school.grids.started) == 2
        assert live.state.runs == {0: "sweep-2"}

    played(play)


def test_cells_of_the_lab_are_ordinary_runs_and_the_claimed_one_begins(context: Context, lab: Lab) -> None:
    grids = LabClassGrids(lab=lab)
    found = grids.plan(SETTING, AXES)
    assert (found.rows, found.columns, found.count) == (("fp32", "nf4"), ("r=1", "r=4"), 8)
    assert found.vocab == 258  # bytes and two marks
    alone = parse_spec_address(dict(parse_qsl(urlsplit(found.first_cell).query)))
    assert (alone.model, alone.steps, alone.bits, alone.rank) == ("tiny-random", 4, "fp32", 1)
    assert grids.estimate_seconds(SETTING, AXES) is None  # nothing has been trained here
    lab.engine.pause()
    grid_id = grids.start(SETTING, AXES, [(1, 1, 1)])
    first = lab.run(lab.engine.list_waiting()[0]).spec
    assert (first.bits, first.rank, first.seed) == ("nf4", 4, 1)
    assert len(lab.runs()) == 8
    state = grids.state(grid_id)
    assert not state.ended
    assert state.findings == ()
    [cell] = [cell for cell in state.cells if cell.place == (1, 1, 1)]
    assert cell.address.startswith("/lab?")


@pytest.mark.once
def test_a_real_grid_of_the_tiny_model_fills_the_map(context: Context, lab: Lab) -> None:
    grids = LabClassGrids(lab=lab)
    axes = {"ranks": [1, 4], "learning_rates": [0.001, 0.01]}
    crowd = GRID.crowd
    assert crowd is not None
    real = replace(GRID, crowd=replace(crowd, setting=SETTING, axes=axes, seeds=1))
    plan = Plan(id="real", title="Real", about="", minutes=1, activities=(real,))

    async def play() -> None:
        hub = Hub(
            context=context, runs=Runs(), grids=grids, grader=Grader(), figures={}, kinds=QuizClassKinds()
        )
        live = await hub.open(plan, names_typed=False, keep_names_days=30, address="127.0.0.1")
        student = await hub.join(live, "ana")
        await hub.carry_out(live, {"do": "next"})
        given = {"id": "claim-of-ana", "position": 0, "round": 1, "cell": "1/1", "number": "5"}
        assert (await hub.answer(live, student, given)).outcome == "stored"
        await hub.carry_out(live, {"do": "next"})
        while not live.state.grids:
            await asyncio.sleep(0.2)
        result = live.state.grids[0]
        assert set(result.losses) == {"0/0/0", "0/1/0", "1/0/0", "1/1/0"}
        assert result.findings == ()  # one seed supports nothing
        assert "These seeds don't show whether" in screen_state(live, link="x")["html"]
        assert f"{result.losses['1/1/0']:.3f}" in build_student_state(live, student)["html"]

    asyncio.run(asyncio.wait_for(play(), 240))
    assert grids.estimate_seconds(SETTING, axes) is not None  # now such runs have finished here


BITS = ["nf4", "fp32"]


@pytest.mark.parametrize(
    "axes",
    [
        {"ranks": [1]},
        {"bits": BITS},
        {"ranks": [1], "bits": BITS},
        {"ranks": [1, 2], "bits": BITS, "learning_rates": [0.1, 0.2]},
    ],
)
def test_a_grid_that_no_phone_can_show_is_a_problem_of_the_plan(
    lab: Lab, axes: dict[str, list[float]]
) -> None:
    with pytest.raises(LearnerError, match="ranks"):
        LabClassGrids(lab=lab).plan(SETTING, axes)
