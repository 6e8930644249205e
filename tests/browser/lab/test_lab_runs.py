"""Runs in the lab as a person sees them: start, watch, break, zoom, and what a run leaves."""

import json
import os
import re
import signal
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page, Route, expect

from lora_lab.runs.folder import RunFolder
from lora_lab.runs.state import fold_events
from tests.browser.axe import violations
from tests.browser.conftest import Visit
from tests.browser.lab.lab_page import (
    INSTANT,
    RUN_MS,
    assert_adapter_comes,
    assert_predicted_peak,
    open_lab,
    start,
    wait_for,
)

pytestmark = pytest.mark.browser


def test_an_nf4_run_streams_survives_a_refresh_and_answers_before_and_after(
    look: Visit, lab_address: str, lab_folder: Path
) -> None:
    """The introduction's test does the same for the embedded model."""
    page = open_lab(look, lab_address, INSTANT + "&steps=100&rank=4&bits=nf4&batch=2")
    run_id = start(page)
    expect(page.locator("#run dl.readings dd").first).to_have_text(
        re.compile(r"^[1-9]\d? / 100"), timeout=RUN_MS
    )
    page.reload()
    expect(page.locator("figure.plot")).to_have_count(3)
    wait_for(page, "Finished")
    expect(page.locator("#run dl.readings dd").first).to_have_text("100 / 100")
    expect(page.locator("table.samples tbody tr")).to_have_count(3)
    expect(page.locator("#run")).to_contain_text("Held-out loss")
    assert_predicted_peak(RunFolder(lab_folder / "runs" / run_id))
    expect(page.locator("#plot-memory-by-rank")).to_contain_text("measured", ignore_case=True)
    assert_adapter_comes(page, lab_address, run_id)


def test_a_second_start_is_queued_stop_keeps_the_adapter_and_another_tab_shows_the_same_run(
    look: Visit, lab_address: str, lab_folder: Path
) -> None:
    first = open_lab(look, lab_address, INSTANT + "&steps=2000")
    second = open_lab(look, lab_address, INSTANT + "&steps=3")
    first_id = start(first)
    start(second)
    wait_for(second, "Queued: 1 run before it")
    expect(first.locator("#run dl.readings dd").first).to_have_text(
        re.compile(r"^\d\d+ / 2000"), timeout=RUN_MS
    )

    watcher = open_lab(look, lab_address, f"/lab?run={first_id}")
    expect(watcher.locator("#run dl.readings dd").first).to_have_text(re.compile(r"^\d\d+ / 2000"))
    watcher.get_by_role("button", name="Stop and keep the adapter").click()
    wait_for(first, "Stopped at step")
    assert (lab_folder / "runs" / first_id / "adapter" / "adapter_model.safetensors").is_file()
    wait_for(second, "Finished")


def test_a_start_whose_answer_is_lost_makes_one_run_however_it_is_pressed_again(
    look: Visit, lab_address: str, lab_folder: Path
) -> None:
    def lose(route: Route) -> None:
        if '"act":"start"' not in (route.request.post_data or ""):
            return route.continue_()
        route.fetch()
        route.abort()

    before = set((lab_folder / "runs").iterdir())
    visitor = look(address=lab_address)
    page = visitor.open(INSTANT + "&steps=3")
    expect(page.locator("figure.plot")).to_have_count(3)
    page.route("**/act/lab", lose)
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_role("alert")).to_contain_text("The app did not answer")
    page.unroute("**/act/lab")
    page.get_by_role("button", name="Start training").click()
    expect(page).to_have_url(re.compile(r"run=\d{8}-"))
    wait_for(page, "Finished")
    assert len(set((lab_folder / "runs").iterdir()) - before) == 1
    visitor.forgive("Failed to load resource")


def test_a_killed_worker_is_explained_and_the_next_run_starts(
    look: Visit, lab_address: str, lab_folder: Path
) -> None:
    page = open_lab(look, lab_address, INSTANT + "&steps=2000")
    run_id = start(page)
    expect(page.locator("#run dl.readings dd").first).to_have_text(re.compile(r"^\d+ / 2000"), timeout=RUN_MS)
    expect(page.locator("#run dl.readings dd").nth(1)).not_to_have_text("–", timeout=RUN_MS)
    pid = fold_events(RunFolder(lab_folder / "runs" / run_id).events()).worker_pid
    assert "lora_lab.worker" in psutil.Process(pid).cmdline()
    os.kill(pid, signal.SIGKILL)
    wait_for(page, "Failed")
    expect(page.locator("#run .trouble")).to_contain_text("killed from outside")
    expect(page.locator("#run .trouble")).to_contain_text("try a batch of 2")

    page.locator("summary", has_text="More:").click()
    page.locator("input[name=steps]").fill("2")
    page.get_by_role("button", name="Start training").click()
    wait_for(page, "Finished")


