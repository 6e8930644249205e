"""What the three screens say: why wrong options were chosen, and what is known so far."""

import asyncio
import json
import re

from classroom.reports.take_home import take_home
from classroom.views.results import Bar, list_chosen_mistakes
from classroom.views.screens import build_student_state, build_teacher_state, name_phase, screen_state
from study.base.html import NO_HTML
from study.ports.classes import ClassOption, ClassQuestion
from tests.classroom.rooms import School, phone, played


def test_the_projector_names_slips_that_the_discussion_has_ended(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana, phone(school, live, "ben") as ben:
            votes = {"vote": (("slip", "slip"), 1), "revote": (("right", "right"), 2)}
            for phase, (options, number) in votes.items():
                await school.lead(live, "go", position=0, phase=phase)
                for each, option in zip((ana, ben), options, strict=True):
                    await each.answer(0, number, option=option, confidence="think")
            await school.lead(live, "go", position=0, phase="reveal")
            shown = screen_state(live, link="x")["html"]
            assert "Anyone who chooses A a slip." in shown
            assert "another slip" not in shown  # nobody chose it

    played(play)


def test_popular_wrong_options_come_in_order() -> None:
    votes = {"slip": 2, "right": 5, "other": 3, "none": 0}
    bars = [
        Bar(
            id=option,
            letter="",
            html=NO_HTML,
            votes=count,
            percent=0.0,
            correct=option == "right",
            misconception="",
            feedback=NO_HTML,
        )
        for option, count in votes.items()
    ]
    options = (ClassOption(id="right", html=NO_HTML, correct=True),)
    asked = ClassQuestion(id="asked", html=NO_HTML, options=options)
    assert [bar.id for bar in list_chosen_mistakes([bars], asked)] == ["other", "slip"]


def test_a_poll_promises_votes_and_no_answer(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        await school.lead(live, "go", position=1, phase="vote")
        assert "Next: The votes" in build_teacher_state(live)["html"]
        await school.lead(live, "next")
        assert "A poll · The votes" in screen_state(live, link="x")["html"]

    played(play)


def test_a_value_that_is_known_beforehand_is_folded_away_while_the_class_guesses(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        await school.lead(live, "go", position=2, phase="vote")
        assert "No guesses yet." in build_teacher_state(live)["html"]
        async with phone(school, live, "ana") as ana:
            await ana.answer(2, 1, number="44")
        html = build_teacher_state(live)["html"]
        folded = "<summary>Show the right answer</summary>"
        assert re.findall(r"<details [^>]*>(.*?)</details>", html)[0].startswith(folded)
        assert "40 MB" not in html.partition(folded)[0]
        assert "44" in html.partition(folded)[0]
        assert 'class="truth"' not in html  # the line in the histogram
        await school.lead(live, "next")
        html = build_teacher_state(live)["html"]
        assert folded not in html
        assert "The value: <strong" in html
        assert 'class="truth"' in html

    played(play)


def test_a_value_without_a_unit_is_followed_by_its_comma(school: School) -> None:
    form = {"kind": "number", "ask": "At which rank?", "value": "96", "when": "next"}

    async def play() -> None:
        live = await school.start()
        async with school.teacher() as teacher, phone(school, live, "ana") as ana:
            await teacher.post(f"/class/{live.room.code}/ask", json=form)
            await school.lead(live, "next")
            await ana.answer(live.state.position, 1, number="90")
            await school.lead(live, "next")
            assert "96</strong>, the upright line" in screen_state(live, link="x")["html"]

    played(play)


def test_a_question_that_names_its_activity_is_shown_once(school: School) -> None:
    ask = "Is B zero at the start?"
    form = {"kind": "question", "ask": ask, "options": "* Yes\nNo"}

    async def play() -> None:
        live = await school.start()
        async with school.teacher() as teacher, phone(school, live, "ana") as ana:
            await teacher.post(f"/class/{live.room.code}/ask", json=form | {"when": "next"})
            assert f"Next: {ask} · vote" in build_teacher_state(live)["html"]
            await school.lead(live, "next")
            for phase in ("vote", "reveal"):
                await school.lead(live, "go", position=live.state.position, phase=phase)
                lead, screen = build_teacher_state(live)["html"], screen_state(live, link="x")["html"]
                student = (await ana.state())["html"]
                shown = (lead.partition("<summary>The plan")[0], screen, student)
                assert [html.count(ask) for html in shown] == [1, 1, 1]
            assert "<h1>Question</h1>" in student
            await school.lead(live, "go", position=0, phase="reveal")
            assert "<h1>A question</h1>" in (await ana.state())["html"]  # a title that says something else
            made = (await teacher.post("/class/plans/typed", json=form)).text
            assert re.sub(r'value="[^"]*"|<span class="sr">.*?</span>', "", made).count(ask) == 1
            entry = {"kind": "question", "title": ask, "ask": ask, "options": ["* Yes", "No"]}
            plan = {
                "title": "Mine",
                "about": "Mine.",
                "minutes": "1",
                "entry": json.dumps(entry),
                "kept": "yes",
            }
            await teacher.post("/class/plans", data=plan)
            assert (await teacher.get("/class")).text.count(ask) == 1

    played(play)


def test_an_ended_class_is_opened_again_by_that_button_only(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        await school.lead(live, "next")
        await school.lead(live, "end")
        shown = build_teacher_state(live)["html"]
        assert re.findall('data-do="(next|back|end|lock|unlock|reopen)"', shown) == ["reopen"]
        assert 'data-do="reopen" data-ask="Open the class again for everyone?"' in shown
        refused = await school.lead(live, "back")  # a clicker, pressed once more
        assert (refused.status_code, live.state.ended) == (400, True)
        assert "Open it again" in refused.json()["error"]
        seen = live.state.last
        pressed = [await school.lead(live, "reopen", after=seen) for _ in range(2)]
        assert [answer.status_code for answer in pressed] == [200, 400]
        assert (live.state.position, live.state.phase, live.state.ended) == (0, "vote", False)

    played(play)


def test_a_run_shows_what_it_has_come_to_and_why_it_ends_there(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        student = await school.hub.join(live, "ana")
        await school.lead(live, "go", position=3, phase="vote")
        for number, guess in enumerate(("10", "30")):
            guesser = await school.hub.join(live, f"guesser-{number}")
            given = {"id": f"a-guess-{number}", "position": 3, "round": 1, "number": guess}
            await school.hub.answer(live, guesser, given)
        school.runs.so_far = 20.0
        await school.lead(live, "next")
        await school.lead(live, "next")
        while not live.run or live.run.so_far is None:
            await asyncio.sleep(0.02)
        shown = screen_state(live, link="x")["html"]
        assert 'class="truth so-far"' in shown
        assert "So far: <strong" in shown
        assert "A and B are small." not in shown
        school.runs.value = 15.0
        while not live.state.measured:
            await asyncio.sleep(0.02)
        shown, phone_shows = screen_state(live, link="x")["html"], build_student_state(live, student)["html"]
        assert "so-far" not in shown
        for html in (shown, phone_shows, build_teacher_state(live)["html"]):
            assert "A and B are small." in html
            assert "(Counting)" in html
        [card] = [
            card
            for card in take_home(live.plan, live.events, live.state, (), joined_at=student.joined_at)
            if card.id == "4-guess"
        ]
        assert card.why.endswith("A and B are small.")

    played(play)


def test_the_teacher_draws_another_name_for_a_student(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana:
            before = (await ana.state())["name"]
            student = next(iter(live.students))
            assert f'data-do="rename" data-student="{student}"' in build_teacher_state(live)["html"]
            assert (await school.lead(live, "rename", student=student)).status_code == 200
            assert (await ana.state())["name"] not in (before, "")
            refused = await school.lead(live, "rename", student="nobody")
            assert "not in this class" in refused.json()["error"]
            await school.hub.forget_names(live)
            assert 'data-do="rename"' not in build_teacher_state(live)["html"]

    played(play)


def test_the_teacher_reads_who_was_close_and_the_projector_names_nobody(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        async with (
            phone(school, live, "ana") as ana,
            phone(school, live, "ben") as ben,
            phone(school, live, "cyd") as cyd,
        ):
            await school.lead(live, "go", position=2, phase="vote")
            for each, guess in ((ana, "43"), (ben, "99"), (cyd, "41")):
                await each.answer(2, 1, number=guess)
            assert "Guesses within" not in build_teacher_state(live)["html"]
            await school.lead(live, "next")
            names = [student.name for student in live.students.values()]
            told = build_teacher_state(live)["html"]  # the closest first
            assert f"Guesses within 10 % of it (2)</summary><p>{names[2]}, {names[0]}</p>" in told
            assert not any(name in screen_state(live, link="x")["html"] for name in names)
            await school.lead(live, "hide-names")
            assert "<p>Student 3, Student 1</p>" in build_teacher_state(live)["html"]

    played(play)


def test_a_number_is_guessed_and_an_option_is_voted_for() -> None:
    assert [name_phase(kind, "vote") for kind in ("predict", "number", "question")] == [
        "Guess",
        "Guess",
        "Vote",
    ]
