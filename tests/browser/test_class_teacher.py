"""The teacher's pages of a class: starting one, plans and questions of one's own, the projector's state."""

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.axe import violations
from tests.browser.classrooms import Classroom, press_next, vote
from tests.waiting import wait_for

pytestmark = pytest.mark.browser


def test_a_question_typed_on_the_spot_and_what_a_student_takes_home(classroom: Classroom) -> None:
    teacher = classroom.start("opener")
    screen, ana = classroom.screen(), classroom.phone()
    teacher.get_by_text("Ask something now").click()
    teacher.get_by_label("Question", exact=True).fill("What is $r$?")
    teacher.get_by_label("Options").fill("* The rank\nThe rate")
    assert violations(teacher) == []
    teacher.get_by_role("button", name="Ask now").click()
    expect(screen.locator("math")).to_be_visible()
    expect(teacher.locator("summary", has_text="Ask something now")).to_be_focused()
    vote(ana, 1)
    press_next(teacher, "Voting closed")
    teacher.get_by_text("The plan", exact=True).click()
    teacher.locator("li", has_text="asked on the spot").get_by_role("button", name="Answer").click()
    expect(ana.get_by_text("Your answer, not right")).to_be_visible()
    teacher.once("dialog", lambda dialog: dialog.accept())
    teacher.get_by_role("button", name="End the class").click()
    ana.get_by_role("link", name="Your cards to take home").click()
    expect(ana.locator("section.told")).to_contain_text("The rank")
    assert violations(ana) == []
    with ana.expect_download() as download:
        ana.get_by_role("link", name="Download for Anki").click()
    assert download.value.suggested_filename.endswith(".apkg")


def test_next_stays_where_it_is_when_counts_and_a_clock_come(classroom: Classroom) -> None:
    teacher = classroom.start("opener")
    classroom.phone()
    expect(teacher.locator("#in-room")).to_have_text("1")
    following = teacher.locator("[data-do=next]")
    before = following.bounding_box()
    for then in ("Where we stand", "The votes", "What LoRA is for"):
        press_next(teacher, then)
    expect(teacher.locator("#clock")).to_contain_text("left")
    expect(following).to_have_text("Next: Close the vote")
    assert following.bounding_box() == before


def test_the_teachers_page_announces_the_step_that_next_leads_to(classroom: Classroom) -> None:
    teacher = classroom.start("opener")
    press_next(teacher, "Where we stand")
    expect(teacher.locator("#live")).to_have_text("Vote: Have you fine-tuned a model yourself?")
    press_next(teacher, "The votes")
    expect(teacher.locator("#live")).to_have_text("The votes: Where we stand")


PRESS_START_TWICE = """() => {
  let sent = 0;
  addEventListener('submit', (event) => { sent += !event.defaultPrevented; event.preventDefault(); });
  for (let press = 0; press < 2; press += 1) document.querySelector('#start').requestSubmit();
  return sent;
}"""


def test_two_presses_ask_once_and_start_one_class(classroom: Classroom) -> None:
    teacher = classroom.browser()
    teacher.goto(f"{classroom.address}/class")
    assert teacher.evaluate(PRESS_START_TWICE) == 1
    teacher = classroom.start("opener")
    steps = teacher.locator("ol.plan li")
    expect(steps.first).to_be_attached()
    planned = steps.count()
    teacher.get_by_text("Ask something now").click()
    teacher.get_by_label("Question", exact=True).fill("What is r?")
    teacher.get_by_label("Options").fill("* The rank\nThe rate")
    teacher.get_by_role("button", name="Ask it next").dblclick()
    expect(teacher.get_by_label("Question", exact=True)).to_be_hidden()
    expect(steps).to_have_count(planned + 1)


