"""A class in real browsers: teacher, projector and students; one reloads, one joins late, one is kicked."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, Route, expect

from classroom.activities.wall import VERDICT_LABELS
from tests.browser.axe import violations
from tests.browser.conftest import StartApp

pytestmark = pytest.mark.browser

PHONE = {"width": 360, "height": 740}


@dataclass
class Classroom:
    """Browsers of everyone in one class, and what went wrong in any of them."""

    chromium: Browser
    address: str
    code: str = ""
    contexts: list[BrowserContext] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def browser(self, *, width: int = 1280, height: int = 900, **options: Any) -> Page:
        """A browser of its own."""
        context = self.chromium.new_context(viewport={"width": width, "height": height}, **options)
        self.contexts.append(context)
        return self.watched(context.new_page())

    def watched(self, page: Page) -> Page:
        """Note errors and requests that leave the app."""
        page.on("console", lambda m: self._note(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self._note(str(error)))
        page.on("request", lambda r: None if r.url.startswith(self.address) else self._note(r.url))
        return page

    def start(self, plan: str) -> Page:
        """The teacher starts a class; returns the teacher's page."""
        teacher = self.browser()
        teacher.goto(f"{self.address}/class")
        teacher.check(f"input[value={plan}]")
        teacher.get_by_role("button", name="Start the class").click()
        teacher.wait_for_url("**/teach")
        self.code = teacher.url.split("/")[-2]
        return teacher

    def phone(self, **options: Any) -> Page:
        """A student who has opened the link."""
        page = self.browser(**PHONE, has_touch=True, **options)
        page.goto(f"{self.address}/class/{self.code}")
        expect(page.locator("#now h1").first).to_be_attached()
        return page

    def screen(self) -> Page:
        """The projector."""
        page = self.browser(width=1920, height=1080)
        page.goto(f"{self.address}/class/{self.code}/screen")
        expect(page.locator("#now h1")).to_be_visible()
        return page

    def _note(self, text: str) -> None:
        self.problems.append(text)


@pytest.fixture(scope="module")
def address(start_app: StartApp) -> str:
    return start_app("--class", "--no-worker")


@pytest.fixture
def classroom(chromium: Browser, address: str) -> Iterator[Classroom]:
    made = Classroom(chromium, address)
    yield made
    for context in made.contexts:
        context.close()
    assert made.problems == []


def vote(phone: Page, nth: int, sure: str = "think") -> None:
    """Two taps: an option, and how sure one is, which sends it."""
    phone.locator("label.option").nth(nth).click()
    phone.locator(f"button[value={sure}]").click()
    expect(phone.get_by_role("heading", name="Your answer is saved")).to_be_visible()


def press_next(teacher: Page, then: str) -> None:
    """The one button for the next step."""
    teacher.locator("[data-do=next]").click()
    expect(teacher.locator("#now h2")).to_contain_text(then)


