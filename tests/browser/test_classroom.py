"""A class in real browsers, from joining to the answer: votes, a grid of runs, the wall, a live figure."""

import re

import pytest
from playwright.sync_api import Browser, expect

from classroom.activities.wall import VERDICT_LABELS
from tests.browser.axe import NONE_FOUND, violations, violations_by_theme
from tests.browser.classrooms import PHONE, Classroom, press_next, vote
from tests.browser.conftest import StartApp

pytestmark = pytest.mark.browser


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


STEP_SHOWN = "document.querySelector('[aria-current=step]')?.outerHTML"


def test_axe_finds_nothing_on_the_three_screens(classroom: Classroom) -> None:
    teacher = classroom.start("rank-25")
    screen, ana = classroom.screen(), classroom.phone()
    home = classroom.browser()
    for path in ("/class", "/class/join", "/class/help"):
        home.goto(classroom.address + path)
        assert violations_by_theme(home) == NONE_FOUND, path
    for step in ("vote", "advice", "reveal"):
        while True:
            shown = teacher.evaluate(STEP_SHOWN)
            teacher.locator("[data-do=next]").click()
            teacher.wait_for_function(f"before => {STEP_SHOWN} !== (before ?? undefined)", arg=shown)
            if teacher.locator(f"[aria-current=step][data-phase={step}]").count():
                break
        if step == "vote":
            assert violations_by_theme(ana) == NONE_FOUND, step
            vote(ana, 0)
        for page in (ana, screen, teacher):
            assert violations_by_theme(page) == NONE_FOUND, (page.url, step)
    assert ana.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.fixture(scope="module")
def lab_address(start_app: StartApp) -> str:
    """An app that trains; the grid of a class comes last, because its runs keep the others waiting."""
    return start_app("--class", "--no-worker")


MIDDLES = """(option) => [...option.children].map((part) => part.getBoundingClientRect())
  .map((at) => (at.top + at.bottom) / 2)"""


def test_the_runs_decide_what_a_class_has_voted_on(chromium: Browser, lab_address: str) -> None:
    classroom = Classroom(chromium, lab_address)
    teacher = classroom.start("rank-25")
    screen, ana = classroom.screen(), classroom.phone()
    teacher.locator("ol.plan li", has_text="Which rank ends lower?").locator("[data-phase=vote]").evaluate(
        "step => step.click()"
    )
    options = ana.locator("label.option")
    expect(options).to_have_text([re.compile("r=1"), re.compile("r=64"), re.compile("can't tell them apart")])
    middles = options.first.evaluate(MIDDLES)
    assert max(middles) - min(middles) <= 2  # the radio stands on the line of its text
    options.last.click()
    ana.get_by_role("button", name="Send").click()
    expect(ana.get_by_text("Your answer is saved")).to_be_visible()
    press_next(teacher, "The votes")
    expect(screen.locator(".bars tr", has_text="tell them apart")).to_contain_text("(100 %)")
    expect(screen.locator("tr.right")).to_have_count(0)
    press_next(teacher, "The runs")
    expect(screen.locator("#now")).to_contain_text("6 of 6 runs have ended", timeout=180_000)
    right = screen.locator("tr.right")
    expect(right).to_have_count(1)
    outcome = right.locator(".option-text").inner_text()
    finding = screen.locator("#now .keep").first.inner_text()
    expect(ana.locator(".told.right")).to_contain_text(outcome)
    expect(ana.locator(".keep").first).to_have_text(finding)
    expect(ana.locator(".told.mine")).to_contain_text(
        "Your answer, not right" if "r=" in outcome else "✓ Right"
    )
    expect(screen.locator("table.map tbody th")).to_have_text(["Seed 1", "Seed 2", "Seed 3", "Mean"])
    expect(screen.locator("table.map td")).to_have_text([re.compile(r"5\.\d{3}")] * 8)
    for page in (ana, screen, teacher):
        assert violations(page) == [], page.url
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    teacher.goto(f"{classroom.address}/class/{classroom.code}/report")
    expect(teacher.get_by_role("table", name="Held-out loss in nats")).to_contain_text("Mean")
    assert violations(teacher) == []
    for context in classroom.contexts:
        context.close()
    assert classroom.problems == []


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
    # The figure to move stands above the plan; a phone shows only the control that the question asks about.
    figure, plan = (teacher.locator(each).bounding_box() for each in ("#figure", "[data-keep=steps]"))
    assert figure
    assert plan
    assert figure["y"] < plan["y"]
    expect(ana.locator("form.answer").get_by_label("Matrix")).to_be_hidden()
    slider = ana.locator("form.answer").get_by_label("Rank r")
    slider.press("End")
    for _ in range(3):
        slider.press("ArrowLeft")
    ana.get_by_role("button", name="Send this position").click()
    expect(ana.get_by_text("Your position:")).to_contain_text("96")
    press_next(teacher, "Answer")
    expect(screen.locator(".histogram")).to_be_visible()
    expect(ana.get_by_text("within 10 %")).to_be_visible()
    classroom.forgive("status of 429")


def test_the_class_fills_a_grid_of_real_runs(chromium: Browser, lab_address: str) -> None:
    classroom = Classroom(chromium, lab_address)
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
    guess = ana.get_by_label("Your guess")
    guess.fill("abc")
    ana.get_by_role("button", name="Send").click()
    expect(ana.locator("label.guess + #trouble")).to_contain_text("such as 2.5 for 2.5 nats")
    expect(guess).to_be_focused()
    expect(guess).to_have_accessible_description(re.compile("is not a number"))
    assert violations(ana) == []
    guess.fill("5.3")
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
    classroom.forgive("status of 400")
    assert classroom.problems == []
