"""The five-minute introduction: five pictures with a question each, and a run of the learner's own."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from lora_lab.figures.models import RANKS
from lora_lab.runs.folder import list_runs
from study.lessons.introduction import read_introduction
from tests.browser.axe import violations
from tests.browser.conftest import StartApp, Visit
from tests.browser.lab.lab_page import assert_adapter_comes, assert_predicted_peak

pytestmark = pytest.mark.browser

RUN_MS = 240_000


def answer(page: Page, number: int) -> None:
    page.locator(f'input[name="choice"][value="{number}"]').check()
    page.get_by_role("button", name="Answer", exact=True).click()
    expect(page.locator("#verdict")).to_be_focused()


UNHURRIED = """
import runpy
from lora_lab.views import first_run

first_run.RUN_SECONDS = 0  # all ten steps, however busy the machine
runpy.run_path("app.py", run_name="__main__")
"""


@pytest.mark.embedded
def test_a_newcomer_goes_from_the_first_question_to_a_measured_answer(
    visit: Visit, start_app: StartApp, tmp_path: Path
) -> None:
    """On the embedded model, so that its peak and its files are looked at as well."""
    script = tmp_path / "unhurried.py"
    script.write_text(UNHURRIED)
    folder = tmp_path / "data"
    address = start_app("--no-worker", folder=folder, script=str(script))  # its run is in no other test's way
    visitor = visit(address=address)
    page = visitor.open("/")
    page.get_by_role("link", name="Understand LoRA in five minutes").click()
    visitor.settled()
    for number, step in enumerate(read_introduction()[:-1], 1):
        expect(page.get_by_role("heading", level=1)).to_have_text(step.title)
        expect(page).to_have_url(re.compile(rf"/start(\?step={number})?$"))
        answer(page, step.right)
        expect(page.locator("#verdict")).to_contain_text("Right.")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile(rf"step={number + 1}$"))
        expect(page.get_by_role("radio", checked=True)).to_have_count(0)
    page.get_by_label("falls").check()
    page.get_by_label("And the peak memory of a step, in MB?").fill("500")
    page.get_by_role("button", name="Start the run").click()
    expect(page).to_have_url(re.compile(r"run=\d{8}-"))
    page = visitor.open("/start?step=6")  # left during the run
    expect(
        page.get_by_text("You said that the loss on unseen pairs falls, with a peak of 500 MB.")
    ).to_be_visible()
    expect(page.get_by_text(re.compile(r"It went from \d\.\d\d to \d\.\d\d, as you said"))).to_be_visible(
        timeout=RUN_MS
    )
    for name in ("Keep it: 5 cards", "Learn about the rank", "The same run at rank 1"):
        expect(page.get_by_role("link", name=name)).to_be_visible()
    expect(page.get_by_text("Finished after 10 steps.")).to_be_visible(
        timeout=RUN_MS
    )  # it has asked for answers
    visitor.open("/")
    expect(page.get_by_role("button", name="Start the review")).to_be_visible()
    expect(page.get_by_text("you predicted a held-out loss that falls, a peak of 500 MB")).to_be_visible()

    [run] = list_runs(folder / "runs")
    assert_predicted_peak(run)
    visitor.open(f"/lab?run={run.run_id}")
    expect(page.locator("#run dl.readings dd").first).to_have_text("10 / 10")
    expect(page.locator("table.samples tbody tr")).to_have_count(3)
    expect(page.locator("#run")).to_contain_text("Held-out loss")
    expect(page.locator("#plot-memory-by-rank")).to_contain_text("measured", ignore_case=True)
    assert_adapter_comes(page, visitor.address, run.run_id)


def test_a_wrong_answer_is_explained_and_the_figure_shows_its_numbers_only_then(look: Visit) -> None:
    page = look().open("/start?step=2")
    expect(page.locator(".fig-numbers")).to_be_hidden()
    answer(page, 3)
    expect(page.locator("#verdict")).to_contain_text("ten times too many")
    expect(page.locator("#verdict")).to_contain_text("The answer is 2.78")
    expect(page.locator(".fig-numbers")).to_be_visible()


def test_a_phrase_and_the_play_button_move_the_real_slider(look: Visit) -> None:
    page = look().open("/start?step=3&answer=2")
    slider = page.get_by_label("Rank r")
    page.get_by_role("button", name="256").click()
    expect(slider).to_have_attribute("aria-valuetext", "256")
    expect(page.locator(".fig-finding")).to_contain_text("At rank 256")
    page.get_by_role("button", name="1", exact=True).click()
    expect(page.locator(".fig-finding")).to_contain_text("At rank 1,")
    page.get_by_role("button", name="Play the ranks").click()
    expect(slider).not_to_have_attribute("aria-valuetext", "1")
    page.get_by_role("button", name="Pause").click()
    stopped = slider_of(page)
    expect(page.get_by_role("button", name="Play the ranks")).to_be_visible()
    page.wait_for_timeout(1200)  # longer than a play stays at one rank
    assert slider_of(page) == stopped


def test_the_live_region_keeps_the_hidden_answer_and_is_silent_while_the_figure_plays(look: Visit) -> None:
    page = look().open("/start?step=3")
    live = page.locator("#live")
    page.get_by_role("button", name="256").click()
    expect(live).to_contain_text("B of 576 by 256")  # what the picture shows
    page.get_by_role("button", name="1", exact=True).click()
    expect(live).to_contain_text("one number of B and the one row of A.")
    page.get_by_role("button", name="Play the ranks", exact=True).click()
    page.wait_for_timeout(2500)  # longer than a figure rests before it is announced
    expect(live).to_contain_text("B of 576 by 1,")
    page.get_by_role("button", name="Pause").click()
    expect(live).not_to_contain_text("B of 576 by 1,")


def test_what_moves_the_figure_brings_it_into_view_on_a_phone(look: Visit) -> None:
    page = look(width=390, height=600, has_touch=True).open("/start?step=3")
    page.get_by_role("button", name="Play the ranks").tap()
    expect(page.locator(".fig-picture")).to_be_in_viewport(ratio=0.99)  # a page scrolls by whole pixels
    expect(page.get_by_label("Rank r")).to_be_in_viewport()
    page.get_by_role("button", name="Pause").tap()
    page.get_by_role("button", name="64", exact=True).tap()
    expect(page.locator(".fig-picture")).to_be_in_viewport(ratio=0.99)


def slider_of(page: Page, label: str = "Rank r") -> tuple[str, str | None]:
    """Where the knob stands, and what is read out of it."""
    slider = page.get_by_label(label)
    return slider.input_value(), slider.get_attribute("aria-valuetext")


def test_an_answer_keeps_the_learners_rank_and_the_next_step_starts_at_its_own(look: Visit) -> None:
    page = look().open("/start?step=2")
    page.get_by_role("button", name="sixty-four").click()
    answer(page, 1)  # at once, before the slider has come to rest
    at_64 = (str(RANKS.index(64)), "64")
    assert slider_of(page) == at_64
    expect(page.locator(".fig-finding")).to_contain_text("At rank 64")
    page.reload()
    expect(page.locator(".fig-finding")).to_contain_text("At rank 64")
    assert slider_of(page) == at_64
    page.get_by_label("Rank r").press("End")
    expect(page).to_have_url(re.compile("rank=256"))  # at rest, the address keeps what Back returns to
    page.get_by_role("button", name="Next").click()
    expect(page).to_have_url(re.compile(r"/start\?step=3&missed=2$"))
    expect(page.get_by_label("Rank r")).to_have_value(str(RANKS.index(8)))
    assert slider_of(page)[1] == "8"
    page.go_back()
    expect(page.get_by_label("Rank r")).to_have_value(str(RANKS.index(256)))


def test_a_play_ends_with_its_step_and_a_late_answer_does_not_change_the_next_one(look: Visit) -> None:
    page = look().open("/start?step=3&answer=2")
    late: list[Route] = []
    page.route("**/figure/**", lambda route: late.append(route))
    page.get_by_role("button", name="Play the ranks").click()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("It starts as nothing")
    assert late
    for route in late:
        route.continue_()
    page.wait_for_timeout(1200)  # longer than a play stays at one rank
    assert slider_of(page, "Steps trained") == ("0", "0")
    answer(page, 1)
    expect(page.locator(".fig-finding")).to_contain_text("Before training, B is all zeros")


def test_step_four_plays_how_b_fills(look: Visit) -> None:
    page = look().open("/start?step=4")
    cells = page.locator(".fig-picture rect.b")
    expect(page.locator(".fig-picture rect.a").first).to_be_attached()
    expect(cells).to_have_count(0)
    page.get_by_role("button", name="Play the steps").click()
    expect(cells.first).to_be_attached()
    expect(page.locator(".fig-picture")).to_contain_text("After 2 of 10 steps")
    page.get_by_role("button", name="first step").click()
    expect(page.locator(".fig-picture")).to_contain_text("After 1 of 10 steps")
    expect(page).to_have_url(re.compile(r"step=4&steps=1$"))
    answer(page, 1)
    expect(page.locator(".fig-finding")).to_contain_text("A is still what it was")


def test_enter_goes_on_while_a_slider_has_the_focus(look: Visit) -> None:
    page = look().open("/start?step=2&answer=2")
    page.get_by_label("Rank r").press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"step=3$"))


def test_next_is_in_view_after_a_wrong_answer(look: Visit) -> None:
    page = look(width=1280, height=800).open("/start?step=1")
    answer(page, 2)
    expect(page.get_by_role("button", name="Next")).to_be_in_viewport(ratio=1)


def test_a_word_of_the_introduction_shows_its_meaning_and_leads_nowhere(look: Visit) -> None:
    page = look().open("/start?step=2")
    page.get_by_role("button", name="LoRA", exact=True).click()
    expect(page.get_by_role("tooltip")).to_be_visible()
    expect(page.locator(".beside a.term")).to_have_count(0)


@pytest.mark.parametrize("number", range(1, 7))
def test_a_step_fits_a_phone_in_the_dark(look: Visit, number: int) -> None:
    page = look(width=390, height=844, color_scheme="dark").open(f"/start?step={number}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert violations(page) == []


def test_an_address_that_nobody_wrote_opens_the_nearest_step(look: Visit) -> None:
    page = look().open("/start?step=99&answer=-4")
    expect(page.get_by_role("heading", level=1)).to_have_text("Now train it yourself")