def test_a_plan_of_ones_own_is_made_by_keyboard_and_started(classroom: Classroom) -> None:
    teacher = classroom.browser()
    teacher.goto(f"{classroom.address}/class")
    rank = teacher.locator(".choice", has=teacher.locator("input[value=rank-25]"))
    rank.get_by_text("What is in it").click()
    expect(rank.locator("li").nth(2)).to_contain_text("A and B beside W · Live figure · 2 min")
    assert violations(teacher) == []
    rank.get_by_role("link", name="Make it yours").click()
    names = teacher.locator("#entries strong")
    expect(names).to_have_count(8)
    expect(teacher.locator("#editor-title")).to_be_focused()
    teacher.wait_for_load_state()  # the list stands before the script that moves its entries
    down = teacher.get_by_role("button", name="Move “What r sets” down")
    down.press("Enter")
    down.press("Enter")
    expect(teacher.locator("#moved")).to_have_text("“What r sets” is 3 of 8.")
    expect(down).to_be_focused()
    teacher.get_by_role("checkbox", name="A and B beside W").press("Space")
    teacher.get_by_text("Add from other plans").click()
    teacher.get_by_role("button", name="Add “What LoRA is for” to the plan").click()
    teacher.get_by_text("Add a question from the app").click()
    teacher.get_by_role("searchbox", name="Words").fill("optimizer")
    teacher.context.set_offline(True)
    teacher.get_by_role("searchbox", name="Words").press("Enter")
    expect(teacher.locator("#count")).to_contain_text("did not answer")
    teacher.context.set_offline(False)
    held: list[Route] = []
    teacher.route("**/questions?words=rank", lambda route: held.append(route))
    for words in ("rank", "optimizer"):
        teacher.get_by_role("searchbox", name="Words").fill(words)
        teacher.get_by_role("searchbox", name="Words").press("Enter")
    found = teacher.locator("#found")
    expect(found.locator("[data-add]").first).to_be_visible()
    newest = found.inner_text()
    with teacher.expect_response("**/questions?words=rank"):
        held[0].continue_()
    teacher.wait_for_timeout(200)
    assert found.inner_text() == newest  # an older answer never replaces a newer one
    found.locator("[data-add]").first.click()
    teacher.get_by_text("Add a question of your own").click()
    teacher.get_by_label("Question", exact=True).fill("What is $r$?")
    options = teacher.get_by_label("Options")
    for kind, shows_options in (("Number to guess", False), ("Short text", False), ("Question with", True)):
        teacher.locator("#ask").get_by_label(kind).check()
        expect(options).to_be_visible(visible=shows_options)
    options.fill("The rank\nThe rate")
    teacher.get_by_role("button", name="Add it to the plan").click()
    expect(teacher.locator("#ask-trouble")).to_be_in_viewport()
    expect(options).to_be_focused()
    teacher.locator("#ask").get_by_label("Poll").check()  # needs no right option
    expect(teacher.locator("#ask-trouble")).to_be_hidden()
    teacher.locator("#ask").get_by_label("Question with").check()
    options.fill("* The rank\nThe rate")
    assert violations(teacher) == []
    teacher.context.set_offline(True)
    teacher.get_by_role("button", name="Add it to the plan").click()
    expect(teacher.locator("#ask-trouble")).to_contain_text("did not answer")
    teacher.context.set_offline(False)
    teacher.get_by_role("button", name="Add it to the plan").click()
    expect(names).to_have_count(11)
    expect(teacher.locator("#entries li").last.get_by_role("checkbox")).to_be_focused()
    teacher.set_viewport_size({"width": 390, "height": 800})
    assert teacher.evaluate("document.documentElement.scrollWidth") <= 390
    teacher.get_by_label("Title").fill("Mine")
    teacher.get_by_role("button", name="Save as my plan").click()
    expect(teacher.get_by_role("status").filter(has_text="“Mine” is saved")).to_be_visible()
    teacher.get_by_role("button", name="Start the class").click()
    teacher.get_by_text("The plan", exact=True).click()
    titles = teacher.locator("ol.plan strong").all_inner_texts()
    assert titles[:2] == ["Two thin matrices", "What r sets"]  # the figure between them was left out
    assert len(titles) == 10
    assert titles[-1] == "What is r?"
    classroom.forgive("status of 400", "ERR_INTERNET_DISCONNECTED")