def test_a_class_plays_a_plan(classroom: Classroom) -> None:
    teacher = classroom.start("rank-25")
    screen, ana, ben, cyd = classroom.screen(), classroom.phone(), classroom.phone(), classroom.phone()
    expect(screen.locator("#in-room")).to_have_text("3")
    screen.keyboard.press("PageDown")
    for page in (ana, ben, cyd):
        expect(page.locator("form.answer")).to_be_visible()
    expect(screen.locator("#now")).to_contain_text("What does the rank r")

    name = ana.locator("#name").inner_text()
    assert re.fullmatch(r"[A-Z]\w+ [A-Z]\w+", name)
    ana.locator("label.option").nth(1).click()
    ana.reload()  # a phone that reloads is the same student, with what it had chosen
    expect(ana.locator("form.answer")).to_be_visible()
    expect(ana.locator("#name")).to_have_text(name)
    expect(ana.locator("label.option input").nth(1)).to_be_checked()
    ana.locator("button[value=sure]").click()
    expect(ana.get_by_text("Your answer is saved")).to_be_visible()
    vote(ben, 0)
    vote(cyd, 2, "guess")
    expect(screen.locator("#answered")).to_have_text("3")
    expect(screen.locator(".bars")).to_have_count(0)
    expect(teacher.locator(".bars")).to_have_count(1)

    press_next(teacher, "Voting closed")
    expect(teacher.locator("[data-advice]")).to_contain_text("30 to 70 %")
    press_next(teacher, "Discuss")
    expect(ben.locator("#now")).to_contain_text("Find someone near you")
    pairs = teacher.locator("details", has_text="Pairs who disagree")
    pairs.locator("summary").click()

    dan = classroom.phone()  # who comes late is in the current activity
    expect(dan.locator("#now")).to_contain_text("Discuss")
    teacher.get_by_text("Students (4)").click()
    kicked = teacher.locator(".students li", has_text=cyd.locator("#name").inner_text())
    kicked.get_by_role("button", name="Take out").click()
    expect(cyd.get_by_role("heading", name="You were taken out of this class")).to_be_visible()
    expect(screen.locator("#in-room")).to_have_text("3")
    expect(pairs).to_have_attribute("open", "")  # whoever comes and goes folds nothing up
    expect(teacher.locator(".students")).to_contain_text("taken out")
    expect(pairs).to_have_attribute("open", "")
    press_next(teacher, "Second vote")
    for page in (ana, ben, dan):
        vote(page, 2)
    screen.keyboard.press("PageDown")
    expect(screen.locator(".bars thead")).to_contain_text("Second vote")
    expect(screen.locator(".moves")).to_contain_text("2 who voted twice")
    expect(ana.locator(".told.right")).to_contain_text("your answer")
    kicked.get_by_role("button", name="Let in again").click()
    expect(cyd.locator(".told.right")).to_be_visible()

    screen.keyboard.press("b")
    expect(screen.locator("#main")).not_to_be_visible()
    screen.keyboard.press("b")
    expect(screen.locator("#main")).to_be_visible()
    screen.keyboard.press("PageUp")
    expect(ana.locator("#now")).to_contain_text("Your answer is saved")


def test_an_answer_given_without_a_connection_is_sent_once_when_it_is_back(classroom: Classroom) -> None:
    teacher = classroom.start("opener")
    ana = classroom.phone()
    press_next(teacher, "Where we stand")
    expect(ana.locator("form.answer")).to_be_visible()
    ana.context.set_offline(True)
    ana.locator("label.option").nth(1).click()
    ana.get_by_role("button", name="Send").click()
    expect(ana.locator(".waiting")).to_contain_text("on its way")
    assert "position" in ana.evaluate("Object.entries(localStorage).flat().join()")
    ana.wait_for_timeout(2000)
    ana.context.set_offline(False)
    expect(ana.get_by_text("Your answer is saved")).to_be_visible()
    expect(teacher.locator("#answered")).to_have_text("1")
    assert ana.evaluate(f"localStorage.getItem('class-{classroom.code}-unsent')") == "[]"
    classroom.problems = [p for p in classroom.problems if "ERR_INTERNET_DISCONNECTED" not in p]


def test_an_answer_that_waited_too_long_is_told_so(classroom: Classroom) -> None:
    teacher = classroom.start("opener")
    ana = classroom.phone()
    press_next(teacher, "Where we stand")
    expect(ana.locator("form.answer")).to_be_visible()
    ana.context.set_offline(True)
    ana.locator("label.option").nth(1).click()
    ana.get_by_role("button", name="Send").click()
    press_next(teacher, "The votes")
    ana.context.set_offline(False)
    expect(ana.locator("#trouble")).to_contain_text("does not count")
    expect(ana.locator("#now")).to_contain_text("You sent no answer to this one")
    classroom.problems = [
        p for p in classroom.problems if "ERR_INTERNET_DISCONNECTED" not in p and "409" not in p
    ]


