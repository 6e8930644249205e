"""How long a crowd's grid takes: looked for while the teacher would see it, and told once a run tells it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from classroom.live import run_watch
from classroom.live.live_room import LiveRoom
from classroom.views.screens import build_teacher_state
from study.ports.context import Context
from tests.classroom.builders import GRID, TALK, plan_of
from tests.classroom.rooms import School, Streaming, played
from tests.waiting import until

GRID_PLAN = plan_of(GRID, TALK)


@pytest.fixture
def school_without_times(context: Context) -> School:
    """A class on a machine where no similar run has finished."""
    school = School(context)
    school.grids.takes_seconds = None
    return school


@asynccontextmanager
async def watched_by_teacher(school: School, live: LiveRoom) -> AsyncIterator[None]:
    """The teacher's page is open."""
    path = f"/class/{live.room.code}/teach/events"
    async with Streaming(school.site, path, "teacher", address="127.0.0.1") as stream:
        await stream.next()
        yield


def test_the_time_of_a_grid_shows_once_a_run_tells_it(
    school_without_times: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_watch, "LOOK_FOR_TIME_SECONDS", 0.05)
    school = school_without_times

    async def play() -> None:
        live = await school.start(GRID_PLAN)
        await school.lead(live, "next")
        shown = build_teacher_state(live)["html"]
        assert "How long it takes is not known" in shown
        assert 'href="/lab?model=tiny"' in shown
        async with watched_by_teacher(school, live):
            school.grids.takes_seconds = 90.0  # the teacher has trained one cell in the lab
            await until(lambda: "8 runs, about" in build_teacher_state(live)["html"])

    played(play)


def test_the_time_of_a_grid_is_looked_for_only_while_the_teacher_watches(
    school_without_times: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_watch, "LOOK_FOR_TIME_SECONDS", 0.1)
    school = school_without_times

    async def play() -> None:
        live = await school.start(GRID_PLAN)
        await school.lead(live, "next")
        for _ in range(2):  # whoever comes back has it looked for again
            async with watched_by_teacher(school, live):
                enough = school.grids.estimated + 2

                def has_looked(enough: int = enough) -> bool:
                    return school.grids.estimated >= enough

                await until(has_looked)
            await asyncio.sleep(0.3)
            seen = school.grids.estimated
            await asyncio.sleep(0.3)
            assert school.grids.estimated == seen

    played(play)


def test_a_grid_without_a_time_is_watched_as_soon_as_it_trains(
    school_without_times: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_watch, "LOOK_FOR_TIME_SECONDS", 3600)
    school = school_without_times

    async def play() -> None:
        live = await school.start(GRID_PLAN)
        await school.lead(live, "next")
        await until(lambda: school.grids.estimated)  # it is asked again after a pause
        await school.lead(live, "next")
        await until(lambda: live.grids.get(0) is not None)

    played(play)
