"""The lab as a person uses it: move a control, start a run, watch it, break it, keep what it made."""

import io
import json
import os
import re
import signal
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import psutil
import pytest
from playwright.sync_api import Page, Request, Route, expect

from lora_lab.data.datasets import own_dataset
from lora_lab.engine.own_worker import run_now
from lora_lab.runs.folder import RunFolder
from lora_lab.runs.state import fold_events
from lora_lab.spec import TINY_MODEL, RunSpec
from study.base.settings import load_settings
from tests.browser.axe import violations
from tests.browser.conftest import StartApp, Visit
from tests.lora_lab.exactness import slack_bytes

pytestmark = pytest.mark.browser

RUN_MS = 120_000
INSTANT = "/lab?preset=instant"


@pytest.fixture(scope="module")
def lab_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of the lab's own app."""
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def finished_run(lab_folder: Path) -> str:
    """The id of a run that had ended before the app was opened; a second one has another rank."""
    settings = load_settings(home=lab_folder)
    specs = [RunSpec(model=TINY_MODEL, steps=4, rank=2), RunSpec(model=TINY_MODEL, steps=40, seed=7)]
    runs = [
        run_now(settings, spec, own_dataset(), now=datetime.now(UTC), watch=wait_a_moment) for spec in specs
    ]
    return runs[-1].run_id


def wait_a_moment(run: RunFolder) -> None:
    """Nothing to show while the fixture's runs work."""
    Event().wait(0.1)


@pytest.fixture(scope="module")
def lab_address(start_app: StartApp, lab_folder: Path, finished_run: str) -> str:
    """An app whose workers start when a run asks for one, so that runs share no state."""
    return start_app("--no-worker", folder=lab_folder)


@pytest.fixture
def lab(visit: Visit, lab_address: str) -> Page:
    """The Lab page, drawn."""
    return open_lab(visit, lab_address, INSTANT)


def open_lab(visit: Visit, address: str, path: str, **options: object) -> Page:
    """A page of its own browser profile, once its plots are there."""
    page = visit(address=address, **options).open(path)
    expect(page.locator("figure.plot")).to_have_count(3)
    return page


def start(page: Page) -> str:
    """Press Start; returns the id of the run."""
    page.get_by_role("button", name="Start training").click()
    expect(page).to_have_url(re.compile(r"run=\d{8}-"))
    return page.url.rpartition("run=")[2].partition("&")[0]


def wait_for(page: Page, status: str) -> None:
    """Wait until the run panel says so."""
    expect(page.locator("#run .head p")).to_contain_text(status, timeout=RUN_MS)


def test_moving_the_rank_updates_count_formula_memory_and_plots(visit: Visit, lab_address: str) -> None:
    page = open_lab(visit, lab_address, "/lab")
    expect(page.locator("#trainable")).to_have_text("2,442,240")
    page.get_by_role("spinbutton", name="Rank r").fill("16")
    expect(page.locator("#trainable")).to_have_text("4,884,480")
    expect(page.locator("#formula")).to_have_text("= 30 layers × 16 × 10,176")
    expect(page.locator("#plot-parameters-by-rank h3")).to_contain_text("Rank 16")
    expect(page.locator("#plot-memory-by-rank svg")).to_have_attribute("aria-label", re.compile("16"))
    expect(page).to_have_url(re.compile("rank=16"))


def test_the_slider_moves_by_one_rank_a_key_and_says_its_value(visit: Visit, lab_address: str) -> None:
    page = open_lab(visit, lab_address, "/lab")
    slider = page.get_by_role("slider", name="Rank slider, 1 to 256")
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#trainable")).to_have_text("2,747,520")
    expect(slider).to_have_attribute("aria-valuetext", "9")
    slider.fill("8")
    expect(page.get_by_role("spinbutton", name="Rank r")).to_have_value("256")
    expect(page.locator("#trainable")).to_have_text("78,151,680")
    expect(page.locator("#lab")).to_contain_text("it can express no more than rank 192")


def test_a_setting_out_of_its_limits_says_so_and_keeps_the_page(lab: Page) -> None:
    lab.get_by_role("spinbutton", name="Rank r").fill("300")
    expect(lab.get_by_role("alert")).to_contain_text("rank must be 1 to 256, got 300")
    expect(lab.locator("#setup figure svg:visible")).to_have_count(0)
    lab.get_by_role("button", name="Start training").click()
    expect(lab.get_by_role("alert")).to_have_count(1)
    lab.get_by_role("spinbutton", name="Rank r").fill("4")
    expect(lab.locator("#trainable")).to_have_text("8,192")


