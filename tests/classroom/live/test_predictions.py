"""The class predicts, one run answers: a real run of the tiny model crosses the histogram."""

import asyncio
import threading
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

import lora_lab.quantities  # noqa: F401 - registers what a `check:` may name
from classroom.live.hub import Hub
from classroom.live.live_room import LiveRoom
from classroom.plans.plan import Plans
from classroom.reports.report import build_report
from classroom.views.screens import build_student_state, screen_state
from lora_lab.figures import build_figures
from lora_lab.lab import Lab
from lora_lab.views.class_grids import LabClassGrids
from lora_lab.views.class_runs import LabClassRuns
from quizzes.bank.bank import load_bank
from quizzes.session.class_answers import QuizClassKinds
from quizzes.session.class_questions import find_class_question
from study.base.errors import LearnerError
from study.ports.classes import ClassGridState, ClassRunState
from study.ports.context import Context
from study.store.classes import ClassLog
from tests.classroom.builders import GRID, PREDICT, Grader, Grids, Runs
from tests.classroom.rooms import TEST_PLAN, School, phone, played, record_of
from tests.lora_lab import run_builders
from tests.waiting import until

RUN_SECONDS = 240


@pytest.mark.once
def test_a_real_run_of_the_tiny_model_answers_what_the_class_guessed(context: Context, lab: Lab) -> None:
    bank = load_bank(context.concepts)
    runs = LabClassRuns(lab=lab)
    others: dict[str, Any] = {
        "grids": LabClassGrids(lab=lab),
        "grader": Grader(),
        "figures": build_figures(lab.settings.models_dir),
    }
    find_question, own = partial(find_class_question, bank), lab.settings.plans_dir
    plan = Plans(find_question=find_question, runs=runs, own_folder=own, **others).find("rank-25")
    [position] = [n for n, activity in enumerate(plan.activities) if activity.kind == "predict"]

    async def play() -> LiveRoom:
        hub = Hub(context=context, runs=runs, kinds=QuizClassKinds(), **others)
        live = await hub.open(plan, names_typed=False, keep_names_days=30, address="127.0.0.1")
        student = await hub.join(live, "ana")
        await hub.carry_out(live, {"do": "go", "position": position, "phase": "vote"})
        given = {"id": "guess-of-ana", "position": position, "round": 1, "number": "5"}
        assert (await hub.answer(live, student, given)).outcome == "stored"
        await hub.carry_out(live, {"do": "next"})
        assert lab.runs() == []  # nothing runs before the guesses are in and shown
        await hub.carry_out(live, {"do": "next"})
        for _ in range(RUN_SECONDS * 2):
            if live.run is not None and live.run.ended:
                break
            await asyncio.sleep(0.5)
        assert live.run is not None
        assert live.run.error == ""
        while position not in live.state.measured:
            await asyncio.sleep(0.05)
        return live

    live = asyncio.run(play())
    [run] = lab.runs()
    started = run.state().started
    assert started is not None
    measured = 100 * started["trainable"] / started["total"]
    assert live.state.measured == {position: measured}
    shown = screen_state(live, link="x")["html"]
    assert 'class="truth"' in shown
    assert f"{measured:.4g} %" in shown
    assert f"{measured:.4g} %" in build_student_state(live, next(iter(live.students.values())))["html"]


def test_each_quantity_is_read_from_the_run(lab: Lab) -> None:
    runs = LabClassRuns(lab=lab)
    run = run_builders.training(lab.settings.runs_dir)
    going = runs.state(run.run_id, "percent-trainable")
    assert (going.value, going.step, going.steps, going.ended) == (4.48, 3, 20, False)
    assert runs.state(run.run_id, "peak-memory").value is None
    assert runs.state(run.run_id, "final-loss").value is None
    newest = run.state()
    assert runs.state(run.run_id, "percent-trainable").so_far is None
    assert runs.state(run.run_id, "peak-memory").so_far == newest.peak_bytes / 1e6
    assert runs.state(run.run_id, "final-loss").so_far == newest.steps[-1]["loss"]
    run.emit("finished", step=3)
    ended = run.state()
    assert runs.state(run.run_id, "peak-memory").value == ended.peak_bytes / 1e6
    assert runs.state(run.run_id, "final-loss").value == ended.steps[-1]["loss"]