def test_an_answer_given_while_another_is_being_sent_follows_it(classroom: Classroom) -> None:
    teacher = classroom.start("rank-25")
    ana, ben = classroom.phone(), classroom.phone()
    held: dict[Page, list[Route]] = {ana: [], ben: []}

    def hold_the_first(phone: Page) -> None:
        phone.route(
            "**/answer", lambda route: route.continue_() if held[phone] else held[phone].append(route)
        )

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
    held[ana][0].continue_()  # Ben's never comes back
    for phone in (ana, ben):
        expect(phone.get_by_text("Your answer is saved")).to_be_visible()
        expect(phone.locator("#trouble")).to_contain_text("does not count")  # the first one
    classroom.problems = [p for p in classroom.problems if "409" not in p]


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
    ana.route("**/events", lambda route: route.abort())
    refused = {"error": "Too many requests from this device. Wait a moment."}
    ana.route("**/state", lambda route: route.fulfill(status=429, json=refused))
    ana.reload()
    expect(ana.locator("#trouble")).to_have_text(refused["error"])
    ana.unroute("**/state")
    expect(ana.locator("#trouble")).to_be_hidden()
    teacher.goto(f"{classroom.address}/class/{classroom.code}/report")
    teacher.get_by_label("Delete this class").check()
    teacher.get_by_role("button", name="Delete the class").click()
    expect(ana.locator("#trouble")).to_contain_text(f"There is no class with the code {classroom.code}.")
    expect(ana.locator("#trouble")).not_to_contain_text("{")
    classroom.problems = [p for p in classroom.problems if not re.search("ERR_FAILED|429|400", p)]


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_the_three_screens(classroom: Classroom, scheme: str) -> None:
    teacher = classroom.start("rank-25")
    teacher.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    teacher.reload()
    screen, ana = classroom.screen(), classroom.phone(color_scheme=scheme)
    home = classroom.browser(color_scheme=scheme)
    for path in ("/class", "/class/join", "/class/help"):
        home.goto(classroom.address + path)
        assert violations(home) == [], path
    for step in ("vote", "advice", "reveal"):
        while True:
            teacher.locator("[data-do=next]").click()
            ana.wait_for_timeout(400)
            if teacher.locator(f"[aria-current=step][data-phase={step}]").count():
                break
        if step == "vote":
            assert violations(ana) == [], step
            vote(ana, 0)
        for page in (ana, screen, teacher):
            assert violations(page) == [], (page.url, step)
    assert ana.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_the_class_fills_a_grid_of_real_runs(chromium: Browser, start_app: StartApp) -> None:
    classroom = Classroom(chromium, start_app("--class"))
    teacher = classroom.start("lab-45")
    screen, ana, ben = classroom.screen(), classroom.phone(), classroom.phone()
    teacher.get_by_text("The plan", exact=True).click()
    teacher.locator("li", has_text="The grid of the class").get_by_role("button", name="Claim a cell").click()
    expect(ana.locator("table.claim")).to_be_visible()
    assert violations(ana) == []
    assert ana.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    ben.get_by_label("Your guess").fill("5.1")
    for _ in range(2):  # keyboard: the first cell, then to the right
        ben.keyboard.press("Shift+Tab")
        ben.keyboard.press("ArrowRight")
    chosen = ben.locator("input[name=cell]:checked").get_attribute("value")
    ana.locator("label.cell").nth(5).click()
    ana.get_by_label("Your guess").fill("5.3")
    ana.get_by_role("button", name="Send").click()
    expect(ana.get_by_text("Your cell is")).to_be_visible()
    expect(ben.locator("[data-free]").nth(5)).to_have_text("2")
    assert ben.locator("input[name=cell]:checked").get_attribute("value") == chosen  # nothing typed is lost
    expect(ben.get_by_label("Your guess")).to_have_value("5.1")
    ben.get_by_role("button", name="Send").click()
    expect(ben.get_by_text("Your cell is")).to_be_visible()
    initials = "".join(word[0] for word in ana.locator("#name").inner_text().split())
    expect(screen.locator("table.map .initials", has_text=initials).first).to_be_visible()

    press_next(teacher, "Training")
    expect(ana.locator("svg.curve .line")).to_be_visible(timeout=180_000)
    expect(ana.get_by_text("Measured:")).to_be_visible(timeout=180_000)
    for page in (ana, screen, teacher):
        assert violations(page) == [], page.url
    expect(screen.locator("#now")).to_contain_text("of 36 runs have ended")
    expect(screen.locator("table.map td.measured").first).to_be_visible()
    teacher.get_by_role("link", name="The grid in the lab").click()
    expect(teacher.locator("body")).to_contain_text("36 cells")
    for context in classroom.contexts:
        context.close()