def test_a_refused_plan_stays_as_it_was_and_a_typed_question_is_changed(classroom: Classroom) -> None:
    teacher = classroom.browser(width=390, height=844)
    teacher.goto(f"{classroom.address}/class?edit=opener")
    teacher.wait_for_load_state()
    names = teacher.locator("#entries strong")
    planned = names.all_inner_texts()
    teacher.get_by_text("Add a question of your own").click()
    form = teacher.locator("#ask")
    form.get_by_label("Number to guess").check()
    form.get_by_label("Question", exact=True).fill("How many bits?")
    form.get_by_label("The value").fill("3")
    form.get_by_role("button", name="Add it to the plan").click()
    expect(names).to_have_text([*planned, "How many bits?"])
    teacher.get_by_role("checkbox", name=planned[0]).uncheck()
    teacher.get_by_label("Total minutes").fill("soon")
    save, cancel = (teacher.locator(".actions > *", has_text=text) for text in ("Save as my plan", "Cancel"))
    assert save.evaluate("each => each.offsetHeight") == cancel.evaluate("each => each.offsetHeight")
    save.click()
    expect(teacher.get_by_role("alert").first).to_contain_text("“minutes” must be a whole number")
    expect(names).to_have_text([*planned, "How many bits?"])
    expect(teacher.get_by_role("checkbox", name=planned[0])).not_to_be_checked()

    teacher.wait_for_load_state()
    change = teacher.get_by_role("button", name="Change “How many bits?”")
    change.press("Enter")
    expect(form.get_by_label("Question", exact=True)).to_be_focused()
    form.get_by_role("button", name="Leave it as it was").click()
    expect(change).to_be_focused()
    change.click()
    expect(form.get_by_label("The value")).to_have_value("3")
    form.get_by_label("The value").fill("4")
    form.get_by_label("Question", exact=True).fill("How many bits has NF4?")
    assert violations(teacher) == []
    form.get_by_role("button", name="Save the change").click()
    expect(names).to_have_text([*planned, "How many bits has NF4?"])
    expect(teacher.get_by_role("button", name="Change “How many bits has NF4?”")).to_be_focused()
    teacher.get_by_label("Title").fill("Refused, then saved")
    teacher.get_by_label("Total minutes").fill("10")
    save.click()
    saved = teacher.get_by_role("status").filter(has_text="“Refused, then saved” is saved")
    expect(saved).to_be_visible()
    saved = teacher.locator(".choice", has_text="Refused, then saved").locator("li")
    expect(saved).to_have_count(len(planned))


def test_the_teachers_page_says_what_the_projector_does_and_back_stays_in_its_place(
    classroom: Classroom,
) -> None:
    teacher = classroom.start("opener")
    screen = classroom.screen()
    screen.keyboard.press("b")
    expect(teacher.locator("[data-blank]")).to_contain_text("The projector is blank")
    screen.keyboard.press("b")
    expect(teacher.locator("[data-blank]")).to_have_count(0)
    back = teacher.locator("[data-do=back]")
    before = back.bounding_box()
    teacher.locator("ol.plan li").last.locator("[data-phase=reveal]").evaluate("step => step.click()")
    expect(teacher.get_by_role("button", name="This is the end of the plan")).to_be_disabled()
    assert back.bounding_box() == before


def test_the_teacher_searches_from_the_class_page(classroom: Classroom) -> None:
    teacher = classroom.browser()
    teacher.goto(f"{classroom.address}/class")
    teacher.keyboard.press("/")
    teacher.get_by_role("combobox", name="Search").fill("double quantization")
    teacher.locator("#search-found a", has_text="Double quantization").first.click()
    expect(teacher.locator("h1")).to_have_text("Double quantization")


def test_the_bar_of_the_projector_leaves_room_for_an_answer(classroom: Classroom) -> None:
    teacher, screen = classroom.start("rank-25"), classroom.screen()
    screen.set_viewport_size({"width": 1280, "height": 720})
    teacher.locator("ol.plan li").first.locator("[data-phase=vote]").evaluate("step => step.click()")
    expect(screen.locator("#now ol.options")).to_be_visible()
    bar = screen.locator(".corner").bounding_box()
    assert bar is not None
    assert bar["height"] <= 120


def test_the_second_vote_names_the_first_ones_bars_and_says_that_time_is_up(classroom: Classroom) -> None:
    teacher = classroom.start("opener")
    ana = classroom.phone()
    teacher.get_by_text("The plan", exact=True).click()
    step = teacher.locator("li", has_text="What LoRA is for")
    step.get_by_role("button", name="Vote", exact=True).click()
    vote(ana, 1)
    label = teacher.get_by_role("columnheader", name="First vote")
    expect(teacher.locator(".bars .figures").first).to_be_visible()
    step.get_by_role("button", name="Second vote").click()
    expect(teacher.get_by_text("0 of 1 answered.")).to_be_visible()
    assert label.evaluate("each => each.offsetHeight > 10 && each.offsetWidth > 40")
    for page in (teacher, ana):
        expect(page.locator("#clock")).to_contain_text("left")
        page.evaluate("clock(Date.now() + 700, Date.now())")
        expect(page.locator("#clock")).to_contain_text("Time is up")
        expect(page.locator("#live")).to_have_text("Time is up.")
    teacher.once("dialog", lambda dialog: dialog.accept())
    expect(teacher.get_by_text("Students open")).to_be_attached()
    teacher.get_by_role("button", name="End the class").click()
    expect(teacher.get_by_role("heading", name="The class has ended")).to_be_visible()
    expect(teacher.get_by_text("How students get in")).to_be_hidden()
    teacher.once("dialog", lambda dialog: dialog.accept())
    teacher.get_by_role("button", name="Open the class again").click()
    expect(teacher.get_by_text("How students get in")).to_be_visible()


