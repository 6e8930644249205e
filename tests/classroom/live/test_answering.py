"""Answers in a class: stored once and only while a round is open; what is shown of them, and when."""

import asyncio
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from study.ports.context import Context
from study.store.classes import ClassLog
from tests.classroom.rooms import School, phone, played, stored


def test_a_class_from_joining_to_the_answer(school: School, context: Context) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana, phone(school, live, "ben") as ben:
            assert "You are in" in (await ana.state())["html"]
            assert (await school.lead(live, "next")).status_code == 200
            state = await ana.state()
            assert (state["position"], state["round"]) == (0, 1)
            assert "What is q?" in state["html"]
            sent = await ana.answer(0, 1, option="slip", confidence="sure")
            assert (sent.status_code, sent.json()["outcome"]) == (200, "stored")
            assert stored(context, live)[0][1:] == (1, {"option": "slip"})
            state = await ana.state()
            assert state["answered"]
            assert "Your answer is saved" in state["html"]
            await ben.answer(0, 1, option="right", confidence="guess")
            for _ in range(4):  # advice, discuss, revote, then a second vote
                if (await ana.state())["round"] == 2:
                    break
                await school.lead(live, "next")
            await ana.answer(0, 2, option="right")
            await school.lead(live, "next")
            shown = (await ana.state())["html"]
            assert "✓ Right" in shown
            assert "Keep this." in shown

    played(play)