def test_a_setting_that_is_no_run_is_a_problem_of_the_plan(lab: Lab) -> None:
    runs = LabClassRuns(lab=lab)
    assert runs.describe_problem({"rank": 8}, "final-loss") == ""
    assert "rank" in runs.describe_problem({"rank": 0}, "final-loss").lower()
    assert "speed" in runs.describe_problem({"rank": 8}, "speed")
    assert "8" in runs.describe({"rank": 8})


class FailingRuns(Runs):
    """A lab whose first run fails."""

    def state(self, run_id: str, quantity: str) -> ClassRunState:
        state = super().state(run_id, quantity)
        return replace(state, ended=True, value=None, error="It failed.") if run_id == "run-1" else state


def test_a_failed_run_says_so_and_another_one_can_be_started(context: Context) -> None:
    school = School(context, runs=FailingRuns())

    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana"), school.teacher() as teacher:
            await school.lead(live, "go", position=3, phase="run")
            await until(lambda: live.run)
            screen = (await teacher.get(f"/class/{live.room.code}/screen/state")).json()["html"]
            assert "It failed." in screen
            await school.lead(live, "go", position=3, phase="run")
            school.runs.value = 3.0
            await until(lambda: live.state.measured)
            assert live.state.runs == {3: "run-2"}

    played(play)


def test_a_failed_run_is_started_once_by_two_who_look_at_the_same_moment(context: Context) -> None:
    class SlowRuns(FailingRuns):
        """The second look after the failure takes until the first one has had its effect."""

        looks, is_started = count(), threading.Event()

        def state(self, run_id: str, quantity: str) -> ClassRunState:
            if run_id == "run-1" and next(self.looks) == 2:
                assert self.is_started.wait(30)
            return super().state(run_id, quantity)

    runs = SlowRuns()
    school = School(context, runs=runs)

    async def play() -> None:
        live = await school.start()
        await school.lead(live, "go", position=3, phase="run")
        await until(lambda: live.run and live.run.error)
        assert school.hub.watch is not None
        pressed = [asyncio.create_task(school.hub.watch.start(live, 3)) for _ in range(2)]
        await asyncio.wait(pressed, return_when=asyncio.FIRST_COMPLETED)
        await until(lambda: live.state.runs == {3: "run-2"})
        runs.is_started.set()
        await asyncio.gather(*pressed, return_exceptions=True)
        assert len(runs.started) == 2

    played(play)


