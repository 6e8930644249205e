"""What the three screens say: why wrong options were chosen, and what is known so far."""

import pytest

from classroom.views.screens import screen_state, teacher_state
from study.ports.context import Context
from tests.classroom.rooms import School, phone, played


@pytest.fixture
def school(context: Context) -> School:
    return School(context)


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


def test_a_poll_promises_votes_and_no_answer(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        await school.lead(live, "go", position=1, phase="vote")
        assert "Next: The votes" in teacher_state(live)["html"]
        await school.lead(live, "next")
        assert "A poll · The votes" in screen_state(live, link="x")["html"]

    played(play)
