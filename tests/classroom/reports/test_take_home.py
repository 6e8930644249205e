"""What students take home: a card for each miss, as an Anki file and, where the app is open, as due cards."""

import asyncio
import itertools
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from classroom.live.live_room import LiveRoom
from classroom.plans.plan import Plan
from flashcards.interchange.anki_file import read_anki
from study.io.exchange import File
from study.ports.context import Context
from tests.classroom.builders import GRID, NUMBER, POLL, QUESTION, WALL
from tests.classroom.rooms import Phone, School, phone, played

PLAN = Plan(id="p", title="A class", about="", minutes=9, activities=(QUESTION, NUMBER, POLL, WALL, GRID))


START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


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
    ticks = itertools.count()
    school = School(replace(context, clock=lambda: START + timedelta(seconds=next(ticks))))

    async def play() -> None:
        live = await school.start(PLAN)
        async with phone(school, live, "a") as ana, phone(school, live, "b") as ben:
            await miss_everything(school, live, ana)
            answer = await ana.client.get(f"/class/{live.room.code}/cards.apkg")
            assert answer.status_code == 200
            found = read_anki(File(name="cards.apkg", content=answer.content))
            fronts = [note.values[0] for note in found.notes]
            assert fronts == [
                "What is q? \\(BA\\)", "What is t? \\(BA\\)", "How many?",
                "Explain it.<br>What belongs in the answer about “Two matrices”?",
                "Which cell?<br>fp32, r=8, seed 1",
            ]  # fmt: skip
            assert [note.values[1] for note in found.notes][:3] == ["Right", "Right", "40 MB"]
            assert "lora::concept-of-q" in found.notes[0].tags
            page = (await ana.client.get(f"/class/{live.room.code}/cards")).text
            assert "5 cards" in page
            assert page.count("You answered: ") == 2  # to q and to its twin; "That is ..." then has a subject
            assert "<math" in page
            async with phone(school, live, "late") as late:  # who came after all answers left nothing out
                nothing = await late.client.get(f"/class/{live.room.code}/cards")
                assert "No cards yet." in nothing.text
                assert (await late.client.get(f"/class/{live.room.code}/cards.apkg")).status_code == 404
            silent = (await ben.client.get(f"/class/{live.room.code}/cards")).text
            assert "5 cards" in silent  # two questions, the number, two ideas; no cell was Ben's
            assert silent.count("You did not answer this one.") == 5
            assert "You guessed 99 MB. Counted." in page
            assert "You guessed 50 nats. Measured in class: the held-out loss" in page
            assert "Your text left this idea out." in page
        async with school.client(browser="stranger") as stranger:
            assert (await stranger.get(f"/class/{live.room.code}/cards.apkg")).status_code == 400

    played(play)


def test_a_twin_that_is_left_out_is_a_card_and_large_guesses_are_written_out(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start(PLAN)
        async with phone(school, live, "a") as ana:
            for phase, given in (("vote", "right"), ("revote", "right"), ("reveal", None), ("twin", None)):
                await school.lead(live, "go", position=0, phase=phase)
                if given:
                    await ana.answer(0, 1 if phase == "vote" else 2, option=given)
            assert "No cards yet." in (await ana.client.get(f"/class/{live.room.code}/cards")).text
            await school.lead(live, "go", position=0, phase="twin-reveal")
            await school.lead(live, "go", position=1, phase="vote")
            await ana.answer(1, 1, number="100000000")
            await school.lead(live, "next")
            page = (await ana.client.get(f"/class/{live.room.code}/cards")).text
            assert "2 cards" in page
            assert "What is t?" in page
            assert "You guessed 100,000,000 MB." in page

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
                assert school.reasons == ["class"]  # a deleted class leaves its code in no profile
            again = [await ana.client.post(f"/class/{live.room.code}/study") for _ in range(25)]
            assert again[-1].status_code == 429  # each press is a row in the log

    played(play)


@pytest.mark.parametrize("only_class", [True, False])
def test_a_link_opens_the_cards_in_another_browser(context: Context, only_class: bool) -> None:
    school = School(context, only_class=only_class)

    async def play() -> None:
        live = await school.start(PLAN)
        cards = f"/class/{live.room.code}/cards"
        async with phone(school, live, "a") as ana, phone(school, live, "b") as ben:
            await school.lead(live, "next")
            await ana.answer(0, 1, option="slip")
            await ben.answer(0, 1, option="right")
            await school.lead(live, "go", position=0, phase="reveal")
            page = (await ana.client.get(cards)).text
            links = set(re.findall(rf'href="http://192\.0\.2\.1:7860({cards}\?take=[0-9a-f]{{32}})"', page))
            assert len(links) == 1
            assert "<svg" in page
            [link] = links
            assert link not in (await ben.client.get(cards)).text  # each student has one of their own
        assert next(iter(live.students.values())).device[:32] not in link
        async with school.client(browser="at home") as home:
            there = (await home.get(link)).text
            assert "1 card:" in there
            package = link.replace("cards?", "cards.apkg?")
            assert f'href="{package}"' in there
            found = read_anki(File(name="cards.apkg", content=(await home.get(package)).content))
            assert [note.values[1] for note in found.notes] == ["Right"]
            study = link.replace("cards?", "study?")
            assert (f'action="{study}"' in there) is not only_class
            assert (await home.post(study)).status_code == (404 if only_class else 303)
            assert school.requested == ([] if only_class else [("concept-of-q",)])
            for wrong in (f"{cards}?take={'0' * 32}", f"{cards}?take=", cards):
                assert (await home.get(wrong)).status_code == 404
        assert len(live.students) == 2  # who opens the link is not in the class

    played(play)
