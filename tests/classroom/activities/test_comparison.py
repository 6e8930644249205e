"""Which rank ends lower: students predict it, runs with several seeds decide it or can't."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import pytest
from markupsafe import escape

from classroom.activities.activity import Activity, parse_activity_spec
from classroom.activities.comparison import UNDECIDED, UNDECIDED_TEXT, list_options
from classroom.activities.crowd_grid import RunGrid
from classroom.live.live_room import LiveRoom
from classroom.plans.plan import Plan, Plans
from classroom.reports.report import build_report
from classroom.views.screens import build_student_state, build_teacher_state, screen_state
from flashcards.interchange.anki_file import read_anki
from lora_lab.lab import Lab
from lora_lab.views.class_grids import LabClassGrids
from study.base.errors import LearnerError
from study.io.exchange import File
from study.ports.classes import ClassCell, ClassGridPlan, ClassGridState, ClassQuestion
from study.ports.context import Context
from tests.classroom.builders import FIGURES, TALK, Grader, Grids, Runs, find_question
from tests.classroom.rooms import School, phone, played, record_of

RANKS = ClassGridPlan(
    row_name="Bits", rows=("fp32",), column_name="Rank", columns=("r=1", "r=64"), seeds=3, described="tiny"
)
COMPARED = RunGrid(axes={"ranks": [1, 64]}, **asdict(RANKS))
COMPARE = Activity(
    kind="compare",
    title="Which rank?",
    asked=ClassQuestion(
        id="compare", html=escape("Which ends lower?"), text="Which ends lower?",
        options=list_options(COMPARED), keep=escape("Seeds are noise."), keep_text="Seeds are noise.",
    ),
    compared=COMPARED,
)  # fmt: skip
PLAN = Plan(id="c", title="Compare", about="", minutes=5, activities=(COMPARE, TALK))
FINDING = "r=64 ends 0.2 ± 0.1 lower than r=1."


class RankGrids(Grids):
    """A lab whose comparison of two ranks ends when a test says so."""

    lowest: int | None = None

    def plan(self, setting: Mapping[str, Any], axes: Mapping[str, Any]) -> ClassGridPlan:
        return replace(RANKS, seeds=len(axes.get("seeds", (0,))))

    def state(self, grid_id: str) -> ClassGridState:
        cells = tuple(
            ClassCell(
                place=(0, rank, seed),
                address="/lab",
                doing="finished" if (0, rank, seed) in self.losses else "failed" if self.error else "running",
                steps=20,
                loss=self.losses.get((0, rank, seed)),
            )
            for rank in range(2)
            for seed in range(3)
        )
        ended = all(cell.doing != "running" for cell in cells)
        return ClassGridState(
            address=f"/grid?sweep={grid_id}",
            cells=cells,
            findings=self.findings if ended else (),
            lowest=self.lowest if ended else None,
            error=self.error,
        )


async def ended(live: LiveRoom) -> None:
    while not live.state.grids:
        await asyncio.sleep(0.02)


def test_a_class_votes_and_the_runs_decide(context: Context) -> None:
    grids = RankGrids()
    school = School(context, grids=grids)
    codes = []

    async def play() -> None:
        live = await school.start(PLAN, leaderboard=True)
        codes.append(live.room.code)
        await school.lead(live, "next")
        async with phone(school, live, "a") as ana, phone(school, live, "b") as ben:
            assert "Which ends lower?" in (await ana.state())["html"]
            assert UNDECIDED_TEXT.replace("'", "&#39;") in (await ana.state())["html"]
            assert (await ana.answer(0, 1, option="1")).json()["outcome"] == "stored"
            assert (await ben.answer(0, 1, option="0")).json()["outcome"] == "stored"
            assert (await ben.answer(0, 1, option="7")).status_code == 400
            assert "6 runs, about" in build_teacher_state(live)["html"]
            await school.lead(live, "next")
            for html in (screen_state(live, link="x")["html"], (await ana.state())["html"]):
                assert "50 %" in html
                assert "✓" not in html
                assert "Seeds are noise." not in html  # it would tell what comes out
            assert grids.started == []
            await school.lead(live, "next")
            assert len(grids.started) == 1
            grids.losses = {(0, 0, 0): 5.5}
            while "1 of 6 runs have ended" not in screen_state(live, link="x")["html"]:
                await asyncio.sleep(0.02)
            assert "1 of 6 runs have ended" in (await ben.state())["html"]
            cells = '<td class="figures">5.500</td><td class="figures">step 0 of 20</td>'
            assert f'<th scope="row">Seed 1</th>{cells}' in screen_state(live, link="x")["html"]
            assert "✓" not in (await ben.state())["html"]

            grids.losses = {(0, r, s): (5.5, 5.3)[r] + s / 100 for r in range(2) for s in range(3)}
            grids.findings, grids.lowest = (FINDING,), 1
            await ended(live)
            projected = screen_state(live, link="x")["html"]
            assert all(text in projected for text in (FINDING, "5.510", "5.310", "✓", "Seeds are noise."))
            right, wrong = (await ana.state())["html"], (await ben.state())["html"]
            assert "✓ Right: your answer" in right
            assert "✗ Your answer, not right" in wrong
            assert FINDING in right
            assert FINDING in wrong
            names = [student.name for student in live.students.values()]
            assert names[0] in projected  # a point on the leaderboard
            assert names[1] not in projected
            assert "No cards yet." in (await ana.client.get(f"/class/{live.room.code}/cards")).text
            answer = await ben.client.get(f"/class/{live.room.code}/cards.apkg")
            [note] = read_anki(File(name="cards.apkg", content=answer.content)).notes
            assert note.values[:2] == ("Which ends lower?", "r=64")
            assert FINDING in note.values[2]
        drawn = build_student_state(live, live.present[0])["key"]
        live.state = replace(live.state, grids={})
        assert (
            build_student_state(live, live.present[0])["key"] != drawn
        )  # a phone draws the result when it comes
        async with school.teacher() as teacher:
            page = (await teacher.get(f"/class/{live.room.code}/report")).text
        assert "Held-out loss in nats, seed down, rank across." in page
        for name, one, other in (("Seed 1", "5.500", "5.300"), ("Mean", "5.510", "5.310")):
            cells = f'<td class="figures">{one}</td><td class="figures">{other}</td>'
            assert f'<th scope="row">{name}</th>{cells}' in page

    played(play)
    found = build_report(record_of(context, codes[0]))
    assert [(row.guesses, row.guesses_close) for row in found.students] == [(1, 1), (1, 0)]
    assert found.items[0].summary == f"r=1: 1; r=64: 1; {UNDECIDED_TEXT}: 0; measured: r=64"


@pytest.mark.parametrize(
    ("losses", "error", "right"),
    [
        ({(0, r, s): 5.5 + s / 100 for r in range(2) for s in range(3)}, "", UNDECIDED),
        ({(0, 0, 0): 5.5}, "The run failed.", ""),
    ],
    ids=["seeds can't tell", "runs that failed"],
)
def test_what_the_seeds_leave_open_is_an_answer_and_a_failure_is_none(
    context: Context, losses: dict[Any, float], error: str, right: str
) -> None:
    grids = RankGrids()
    grids.losses, grids.error = losses, error
    school = School(context, grids=grids)

    async def play() -> None:
        live = await school.start(PLAN)
        await school.lead(live, "next")
        async with phone(school, live, "a") as ana:
            await ana.answer(0, 1, option=UNDECIDED)
            await school.lead(live, "next")
            await school.lead(live, "next")
            await ended(live)
            assert ("✓ Right: your answer" in (await ana.state())["html"]) == bool(right)
            assert "✗" not in (await ana.state())["html"]
        assert ("✓" in screen_state(live, link="x")["html"]) == bool(right)
        assert error in build_teacher_state(live)["html"]

    played(play)


def test_it_is_stored_and_read_as_it_was() -> None:
    assert parse_activity_spec(COMPARE.to_json()) == COMPARE


ENTRY = {
    "kind": "compare", "title": "Which?", "ask": "Which ends lower?", "run": {"rank": 1},
    "axes": {"ranks": [1, 64], "seeds": [0, 1, 2]},
}  # fmt: skip


def test_a_plan_names_ranks_and_seeds_only(lab: Lab) -> None:
    plans = Plans(
        find_question=find_question,
        runs=Runs(),
        grids=LabClassGrids(lab=lab),
        grader=Grader(),
        figures=FIGURES,
        own_folder=lab.settings.plans_dir,
    )
    run = {"model": "tiny-random", "bits": "fp32", "steps": 4, "batch": 1, "seq_len_tokens": 64}
    read = plans.read_entry(ENTRY | {"run": run})
    assert read.asked is not None
    assert [option.text for option in read.asked.options] == ["r=1", "r=64", UNDECIDED_TEXT]
    assert read.trained == read.compared
    for axes, said in (
        ({"ranks": [1, 64], "seeds": [0, 1]}, "3 seeds or more"),
        ({"ranks": [1, 64], "bits": ["nf4", "fp32"], "seeds": [0, 1, 2]}, "varies"),
        ({"ranks": [1], "seeds": [0, 1, 2]}, "ranks"),
    ):
        with pytest.raises(LearnerError, match=said):
            plans.read_entry(ENTRY | {"run": run, "axes": axes})
    with pytest.raises(LearnerError, match="besides ranks"):
        plans.read_entry(ENTRY | {"kind": "grid", "run": run})