def test_a_class_is_started_without_scrolling_on_a_laptop(classroom: Classroom) -> None:
    teacher = classroom.browser(width=1280, height=800)
    teacher.goto(f"{classroom.address}/class")
    expect(teacher.get_by_role("button", name="Start the class")).to_be_in_viewport(ratio=1)
    teacher.locator("summary", has_text="What is in it").last.click()
    expect(teacher.get_by_role("button", name="Start the class")).to_be_in_viewport(ratio=1)


def test_a_refused_press_is_told_until_the_class_goes_on_from_another_window(classroom: Classroom) -> None:
    teacher = classroom.start("opener")
    other = classroom.watched(teacher.context.new_page())
    other.goto(teacher.url)
    expect(other.locator("#now h2")).to_be_visible()
    other.evaluate("command({ do: 'next', after: after - 1 })")
    expect(other.locator("#trouble")).to_contain_text("The class has moved on")
    other.wait_for_timeout(3100)  # time to read it
    press_next(teacher, "Where we stand")
    expect(other.locator("#now h2")).to_contain_text("Where we stand")
    expect(other.locator("#trouble")).to_be_hidden()
    classroom.forgive("status of 400")


def test_after_the_app_was_away_the_teachers_page_follows_its_stream_again_at_once(
    classroom: Classroom,
) -> None:
    teacher = classroom.start("opener")
    for path in ("events", "state", "command"):
        teacher.route(f"**/{path}", lambda route: route.abort())
    teacher.clock.install()
    teacher.reload()
    expect(teacher.locator("#line")).to_be_visible()
    with teacher.expect_request("**/teach/state"):  # the stream has failed for good
        teacher.clock.run_for(POLL_MS)
    teacher.evaluate("command({ do: 'next' })")
    expect(teacher.locator("#trouble")).to_have_text("No connection to the app.")
    expect(teacher.locator("#line")).to_be_visible()
    teacher.unroute_all()
    with teacher.expect_request("**/teach/events"):
        teacher.clock.run_for(POLL_MS)
    expect(teacher.locator("#now h2")).to_contain_text("Waiting for students")
    expect(teacher.locator("#trouble")).to_be_hidden()
    classroom.forgive("ERR_FAILED")


POLL_MS = 2_000
"""How often a page without a stream asks, as in live.js."""

HOLD_POLLS = """() => {
  const later = window.setTimeout;
  window.setTimeout = (run, ms) => (ms === 2000 ? void (window.nextPoll = run) : later(run, ms));
}"""


def wait_for_poll(page: Page) -> None:
    """Wait until the page has a poll to come (its policy forbids `wait_for_function`)."""
    wait_for(lambda: page.evaluate("!!window.nextPoll"), seconds=60)


def poll_now(page: Page) -> None:
    wait_for_poll(page)
    page.evaluate("() => { const poll = nextPoll; nextPoll = null; poll(); }")


def test_a_page_without_a_stream_shows_at_once_what_was_pressed_or_sent(classroom: Classroom) -> None:
    teacher, ana = classroom.start("opener"), classroom.phone()
    for page in (teacher, ana):
        page.route("**/events", lambda route: route.fulfill(status=502))
        page.add_init_script(f"({HOLD_POLLS})()")
        page.reload()
        for _ in range(4):  # after three tries of a stream it asks every two seconds; here once it is told to
            poll_now(page)
        wait_for_poll(page)
    press_next(teacher, "Where we stand")
    ana.evaluate("look()")
    ana.locator("label.option").nth(1).click()
    ana.get_by_role("button", name="Send").click()
    expect(ana.get_by_text("Your answer is saved")).to_be_visible()
    classroom.forgive("status of 502")
