"""Learn as a person uses it: a concept's modes by keyboard, and a project from hypothesis to report."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import violations
from tests.browser.conftest import StartApp, Visit

pytestmark = pytest.mark.browser

RUNS_MS = 120_000


@pytest.fixture(scope="module")
def address(start_app: StartApp, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An app whose worker starts with the first run."""
    return start_app("--no-worker", folder=tmp_path_factory.mktemp("learn"))


def mode(page: Page, name: str) -> None:
    """Open a study mode by keyboard and wait until it is there."""
    page.get_by_role("navigation", name="Study modes").get_by_role("link", name=re.compile(name)).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#mode-title")).to_contain_text(name)
    expect(page.locator("#mode")).to_be_focused()
    expect(page).to_have_url(re.compile(f"mode={name.lower()}"))


@pytest.mark.parametrize("width", [1280, 700])
def test_the_next_step_of_the_path_leaves_no_box_beside_it_empty(
    look: Visit, address: str, width: int
) -> None:
    page = look(address=address, width=width).open("/learn")
    size = "(box) => [box.offsetTop, box.offsetLeft + box.offsetWidth, box.offsetHeight]"
    boxes = page.locator(".path li").evaluate_all(f"(boxes) => boxes.map({size})")
    [tallest] = [box for box in boxes if box[2] == max(height for _, _, height in boxes)]
    assert all(height < tallest[2] / 2 for _, _, height in boxes if height != tallest[2])
    assert boxes[-1][1] == max(right for _, right, _ in boxes)  # the last row is full


def test_a_concept_is_found_and_studied_in_its_modes_by_keyboard(look: Visit, address: str) -> None:
    visitor = look(address=address)
    page = visitor.open("/learn")
    expect(page.locator("svg.lines")).to_be_visible()
    page.get_by_role("searchbox").focus()
    page.keyboard.type("rank r of")
    expect(page.locator("#live")).to_contain_text("concept")
    page.locator("[data-part=found]").get_by_role("link", name="Rank r of an adapter").focus()
    page.keyboard.press("Enter")
    visitor.settled()
    expect(page.get_by_role("heading", level=1)).to_have_text("Rank r of an adapter")

    number = page.locator(".num").first
    expect(number.locator(".tip")).to_be_hidden()
    number.focus()
    expect(number.locator(".tip")).to_contain_text("computed here:")
    expect(page.locator("#mode a.term").first).to_have_attribute("href", re.compile(r"^/concept\?id="))
    page.get_by_role("button", name="Mark as read and go on to “Why”").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#mode-title")).to_contain_text("Why")
    row = page.get_by_role("navigation", name="Study modes")
    expect(row.get_by_role("link", name=re.compile("Learn"))).to_contain_text("read")

    mode(page, "Deep")
    expect(page.locator("#mode math").first).to_be_visible()
    with page.expect_response(lambda answer: "/act/" in answer.url):  # the place is kept
        page.locator("#mode [data-place]").last.scroll_into_view_if_needed()
        page.mouse.wheel(0, 2000)
    mode(page, "Visualize")
    page.get_by_role("slider").first.focus()
    finding = page.locator("[data-finding]").inner_text()
    page.keyboard.press("ArrowRight")
    expect(page.locator("[data-finding]")).not_to_have_text(finding)
    mode(page, "Metrics")
    assert violations(page) == []
    mode(page, "Try")
    expect(page.get_by_role("link", name="Open the lab with this")).to_have_attribute(
        "href", re.compile(r"^/lab\?.*rank=")
    )
    mode(page, "Review")
    mode(page, "Challenge")
    page.get_by_role("link", name="Open the challenge").focus()
    page.keyboard.press("Enter")
    visitor.settled()
    page.get_by_role("button", name="Start this quiz").click()
    expect(page.locator(".clock")).to_be_visible()

    visitor.open("/concept?id=lora-rank")
    expect(page.locator("#mode-title")).to_contain_text("Challenge")  # the mode that was open last
    mode(page, "Deep")
    page.get_by_role("link", name="Go on from there").click()
    expect(page.locator("#mode [data-place]").last).to_be_in_viewport()


def test_back_and_forward_step_through_the_modes_and_the_tab_says_which(look: Visit, address: str) -> None:
    visitor = look(address=address)
    page = visitor.open("/learn")
    expect(page).to_have_title("Learn · LoRA study")
    visitor.open("/concept?id=nf4")
    expect(page).to_have_title("NF4: Learn · LoRA study")
    mode(page, "Why")
    expect(page).to_have_title("NF4: Why · LoRA study")
    mode(page, "Deep")
    for step, name in (("back", "Why"), ("back", "Learn"), ("forward", "Why"), ("back", "Learn")):
        page.go_back() if step == "back" else page.go_forward()
        expect(page.locator("#mode-title")).to_contain_text(name)
        expect(page).to_have_title(f"NF4: {name} · LoRA study")
        expect(page).to_have_url(re.compile(f"mode={name.lower()}"))
    page.go_back()
    visitor.settled()
    expect(page.get_by_role("heading", level=1)).to_have_text("Learn")