def test_a_model_is_looked_up_once_its_name_is_whole(lab: Page) -> None:
    asked: set[str] = set()
    typed = re.compile(r'"model_other":\["([^"]+)"\]')

    def listen(request: Request) -> None:
        if "poll" not in (sent := request.post_data or ""):
            asked.update(typed.findall(sent))

    lab.on("request", listen)
    lab.locator("#model").select_option("other")
    field = lab.get_by_label("Folder or hub id")
    field.press_sequentially("/no/such/folder", delay=40)
    field.press("Tab")
    expect(lab.get_by_role("alert")).to_contain_text("/no/such/folder could not be read", timeout=60_000)
    assert asked == {"/no/such/folder"}


def test_an_address_reproduces_a_setting(visit: Visit, lab_address: str) -> None:
    page = open_lab(visit, lab_address, "/lab?model=llama-3.2-1b&bits=bf16&rank=64&targets=q%2Bv")
    expect(page.locator("#bits")).to_have_value("bf16")
    expect(page.get_by_role("radio", name="query + value")).to_be_checked()
    expect(page.locator("#trainable")).to_have_text("6,815,744")


def test_every_plot_states_a_finding_and_comes_as_png_svg_and_csv(lab: Page, lab_address: str) -> None:
    for name in ("parameters-by-rank", "memory-by-rank", "memory-by-bits"):
        figure = lab.locator(f"#plot-{name}")
        if name == "memory-by-bits":
            lab.locator("summary", has_text="Memory by bit width").click()
        figure.locator("summary", has_text="Numbers and files").click()
        assert re.search(r"\d", figure.locator("h3").inner_text())
        assert re.search(r"\d", figure.locator("svg").first.get_attribute("aria-label") or "")
        for ending, start_of_file in (("png", b"\x89PNG"), ("svg", b"<"), ("csv", b"\xef\xbb\xbf")):
            href = figure.get_by_role("link", name=ending.upper()).get_attribute("href")
            answer = lab.request.get(f"{lab_address}{href}")
            assert answer.status == 200
            assert answer.body().startswith(start_of_file)


@pytest.mark.embedded
def test_a_three_step_nf4_run_streams_survives_a_refresh_and_answers_before_and_after(
    visit: Visit, lab_address: str, lab_folder: Path
) -> None:
    page = open_lab(visit, lab_address, "/lab?steps=3&rank=4&bits=nf4&batch=2")
    run_id = start(page)
    expect(page.locator("#run dl.readings dd").first).to_have_text(re.compile(r"^[12] / 3"), timeout=RUN_MS)
    page.reload()
    expect(page.locator("figure.plot")).to_have_count(3)
    wait_for(page, "Finished")
    expect(page.locator("#run dl.readings dd").first).to_have_text("3 / 3")
    expect(page.locator("table.samples tbody tr")).to_have_count(3)
    expect(page.locator("#run")).to_contain_text("Held-out loss")

    state = fold_events(RunFolder(lab_folder / "runs" / run_id).events())
    assert state.started is not None
    predicted_bytes = state.started["predicted_bytes"]
    if sum(state.started["row"]["lengths"]) == state.steps[0]["tokens"]:  # it decides, and makes the moments
        predicted_bytes -= state.started["predicted"]["optimizer"]
    slack = slack_bytes(predicted_bytes, state.started["versions"]["torch"])
    assert abs(state.peak_bytes - predicted_bytes) <= slack
    expect(page.locator("#plot-memory-by-rank")).to_contain_text("measured", ignore_case=True)
    packed = page.request.get(f"{lab_address}/lab/runs/{run_id}/adapter.zip")
    names = zipfile.ZipFile(io.BytesIO(packed.body())).namelist()
    assert "adapter/adapter_model.safetensors" in names


def test_a_second_start_is_queued_stop_keeps_the_adapter_and_another_tab_shows_the_same_run(
    visit: Visit, lab_address: str, lab_folder: Path
) -> None:
    first = open_lab(visit, lab_address, INSTANT + "&steps=2000")
    second = open_lab(visit, lab_address, INSTANT + "&steps=3")
    first_id = start(first)
    start(second)
    wait_for(second, "Queued: 1 run before it")
    expect(first.locator("#run dl.readings dd").first).to_have_text(
        re.compile(r"^\d\d+ / 2000"), timeout=RUN_MS
    )

    watcher = open_lab(visit, lab_address, f"/lab?run={first_id}")
    expect(watcher.locator("#run dl.readings dd").first).to_have_text(re.compile(r"^\d\d+ / 2000"))
    watcher.get_by_role("button", name="Stop and keep the adapter").click()
    wait_for(first, "Stopped at step")
    assert (lab_folder / "runs" / first_id / "adapter" / "adapter_model.safetensors").is_file()
    wait_for(second, "Finished")