def test_a_learning_rate_far_too_high_is_explained(look: Visit, lab_address: str) -> None:
    page = open_lab(look, lab_address, INSTANT + "&learning_rate=1e30")
    start(page)
    wait_for(page, "Failed")
    expect(page.locator("#run .trouble")).to_contain_text("The loss stopped being a number at step")
    expect(page.locator("#run .trouble")).to_contain_text(
        "Lower the learning rate: 1e+30 is probably too high here"
    )


def test_a_file_with_bad_lines_is_refused_by_line_and_a_good_one_is_trained_on(
    lab: Page, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"prompt": "a", "answer": "b"}\nnot json\n{"prompt": "", "answer": "c"}\n', "utf-8")
    good = tmp_path / "mine.csv"
    good.write_text("prompt,answer\n" + "".join(f"Question {i}?,Answer {i}.\n" for i in range(9)), "utf-8")
    lab.locator("summary", has_text="More:").click()
    chooser = lab.get_by_label("Your own examples")
    chooser.set_input_files(bad)
    refused = lab.get_by_role("alert").filter(has_text="bad.jsonl")
    expect(refused).to_contain_text("line 2: not JSON")
    expect(refused).to_contain_text("line 3: prompt is missing or empty")
    for _ in range(2):  # the page polls each second; what the learner has not read yet stays
        with lab.expect_response("**/act/**"):
            pass
    expect(refused).to_be_visible()
    chooser.set_input_files(good)
    expect(lab.get_by_label("Train on").locator("option:checked")).to_have_text("mine.csv")
    start(lab)
    wait_for(lab, "Finished")
    lab.locator("summary", has_text="Settings, device and versions").click()
    expect(lab.locator("#run dl.settings")).to_contain_text("8 examples")


def test_runs_from_before_a_restart_are_listed_and_deleted(look: Visit, lab_address: str) -> None:
    page = open_lab(look, lab_address, "/lab")
    page.locator("summary", has_text="Earlier runs").click()
    rows = page.locator("table.runs tbody tr")
    before = rows.count()
    page.once("dialog", accept)
    page.get_by_role("button", name="Delete r=2 nf4-dq on tiny-random").first.click()
    expect(rows).to_have_count(before - 1)


def accept(dialog: object) -> None:
    """Say yes to a question of the browser."""
    dialog.accept()  # type: ignore[attr-defined]


def test_zooming_into_the_curves_outlasts_a_reload(look: Visit, lab_address: str, finished_run: str) -> None:
    page = open_lab(look, lab_address, f"/lab?run={finished_run}")
    whole = page.locator("#run .curve svg").first.inner_html()
    page.get_by_role("button", name="Zoom in").click()
    expect(page.get_by_role("button", name="Whole run")).to_be_visible()
    zoomed = page.locator("#run .curve svg").first.inner_html()
    assert zoomed != whole
    page.reload()
    expect(page.locator("figure.plot")).to_have_count(3)
    expect(page.get_by_role("button", name="Whole run")).to_be_visible()
    assert page.locator("#run .curve svg").first.inner_html() == zoomed


def test_the_focus_stays_on_a_link_whose_part_is_rendered_again(
    look: Visit, lab_address: str, finished_run: str
) -> None:
    guest = look(address=lab_address)
    held: list[Route] = []
    guest.page.route("**/act/**", lambda route: held.append(route))
    page = guest.open(f"/lab?run={finished_run}")
    link = page.get_by_role("link", name="X-ray this adapter")
    link.focus()
    first = link.element_handle()
    for route in held:
        route.continue_()
    page.unroute("**/act/**")
    page.wait_for_function("link => !link.isConnected", arg=first)
    expect(link).to_be_focused()


def test_the_run_as_json_holds_settings_versions_and_steps(
    lab: Page, lab_address: str, finished_run: str
) -> None:
    content = json.loads(lab.request.get(f"{lab_address}/lab/runs/{finished_run}/run.json").text())
    assert content["spec"]["seed"] == 7
    kinds = [event["kind"] for event in content["events"]]
    assert kinds.count("step") == 40
    started = next(event for event in content["events"] if event["kind"] == "started")
    assert set(started["versions"]) == {"torch", "transformers", "peft", "bitsandbytes", "hqq"}


