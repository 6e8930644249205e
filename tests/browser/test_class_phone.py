"""A student's phone in a class: a lost connection, kept-back streams, refusals, a second tab, few bytes."""

import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.browser.classrooms import PHONE, Classroom, press_next

pytestmark = pytest.mark.browser


def answered_offline(classroom: Classroom) -> tuple[Page, Page]:
    """The teacher's page, and a phone that has answered while its connection is away."""
    teacher = classroom.start("opener")
    ana = classroom.phone()
    press_next(teacher, "Where we stand")
    expect(ana.locator("form.answer")).to_be_visible()
    ana.context.set_offline(True)
    ana.locator("label.option").nth(1).click()
    ana.get_by_role("button", name="Send").click()
    return teacher, ana


def test_an_answer_given_without_a_connection_is_sent_once_when_it_is_back(classroom: Classroom) -> None:
    teacher, ana = answered_offline(classroom)
    expect(ana.locator(".waiting")).to_contain_text("on its way")
    assert "position" in ana.evaluate("Object.entries(localStorage).flat().join()")
    ana.wait_for_timeout(2000)
    ana.context.set_offline(False)
    expect(ana.get_by_text("Your answer is saved")).to_be_visible()
    expect(teacher.locator("#answered")).to_have_text("1")
    assert ana.evaluate(f"localStorage.getItem('class-{classroom.code}-unsent')") == "[]"
    classroom.forgive("ERR_INTERNET_DISCONNECTED")


def test_an_answer_that_waited_too_long_is_told_so(classroom: Classroom) -> None:
    teacher, ana = answered_offline(classroom)
    press_next(teacher, "The votes")
    ana.context.set_offline(False)
    expect(ana.locator("#trouble")).to_contain_text("does not count")
    expect(ana.locator("#now")).to_contain_text("You sent no answer to this one")
    classroom.forgive("ERR_INTERNET_DISCONNECTED", "status of 409")


def test_an_answer_given_while_another_is_being_sent_follows_it(classroom: Classroom) -> None:
    teacher = classroom.start("rank-25")
    ana, ben = classroom.phone(), classroom.phone()
    held: dict[Page, list[Route]] = {ana: [], ben: []}

    def hold_the_first(phone: Page) -> None:
        phone.route(
            "**/answer", lambda route: route.continue_() if held[phone] else held[phone].append(route)
        )

    ben.clock.install()
    lead = teacher.locator("ol.plan li").first
    lead.locator("[data-phase=vote]").evaluate("step => step.click()")
    for phone in (ana, ben):
        hold_the_first(phone)
        phone.locator("label.option").nth(0).click()
        phone.locator("button[value=sure]").click()
        expect(phone.locator(".waiting")).to_be_visible()
    lead.locator("[data-phase=revote]").evaluate("step => step.click()")
    for phone in (ana, ben):
        expect(phone.locator(".waiting")).to_have_count(0)
        phone.locator("label.option").nth(1).click()
        phone.locator("button[value=sure]").click()
    held[ana][0].continue_()
    ben.clock.run_for(8_000)  # his never comes back, and student.js gives it up
    for phone in (ana, ben):
        expect(phone.get_by_text("Your answer is saved")).to_be_visible()
        expect(phone.locator("#trouble")).to_contain_text("does not count")  # the first one
    classroom.forgive("status of 409")


def test_a_phone_whose_streams_are_kept_back_asks_every_two_seconds(classroom: Classroom) -> None:
    classroom.start("opener")
    ana = classroom.browser(**PHONE)
    streams: list[Route] = []
    ana.route(
        "**/events", lambda route: streams.append(route)
    )  # a proxy or a virus scanner that waits for the end
    ana.clock.install()
    ana.goto(f"{classroom.address}/class/{classroom.code}")
    expect(ana.get_by_text("Joining the class")).to_be_visible()
    expect(ana.locator("#me")).to_be_visible()
    expect(ana.locator("#name")).to_have_text("…")
    for _ in range(2):
        with ana.expect_response("**/state"):
            ana.clock.run_for(35_000)
        expect(ana.get_by_role("heading", name="You are in")).to_be_visible()
    opened = len(streams)
    for _ in range(4):
        with ana.expect_response("**/state"):
            ana.clock.run_for(2_000)
    assert len(streams) == opened
    ana.unroute("**/events")  # who comes to a network without one is soon told of each step again
    with ana.expect_request("**/events"):
        for _ in range(40):
            ana.clock.run_for(2_000)


