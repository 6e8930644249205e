"""What teacher, projector and phones show in a class, and phones with the browsers of five years ago."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.axe import violations
from tests.browser.classrooms import PHONE, Classroom, press_next, vote
from tests.browser.conftest import StartApp

pytestmark = pytest.mark.browser


QUICK_TO_SAY = {"LORA_STUDY_BUSY_SECONDS": "1"}
"""How long the app waits for a database that others write to."""


def test_an_older_browser_sends_answers_and_asks_for_states(classroom: Classroom) -> None:
    teacher = classroom.start("opener")
    ana = classroom.browser(**PHONE)
    ana.add_init_script("delete AbortSignal.timeout; delete window.EventSource;")
    ana.goto(f"{classroom.address}/class/{classroom.code}")
    expect(ana.get_by_role("heading", name="You are in")).to_be_visible()
    press_next(teacher, "Where we stand")
    ana.locator("label.option").nth(1).click()
    ana.get_by_role("button", name="Send").click()
    expect(ana.get_by_text("Your answer is saved")).to_be_visible()
    expect(teacher.locator("#answered")).to_have_text("1")


def test_a_refusal_goes_when_the_class_goes_on(classroom: Classroom) -> None:
    teacher, ana = classroom.start("lab-45"), classroom.phone()
    predict = teacher.locator("ol.plan li", has_text="How much is trained?")
    predict.locator("[data-phase=vote]").evaluate("step => step.click()")
    ana.get_by_label("Your guess").fill("500")
    ana.get_by_role("button", name="Send").click()
    expect(ana.locator("#trouble")).to_contain_text("500 % isn't a possible value")
    press_next(teacher, "The guesses")
    expect(ana.locator("#now")).to_contain_text("You sent no answer to this one")
    expect(ana.locator("#trouble")).to_be_hidden()
    classroom.forgive("status of 400")


def test_the_teachers_page_may_be_projected_and_its_buttons_look_as_they_are(classroom: Classroom) -> None:
    teacher = classroom.start("rank-25")
    entrance = teacher.locator("details", has_text="How students get in")
    expect(entrance.locator("svg")).to_be_visible()  # nobody has joined
    expect(teacher.get_by_role("link", name="Open the projector screen")).to_be_in_viewport()
    back = teacher.locator("[data-do=back]")
    expect(back).to_be_disabled()
    expect(back).to_have_css("cursor", "default")
    expect(back).to_have_css("border-style", "dashed")
    ana = classroom.phone()
    teacher.reload()
    expect(teacher.locator("#in-room")).to_have_text("1")
    expect(entrance.locator("svg")).to_be_hidden()
    press_next(teacher, "Vote")
    vote(ana, 0)
    expect(teacher.locator("table.bars")).to_be_visible()
    expect(teacher.locator("table.bars")).not_to_contain_text("✓")
    expect(teacher.locator("table.bars tr.right")).to_have_count(0)
    right = teacher.locator("details", has_text="Show the right answer")
    expect(right.locator("p")).to_be_hidden()
    right.locator("summary").click()
    expect(right.locator("p")).to_be_visible()
    teacher.locator("ol.plan li").first.locator("[data-phase=reveal]").evaluate("step => step.click()")
    expect(teacher.locator("table.bars")).to_contain_text("✓")
    teacher.once("dialog", lambda dialog: dialog.accept())
    teacher.get_by_role("button", name="End the class").click()
    expect(teacher.get_by_role("heading", name="The class has ended")).to_be_visible()
    teacher.once("dialog", lambda dialog: dialog.dismiss())
    teacher.get_by_role("button", name="Open the class again").click()
    expect(ana.get_by_role("heading", name="The class has ended")).to_be_visible()
    teacher.once("dialog", lambda dialog: dialog.accept())
    with teacher.expect_request("**/command") as sent:
        teacher.get_by_role("button", name="Open the class again").click()
    assert (sent.value.post_data_json or {}).get("after")  # so that a second press goes no step back
    expect(ana.locator(".told.right")).to_be_visible()


def test_a_phone_says_whether_it_reaches_the_class(classroom: Classroom) -> None:
    elsewhere = {"X-Forwarded-For": "192.0.2.50"}
    ana = classroom.browser(**PHONE, extra_http_headers=elsewhere)
    ana.goto(f"{classroom.address}/class/help")
    expect(ana.locator("#reach")).to_have_text("This phone reaches the class ✓")
    assert violations(ana) == []
    ana.route("**/class/help/events", lambda route: None)  # a proxy that waits for the end of a stream
    ana.clock.install()
    ana.reload()
    expect(ana.locator("#reach")).to_be_visible()
    ana.clock.run_for(6_000)  # as long as help.js waits
    expect(ana.locator("#reach")).to_contain_text("up to two seconds late")
    ana.route(
        "**/class/help", lambda route: route.abort() if route.request.method == "POST" else route.continue_()
    )
    ana.reload()
    expect(ana.locator("#reach")).to_contain_text("answers don’t arrive")
    teacher = classroom.browser()
    teacher.goto(f"{classroom.address}/class/help")
    expect(teacher.locator(".qr svg")).to_be_visible()
    classroom.forgive("ERR_FAILED")


def test_the_projector_uses_its_width_and_says_where_codes_are_typed(classroom: Classroom) -> None:
    teacher, ana, screen = classroom.start("opener"), classroom.phone(), classroom.screen()
    expect(screen.locator(".corner")).to_contain_text(f"Code {classroom.code}")
    expect(screen.locator(".corner .address")).to_have_text(re.compile(r"[\d.]+:\d+/class/join"))
    press_next(teacher, "Vote")
    ana.locator("label.option").nth(0).click()
    ana.get_by_role("button", name="Send").click()
    expect(ana.get_by_text("Your answer is saved")).to_be_visible()
    press_next(teacher, "The votes")
    expect(screen.locator(".bars")).to_be_visible()
    bar = screen.locator(".bars .fill").first.bounding_box()
    assert bar is not None
    assert bar["width"] >= 1920 / 4
    text = screen.locator(".bars .option-text").first
    assert text.evaluate("one => parseFloat(getComputedStyle(one).fontSize)") >= 40
    assert screen.evaluate("document.documentElement.scrollHeight") <= 1080


def test_all_screens_say_that_nothing_can_be_saved(
    chromium: Browser, start_app: StartApp, tmp_path: Path
) -> None:
    classroom = Classroom(
        chromium, start_app("--class", "--no-worker", folder=tmp_path, environment=QUICK_TO_SAY)
    )
    teacher, screen, ana = classroom.start("opener"), classroom.screen(), classroom.phone()
    press_next(teacher, "Where we stand")
    expect(ana.locator("form.answer")).to_be_visible()
    with closing(sqlite3.connect(tmp_path / "study.sqlite3", isolation_level=None, timeout=30)) as held:
        held.execute("BEGIN IMMEDIATE")
        ana.locator("label.option").nth(1).click()
        ana.get_by_role("button", name="Send").click()
        expect(ana.locator(".waiting")).to_contain_text("kept on this phone until it has arrived")
        screen.keyboard.press("PageDown")
        expect(screen.locator("#trouble")).to_contain_text("can't save at the moment", timeout=60_000)
        teacher.locator("[data-do=next]").click()
        expect(teacher.locator("#trouble")).to_contain_text("can't save at the moment", timeout=60_000)
        expect(ana.get_by_text("Your answer is saved")).to_have_count(0)
        held.execute("ROLLBACK")
    expect(ana.get_by_text("Your answer is saved")).to_be_visible(timeout=30_000)
    press_next(teacher, "The votes")
    expect(screen.locator("#trouble")).to_be_hidden()
    for context in classroom.contexts:
        context.close()