def test_the_lab_is_driven_by_keyboard_and_a_run_takes_the_forms_place(look: Visit, lab_address: str) -> None:
    page = open_lab(look, lab_address, INSTANT + "&steps=30&from=lora-rank", width=1280, height=800)
    expect(page.locator("#origin")).to_contain_text("You came from")
    page.keyboard.press("r")
    expect(page.locator("#rank")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("4")
    expect(page.locator("#trainable")).to_have_text("8,192")
    page.keyboard.press("Enter")
    expect(page.locator("#setup")).to_be_visible()
    page.keyboard.press("Control+Enter")
    expect(page.locator("#setup")).to_be_hidden()
    expect(page.locator("#run .curve svg").first).to_be_in_viewport(ratio=1)
    expect(page.locator("#run .curve svg").nth(1)).to_be_in_viewport(ratio=1)
    wait_for(page, "Finished")
    expect(page.locator("#outcome")).to_contain_text("the loop works")
    expect(page.locator("#outcome")).to_be_in_viewport(ratio=1)
    following = page.get_by_role("link", name="Now rank 1, same seed: what do you expect?")
    expect(following).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("link", name="Download adapter")).to_be_hidden()  # files are folded
    assert violations(page) == []

    following.click()
    expect(page.locator("#guess-percent")).to_be_visible()
    expect(page.locator("#rank")).to_have_value("1")
    expect(page.locator("#plots-hidden, .plots-hidden").first).to_be_visible()
    page.get_by_role("radio", name="that one").check()
    page.get_by_role("button", name="Keep my guess and show the numbers").click()
    expect(page.locator("#kept-guess")).to_contain_text("the lower held-out loss in the earlier run")
    expect(page.locator("#plot-memory-by-rank svg")).to_be_visible()
    start(page)
    wait_for(page, "Finished")
    expect(page.locator("#run .prediction")).to_contain_text("Your guess: the earlier run")
    page.get_by_role("link", name="Change the settings").click()
    expect(page.locator("#setup")).to_be_visible()


def test_the_end_of_a_run_is_announced_once_and_stop_leaves_the_focus_to_the_run(
    look: Visit, lab_address: str
) -> None:
    page = open_lab(look, lab_address, INSTANT + "&steps=30")
    start(page)
    page.locator("#stop").focus()
    page.evaluate(
        """() => {
            window.heard = [];
            const live = document.getElementById('live');
            new MutationObserver(() => live.textContent && window.heard.push(live.textContent))
                .observe(live, { childList: true });
        }"""
    )
    wait_for(page, "Finished")
    expect(page.locator("#run")).to_be_focused()
    expect(page.locator("#live")).to_contain_text("The run has finished. After 30 steps the loss")
    page.wait_for_timeout(2500)  # two polls more
    assert sum(text.startswith("The run has") for text in page.evaluate("window.heard")) == 1


def test_views_of_a_result_lead_back_to_it(look: Visit, lab_address: str, finished_run: str) -> None:
    page = open_lab(look, lab_address, f"/lab?run={finished_run}")
    for name in ("Compare", "X-ray this adapter", "Its weights under the microscope"):
        page.get_by_role("link", name=name, exact=True).click()
        page.get_by_role("link", name="Back to the run").click()
        expect(page.locator("#outcome")).to_be_visible()
        expect(page).to_have_url(re.compile(f"run={finished_run}"))
    page.get_by_role("link", name="Ask this model").click()
    expect(page.get_by_role("heading", name="Ask the base and the tuned model")).to_be_in_viewport()


BELOW_THE_PROGRESS = """() => {
  const part = (name) => document.querySelector(`[data-part="${name}"]`);
  part('run-head').innerHTML = '<div class="meter"><span></span></div>';
  part('run-outcome').innerHTML = '';
  part('run-prediction').innerHTML = '<section class="prediction"><h3>Your prediction</h3></section>';
  const bar = document.querySelector('#run .meter').getBoundingClientRect();
  return part('run-prediction').getBoundingClientRect().top - bar.bottom;
}"""


def test_the_progress_of_a_run_does_not_touch_what_is_below(
    look: Visit, lab_address: str, finished_run: str
) -> None:
    page = open_lab(look, lab_address, f"/lab?run={finished_run}")
    assert page.evaluate(BELOW_THE_PROGRESS) >= 10


def test_on_a_phone_the_list_of_runs_fits_in_its_fold(
    look: Visit, lab_address: str, finished_run: str
) -> None:
    page = open_lab(look, lab_address, "/lab?preset=instant")
    page.set_viewport_size({"width": 390, "height": 844})
    page.locator("#runs > summary").click()
    listed = page.get_by_role("region", name="Runs", exact=True)
    box = listed.bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= 390
    assert listed.evaluate("one => one.scrollWidth <= one.clientWidth")