def test_a_phone_learns_nothing_of_the_result_before_it_is_shown(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana, phone(school, live, "ben") as ben:
            await school.lead(live, "next")
            await ben.answer(0, 1, option="right")
            await ana.answer(0, 1, option="slip")
            while live.state.phase != "reveal":
                state = await ana.state()
                for hidden in ("That is a slip", "Keep this", "%", "correct", "✓"):
                    assert hidden not in str(state), (live.state.phase, hidden)
                if live.state.phase == "revote":
                    await ana.answer(0, 2, option="slip")
                await school.lead(live, "next")

    played(play)


def test_the_projector_hides_the_histogram_until_it_is_shown(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana, school.teacher() as teacher:
            await school.lead(live, "next")
            await ana.answer(0, 1, option="slip")
            await ana.state()  # a phone that asks for its state is connected
            address = f"/class/{live.room.code}/screen/state"
            hidden = (await teacher.get(address)).json()
            assert (hidden["in_room"], hidden["answered"]) == (1, 1)
            assert "bars" not in hidden["html"]
            assert "bars" in (await teacher.get(f"/class/{live.room.code}/teach/state")).json()["html"]
            await school.lead(live, "go", position=0, phase="reveal")
            shown = (await teacher.get(address)).json()["html"]
            assert "bars" in shown
            assert "a slip" in shown  # the misconception behind the wrong option
            [student] = live.students.values()
            assert student.name not in shown

    played(play)


def test_an_answer_sent_twice_at_once_is_stored_once(school: School, context: Context) -> None:
    async def play() -> list[str]:
        live = await school.start()
        async with phone(school, live, "ana") as ana:
            await school.lead(live, "next")
            same = [ana.answer(0, 1, id="one-and-the-same", option="right") for _ in range(8)]
            got = await asyncio.gather(*same, ana.answer(0, 1, option="slip"))
            assert len(stored(context, live)) == 1
            return sorted(each.json()["outcome"] for each in got)

    assert played(play) == ["answered", *["repeated"] * 7, "stored"]


def test_a_late_answer_is_told_so_and_counts_nothing(school: School, context: Context) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana:
            await school.lead(live, "next")
            await school.lead(live, "next")
            late = await ana.answer(0, 1, option="right")
            assert late.status_code == 409
            said = "Voting was closed before your answer arrived, so it does not count."
            assert late.json()["error"] == said
            assert "Voting is closed" in late.json()["state"]["html"]
            assert stored(context, live) == []

    played(play)


def test_an_answer_that_was_kept_on_a_phone_without_a_connection_is_told_which_vote_it_missed(
    school: School,
) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana:
            await school.lead(live, "go", position=0, phase="revote")
            late = (await ana.answer(0, 1, option="right")).json()["error"]
            assert late.startswith("The first vote was closed before your answer arrived")
            await school.lead(live, "go", position=1, phase=live.plan[1].phases[0])
            late = (await ana.answer(0, 2, option="right")).json()["error"]
            assert late.startswith(f"Voting on “{live.plan[0].title}” was closed before your answer arrived")

    played(play)


def test_a_class_goes_on_after_a_restart_in_any_activity(school: School, context: Context) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana:
            for step in range(12):
                await school.lead(live, "next")
                if live.state.round and live.plan[live.state.position].asked:
                    asked = live.plan[live.state.position].find_question(live.state.round)
                    assert asked is not None
                    await ana.answer(live.state.position, live.state.round, option=asked.options[0].id)
                again = School(context, runs=school.runs)
                same = await again.hub.find(live.room.code)
                assert (same.state, same.revision) == (live.state, live.revision), step
                async with again.client(browser="ana") as client:
                    after = (await client.get(f"/class/{live.room.code}/state")).json()
                before = await ana.state()
                assert {**after, "now": 0} == {**before, "now": 0}

    played(play)


def test_what_is_no_answer_is_refused_with_a_sentence(school: School, context: Context) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana:
            await school.lead(live, "next")
            bad: list[dict[str, Any]] = [
                {"option": "nothing"},
                {"id": "short", "option": "right"},
                {"id": 7, "option": "right"},
                {"position": "0", "option": "right"},
                {"position": 99, "option": "right"},
                {"round_number": 4, "option": "right"},
            ]
            for each in bad:
                assert (await ana.answer(**({"position": 0, "round_number": 1} | each))).status_code == 400, (
                    each
                )
            address = f"/class/{live.room.code}/answer"
            for content in (b"", b"[]", b"{", b"\xff", b"[" * 3000, b'{"a": "' + b"x" * 5000 + b'"}'):
                assert (await ana.client.post(address, content=content)).status_code == 400
            assert stored(context, live) == []

    played(play)


def test_a_flood_from_one_phone_leaves_the_others_alone(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana, phone(school, live, "ben") as ben:
            await school.lead(live, "next")
            flood = await asyncio.gather(*(ana.answer(0, 1, option="right") for _ in range(60)))
            assert {each.status_code for each in flood} == {200, 429}
            assert (await ben.answer(0, 1, option="right")).status_code == 200

    played(play)


@pytest.mark.parametrize(
    "refused",
    [
        OperationalError("INSERT", {}, Exception("database or disk is full")),
        OSError(28, "No space left on device"),
    ],
)
def test_an_answer_is_acknowledged_only_after_its_commit(
    context: Context, school: School, monkeypatch: pytest.MonkeyPatch, refused: Exception
) -> None:
    def disk_is_full(_: object) -> None:
        raise refused

    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana:
            await school.lead(live, "next")
            working = ClassLog.transact

            def failing(self: ClassLog, jobs: Any) -> Any:
                working(self, [*jobs, disk_is_full])

            monkeypatch.setattr(ClassLog, "transact", failing)
            lost = await ana.answer(0, 1, id="kept-by-the-phone", option="right")
            assert lost.status_code == 503
            assert "sent again" in lost.json()["error"]
            pressed = await school.lead(live, "next")
            assert pressed.status_code == 503
            assert "sent again" not in pressed.json()["error"]  # nothing is kept of a press
            assert (stored(context, live), (await ana.state())["answered"]) == ([], False)
            monkeypatch.undo()
            again = await ana.answer(0, 1, id="kept-by-the-phone", option="right")
            assert again.json()["outcome"] == "stored"

    played(play)


def test_answers_that_come_together_share_commits(
    context: Context, school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[int] = []
    working = ClassLog.transact

    def counting(self: ClassLog, jobs: Any) -> Any:
        commits.append(len(jobs))
        return working(self, jobs)

    async def play() -> None:
        live = await school.start()
        students = [await school.hub.join(live, f"browser-{number}") for number in range(50)]
        await school.lead(live, "next")
        monkeypatch.setattr(ClassLog, "transact", counting)
        given = {"position": 0, "round": 1, "option": "right"}
        await asyncio.gather(
            *(
                school.hub.answer(live, student, given | {"id": f"answer-{student.number}"})
                for student in students
            )
        )
        assert len(stored(context, live)) == 50

    played(play)
    assert sum(commits) == 50
    assert len(commits) <= 5


def test_a_fault_in_what_follows_a_commit_reaches_its_request_and_no_other(school: School) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError

    async def play() -> None:
        with pytest.raises(ZeroDivisionError):
            await school.hub.writer.do(lambda _: 1, fail)
        assert await school.hub.writer.do(lambda _: 2, lambda _: None) == 2

    played(play)


def test_a_prediction_is_answered_by_a_run_of_the_lab(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana, school.teacher() as teacher:
            await school.lead(live, "go", position=3, phase="vote")
            await ana.answer(3, 1, number="2")
            await school.lead(live, "next")
            assert school.runs.started == []
            screen = f"/class/{live.room.code}/screen/state"
            assert "1 guess" in (await teacher.get(screen)).json()["html"]
            await school.lead(live, "next")
            assert school.runs.started == [{"rank": 8}]
            await asyncio.sleep(0.1)
            assert "step 3 of 10" in (await teacher.get(screen)).json()["html"]
            school.runs.value = 2.1
            while live.state.measured != {3: 2.1}:
                await asyncio.sleep(0.05)
            assert "2.1 %" in (await teacher.get(screen)).json()["html"]
            assert "within 10 %" in (await ana.state())["html"]
            await school.lead(live, "back")
            await school.lead(live, "next")
            assert len(school.runs.started) == 1  # the same run is shown again

    played(play)


def test_who_voted_once_sees_that_vote_with_the_answer(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana, phone(school, live, "ben") as ben:
            await school.lead(live, "go", position=0, phase="vote")
            await ana.answer(0, 1, option="slip")
            await school.lead(live, "go", position=0, phase="revote")
            await ben.answer(0, 2, option="right")
            await school.lead(live, "go", position=0, phase="reveal")
            assert "✗ Your answer, not right" in (await ana.state())["html"]
            assert "✓ Right: your answer" in (await ben.state())["html"]

    played(play)