def test_own_words_stand_on_the_wall_when_the_teacher_shows_them(classroom: Classroom) -> None:
    teacher = classroom.start("revision")
    screen, ana = classroom.screen(), classroom.phone()
    teacher.get_by_text("The plan", exact=True).click()
    teacher.locator("li", has_text="In your own words").get_by_role("button", name="Write").click()
    ana.get_by_label("In your own words").fill("The base is frozen, two small matrices are trained.")
    ana.reload()
    expect(ana.get_by_label("In your own words")).to_have_value(re.compile("frozen"))
    assert violations(ana) == []
    ana.get_by_role("button", name="Send").click()
    expect(ana.get_by_text("Your answer is saved")).to_be_visible()
    press_next(teacher, "The answers")
    expect(screen.locator("table.verdicts")).to_contain_text("nothing is judged yet")
    chip = teacher.locator("[data-judge]").first
    chip.click()  # this app runs without its grader, so the teacher judges
    teacher.locator("select.judge").select_option("covered")
    expect(screen.locator("table.verdicts")).to_contain_text("1 covered")
    expect(teacher.locator("[data-judge]").first).to_contain_text("covered (by you)")
    teacher.locator("[data-judge]").first.press("Enter")
    choice = teacher.locator("select.judge")
    assert choice.locator("option").all_inner_texts()[1:] == list(VERDICT_LABELS.values())
    for _ in range(2):  # by keyboard the first verdict is passed on the way to the second
        choice.press("ArrowDown")
    choice.press("Escape")
    expect(teacher.locator("[data-judge]").first).to_be_focused()
    expect(teacher.locator("[data-judge]").first).to_contain_text("covered (by you)")
    teacher.locator("[data-judge]").first.press("Enter")
    choice.press("ArrowDown")
    choice.press("ArrowDown")
    choice.press("Enter")
    expect(teacher.locator("[data-judge]").first).to_contain_text("partly covered (by you)")
    expect(teacher.locator("[data-judge]").first).to_be_focused()
    teacher.locator("[data-judge]").first.click()
    choice.select_option("covered")
    expect(screen.locator("table.verdicts")).to_contain_text("1 covered")
    expect(screen.locator("blockquote")).to_have_count(0)
    teacher.get_by_role("button", name="Show “The base").click()
    expect(screen.locator("blockquote")).to_contain_text("two small matrices")
    expect(ana.locator(".told.right")).to_have_count(1)
    for page in (ana, screen, teacher):
        assert violations(page) == [], page.url


def test_a_question_typed_on_the_spot_and_what_a_student_takes_home(classroom: Classroom) -> None:
    teacher = classroom.start("opener")
    screen, ana = classroom.screen(), classroom.phone()
    teacher.get_by_text("Ask something now").click()
    teacher.get_by_label("Question", exact=True).fill("What is $r$?")
    teacher.get_by_label("Options").fill("* The rank\nThe rate")
    assert violations(teacher) == []
    teacher.get_by_role("button", name="Ask now").click()
    expect(screen.locator("math")).to_be_visible()
    vote(ana, 1)
    press_next(teacher, "Voting closed")
    teacher.get_by_text("The plan", exact=True).click()
    teacher.locator("li", has_text="asked on the spot").get_by_role("button", name="Answer").click()
    expect(ana.get_by_text("Your answer, not right")).to_be_visible()
    teacher.once("dialog", lambda dialog: dialog.accept())
    teacher.get_by_role("button", name="End the class").click()
    ana.get_by_role("link", name="What you take home").click()
    expect(ana.locator("section.told")).to_contain_text("The rank")
    assert violations(ana) == []
    with ana.expect_download() as download:
        ana.get_by_role("link", name="Download for Anki").click()
    assert download.value.suggested_filename.endswith(".apkg")


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
    teacher.get_by_role("button", name="Put it next").dblclick()
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
    expect(names).to_have_count(7)
    expect(teacher.locator("#editor-title")).to_be_focused()
    teacher.wait_for_load_state()  # the list stands before the script that moves its entries
    down = teacher.get_by_role("button", name="Move “What r sets” down")
    down.press("Enter")
    down.press("Enter")
    expect(teacher.locator("#moved")).to_have_text("“What r sets” is 3 of 7.")
    expect(down).to_be_focused()
    teacher.get_by_role("checkbox", name="A and B beside W").press("Space")
    teacher.get_by_text("Add from other plans").click()
    teacher.get_by_role("button", name="Add “What LoRA is for” to the plan").click()
    teacher.get_by_text("Add a question of the app").click()
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
    options.fill("The rank\nThe rate")
    teacher.get_by_role("button", name="Add it to the plan").click()
    expect(teacher.locator("#ask-trouble")).to_be_in_viewport()
    expect(options).to_be_focused()
    options.fill("* The rank\nThe rate")
    assert violations(teacher) == []
    teacher.context.set_offline(True)
    teacher.get_by_role("button", name="Add it to the plan").click()
    expect(teacher.locator("#ask-trouble")).to_contain_text("did not answer")
    teacher.context.set_offline(False)
    teacher.get_by_role("button", name="Add it to the plan").click()
    expect(names).to_have_count(10)
    teacher.set_viewport_size({"width": 390, "height": 800})
    assert teacher.evaluate("document.documentElement.scrollWidth") <= 390
    teacher.get_by_label("Title").fill("Mine")
    teacher.get_by_role("button", name="Save as my plan").click()
    expect(teacher.get_by_role("status").first).to_contain_text("“Mine” is saved")
    teacher.get_by_role("button", name="Start the class").click()
    teacher.get_by_text("The plan", exact=True).click()
    titles = teacher.locator("ol.plan strong").all_inner_texts()
    assert titles[:2] == ["Two thin matrices", "What r sets"]  # the figure between them was left out
    assert len(titles) == 9
    assert titles[-1] == "What is r?"
    expected = re.compile("400|ERR_INTERNET_DISCONNECTED")
    classroom.problems = [each for each in classroom.problems if not expected.search(each)]


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


