"""A whole plan in real browsers: one student sleeps through three steps, one comes late, one is taken out."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import violations
from tests.browser.classrooms import PHONE, Classroom, press_next, vote

pytestmark = pytest.mark.browser


@contextmanager
def asleep(phone: Page) -> Iterator[None]:
    """Stop a page as a phone does that is put away: its script stands still, and it shows nothing new."""
    session = phone.context.new_cdp_session(phone)
    session.send("Debugger.enable")
    session.send("Debugger.pause")
    yield
    session.send("Debugger.resume")
    session.send("Debugger.disable")


def test_three_students_and_a_late_one_play_a_whole_plan(classroom: Classroom) -> None:
    teacher = classroom.start("opener")
    screen, ana, ben, cyd = classroom.screen(), classroom.phone(), classroom.phone(), classroom.phone()
    for phone in (ana, ben, cyd):
        expect(phone.get_by_role("heading", name="You are in")).to_be_visible()

    press_next(teacher, "Where we stand")
    for nth, phone in enumerate((ana, ben, cyd)):
        phone.locator("label.option").nth(nth).click()
        phone.get_by_role("button", name="Send").click()
        expect(phone.get_by_role("heading", name="Your answer is saved")).to_be_visible()
    expect(screen.locator("#answered")).to_have_text("3")
    press_next(teacher, "The votes")
    expect(screen.locator(".bars .line .figures")).to_contain_text(["1", "1", "1", "0"])

    press_next(teacher, "What LoRA is for")
    name = cyd.locator("#name").inner_text()
    for nth, phone in enumerate((ana, ben, cyd)):
        vote(phone, nth)
    with asleep(cyd):
        press_next(teacher, "Voting closed")
        teacher.get_by_text("Students (3)").click()
        kicked = teacher.locator(".students li", has_text=ben.locator("#name").inner_text())
        kicked.get_by_role("button", name="Take out").click()
        expect(ben.get_by_role("heading", name="You were taken out of this class")).to_be_visible()
        dan = classroom.phone()
        expect(dan.locator("#now")).to_contain_text("Voting is closed")
        teacher.locator("[aria-current=step] + [data-phase=discuss]").evaluate("step => step.click()")
        expect(teacher.locator("#now h2")).to_contain_text("Discuss")
        expect(ana.locator("#now")).to_contain_text("Find someone near you")
        press_next(teacher, "Second vote")
        for phone in (ana, dan):
            vote(phone, 0)
    expect(cyd.locator("form.answer")).to_be_visible()
    expect(cyd.locator("#name")).to_have_text(name)
    vote(cyd, 0)
    press_next(teacher, "Answer")
    expect(screen.locator(".moves")).to_contain_text("2 who voted twice")
    press_next(teacher, "Similar question")
    for phone in (ana, cyd, dan):
        vote(phone, 0)
    press_next(teacher, "Answer to the similar question")

    press_next(teacher, "How many are trained?")
    for phone, guess in ((ana, "38"), (cyd, "175000"), (dan, "40")):
        phone.get_by_label("Your guess").fill(guess)
        phone.get_by_role("button", name="Send").click()
        expect(phone.get_by_role("heading", name="Your answer is saved")).to_be_visible()
    press_next(teacher, "How many are trained?")
    expect(screen.locator("#now")).to_contain_text("2 within 10 % of it")
    expect(ana.locator("#now")).to_contain_text("Your guess is within 10 % of it.")
    expect(teacher.get_by_text("This is the end of the plan")).to_be_disabled()
    for phone in (ana, ben, cyd, dan):
        named = phone.locator("#name").inner_text()
        assert named not in screen.locator("body").inner_text()
    teacher.on("dialog", lambda dialog: dialog.accept())
    teacher.get_by_role("button", name="End the class").click()
    expect(screen.get_by_role("heading", name="The class has ended")).to_be_visible()
    cyd.get_by_role("link", name="Your cards to take home").click()
    expect(cyd.locator("main")).to_contain_text("You guessed 175,000 million.")
    cyd.get_by_text("Open them on another device").click()
    link = cyd.locator(".link-text").inner_text()
    assert violations(cyd) == []
    assert cyd.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    home = classroom.browser()
    home.goto(link)
    expect(home.locator("main")).to_contain_text("You guessed 175,000 million.")
    teacher.goto(f"{classroom.address}/class/{classroom.code}/report")
    expect(teacher.get_by_role("row", name="2. What LoRA is for")).to_contain_text("100 %")