def test_a_killed_worker_is_explained_and_the_next_run_starts(
    visit: Visit, lab_address: str, lab_folder: Path
) -> None:
    page = open_lab(visit, lab_address, INSTANT + "&steps=2000")
    run_id = start(page)
    expect(page.locator("#run dl.readings dd").first).to_have_text(re.compile(r"^\d+ / 2000"), timeout=RUN_MS)
    expect(page.locator("#run dl.readings dd").nth(1)).not_to_have_text("–", timeout=RUN_MS)
    pid = fold_events(RunFolder(lab_folder / "runs" / run_id).events()).worker_pid
    assert "lora_lab.worker" in psutil.Process(pid).cmdline()
    os.kill(pid, signal.SIGKILL)
    wait_for(page, "Failed")
    expect(page.locator("#run .trouble")).to_contain_text("killed from outside")
    expect(page.locator("#run .trouble")).to_contain_text("Try a batch of 2")

    page.locator("summary", has_text="More:").click()
    page.locator("input[name=steps]").fill("2")
    page.get_by_role("button", name="Start training").click()
    wait_for(page, "Finished")


def test_a_learning_rate_far_too_high_is_explained(visit: Visit, lab_address: str) -> None:
    page = open_lab(visit, lab_address, INSTANT + "&learning_rate=1e30")
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


def test_runs_from_before_a_restart_are_listed_and_deleted(visit: Visit, lab_address: str) -> None:
    page = open_lab(visit, lab_address, "/lab")
    page.locator("summary", has_text="Earlier runs").click()
    rows = page.locator("table.runs tbody tr")
    before = rows.count()
    page.on("dialog", accept)
    page.get_by_role("button", name="Delete r=2 nf4-dq on tiny-random").first.click()
    expect(rows).to_have_count(before - 1)


def accept(dialog: object) -> None:
    """Say yes to a question of the browser."""
    dialog.accept()  # type: ignore[attr-defined]


def test_zooming_into_the_curves_outlasts_a_reload(visit: Visit, lab_address: str, finished_run: str) -> None:
    page = open_lab(visit, lab_address, f"/lab?run={finished_run}")
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
    visit: Visit, lab_address: str, finished_run: str
) -> None:
    guest = visit(address=lab_address)
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation_in_the_lab(visit: Visit, lab_address: str, scheme: str) -> None:
    page = open_lab(visit, lab_address, "/lab", color_scheme=scheme, reduced_motion="reduce")
    for summary in page.locator("#lab summary").all():
        if summary.is_visible():
            summary.click()
    assert violations(page) == []


def test_the_lab_fits_a_phone(visit: Visit, lab_address: str) -> None:
    page = open_lab(visit, lab_address, "/lab", width=390, height=844)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    expect(page.get_by_role("link", name="Lab", exact=True)).to_be_in_viewport(ratio=0.9)


def test_without_network_the_lab_says_what_is_missing_and_the_cards_work(
    visit: Visit, start_app: StartApp, tmp_path_factory: pytest.TempPathFactory
) -> None:
    nowhere = {
        "LORA_STUDY_MODELS": str(tmp_path_factory.mktemp("no-models")),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": "",
    }
    address = start_app(environment=nowhere)
    visitor = visit(address=address)
    page = visitor.open("/lab")
    expect(page.get_by_role("alert")).to_contain_text("could not be downloaded", timeout=RUN_MS)
    expect(page.get_by_role("alert")).to_contain_text(
        "Cards, quizzes and all computed charts work without it"
    )
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    expect(page.locator("#trainable")).to_have_text("2,442,240")
    visitor.open("/cards")
    page.keyboard.press("Space")
    expect(page.locator("#answer")).to_be_visible()


# ---- one screen


ON_ONE_SCREEN = ("input[data-drives=rank]", "#bits", "#start", "#trainable", "#predicted",
                 "#plot-parameters-by-rank svg", "#plot-memory-by-rank svg", "table.components")  # fmt: skip