BESIDE_ANOTHER_SLIDER = """() => {
  const one = document.querySelector('[data-follow] label:has([data-setting=rank])');
  const other = one.cloneNode(true);
  other.querySelector('[data-setting]').dataset.setting = 'other';
  one.before(other);
  followFigure({ other: '4', rank: '2' });
  const shown = [other, one].map((each) => each.querySelector('.fig-value').textContent);
  other.remove();
  return shown;
}"""
"""No shipped plan has a figure with two sliders; a plan of one's own may have one."""


def test_a_figure_follows_the_teacher_until_it_is_set_free(classroom: Classroom) -> None:
    teacher = classroom.start("rank-25")
    screen, ana = classroom.screen(), classroom.phone()
    teacher.get_by_text("The plan", exact=True).click()
    activity = teacher.locator("li", has_text="A and B beside W")
    activity.get_by_role("button", name="Look").click()
    expect(ana.locator("[data-follow] [data-finding]")).to_contain_text("At rank 8")
    expect(ana.get_by_label("Rank r")).to_be_disabled()
    teacher.locator("#figure").get_by_label("Rank r").press("End")
    expect(screen.locator("[data-finding]")).to_contain_text("At rank 256")
    expect(ana.locator("[data-finding]")).to_contain_text("At rank 256")
    for page in (ana, screen, teacher):
        assert violations(page) == [], page.url
    assert ana.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]

    both = ana.evaluate(BESIDE_ANOTHER_SLIDER)
    assert both == ["4", "2"]
    ana.get_by_role("button", name="Move it yourself").click()
    ana.route(
        re.compile(r"/figure\?"),
        lambda route: route.fulfill(status=429, headers={"Retry-After": "1"}, body="Too many requests."),
        times=1,
    )
    ana.get_by_label("Rank r").press("Home")  # asked again, once it may be
    expect(ana.locator("[data-finding]")).to_contain_text("At rank 1,")
    expect(ana.locator("[data-figure] > .trouble")).to_have_count(0)
    teacher.locator("#figure").get_by_label("Rank r").press("ArrowLeft")
    expect(screen.locator("[data-finding]")).to_contain_text("At rank 192")
    expect(ana.locator("[data-finding]")).to_contain_text("At rank 1,")
    follow = ana.get_by_role("button", name="Follow the teacher")
    expect(follow).not_to_have_attribute("aria-pressed", "true")  # read out as following
    follow.click()
    expect(ana.locator("[data-finding]")).to_contain_text("At rank 192")

    activity.get_by_role("button", name="Move the slider").click()
    slider = ana.locator("form.answer").get_by_label("Rank r")
    slider.press("End")
    for _ in range(3):
        slider.press("ArrowLeft")
    ana.get_by_role("button", name="Send this position").click()
    expect(ana.get_by_text("Your position:")).to_contain_text("96")
    press_next(teacher, "Answer")
    expect(screen.locator(".histogram")).to_be_visible()
    expect(ana.get_by_text("within 10 %")).to_be_visible()
    classroom.problems = [p for p in classroom.problems if "429" not in p]


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
