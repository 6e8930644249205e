"""Questions of every kind and a self-paced quiz on a real phone, and the editor that plans them."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from classroom.activities.activity import Activity
from quizzes.kinds import KINDS
from study.ports.context import Context
from tests.browser.axe import violations
from tests.browser.classrooms import PHONE, Classroom
from tests.classroom.builders import QUESTION, plan_of
from tests.classroom.rooms import School, played
from tests.classroom.serving import serving
from tests.classroom.views.test_kinds import GRADED, activity_of, of_kind

pytestmark = pytest.mark.browser

QUIZ = Activity(
    kind="quiz", title="A quiz", questions=(of_kind("single"), of_kind("short-text"), of_kind("cloze"))
)
ACTIVITIES = (*(activity_of(of_kind(kind)) for kind in KINDS), QUIZ)


@pytest.fixture
def school(context: Context) -> School:
    return School(context)


@pytest.fixture
def class_address(school: School) -> Iterator[str]:
    """Of an app with this school's questions, in place of the real one."""
    with serving(school) as served:
        yield served


def start(school: School, *activities: Activity) -> str:
    """The code of a class that another hub opens: Playwright has this thread's event loop."""

    async def play() -> str:
        options: dict[str, Any] = {"names_typed": False, "keep_names_days": 30, "address": "127.0.0.1"}
        hub = school.new_hub(school.context)
        return (await hub.open(plan_of(*activities), **options)).room.code

    with ThreadPoolExecutor() as thread:
        return thread.submit(played, play).result()


def fill_in(form: Locator, fields: dict[str, list[str]]) -> None:
    for name, values in fields.items():
        for value in values:
            field = form.locator(f'[name="{name}"]').first
            if not field.count():
                continue
            if field.evaluate("each => each.tagName") == "SELECT":
                field.select_option(value)
            elif field.get_attribute("type") in ("radio", "checkbox"):
                form.locator(f'[name="{name}"][value="{value}"]').check()
            else:
                field.fill(value)


def test_every_kind_is_answered_on_a_phone(classroom: Classroom, school: School) -> None:
    code = classroom.code = start(school, *ACTIVITIES)
    phone = classroom.phone()
    expect(phone.get_by_role("heading", name="You are in")).to_be_visible()
    screen = classroom.screen()

    def go(position: int, phase: str) -> None:
        phone.request.post(
            f"{classroom.address}/class/{code}/command",
            data={"do": "go", "position": position, "phase": phase},
        )

    for position, activity in enumerate(ACTIVITIES[:-1]):
        asked = activity.asked
        assert asked is not None
        go(position, "vote")
        form = phone.locator(f'form.answer[data-form="{position}/1"]')
        expect(form).to_be_visible()
        if asked.task:
            fill_in(form, GRADED.fill_in_example(asked.task, right=True, rng=Random(1)))
        else:
            form.locator(f'[value="{asked.right}"]').check()
        phone.reload()  # what is filled in and not sent stays
        form.get_by_role("button", name="Sure", exact=True).click()
        expect(phone.get_by_role("heading", name="Your answer is saved")).to_be_visible()
        assert violations(phone) == []
        assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        go(position, "reveal")
        expect(phone.get_by_text("✓ Right").first).to_be_visible()
        expect(screen.locator("tr.right").first).to_contain_text("(100 %)")
        assert violations(phone) == violations(screen) == []

    go(len(ACTIVITIES) - 1, "vote")
    step = phone.locator("[data-step]:visible")
    expect(step.get_by_role("heading")).to_have_text("Question 1 of 3")
    phone.get_by_role("button", name="Next question").click()
    expect(step.get_by_role("heading")).to_be_focused()
    step.get_by_role("textbox").fill("double quantization")
    phone.get_by_role("button", name="Back", exact=True).click()
    step.get_by_role("radio").first.check()
    step.get_by_role("button", name="A guess").click()
    expect(step.get_by_role("heading")).to_have_text("Question 2 of 3")  # the next one without an answer
    expect(step.get_by_role("textbox")).to_have_value("double quantization")
    step.get_by_role("button", name="Sure", exact=True).click()
    expect(step.get_by_role("heading")).to_have_text("Question 3 of 3")
    assert violations(phone) == []
    phone.reload()
    expect(step.get_by_role("heading")).to_have_text("Question 3 of 3")
    phone.get_by_role("button", name="Back", exact=True).click()
    step.get_by_role("button", name="Change my answer").click()
    step.get_by_role("textbox").fill("something else")
    step.get_by_role("button", name="Sure", exact=True).click()
    expect(step.get_by_text("something else")).to_be_visible()
    expect(phone.get_by_text("2 of 3 answered")).to_be_visible()
    go(len(ACTIVITIES) - 1, "reveal")
    expect(phone.get_by_text("✗ Your answer, not right").first).to_be_visible()
    expect(phone.get_by_text("You sent no answer to this one.")).to_be_visible()


def test_the_editor_sets_twins_and_makes_a_quiz(classroom: Classroom) -> None:
    page = classroom.browser(**PHONE, has_touch=True)
    page.goto(f"{classroom.address}/class?edit=short")
    page.get_by_text("Add a question from the app").click()
    for words, told in (("one", "The quiz has 1 question."), ("two", "The quiz has 2 questions.")):
        page.get_by_label("Words").fill(words)
        page.locator("#search").get_by_role("button").click()
        expect(page.locator("#found li")).to_contain_text(f"What is q-{words}?")
        page.get_by_role("button", name="Add to a quiz").click()
        expect(page.locator("#moved")).to_have_text(told)
    page.get_by_label("Name of the quiz").fill("Check")
    page.get_by_role("button", name="Add the quiz to the plan").evaluate(
        "button => { button.click(); button.click(); }"  # two presses add one quiz
    )
    last = page.locator("#entries li").last
    expect(last).to_contain_text("Check · Self-paced quiz · 2 questions")
    page.get_by_role("button", name="Add “", exact=False).last.click()
    page.locator("#entries [data-twin]").last.click()
    choice = page.locator("#entries select")
    expect(choice).to_be_focused()
    choice.select_option("q-two-twin")
    assert json.loads(last.locator("[name=entry]").input_value())["twin"] == "q-two-twin"
    assert violations(page) == []
    expect(page.locator("#entries li", has_text="Self-paced quiz")).to_have_count(1)
    page.get_by_role("button", name="Save as my plan").click()
    expect(page.get_by_role("status").filter(has_text="is saved and chosen below")).to_be_visible()


def test_a_question_of_the_app_is_asked_now(classroom: Classroom, school: School) -> None:
    page = classroom.browser(width=390, height=844, has_touch=True)
    page.goto(f"{classroom.address}/class/{start(school, QUESTION)}/teach")
    page.get_by_text("Ask something now or next").click()
    page.get_by_label("Words").fill("new")
    page.locator("#search").get_by_role("button").click()
    page.locator("#found").get_by_role("button", name="Ask now").click()
    expect(page.locator("#now .stem")).to_have_text("What is q-new?")
    expect(page.locator("#clock")).to_contain_text("Time is up")  # its clock stands in the past
    assert violations(page) == []