@pytest.mark.parametrize(("query", "width", "height"), [("", 1280, 800), ("?view=projector", 1920, 1080)])
def test_slider_bits_both_charts_and_start_are_on_one_screen(
    visit: Visit, lab_address: str, query: str, width: int, height: int
) -> None:
    page = open_lab(visit, lab_address, f"/lab{query}", width=width, height=height)
    for selector in ON_ONE_SCREEN:
        expect(page.locator(selector)).to_be_in_viewport(ratio=1)
    assert page.evaluate("scrollY") == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_on_a_phone_the_controls_come_first_then_the_charts(visit: Visit, lab_address: str) -> None:
    page = open_lab(visit, lab_address, "/lab", width=390, height=844)
    for selector in ("input[data-drives=rank]", "#bits", "#start", "#trainable"):
        expect(page.locator(selector)).to_be_in_viewport(ratio=1)
    expect(page.locator("#plot-parameters-by-rank svg")).to_be_in_viewport(ratio=0.4)
    above, below = page.locator("#plot-memory-by-rank").bounding_box(), page.locator("#model").bounding_box()
    assert above
    assert below
    assert above["y"] < below["y"]


@pytest.mark.parametrize("width", [390, 320])
def test_the_bytes_of_each_component_stand_apart_from_its_name(
    visit: Visit, lab_address: str, width: int
) -> None:
    page = open_lab(visit, lab_address, "/lab", width=width, height=844)
    rows = page.locator(".lab-form table.components tr").evaluate_all(
        """(rows) => rows.map((row) => {
             const [name, size] = [...row.cells].map((cell) => {
               const text = document.createRange();
               text.selectNodeContents(cell);
               return text.getBoundingClientRect();
             });
             return [size.left - name.right, innerWidth - size.right];
           })"""
    )
    assert len(rows) >= 6
    assert min(gap for gap, _ in rows) >= 4
    assert min(edge for _, edge in rows) >= 0


def test_no_label_of_a_control_is_cut(visit: Visit, lab_address: str) -> None:
    page = open_lab(visit, lab_address, "/lab", width=1280, height=800)
    page.locator("summary", has_text="More:").click()
    cut = page.evaluate(
        """[...document.querySelectorAll('#setup select')].filter((select) => {
             const text = document.createElement('span'), look = getComputedStyle(select);
             text.style.cssText = `position:absolute;font:${look.font};white-space:nowrap`;
             text.textContent = select.selectedOptions[0].textContent;
             document.body.append(text);
             const arrow = 20, room = select.clientWidth - parseFloat(look.paddingLeft) - arrow;
             return text.getBoundingClientRect().width > room;
           }).map((select) => select.name)"""
    )
    assert cut == []


def test_the_lab_is_driven_by_keyboard_and_a_run_takes_the_forms_place(
    visit: Visit, lab_address: str
) -> None:
    page = open_lab(visit, lab_address, INSTANT + "&steps=30&from=lora-rank", width=1280, height=800)
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
    page.get_by_role("button", name="Keep my guess and show the figures").click()
    expect(page.locator("#kept-guess")).to_contain_text("the lower held-out loss in the earlier run")
    expect(page.locator("#plot-memory-by-rank svg")).to_be_visible()
    start(page)
    wait_for(page, "Finished")
    expect(page.locator("#run .prediction")).to_contain_text("you said the earlier run")
    page.get_by_role("link", name="Change the settings").click()
    expect(page.locator("#setup")).to_be_visible()


@pytest.mark.parametrize("width", [390, 320])
def test_the_open_tab_is_in_view_on_a_phone(visit: Visit, lab_address: str, width: int) -> None:
    visitor = visit(address=lab_address, width=width, height=844)
    for path in ("/lab", "/grid", "/memory", "/models", "/claims", "/papers", "/microscope", "/compare"):
        page = visitor.open(path)
        current = page.get_by_role("navigation", name="Lab").locator("[aria-current]")
        expect(current).to_have_count(2)  # the tab and its view
        for each in current.all():
            expect(each).to_be_in_viewport(ratio=1)


def test_views_of_a_result_lead_back_to_it(visit: Visit, lab_address: str, finished_run: str) -> None:
    page = open_lab(visit, lab_address, f"/lab?run={finished_run}")
    for name in ("Compare and chat", "X-ray this adapter", "Its weights under the microscope"):
        page.get_by_role("link", name=name).click()
        page.get_by_role("link", name="Back to the run").click()
        expect(page.locator("#outcome")).to_be_visible()
        expect(page).to_have_url(re.compile(f"run={finished_run}"))
