"""What a room sees: the projector of a class, the study pages in projector view, and a phone that errs."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.classrooms import PHONE, Classroom, press_next, vote
from tests.browser.conftest import StartApp

pytestmark = pytest.mark.browser

SIZES = ((1920, 1080), (1280, 720), (1024, 768))
FULL_SCREEN_PX = 32
"""What a vote that fills 1920 x 1080 is written in."""

TEXT_PX = "element => parseFloat(getComputedStyle(element).fontSize)"


def lead_to(teacher: Page, position: int, phase: str) -> None:
    step = teacher.locator("ol.plan li").nth(position).locator(f"[data-phase={phase}]")
    step.evaluate("step => step.click()")
    expect(step).to_have_attribute("aria-current", "step")  # a press before that would be refused as stale


AFTER_RESIZING = """() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done([
  document.querySelector('.corner').getBoundingClientRect().top,
  document.querySelector('.keep').getBoundingClientRect().bottom,
]))))"""


def test_an_answer_fits_or_has_parts_that_page_down_shows_first(classroom: Classroom) -> None:
    teacher, screen, ana = classroom.start("rank-25"), classroom.screen(), classroom.phone()
    for phase, nth in (("vote", 0), ("revote", 1)):
        lead_to(teacher, 0, phase)
        vote(ana, nth)
    lead_to(teacher, 0, "reveal")
    expect(screen.locator(".moves")).to_be_visible()
    for width, height in SIZES:
        screen.set_viewport_size({"width": width, "height": height})
        expect(screen.locator("#more")).to_be_hidden()
        bar_top, kept_bottom = screen.evaluate(AFTER_RESIZING)
        assert kept_bottom <= bar_top, (width, height)

    screen.set_viewport_size({"width": 1024, "height": 420})
    expect(screen.locator("#more")).to_contain_text("Part 1 of")
    expect(screen.locator("#more")).to_contain_text("PageDown")
    parts = int(re.findall(r"of (\d+)", screen.locator("#more").inner_text())[0])
    assert parts > 1
    for part in range(2, parts + 1):
        screen.keyboard.press("PageDown")
        expect(screen.locator("#more")).to_contain_text(f"Part {part} of {parts}")
    expect(screen.locator("#now .meta")).to_contain_text("Answer")
    screen.keyboard.press("PageUp")
    expect(screen.locator("#more")).to_contain_text(f"Part {parts - 1} of {parts}")
    screen.keyboard.press("PageDown")
    screen.keyboard.press("PageDown")
    expect(screen.locator("#now .meta")).to_contain_text("Similar question")
    assert screen.evaluate("scrollY") == 0


def test_the_bar_shows_the_address_and_code_of_the_newest_state(classroom: Classroom) -> None:
    teacher, screen = classroom.start("opener"), classroom.screen()
    shown = screen.locator(".corner .address").inner_text()
    code = screen.locator(".corner .qr").inner_html()
    screen.locator(".corner").evaluate(  # at once: a state that comes between would mend half of it
        "shown => { shown.querySelector('.address').textContent = 'another'; "
        "shown.querySelector('.qr').innerHTML = ''; }"
    )
    lead_to(teacher, 0, "vote")
    expect(screen.locator(".corner .address")).to_have_text(shown)
    expect(screen.locator(".corner .qr svg")).to_be_visible()
    assert screen.locator(".corner .qr").inner_html() == code


def test_a_figure_and_a_talk_are_as_large_as_the_options_of_a_full_vote(classroom: Classroom) -> None:
    teacher, screen = classroom.start("rank-25"), classroom.screen()
    lead_to(teacher, 0, "vote")
    options_px = screen.locator("ol.options li").first.evaluate(TEXT_PX)
    assert options_px > 1.5 * FULL_SCREEN_PX  # a short vote grows
    pace = screen.locator(".pace")
    assert pace.evaluate(TEXT_PX) > FULL_SCREEN_PX  # 48 px: how many have answered, and the time left
    expect(pace).to_contain_text(re.compile(r"^0 answered"))
    box, code = pace.bounding_box(), screen.locator(".corner .code").bounding_box()
    assert box is not None
    assert code is not None
    assert box["x"] + box["width"] < code["x"]
    lead_to(teacher, 1, "show")
    expect(screen.locator("p.stem")).to_contain_text("LoRA writes")
    assert screen.locator("p.stem").evaluate(TEXT_PX) >= FULL_SCREEN_PX
    lead_to(teacher, 2, "show")
    finding = screen.locator("[data-finding]")
    expect(finding).to_be_visible()
    assert finding.evaluate(TEXT_PX) >= FULL_SCREEN_PX
    value = screen.locator(".fig-numbers dd").first.evaluate(TEXT_PX)
    assert screen.locator(".fig-origins").evaluate(TEXT_PX) < value
    picture = screen.locator(".fig-picture svg").bounding_box()
    assert picture is not None
    assert picture["width"] >= 1920 / 2


def test_a_student_who_comes_takes_no_press_from_the_teacher(classroom: Classroom) -> None:
    teacher = classroom.start("rank-25")
    expect(teacher.locator("#now")).to_contain_text("0 in the room")
    start = teacher.get_by_role("button", name="Next:").bounding_box()
    assert start is not None
    teacher.mouse.move(start["x"] + 5, start["y"] + 5)
    teacher.mouse.down()
    ana = classroom.phone()
    expect(teacher.locator("#in-room")).to_have_text("1")
    teacher.mouse.up()
    expect(ana.locator("form.answer")).to_be_visible()
    expect(teacher.locator("#now")).to_contain_text("of 1 answered")
    teacher.get_by_text("The plan", exact=True).click()
    step = teacher.locator("ol.plan li").nth(0).locator("[data-phase=reveal]").element_handle()
    assert step is not None
    classroom.phone()
    expect(teacher.locator("#now")).to_contain_text("of 2 answered")
    assert step.evaluate("button => button.isConnected && button.checkVisibility()")


def test_a_mistaken_tap_is_corrected(classroom: Classroom) -> None:
    teacher, ana = classroom.start("rank-25"), classroom.phone()
    expect(ana.locator("#name")).to_be_visible()
    lead_to(teacher, 0, "vote")
    vote(ana, 0, "sure")
    ana.get_by_role("button", name="Change my answer").click()
    expect(ana.locator("label.option input").first).to_be_checked()
    ana.get_by_role("button", name="Keep my answer").click()
    expect(ana.locator("form.answer")).to_be_hidden()
    ana.reload()
    ana.get_by_role("button", name="Change my answer").click()
    vote(ana, 2, "guess")
    expect(ana.locator(".told.mine .letter")).to_have_text("C")
    expect(teacher.locator("#answered")).to_have_text("1")
    expect(teacher.locator(".bars .figures").nth(0)).to_contain_text("0 ")
    expect(teacher.locator(".bars .figures").nth(2)).to_contain_text("1 ")
    press_next(teacher, "Voting closed")
    expect(ana.get_by_role("button", name="Change my answer")).to_have_count(0)
    expect(teacher.locator("#answered-line")).to_be_hidden()


def test_a_sliders_question_leaves_only_the_slider_free(classroom: Classroom) -> None:
    teacher, ana = classroom.start("rank-25"), classroom.phone()
    lead_to(teacher, 2, "vote")
    expect(ana.locator("form.answer")).to_contain_text("Matrix: query (q)")
    expect(ana.get_by_label("Matrix")).to_be_disabled()
    expect(ana.get_by_label("Model")).to_be_disabled()
    expect(ana.get_by_label("Rank r")).to_be_enabled()


def test_a_phone_without_a_connection_says_so_where_it_is_seen(classroom: Classroom) -> None:
    teacher, ana = classroom.start("rank-25"), classroom.phone()
    lead_to(teacher, 0, "vote")
    expect(ana.locator("form.answer")).to_be_visible()
    ana.context.set_offline(True)
    ana.locator("label.option").nth(1).click()
    ana.locator("button[value=sure]").click()
    note = ana.locator(".waiting").bounding_box()
    assert note is not None
    assert note["y"] + note["height"] <= PHONE["height"]
    ana.evaluate("lost(true)")  # as when the stream breaks, which Chromium leaves open
    expect(ana.get_by_role("status").filter(has_text="The connection is gone")).to_be_in_viewport(ratio=1)
    gone = ana.locator("#line").bounding_box()
    assert gone is not None
    assert note["y"] + note["height"] <= gone["y"]
    ana.context.set_offline(False)
    expect(ana.get_by_text("Your answer is saved")).to_be_visible()
    classroom.forgive("ERR_INTERNET_DISCONNECTED")


def test_the_keyboard_stays_where_the_page_changes(classroom: Classroom) -> None:
    teacher, ana = classroom.start("rank-25"), classroom.phone()
    lead_to(teacher, 0, "vote")
    ana.locator("label.option input").first.press("Space")
    ana.get_by_role("button", name="I think so").press("Enter")
    expect(ana.get_by_role("heading", name="Your answer is saved")).to_be_focused()
    lead_to(teacher, 0, "reveal")
    expect(ana.locator(".told.right")).to_be_visible()
    expect(ana.get_by_role("heading", level=1)).to_be_focused()
    predicted = teacher.locator("ol.plan li", has=teacher.locator("[data-phase=distribution]")).first
    predicted.locator("[data-phase=vote]").evaluate("step => step.click()")
    guess = ana.get_by_label("Your guess")
    for typed in ("x", "2 %", "y"):
        if typed == "y":
            ana.get_by_role("button", name="Change my answer").press("Enter")
        guess.fill(typed)
        guess.press("Enter")
        if typed != "2 %":
            expect(ana.locator("#trouble")).to_contain_text("is not a number")
            expect(guess).to_be_focused()
    expect(guess).to_have_value("y")
    classroom.forgive("status of 400")


def test_a_student_who_types_the_address_alone_joins_with_the_digits(classroom: Classroom) -> None:
    classroom.start("opener")
    student = classroom.browser(**PHONE, extra_http_headers={"X-Forwarded-For": "192.0.2.50"})
    for path in ("/", "/class", "/join"):
        answer = student.goto(classroom.address + path)
        assert answer is not None
        assert answer.status == 403
        assert student.locator("label").evaluate(TEXT_PX) >= 15
    student.get_by_label("six digits").fill(classroom.code)
    student.get_by_role("button", name="Join").click()
    expect(student.get_by_role("heading", name="You are in")).to_be_visible()
    classroom.forgive("status of 403")


@pytest.fixture(scope="module")
def own_address(start_app: StartApp) -> str:
    """An app in which nobody is asked who they are."""
    return start_app("--no-worker")


@pytest.mark.parametrize("size", SIZES[:2])
def test_the_projector_view_makes_figures_larger(
    chromium: Browser, own_address: str, size: tuple[int, int]
) -> None:
    page = chromium.new_page(viewport={"width": size[0], "height": size[1]})
    for path in ("/?", "/concept?id=nf4&mode=learn&"):
        widths = []
        for view in ("usual", "projector"):
            page.goto(f"{own_address}{path}view={view}")
            picture = page.locator(".fig-picture svg").first
            picture.wait_for()
            box = picture.bounding_box()
            assert box is not None
            widths.append(box["width"])
        assert widths[1] > widths[0], path
    names = page.locator(".modes-row a .name")
    assert names.evaluate_all("all => all.every(one => one.scrollWidth <= one.parentElement.clientWidth)")
    page.goto(f"{own_address}/lab?view=projector")
    chart = page.locator("#plot-parameters-by-rank svg").first
    chart.wait_for()
    assert page.locator(".lab-form .trained strong").first.bounding_box()["y"] < size[1] / 2  # type: ignore[index]
    assert chart.bounding_box()["y"] < size[1] * 0.6  # type: ignore[index]
    expect(page.locator("[data-projector]")).to_be_hidden()  # it is the projector's already
    start = page.locator("#start").evaluate("one => one.getBoundingClientRect().right")
    assert start <= page.locator(".lab-form .left").evaluate("one => one.getBoundingClientRect().right")
    page.close()


def test_larger_text_makes_labels_and_dialogs_larger_and_a_projector_names_nobody(
    chromium: Browser, own_address: str
) -> None:
    heights: dict[str, tuple[float, float]] = {}
    for size, view in (
        ("usual", "usual"),
        ("larger", "usual"),
        ("usual", "projector"),
        ("larger", "projector"),
    ):
        context = chromium.new_context(viewport={"width": 1920, "height": 1080})
        context.add_init_script(f"localStorage.setItem('text-size', '{size}')")
        page = context.new_page()
        page.goto(f"{own_address}/lab?view={view}")
        label = page.locator("#plot-parameters-by-rank svg text").first
        label.wait_for()
        page.keyboard.press("/")
        field = page.locator("dialog[open] input")
        boxes = [label.bounding_box(), field.bounding_box()]
        heights[f"{size} {view}"] = (boxes[0]["height"], boxes[1]["height"])  # type: ignore[index]
        page.goto(f"{own_address}/settings?view={view}")
        expect(page.get_by_role("heading", name="Settings")).to_be_visible()
        expect(page.get_by_label("Your name")).to_be_visible(visible=view == "usual")
        context.close()
    usual, large, projector, largest = heights.values()
    assert all(a < b < c for a, b, c in zip(usual, projector, largest, strict=True)), heights
    assert all(b > 1.2 * a for a, b in zip(usual, large, strict=True)), heights


def test_the_lab_opens_what_it_shows_on_a_projector_in_a_new_tab(chromium: Browser, own_address: str) -> None:
    page = chromium.new_page(viewport={"width": 1280, "height": 800})
    page.goto(f"{own_address}/lab")
    page.get_by_label("Rank r", exact=True).fill("3")
    expect(page).to_have_url(re.compile("rank=3"))
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Show this on a projector").click()
    expect(opened.value.locator("html")).to_have_class(re.compile("projector"))
    expect(opened.value.get_by_label("Rank r", exact=True)).to_have_value("3")
    expect(page.locator("html")).not_to_have_class(re.compile("projector"))
    page.context.close()
