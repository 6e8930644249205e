"""Every page: its own title, nothing from elsewhere, usable on a phone and by keyboard, light and dark."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import serious_violations
from tests.browser.conftest import StartApp, Visit

pytestmark = pytest.mark.browser

PAGES = {
    "/": "Today",
    "/learn": "Learn",
    "/reference": "Reference",
    "/start": "Understand LoRA: Training everything is expensive",
    "/practise": "Practise",
    "/cards": "Cards",
    "/browse": "Browse cards",
    "/quiz": "Quiz",
    "/explain": "Explain",
    "/explain?prompt=explain-lora": "Explain",
    "/explain?own=new": "Explain",
    "/review": "Review",
    "/progress": "Progress",
    "/settings": "Settings",
    "/io": "Import and export",
    "/grid": "Grid",
    "/compare": "Compare",
    "/xray": "X-ray",
    "/microscope": "Microscope",
    "/claims": "Claims",
    "/models": "Models",
    "/papers": "Published numbers",
    "/memory": "Will it fit?",
}


UNLISTED = (
    "/review",
    "/browse",
    "/start",
    "/concept",
    "/grid",
    "/compare",
    "/xray",
    "/microscope",
    "/claims",
    "/models",
    "/papers",
    "/memory",
)
"""Pages that neither the menu nor the row below it names."""

PLACES = (
    ("Learn", "/learn", "/concept", "/figures", "/reference", "/projects", "/start"),
    ("Practise", "/practise", "/cards", "/quiz", "/explain", "/browse", "/review"),
    ("Lab", "/lab", "/grid", "/compare", "/xray", "/microscope", "/claims", "/models", "/papers", "/memory"),
    ("You", "/progress", "/settings", "/io"),
    ("Today", "/"),
)
"""The places of the menu and the pages that each holds."""


def deeper(page: Page, path: str) -> None:
    """Go on to where a page has most on it: behind the flip, behind an answer."""
    if path == "/cards":
        page.keyboard.press("Space")
        expect(page.locator("#answer")).to_be_visible()
    if path == "/browse":
        page.locator(".found-row").first.click()
        expect(page.locator(".found-body")).to_be_visible()
    if path == "/quiz":
        page.get_by_label("Topic").select_option("lora")
        page.get_by_role("button", name="Start").click()
        page.locator(".option").first.click()
        page.get_by_role("button", name="Check answer").click()
        expect(page.locator("#next")).to_be_visible()
    if path == "/explain?prompt=explain-lora":
        page.locator("#answer").fill("The base is frozen.")
        page.get_by_role("button", name="Compare with the concepts").click()
        page.get_by_role("button", name="Keep this").click()
        expect(page.locator("#result")).to_be_visible()
        page.get_by_text("Mark as teacher, and history").click()


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_its_own_title_one_heading_and_its_place_in_the_menu(visit: Visit, path: str) -> None:
    page = visit().open(path)
    expect(page).to_have_title(f"{PAGES[path]} · LoRA study")
    expect(page.locator("h1")).to_have_count(1)
    marked = page.locator('#site [aria-current="page"]:visible')
    bare = path.partition("?")[0]
    expect(marked).to_have_count(0 if bare in UNLISTED else 1)
    place = next(place for place in PLACES if bare in place)
    expect(page.locator(".menu > a[aria-current]")).to_have_text(place[0])


@pytest.mark.parametrize(
    ("path", "title"),
    [("/projects?id=merge-it", "Merge it"), ("/figures?figure=merging", "Merging three ways")],
)
def test_a_tab_says_what_its_page_shows(visit: Visit, path: str, title: str) -> None:
    page = visit().open(path)
    expect(page).to_have_title(f"{title} · LoRA study")
    expect(page.locator("h1")).to_have_text(title)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_no_serious_violation(visit: Visit, path: str, scheme: str) -> None:
    page = visit(color_scheme=scheme, reduced_motion="reduce").open(path)
    deeper(page, path)
    assert serious_violations(page) == []


@pytest.mark.parametrize("path", PAGES)
def test_nothing_is_wider_than_a_phone(visit: Visit, path: str) -> None:
    page = visit(width=390, height=844).open(path)
    deeper(page, path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    small = page.evaluate(
        """[...document.querySelectorAll('#main button, #main a.button, #main select, .menu a')]
           .filter(e => e.offsetParent && !e.matches('.link, .term') && e.getBoundingClientRect().height < 44)
           .map(e => e.outerHTML.slice(0, 120))"""
    )
    assert small == []


def test_a_phone_shows_all_places_and_the_pages_inside_the_current_one(visit: Visit) -> None:
    page = visit(width=390, height=844).open("/explain")
    for name in ("Today", "Learn", "Practise", "Lab", "You", "Cards", "Quiz", "Explain"):
        expect(page.get_by_role("link", name=name, exact=True)).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("button", name="Search")).to_be_in_viewport(ratio=1)
    box = page.locator("#site").bounding_box()
    assert box is not None
    assert box["height"] < 100


@pytest.mark.parametrize("path", ["/", "/learn", "/memory", "/settings"])
def test_cards_quiz_explain_and_the_lab_are_one_press_away_on_a_desktop(visit: Visit, path: str) -> None:
    page = visit().open(path)
    for name in ("Cards", "Quiz", "Explain", "Lab"):
        expect(page.locator(".menu").get_by_role("link", name=name, exact=True)).to_be_visible()


def test_search_finds_concepts_cards_models_and_settings_while_one_types(visit: Visit) -> None:
    page = visit().open("/")
    page.keyboard.press("/")
    box = page.get_by_role("combobox")
    expect(box).to_be_focused()
    for words, found in (
        ("nf4", "NF4"),
        ("8b", "llama-3.1-8b"),
        ("dark", "Light or dark page"),
        ("projector", "Projector view"),
    ):
        box.fill(words)
        expect(page.locator("#search-found")).to_contain_text(found)
    box.fill("no such thing at all")
    expect(page.locator("#search-found")).to_contain_text("Nothing here contains")
    box.fill("rank r of an adapter")
    expect(page.locator("#search-found a").first).to_have_text("Rank r of an adapter")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/concept\?id=lora-rank"))


def test_a_question_mark_lists_the_keys_of_the_page(visit: Visit) -> None:
    page = visit().open("/cards?new=5")
    page.keyboard.press("?")
    keys = page.get_by_role("dialog")
    expect(keys).to_contain_text("Search")
    expect(keys).to_contain_text("Space")
    assert serious_violations(page) == []
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()


def test_the_look_is_chosen_in_settings_and_stays(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open("/settings")
    page.get_by_label("Dark").check()
    page.get_by_label("Larger").check()
    expect(page.locator("body")).to_have_class(re.compile(r"\bdark\b"))
    visitor.open("/learn")
    expect(page.locator("body")).to_have_class(re.compile(r"\bdark\b"))
    assert page.evaluate("parseFloat(getComputedStyle(document.documentElement).fontSize)") > 20
    visitor.open("/settings")
    expect(page.get_by_label("Dark")).to_be_checked()
    page.get_by_label("Light").check()
    expect(page.locator("body")).not_to_have_class(re.compile(r"\bdark\b"))


def test_the_skip_link_is_the_first_stop_and_leads_past_the_menu(visit: Visit) -> None:
    page = visit().open("/learn")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('#main').contains(document.activeElement)")


def test_every_stop_of_the_tab_key_can_be_seen(visit: Visit) -> None:
    page = visit().open("/cards")
    focused = "(e => [e.outerHTML.slice(0, 80), getComputedStyle(e).outlineWidth])(document.activeElement)"
    outlines = []
    for _ in range(9):
        page.keyboard.press("Tab")
        outlines.append(page.evaluate(focused))
    assert [html for html, width in outlines if width != "3px" and not html.startswith("<body")] == []


def test_a_link_to_one_concept_leads_to_it(visit: Visit) -> None:
    page = visit().open("/learn#nf4")
    expect(page.locator("#nf4")).to_be_in_viewport()


def test_the_projector_view_is_large_and_names_nobody(visit: Visit) -> None:
    visitor = visit()
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


def test_a_page_that_does_not_exist_is_no_crash(visit: Visit) -> None:
    visitor = visit()
    answer = visitor.page.goto(visitor.address + "/nowhere")
    assert answer is not None
    assert answer.status == 404
    expect(visitor.page.get_by_role("alert")).to_contain_text("There is no page at this address")
    visitor.page.get_by_role("link", name="Back to Today").click()
    visitor.settled()
    visitor.forgive("404")
