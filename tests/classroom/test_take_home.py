"""What students take home: a card for each miss, as an Anki file and, where the app is open, as due cards."""

import asyncio

import pytest

from classroom.live.live_room import LiveRoom
from classroom.plans.plan import Plan
from flashcards.interchange.anki_file import read_anki
from study.io.exchange import File
from study.ports.context import Context
from tests.classroom.builders import GRID, NUMBER, POLL, QUESTION, WALL
from tests.classroom.rooms import Phone, School, phone, played

PLAN = Plan(id="p", title="A class", about="", minutes=9, activities=(QUESTION, NUMBER, POLL, WALL, GRID))


async def miss_everything(school: School, live: LiveRoom, one: Phone) -> None:
    """Vote wrong twice and on the twin, guess far off, leave an idea out, claim a cell with a wild guess."""
    steps = [
        ("vote", {"option": "slip"}), ("revote", {"option": "other"}), ("reveal", None),
        ("twin", {"option": "slip"}), ("twin-reveal", None),
    ]  # fmt: skip
    numbers = {"vote": 1, "revote": 2, "twin": 3}
    for phase, given in steps:
        await school.lead(live, "go", position=0, phase=phase)
        if given:
            await one.answer(0, numbers[phase], **given)
    for position, given in ((1, {"number": "99"}), (2, {"option": "1"}), (3, {"text": "frozen"})):
        await school.lead(live, "go", position=position, phase="vote")
        await one.answer(position, 1, **given)
        if position == 3:
            while any(answer.graded is None for answer in live.answers(1).values()):
                await asyncio.sleep(0.02)
        await school.lead(live, "next")
    await school.lead(live, "go", position=4, phase="vote")
    await one.answer(4, 1, cell="0/1", number="50")
    school.grids.losses = {(r, c, s): 5.0 for r in range(2) for c in range(2) for s in range(2)}
    await school.lead(live, "next")
    while not live.state.grids:
        await asyncio.sleep(0.05)


def test_every_miss_is_a_card_in_the_anki_file(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start(PLAN)
        async with phone(school, live, "a") as ana, phone(school, live, "b") as ben:
            await miss_everything(school, live, ana)
            answer = await ana.client.get(f"/class/{live.room.code}/cards.apkg")
            assert answer.status_code == 200
            found = read_anki(File(name="cards.apkg", content=answer.content))
            fronts = [note.values[0] for note in found.notes]
            assert fronts == [
                "What is q? \\(BA\\)", "What is t? \\(BA\\)", "How many?", "Explain it.<br>Two matrices?",
                "Which cell?<br>fp32, r=8, seed 1",
            ]  # fmt: skip
            assert [note.values[1] for note in found.notes][:3] == ["Right", "Right", "40 MB"]
            assert "lora::concept-of-q" in found.notes[0].tags
            page = (await ana.client.get(f"/class/{live.room.code}/cards")).text
            assert "5 cards" in page
            assert "<math" in page
            nothing = await ben.client.get(f"/class/{live.room.code}/cards")
            assert "No cards yet." in nothing.text
            assert (await ben.client.get(f"/class/{live.room.code}/cards.apkg")).status_code == 404
        async with school.client(browser="stranger") as stranger:
            assert (await stranger.get(f"/class/{live.room.code}/cards.apkg")).status_code == 400

    played(play)


def test_no_card_gives_an_answer_away_that_the_class_has_not_seen(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start(PLAN)
        async with phone(school, live, "a") as ana:
            await school.lead(live, "next")
            await ana.answer(0, 1, option="slip")
            await school.lead(live, "next")
            assert "No cards yet." in (await ana.client.get(f"/class/{live.room.code}/cards")).text
            await school.lead(live, "go", position=0, phase="reveal")
            assert "1 card:" in (await ana.client.get(f"/class/{live.room.code}/cards")).text

    played(play)


@pytest.mark.parametrize("only_class", [True, False])
def test_the_apps_cards_open_where_the_app_is_reachable(context: Context, only_class: bool) -> None:
    school = School(context, only_class=only_class)

    async def play() -> None:
        live = await school.start(PLAN)
        async with phone(school, live, "a") as ana:
            await school.lead(live, "next")
            await ana.answer(0, 1, option="slip")
            await school.lead(live, "go", position=0, phase="reveal")
            page = (await ana.client.get(f"/class/{live.room.code}/cards")).text
            assert ("/study" in page) is not only_class
            answer = await ana.client.post(f"/class/{live.room.code}/study")
            if only_class:
                assert (answer.status_code, school.requested) == (404, [])
            else:
                assert (answer.status_code, answer.headers["location"]) == (303, "/cards")
                assert school.requested == [("concept-of-q",)]

    played(play)