def test_what_a_run_measured_is_stored_as_soon_as_the_database_takes_it(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = []

    def refuse(*_: Any) -> None:
        refused.append(1)
        raise OperationalError("INSERT", {}, Exception("database is locked"))

    async def play() -> None:
        live = await school.start()
        await school.lead(live, "go", position=3, phase="run")
        await until(lambda: live.run)
        with monkeypatch.context() as full:
            full.setattr(ClassLog, "transact", refuse)
            school.runs.value = 2.1
            await until(lambda: refused)
        await until(lambda: live.state.measured)  # nobody has asked for anything meanwhile

    played(play)


def test_a_failed_run_is_started_again_by_next_and_by_nothing_else(context: Context) -> None:
    school = School(context, runs=FailingRuns())
    both = replace(TEST_PLAN, activities=(PREDICT, PREDICT))

    async def play() -> None:
        live = await school.start(both)
        await school.lead(live, "go", position=0, phase="distribution")
        await school.lead(live, "next")
        await until(lambda: live.run and live.run.error)
        await school.lead(live, "go", position=1, phase="vote")
        await school.lead(live, "back")  # shows what there is
        assert (live.state.phase, len(school.runs.started)) == ("run", 1)
        school.runs.value = 3.0
        for step in ("back", "next"):
            await school.lead(live, step)
        await until(lambda: 0 in live.state.measured)
        assert live.state.runs == {0: "run-2"}
        await school.lead(live, "go", position=1, phase="run")
        await until(lambda: 1 in live.state.measured)
        await school.lead(live, "go", position=0, phase="run")
        assert len(school.runs.started) == 3

    played(play)


def test_a_run_that_ends_after_the_class_has_gone_on_is_measured(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana:
            await school.lead(live, "go", position=3, phase="vote")
            await ana.answer(3, 1, number="2")
            await school.lead(live, "go", position=3, phase="run")
            await until(lambda: live.run)
            await school.lead(live, "next")
            await school.lead(live, "end")
            school.runs.value = 2.1
            await until(lambda: live.state.measured)
        record = record_of(context, live.room.code)
        assert build_report(record).items[3].value == 2.1

    played(play)


def test_a_run_that_is_deleted_in_the_lab_can_be_started_again(context: Context) -> None:
    class DeletedRuns(Runs):
        def state(self, run_id: str, quantity: str) -> ClassRunState:
            if run_id == "run-1":
                raise LearnerError("That run is gone.", do_next="Start another one.")
            return super().state(run_id, quantity)

    school = School(context, runs=DeletedRuns())
    school.runs.value = 4.0

    async def play() -> None:
        live = await school.start()
        for _ in range(2):
            await school.lead(live, "go", position=3, phase="run")
        await until(lambda: live.state.measured)
        assert live.state.runs == {3: "run-2"}

    played(play)


def test_a_grid_that_is_deleted_in_the_lab_can_be_started_again(context: Context) -> None:
    class DeletedGrids(Grids):
        def state(self, grid_id: str) -> ClassGridState:
            if grid_id == "sweep-1":
                raise LearnerError("That grid is gone.", do_next="Start another one.")
            return super().state(grid_id)

    school = School(context, grids=DeletedGrids())

    async def play() -> None:
        live = await school.start(replace(TEST_PLAN, activities=(GRID,)))
        for _ in range(2):
            await school.lead(live, "go", position=0, phase="run")
        assert live.state.runs == {0: "sweep-2"}
        await until(lambda: live.grids.get(0))  # and it is watched
        await school.lead(live, "go", position=0, phase="run")
        assert len(school.grids.started) == 2

    played(play)


def test_what_is_read_of_a_grid_in_whose_place_another_was_started_is_left_out(context: Context) -> None:
    has_read, may_arrive = threading.Event(), threading.Event()

    class SlowGrids(Grids):
        """Both grids have ended; what is read of the first one arrives late."""

        def state(self, grid_id: str) -> ClassGridState:
            found = super().state(grid_id)
            loss = 9.0 if grid_id == "sweep-1" else 5.0
            if grid_id == "sweep-1":
                has_read.set()
                assert may_arrive.wait(30)
            return replace(
                found, cells=tuple(replace(cell, doing="finished", loss=loss) for cell in found.cells)
            )

    school = School(context, grids=SlowGrids())

    async def play() -> None:
        live = await school.start(replace(TEST_PLAN, activities=(GRID,)))
        await school.lead(live, "go", position=0, phase="run")
        assert await asyncio.to_thread(has_read.wait, 30)
        await school.hub._append(live, "run", {"position": 0, "run": "sweep-2"})
        may_arrive.set()
        await until(lambda: live.state.grids)
        assert set(live.state.grids[0].losses.values()) == {5.0}

    played(play)


def test_a_press_that_comes_twice_shows_the_guesses_and_starts_no_run(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start()
        await school.lead(live, "go", position=3, phase="vote")
        seen = live.state.last
        pressed = [await school.lead(live, "next", after=seen) for _ in range(2)]
        assert [answer.status_code for answer in pressed] == [200, 400]
        assert (live.state.phase, school.runs.started) == ("distribution", [])
        assert (await school.lead(live, "next", after=live.state.last)).status_code == 200
        assert (live.state.phase, len(school.runs.started)) == ("run", 1)

    played(play)


def test_a_run_that_cannot_be_started_leaves_the_class_where_it_is(context: Context) -> None:
    school = School(context)

    def refuse(_: object) -> str:
        raise LearnerError("The data set is gone.", do_next="Choose another one.")

    school.runs.start = refuse  # type: ignore[method-assign, assignment]

    async def play() -> None:
        live = await school.start()
        await school.lead(live, "go", position=3, phase="distribution")
        refused = await school.lead(live, "next")
        assert (refused.status_code, "data set is gone" in refused.text) == (400, True)
        assert live.state.phase == "distribution"

    played(play)
