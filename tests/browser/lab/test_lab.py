"""The lab as a person sets it up: controls, plots and limits, on one screen and on a phone."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.browser.axe import NONE_FOUND, violations_by_theme
from tests.browser.conftest import StartApp, Visit
from tests.browser.lab.lab_page import RUN_MS, open_lab

pytestmark = pytest.mark.browser


def test_moving_the_rank_updates_count_formula_memory_and_plots(look: Visit, lab_address: str) -> None:
    page = open_lab(look, lab_address, "/lab")
    expect(page.locator("#trainable")).to_have_text("2,442,240")
    page.get_by_role("spinbutton", name="Rank r").fill("16")
    expect(page.locator("#trainable")).to_have_text("4,884,480")
    expect(page.locator("#formula")).to_have_text("= 30 layers × 16 × 10,176")
    expect(page.locator("#plot-parameters-by-rank h3")).to_contain_text("Rank 16")
    expect(page.locator("#plot-memory-by-rank svg")).to_have_attribute("aria-label", re.compile("16"))
    expect(page).to_have_url(re.compile("rank=16"))


def test_the_slider_moves_by_one_rank_a_key_and_says_its_value(look: Visit, lab_address: str) -> None:
    page = open_lab(look, lab_address, "/lab")
    slider = page.get_by_role("slider", name="Rank slider, 1 to 256")
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#trainable")).to_have_text("2,747,520")
    expect(slider).to_have_attribute("aria-valuetext", "9")
    slider.fill("8")
    expect(page.get_by_role("spinbutton", name="Rank r")).to_have_value("256")
    expect(page.locator("#trainable")).to_have_text("78,151,680")
    expect(page.locator("#lab")).to_contain_text("it can express no more than rank 192")


def test_the_keys_work_in_a_number_box_and_escape_leaves_a_list(lab: Page) -> None:
    rank, bits = lab.get_by_role("spinbutton", name="Rank r"), lab.locator("#bits")
    lab.keyboard.press("r")
    expect(rank).to_be_focused()
    lab.keyboard.type("6b")
    expect(bits).to_be_focused()
    lab.keyboard.press("r")  # a list takes letters for its own
    expect(bits).to_be_focused()
    lab.keyboard.press("Escape")
    lab.keyboard.press("r")
    expect(rank).to_be_focused()
    expect(rank).to_have_value("6")  # what is typed after the key replaces the 8


def test_why_a_run_can_not_start_is_said_where_start_was_pressed(lab: Page) -> None:
    lab.get_by_label("named …").check()
    lab.locator("[name=targets_other]").fill("q_projj")
    expect(lab.locator("[data-part=cost]")).to_contain_text("no linear layer named q_projj")
    lab.locator("#start").click()
    expect(lab.locator(".trouble + .go")).to_be_in_viewport()
    expect(lab.locator("#start")).to_have_accessible_description(re.compile("no linear layer named q_projj"))


def test_enter_in_a_prediction_keeps_the_guess_and_shows_the_numbers(lab: Page) -> None:
    lab.locator("#predict").click()
    lab.locator("#guess-percent").fill("0.9")
    lab.keyboard.press("Enter")
    expect(lab.locator("#kept-guess")).to_contain_text("0.9")
    expect(lab.locator("#trainable")).to_be_visible()


def test_a_setting_out_of_its_limits_says_so_and_keeps_the_page(lab: Page) -> None:
    lab.get_by_role("spinbutton", name="Rank r").fill("300")
    expect(lab.get_by_role("alert")).to_contain_text("“Rank r” must be 1 to 256, got 300")
    expect(lab.locator("#setup figure svg:visible")).to_have_count(0)
    lab.get_by_role("button", name="Start training").click()
    expect(lab.get_by_role("alert")).to_have_count(1)
    lab.get_by_role("spinbutton", name="Rank r").fill("4")
    expect(lab.locator("#trainable")).to_have_text("8,192")


def test_a_refusal_that_comes_after_the_correction_does_not_stay(look: Visit, lab_address: str) -> None:
    page = open_lab(look, lab_address, "/lab?model=tiny-random&rank=4&steps=20")
    late: list[Route] = []
    page.route(
        lambda _: True,
        lambda route: (
            late.append(route) if '"act":"start"' in (route.request.post_data or "") else route.continue_()
        ),
    )
    page.get_by_role("spinbutton", name="Rank r").fill("300")
    expect(page.get_by_role("alert")).to_contain_text("“Rank r” must be 1 to 256, got 300")
    page.get_by_role("button", name="Start training").click()
    page.get_by_role("spinbutton", name="Rank r").fill("4")
    expect(page.locator("#trainable")).to_have_text("8,192")
    assert late
    for route in late:
        route.continue_()
    expect(page.locator("#main")).not_to_have_attribute("aria-busy", "true")
    expect(page.locator("#trainable")).to_have_text("8,192")
    expect(page.get_by_role("alert")).to_have_count(0)


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
    lab.remove_listener("request", listen)  # the window is another test's next


def test_an_address_reproduces_a_setting(look: Visit, lab_address: str) -> None:
    page = open_lab(look, lab_address, "/lab?model=llama-3.2-1b&bits=bf16&rank=64&targets=q%2Bv")
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


def test_axe_finds_no_violation_in_the_lab(look: Visit, lab_address: str) -> None:
    page = open_lab(look, lab_address, "/lab", reduced_motion="reduce")
    for summary in page.locator("#lab summary").all():
        if summary.is_visible():
            summary.click()
    assert violations_by_theme(page) == NONE_FOUND


def test_the_lab_fits_a_phone(look: Visit, lab_address: str) -> None:
    page = open_lab(look, lab_address, "/lab", width=390, height=844)
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


ON_ONE_SCREEN = ("input[data-drives=rank]", "#bits", "#start", "#trainable", "#predicted",
                 "#plot-parameters-by-rank svg", "#plot-memory-by-rank svg", "table.components")  # fmt: skip


@pytest.mark.parametrize(("query", "width", "height"), [("", 1280, 800), ("?view=projector", 1920, 1080)])
def test_slider_bits_both_charts_and_start_are_on_one_screen(
    look: Visit, lab_address: str, query: str, width: int, height: int
) -> None:
    page = open_lab(look, lab_address, f"/lab{query}", width=width, height=height)
    for selector in ON_ONE_SCREEN:
        expect(page.locator(selector)).to_be_in_viewport(ratio=1)
    assert page.evaluate("scrollY") == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_on_a_phone_the_controls_come_first_then_the_charts(look: Visit, lab_address: str) -> None:
    page = open_lab(look, lab_address, "/lab", width=390, height=844)
    for selector in ("input[data-drives=rank]", "#bits", "#start", "#trainable"):
        expect(page.locator(selector)).to_be_in_viewport(ratio=1)
    expect(page.locator("#plot-parameters-by-rank svg")).to_be_in_viewport(ratio=0.4)
    above, below = page.locator("#plot-memory-by-rank").bounding_box(), page.locator("#model").bounding_box()
    assert above
    assert below
    assert above["y"] < below["y"]


@pytest.mark.parametrize("width", [390, 320])
def test_the_bytes_of_each_component_stand_apart_from_its_name(
    look: Visit, lab_address: str, width: int
) -> None:
    page = open_lab(look, lab_address, "/lab", width=width, height=844)
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


def test_no_label_of_a_control_is_cut(look: Visit, lab_address: str) -> None:
    page = open_lab(look, lab_address, "/lab", width=1280, height=800)
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


@pytest.mark.parametrize("width", [390, 320])
def test_the_open_tab_is_in_view_on_a_phone(look: Visit, lab_address: str, width: int) -> None:
    visitor = look(address=lab_address, width=width, height=844)
    for path in ("/lab", "/grid", "/memory", "/models", "/claims", "/papers", "/microscope", "/compare"):
        page = visitor.open(path)
        current = page.get_by_role("navigation", name="Lab").locator("[aria-current]")
        expect(current).to_have_count(2)  # the tab and its view
        for each in current.all():
            expect(each).to_be_in_viewport(ratio=1)


def test_with_larger_text_start_stays_in_its_column_on_a_phone(look: Visit, lab_address: str) -> None:
    visitor = look(address=lab_address, width=390, height=844)
    visitor.choose_letters("larger")
    page = visitor.open("/lab")
    start, slider = page.locator("#start").bounding_box(), page.locator(".slider").first.bounding_box()
    assert start
    assert slider
    assert start["x"] + start["width"] <= slider["x"] + slider["width"] + 1


def test_a_file_that_is_read_is_named_and_stop_goes_out_while_it_is_read(lab: Page, tmp_path: Path) -> None:
    held, sent = [], []

    def hold(route: Route) -> None:
        sent.append(json.loads(route.request.post_data or "{}")["act"])
        if sent[-1] != "upload":
            return route.continue_()
        held.append(route)

    lab.route("**/act/lab", hold)
    file = tmp_path / "mine.jsonl"
    file.write_text("?")
    lab.locator("summary", has_text="More:").click()
    chooser = lab.get_by_label("Your own examples")
    chooser.set_input_files(file)
    reading = lab.locator('[data-part="data-problem"]')
    expect(reading.get_by_role("status")).to_contain_text("Reading mine.jsonl")
    with lab.expect_response(lambda answer: "stop-reading" in (answer.request.post_data or "")):
        reading.get_by_role("button", name="Stop").click()
    expect(chooser).to_be_focused()
    held[0].continue_()
    expect(reading.get_by_role("alert")).to_contain_text("line 1: not JSON")
    expect(reading.get_by_role("button", name="Stop")).to_have_count(0)
    assert sent.count("upload") == 1


def test_a_bar_says_how_much_of_a_large_file_was_sent_and_stop_ends_the_sending(
    lab: Page, tmp_path: Path
) -> None:
    file = tmp_path / "large.jsonl"
    file.write_text('{"prompt": "p", "answer": "' + "a" * 1_500_000 + '"}')
    lab.locator("summary", has_text="More:").click()
    chooser = lab.get_by_label("Your own examples")
    network = lab.context.new_cdp_session(lab)
    network.send("Network.enable")
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 200_000}
    network.send("Network.emulateNetworkConditions", slow)
    chooser.set_input_files(file)
    sending = lab.locator('[data-part="data-problem"]')
    expect(sending.get_by_role("status")).to_contain_text("Sending large.jsonl")
    expect(sending.get_by_role("status")).to_contain_text("of 1.5 MB")
    bar = sending.get_by_role("progressbar", name="How much of large.jsonl was sent")
    lab.wait_for_function("bar => bar.value > 0.05 && bar.value < 1", arg=bar.element_handle())
    sending.get_by_role("button", name="Stop").click()
    expect(lab.get_by_role("alert")).to_contain_text("Stopped. Nothing of the file was kept.")
    expect(bar).to_have_count(0)
    expect(chooser).to_be_focused()
    network.send("Network.emulateNetworkConditions", {**slow, "uploadThroughput": -1})
    chooser.set_input_files([])
    chooser.set_input_files(file)
    expect(sending.get_by_role("alert")).to_contain_text("line 1")
    network.detach()


def test_a_page_that_gets_no_answer_says_so_once_and_leaves_the_reader_where_they_are(look: Visit) -> None:
    ana = look()
    page = ana.open("/lab")
    page.context.set_offline(True)
    told = page.get_by_text("The app does not answer at the moment.")
    expect(told).to_be_visible()
    page.wait_for_event("requestfailed")  # an answer on its way when the network went takes the notice back
    expect(told).to_be_visible()
    page.evaluate("document.querySelector('[data-passing]').dataset.first = 'yes'")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    here = page.evaluate("scrollY")
    assert here > 100
    for _ in range(2):
        page.wait_for_event("requestfailed")
    page.wait_for_timeout(300)
    assert page.evaluate("scrollY") == here
    expect(page.locator("[data-passing]")).to_have_attribute("data-first", "yes")
    page.context.set_offline(False)
    expect(told).to_have_count(0)
    ana.forgive("ERR_INTERNET_DISCONNECTED")
