"""Tasks as a person solves them: two settings, one recorded run, and a script."""

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.axe import violations
from tests.browser.chromium import NO_FRAMES
from tests.browser.conftest import Visit
from tests.waiting import wait_for

pytestmark = pytest.mark.browser
PATIENT_MS = 60_000
"""A search over the controls sets the goal; a busy machine takes its time."""


def now(page: Page, row: str) -> str:
    return page.get_by_role("row", name=row).locator("td.now").inner_text()


def test_the_longest_context_is_found_with_controls_that_move_the_numbers(look: Visit) -> None:
    page = look(width=1280, height=800).open("/tasks?id=fit-longest-context")
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "The longest context on this GPU", timeout=PATIENT_MS
    )
    before = now(page, "Memory at the peak")
    page.get_by_label("Weights stored in").select_option("nf4-dq")
    expect(page.locator("td.now").first).not_to_have_text(before)
    page.get_by_role("button", name="Check my setting").click()
    judged = page.locator("#judgement")
    expect(judged).to_contain_text("Not yet", timeout=PATIENT_MS)
    expect(judged).to_contain_text("Weights stored in: 16-bit (bf16) → 4-bit NF4 + double quantization")
    page.get_by_label("Activations").select_option("yes")
    page.get_by_label("Loss").select_option("chunked cross-entropy")
    page.locator("#seq_len").fill("8000")
    expect(page.get_by_role("row", name="Context in tokens").locator("td.now")).to_have_text("8,000")
    page.get_by_role("button", name="Check my setting").click()
    expect(judged).to_contain_text("Solved", timeout=PATIENT_MS)
    expect(judged).to_be_focused()
    assert violations(page) == []


def test_what_is_wanted_is_in_view_on_a_phone(look: Visit) -> None:
    page = look(width=390, height=844).open("/tasks?id=printed-both")
    row = page.get_by_role("row", name="Trainable parameters")
    expect(row.get_by_role("cell")).to_have_count(3)
    wanted, sheet = (
        row.get_by_role("cell").last.bounding_box(),
        page.locator(".task .sheet").first.bounding_box(),
    )
    assert wanted is not None
    assert sheet is not None
    assert wanted["x"] + wanted["width"] <= sheet["x"] + sheet["width"]


def test_a_scale_is_kept_by_the_keyboard_alone_on_a_phone(look: Visit) -> None:
    page = look(width=390, height=844, color_scheme="dark").open("/tasks?id=scale-higher-rank")
    page.get_by_label("Rank r, slider").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#rank")).to_have_value("9")
    expect(page.get_by_role("row", name="Rank").locator("td.now")).to_have_text("9")
    page.locator("#rank").fill("64")
    page.locator("#alpha").fill("128")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#judgement")).to_contain_text("Solved", timeout=PATIENT_MS)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert violations(page) == []
    page.get_by_role("link", name="Another task like this").first.click()
    expect(page.locator("#rank")).not_to_have_value("64")
    expect(page.get_by_role("heading", level=1)).to_have_text("A higher rank at the same scale")


def test_a_run_is_read_and_repaired_in_the_lab(look: Visit) -> None:
    page = look(width=390, height=844).open("/tasks")
    page.get_by_role("link", name="The loss climbs and stays up").click()
    expect(page.locator(".narrow-chart svg").first).to_be_visible()
    page.get_by_label("It learns the rows by heart.").check()
    page.get_by_role("button", name="Check my answer").click()
    expect(page.locator("#judgement")).to_contain_text("That isn't the fault")
    page.get_by_label("The learning rate is too high.").check()
    page.get_by_role("button", name="Check my answer").click()
    expect(page.locator("#judgement")).to_contain_text("Repair it")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert violations(page) == []
    page.get_by_role("link", name="Run it repaired in the lab").click()
    expect(page.locator("[name=learning_rate]")).to_have_value("0.002")


def test_a_script_is_completed(look: Visit) -> None:
    page = look(color_scheme="dark").open("/tasks?id=build-rslora")
    box = page.get_by_label("Your code")
    box.fill("config = LoraConfig(r=64, lora_alpha=16, use_rslora=False)")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#judgement")).to_contain_text("rsLoRA is off unless you turn it on.")
    box.fill("config = LoraConfig(r=64, lora_alpha=16, use_rslora=True)")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#judgement")).to_contain_text("Solved")
    assert violations(page) == []


def test_a_corrected_script_counts_as_soon_as_the_judgement_stands_there(look: Visit) -> None:
    page = look().open("/tasks?id=build-rslora")
    page.evaluate(NO_FRAMES)
    box = page.get_by_label("Your code")
    for switch, judgement in (("False", "rsLoRA is off"), ("True", "Solved")):
        box.fill(f"config = LoraConfig(r=64, lora_alpha=16, use_rslora={switch})")
        page.wait_for_timeout(300)  # longer than a page waits for a frame
        page.keyboard.press("Control+Enter")
        expect(page.locator("#judgement")).to_contain_text(judgement)


def test_what_is_typed_while_the_judgement_is_on_its_way_stays_and_is_saved(look: Visit) -> None:
    page = look().open("/tasks?id=build-rslora")
    judged: list[Route] = []
    page.route(
        "**/act/**",
        lambda route: judged.append(route) if is_handed_in(route) else route.continue_(),
    )
    box = page.get_by_label("Your code")
    box.fill("config = LoraConfig(r=64)")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[aria-busy=true]")).to_have_count(1)
    page.keyboard.type("  # at")

    def list_held() -> list[Route]:
        page.wait_for_timeout(20)  # requests are routed meanwhile
        return judged

    wait_for(list_held, seconds=60)[0].continue_()
    expect(page.locator("#judgement")).to_contain_text("rsLoRA is off")
    page.keyboard.type(" first")
    page.reload()
    expect(box).to_have_value("config = LoraConfig(r=64)  # at first")


def is_handed_in(route: Route) -> bool:
    """Whether a request hands a script in, and does not only save it."""
    return '"act":"code"' in (route.request.post_data or "")


def test_a_concept_and_the_search_lead_to_a_task(look: Visit) -> None:
    page = look().open("/concept?id=lora-alpha&mode=try")
    page.get_by_role("link", name="A higher rank at the same scale").click()
    expect(page.get_by_role("button", name="Check my setting")).to_be_visible(timeout=PATIENT_MS)