def test_a_refusal_is_told_in_words_and_goes_when_it_is_over(classroom: Classroom) -> None:
    teacher, ana = classroom.start("opener"), classroom.phone()
    ana.route("**/events", lambda route: route.fulfill(status=502))
    refused = {"error": "Too many requests from this device. Wait a moment."}
    ana.route("**/state", lambda route: route.fulfill(status=429, json=refused))
    ana.clock.install()
    ana.reload()
    with ana.expect_response("**/state"):
        ana.clock.run_for(2_000)
    expect(ana.locator("#trouble")).to_have_text(refused["error"])
    ana.unroute("**/state")
    with ana.expect_response("**/state"):
        ana.clock.run_for(2_000)
    expect(ana.locator("#trouble")).to_be_hidden()
    teacher.goto(f"{classroom.address}/class/{classroom.code}/report")
    teacher.get_by_label("Delete this class").check()
    teacher.get_by_role("button", name="Delete the class").click()
    ana.clock.run_for(4_000)
    expect(ana.locator("#trouble")).to_contain_text(f"There is no class with the code {classroom.code}.")
    expect(ana.locator("#trouble")).not_to_contain_text("{")
    classroom.forgive("status of 502", "status of 429", "status of 400")


def test_a_second_tab_is_the_same_student_and_shows_the_answer(classroom: Classroom) -> None:
    teacher = classroom.start("opener")
    ana = classroom.phone()
    tab = classroom.watched(ana.context.new_page())
    tab.goto(ana.url)
    press_next(teacher, "Where we stand")
    ana.locator("label.option").nth(0).click()
    ana.get_by_role("button", name="Send").click()
    expect(tab.get_by_text("Your answer is saved")).to_be_visible()
    expect(tab.locator("#name")).to_have_text(ana.locator("#name").inner_text())
    expect(teacher.locator("#in-room")).to_have_text("1")


def test_a_phone_loads_little(classroom: Classroom) -> None:
    """At most 60 kB and 8 requests, cold, with a live figure in the plan; as they are sent, compressed."""
    classroom.start("rank-25")
    page = classroom.browser(**PHONE)
    finished: list[Request] = []
    page.on("requestfinished", lambda request: finished.append(request))
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(f"{classroom.address}/class/{classroom.code}")
    expect(page.get_by_role("heading", name="You are in")).to_be_visible()
    assert len(requests) <= 8
    sizes = [request.sizes() for request in finished]
    assert len(sizes) >= 4
    assert sum(each["responseBodySize"] + each["responseHeadersSize"] for each in sizes) <= 60_000


def test_half_a_code_is_told_how_many_digits_it_needs(classroom: Classroom) -> None:
    phone = classroom.browser(width=360, height=740)
    phone.goto(f"{classroom.address}/class/join")
    code = phone.get_by_label("The six digits")
    code.fill("12")
    phone.get_by_role("button", name="Join").click()
    assert code.evaluate("each => each.validationMessage") == "Type the six digits on the screen."
    code.fill("123456")
    assert code.evaluate("each => each.checkValidity()")


OVERFLOW = """box => {
  const filler = document.createElement("span"), votes = box.querySelector(".votes");
  votes.before(filler);
  return Math.max(...[...Array(60).keys()].map((letters) => {
    filler.textContent = "m".repeat(letters % 20) + " m".repeat(letters / 2);
    return votes.getBoundingClientRect().bottom - box.getBoundingClientRect().bottom;
  }));
}"""
"""By how many pixels the votes stick out of their box, whatever the length of the option."""


def test_the_votes_of_an_option_of_any_length_stay_in_its_box(classroom: Classroom) -> None:
    teacher, phone = classroom.start("opener"), classroom.phone()
    press_next(teacher, "Vote")
    press_next(teacher, "The votes")
    boxes = phone.locator(".told:has(.votes)")
    expect(boxes.first).to_be_visible()
    assert max(box.evaluate(OVERFLOW) for box in boxes.all()) <= 0