def test_the_next_part_begins_at_its_heading_on_a_phone(look: Visit, address: str) -> None:
    page = look(address=address, width=390, height=844, has_touch=True).open("/concept?id=lora-rank")
    for name in ("Why", "Deep"):
        page.get_by_role("button", name=f"Mark as read and go on to “{name}”").tap()
        expect(page.locator("#mode-title")).to_contain_text(name)
        expect(page.locator("#mode")).to_be_focused()
        page.wait_for_function(
            "(y => y >= 0 && y < 120)(document.querySelector('#mode-title').getBoundingClientRect().top)"
        )


def test_a_step_that_only_the_page_has_scrolled_to_was_not_read(look: Visit, address: str) -> None:
    visitor = look(address=address, height=800)
    page = visitor.open("/concept?id=qlora")
    page.get_by_role("button", name="Mark as read and go on to “Why”").click()
    expect(page.locator("#mode")).to_be_focused()
    assert page.evaluate("window.scrollY") > 0
    page.wait_for_timeout(2000)  # longer than the place of reading takes to be sent
    page.reload()
    visitor.settled()
    expect(page.locator("#mode-title")).to_contain_text("Why")
    expect(page.get_by_text("You stopped further down")).to_have_count(0)


def test_the_map_is_a_list_on_a_phone_and_fits_in_the_dark(look: Visit, address: str) -> None:
    visitor = look(address=address, width=390, height=844, color_scheme="dark", reduced_motion="reduce")
    page = visitor.open("/learn")
    expect(page.locator("svg.lines")).to_be_hidden()
    height = page.locator(".map").evaluate("map => map.offsetHeight")
    assert height < 4 * 844, "names alone: what a concept is about stands on its page and in the search"
    assert page.locator(".map .concept > a").evaluate_all(
        "links => links.every(link => link.parentElement.offsetHeight >= 44)"
    )
    for path in ("/learn", "/concept?id=nf4&mode=why", "/concept?id=nf4&mode=visualize", "/projects"):
        visitor.open(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
        assert violations(page) == [], path


def test_a_box_of_the_map_shows_its_whole_status(look: Visit, address: str) -> None:
    page = look(address=address, height=800).open("/learn")
    cut = page.evaluate(
        """[...document.querySelectorAll('.map .concept')].filter((box) => {
             box.querySelector('.status').innerHTML = `<span class="mastery small figures">
               <span class="level">Proficient</span> <span class="soft detail">12 answers</span></span>
               <span class="soft small">2/9</span>`;
             const edge = box.getBoundingClientRect();
             return [...box.querySelectorAll('.level, .status > .soft')].some((part) => {
               const place = part.getBoundingClientRect();
               return place.right > edge.right || place.bottom > edge.bottom;
             });
           }).map((box) => box.id)"""
    )
    assert cut == []


def test_a_project_goes_from_hypothesis_to_report(look: Visit, address: str, tmp_path: Path) -> None:
    visitor = look(address=address)
    page = visitor.open("/projects")
    page.get_by_role("link", name="Merge it").click()
    visitor.settled()
    page.get_by_role("textbox").fill("Only fp32 gives the trained model back.")
    page.get_by_role("button", name="Keep this hypothesis").click()
    expect(page.locator("#runs")).to_be_focused()
    page.get_by_role("link", name="In seconds").click()
    visitor.settled()
    expect(page.locator("#cells")).to_have_text("2 cells")
    page.get_by_role("button", name="Start the grid").click()
    expect(page.locator("#sweep-state")).to_contain_text("of 2 cells")

    page = visitor.open("/projects?id=merge-it")
    page.get_by_role("button", name="Measure 2 finished runs").click(timeout=RUNS_MS)
    expect(page.get_by_text("Merged and kept in fp32, is it the trained model? (nf4-dq)")).to_be_visible(
        timeout=RUNS_MS
    )
    expect(page.locator(".results .answer").first).to_have_text("Yes.")
    page.get_by_text("The numbers").first.click()
    expect(page.get_by_text("merged and rounded to 4 bits again").first).to_be_visible()
    assert violations(page) == []

    page.get_by_label(re.compile("Was your hypothesis right")).fill("It was: rounding again costs most.")
    page.get_by_role("button", name="Keep this conclusion").click()
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Report as one HTML file").click()
    report = opened.value
    report.wait_for_load_state()
    expect(report.get_by_text("Only fp32 gives the trained model back.")).to_be_visible()
    expect(report.get_by_text("It was: rounding again costs most.")).to_be_visible()
    expect(report.locator("figure svg").first).to_be_visible()
    assert violations(report) == []
