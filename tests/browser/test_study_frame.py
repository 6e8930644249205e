"""Every page: its own title, nothing from elsewhere, usable on a phone and by keyboard, light and dark."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.all_pages import PAGES, PLACES, UNLISTED, deeper
from tests.browser.axe import NONE_FOUND, violations, violations_by_theme
from tests.browser.conftest import StartApp, Visit

pytestmark = pytest.mark.browser

PLAIN_PAGES = ("/class", "/docs/traps.md", "/nowhere")
"""Pages that Gradio does not make."""


def test_the_tests_know_every_page_of_the_app(look: Visit) -> None:
    page = look().open("/")
    paths = {f"/{path}" for path in page.evaluate("window.gradio_config.pages.map((each) => each[0])")}
    assert paths == {path.partition("?")[0] for path in PAGES}


@pytest.mark.parametrize("path", ["/learn", "/class"])
def test_the_way_past_the_menu_can_be_read(look: Visit, path: str) -> None:
    page = look(reduced_motion="reduce").open(path)
    skip = page.get_by_role("link", name="Skip to the content")
    skip.focus()
    expect(skip).to_be_in_viewport()
    assert violations_by_theme(page) == NONE_FOUND  # its contrast counts only in view
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_a_title_one_heading_its_place_in_the_menu_fits_a_phone_and_axe_finds_nothing(
    look: Visit, path: str
) -> None:
    page = look(width=390, height=844, reduced_motion="reduce").open(path)
    expect(page).to_have_title(f"{PAGES[path]} · LoRA study")
    expect(page.locator("h1")).to_have_count(1)
    deeper(page, path)
    assert_fits_a_phone(page)
    page.set_viewport_size({"width": 1280, "height": 900})
    marked = page.locator('#site [aria-current="page"]:visible')
    bare = path.partition("?")[0]
    expect(marked).to_have_count(0 if bare in UNLISTED else 1)
    assert page.locator(".within a[aria-current]").count() <= 1
    place = next(place for place in PLACES if bare in place)
    expect(page.locator(".menu > a[aria-current]")).to_have_text(place[0])
    assert violations_by_theme(page) == NONE_FOUND
    expect(page.locator("body")).to_have_class(re.compile(r"\bdark\b"))
    if page.locator("[data-poll]").count():
        for _ in range(2):  # the first poll's answer is shown once the second one comes
            page.wait_for_event("requestfinished", lambda request: "/act/" in request.url)
    expect(page.locator("[role=alert]:visible")).to_have_count(0)


@pytest.mark.parametrize(
    ("path", "title"),
    [("/projects?id=merge-it", "Merge it"), ("/figures?figure=merging", "Merging three ways")],
)
def test_a_tab_says_what_its_page_shows(look: Visit, path: str, title: str) -> None:
    page = look().open(path)
    expect(page).to_have_title(f"{title} · LoRA study")
    expect(page.locator("h1")).to_have_text(title)


def assert_fits_a_phone(page: Page) -> None:
    """Nothing is wider than it, and what is pressed is as large as a finger."""
    widths = {}
    for width in (640, 390, 320):  # 640 is 1280 at a zoom of 200 %, 320 the same at 400 %
        page.set_viewport_size({"width": width, "height": 844})
        widths[width] = page.evaluate("document.documentElement.scrollWidth")
    assert {width: wide for width, wide in widths.items() if wide > width} == {}
    page.set_viewport_size({"width": 390, "height": 844})
    small = page.evaluate(
        """[...document.querySelectorAll('#main button, #main a.button, #main select, .menu a')]
           .filter(e => e.offsetParent && !e.matches('.link, .term') && e.getBoundingClientRect().height < 44)
           .map(e => e.outerHTML.slice(0, 120))"""
    )
    assert small == []


@pytest.mark.parametrize("path", PLAIN_PAGES)
def test_pages_without_gradio_fit_a_phone_and_axe_finds_no_violation(look: Visit, path: str) -> None:
    visitor = look(width=320, height=700, reduced_motion="reduce")
    page = visitor.page
    page.goto(visitor.address + path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert violations_by_theme(page) == NONE_FOUND
    visitor.forgive("404")


def test_a_phone_shows_all_places_and_the_pages_inside_the_current_one(look: Visit) -> None:
    page = look(width=390, height=844).open("/explain")
    for width in (390, 360, 320):
        page.set_viewport_size({"width": width, "height": 844})
        for name in ("Today", "Learn", "Practise", "Lab", "Class", "You", "Cards", "Quiz", "Explain"):
            entry = page.get_by_role("link", name=name, exact=True)
            expect(entry, str(width)).to_be_in_viewport(ratio=1)
        expect(page.get_by_role("button", name="Search"), str(width)).to_be_in_viewport(ratio=1)
        box = page.locator("#site").bounding_box()
        assert box is not None
        assert box["height"] < 100, width


@pytest.mark.parametrize("path", ["/", "/learn", "/practise", "/lab", "/progress", "/class"])
def test_the_largest_letters_leave_every_place_in_view(look: Visit, path: str) -> None:
    visitor = look(width=390, height=844)
    visitor.choose_letters("larger")
    page = visitor.open(path)
    menu = page.get_by_role("navigation", name="Places")
    for width, rows in ((390, 2), (700, 3)):
        page.set_viewport_size({"width": width, "height": 844})
        for name in ("Today", "Learn", "Practise", "Lab", "Class", "You"):
            entry = menu.get_by_role("link", name=name, exact=True)
            expect(entry, str(width)).to_be_in_viewport(ratio=1)
        expect(menu.get_by_role("button", name="Search"), str(width)).to_be_in_viewport(ratio=1)
        assert menu.evaluate("each => each.scrollWidth <= each.clientWidth"), width
        box = menu.bounding_box()
        assert box is not None
        assert box["height"] <= rows * 51, width


LETTERS_PX = """(place) => {
  const svg = place.querySelector('svg'), text = svg.querySelector('text');
  return parseFloat(getComputedStyle(text).fontSize) * svg.clientWidth / svg.viewBox.baseVal.width;
}"""


@pytest.mark.parametrize(
    ("path", "chart"),
    [
        ("/figures?figure=lora-to-scale", ".fig-picture"),
        ("/concept?id=lora-rank", ".fig-picture"),
        ("/lab", "#plot-parameters-by-rank .drawing"),
        ("/papers", ".drawing.on-narrow"),
    ],
)
def test_on_a_phone_a_charts_letters_grow_like_the_text(look: Visit, path: str, chart: str) -> None:
    sizes = []
    for letters in ("usual", "larger"):
        visitor = look(width=390, height=844)
        visitor.choose_letters(letters)
        page = visitor.open(path)
        place = page.locator(chart).first
        expect(place.locator("svg text").first).to_be_attached()
        sizes.append(place.evaluate(LETTERS_PX))
    assert sizes[1] >= 1.3 * sizes[0]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    expect(place).to_have_attribute("tabindex", "0")
    assert violations(page) == []


def test_a_phone_begins_the_labs_inner_pages_where_the_heading_begins(look: Visit) -> None:
    for path in ("/lab", "/grid", "/memory", "/claims", "/microscope", "/xray"):
        page = look(width=390, height=844).open(path)
        views = page.locator(".sections .views")
        expect(views).to_be_visible()
        heading, row = page.locator("h1").bounding_box(), views.bounding_box()
        assert heading
        assert row
        assert abs(heading["x"] - row["x"]) < 1, path
        assert heading["y"] < row["y"], path


def test_the_whole_menu_is_in_view_on_a_desktop(look: Visit) -> None:
    visitor = look()
    for path in ("/", "/learn", "/memory", "/settings", "/cards", "/quiz"):
        page = visitor.open(path)
        expect(page.locator(".who"), path).to_be_visible()
        for name in ("Today", "Learn", "Practise", "Cards", "Quiz", "Explain", "Lab", "Class", "You"):
            entry = page.locator(".menu").get_by_role("link", name=name, exact=True)
            expect(entry, path).to_be_in_viewport(ratio=1)
        search = page.get_by_role("button", name="Search")
        expect(search, path).to_be_in_viewport(ratio=1)
        box, who = search.bounding_box(), page.locator("#who").bounding_box()
        assert box is not None
        assert who is not None
        assert box["width"] >= 24
        assert 0 <= who["x"] - box["x"] - box["width"] <= 24, path  # where the eye looks for it


def test_the_places_of_the_menu_stay_where_they_are(look: Visit) -> None:
    """The one that is open is marked by nothing that makes its name wider."""
    visitor = look()
    begins = "[...document.querySelectorAll('.menu a')].map((place) => place.getBoundingClientRect().left)"
    paths = ("/", "/learn", "/practise", "/lab", "/progress")
    found = [visitor.open(path).evaluate(begins) for path in paths]
    assert len(found[0]) >= 6
    assert all(each == found[0] for each in found)


def test_the_look_is_chosen_in_settings_and_stays(look: Visit) -> None:
    visitor = look()
    page = visitor.open("/settings")
    page.get_by_label("Dark").check()
    page.get_by_label("Larger").check()
    expect(page.locator("body")).to_have_class(re.compile(r"\bdark\b"))
    visitor.open("/learn")
    expect(page.locator("body")).to_have_class(re.compile(r"\bdark\b"))
    assert page.evaluate("parseFloat(getComputedStyle(document.documentElement).fontSize)") > 20
    for path in PLAIN_PAGES:
        page.goto(visitor.address + path)
        expect(page.locator("html")).to_have_class(re.compile(r"\bdark\b"))
        assert page.evaluate("parseFloat(getComputedStyle(document.documentElement).fontSize)") > 20
    visitor.forgive("404")
    visitor.open("/settings")
    expect(page.get_by_label("Dark")).to_be_checked()
    page.get_by_label("Light").check()
    expect(page.locator("body")).not_to_have_class(re.compile(r"\bdark\b"))


def test_the_skip_link_is_the_first_stop_and_leads_past_the_menu(look: Visit) -> None:
    page = look().open("/learn")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('#main').contains(document.activeElement)")


def test_every_stop_of_the_tab_key_can_be_seen(look: Visit) -> None:
    page = look().open("/cards")
    focused = "(e => [e.outerHTML.slice(0, 80), getComputedStyle(e).outlineWidth])(document.activeElement)"
    outlines = []
    for _ in range(9):
        page.keyboard.press("Tab")
        outlines.append(page.evaluate(focused))
    assert [html for html, width in outlines if width != "3px" and not html.startswith("<body")] == []


def test_a_link_to_one_concept_leads_to_it(look: Visit) -> None:
    page = look().open("/learn#nf4")
    expect(page.locator("#nf4")).to_be_in_viewport()


def test_the_projector_view_is_large_and_names_nobody(look: Visit) -> None:
    visitor = look()
    page = visitor.open("/cards?view=projector")
    expect(page.locator(".who .name")).to_be_hidden()
    size = "document.querySelector('#question').getBoundingClientRect().height"
    large = page.evaluate(size)
    visitor.open("/learn")
    assert page.evaluate("document.documentElement.classList.contains('projector')")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    visitor.open("/cards?view=normal")
    assert large > 1.4 * page.evaluate(size)


def test_an_app_started_for_a_class_is_in_projector_view(visit: Visit, start_app: StartApp) -> None:
    page = visit(address=start_app("--no-worker", "--projector")).open("/")
    assert page.evaluate("document.documentElement.classList.contains('projector')")


def test_a_page_that_does_not_exist_is_no_crash(look: Visit) -> None:
    visitor = look()
    answer = visitor.page.goto(visitor.address + "/nowhere")
    assert answer is not None
    assert answer.status == 404
    expect(visitor.page.get_by_role("alert")).to_contain_text("There is no page at this address")
    visitor.page.get_by_role("link", name="Back to Today").click()
    visitor.settled()
    visitor.forgive("404")


@pytest.mark.parametrize(
    ("address", "said", "listed"),
    [
        ("/tasks?id=nowhere", "Choose one from the list.", "Tasks"),
        ("/concept?id=nowhere", "Choose one on the Learn page.", "Learn"),
    ],
)
def test_an_address_of_nothing_leads_to_the_list_that_it_speaks_of(
    look: Visit, address: str, said: str, listed: str
) -> None:
    visitor = look()
    page = visitor.open(address)
    expect(page.get_by_role("alert")).to_contain_text(said)
    page.get_by_role("link", name=f"Back to {listed}").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(listed)
    visitor.settled()


def test_no_line_of_code_in_a_document_is_cut(look: Visit) -> None:
    visitor = look()
    page = visitor.page
    page.goto(f"{visitor.address}/docs/guide/which-rank.md")
    cut = "(all) => all.map((one) => one.scrollWidth - one.clientWidth)"
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 800})
        lines = page.locator("pre").evaluate_all(cut)
        assert lines
        assert max(lines) <= 0, width
        page.get_by_role("link", name="Reference").click(trial=True)
    page.get_by_role("link", name="Reference").click()
    expect(page).to_have_url(re.compile("/reference$"))
