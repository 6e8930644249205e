"""Compare, chat and prediction as a person uses them: tick, look, ask, guess, be told."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import APIResponse, Page, Route, expect

from tests.browser.axe import NONE_FOUND, violations_by_theme
from tests.browser.conftest import CopyRuns, StartApp, Visit

pytestmark = pytest.mark.browser

RUN_MS = 120_000


@pytest.fixture(scope="module")
def lab_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compare")


@pytest.fixture(scope="module")
def run_ids(finished_runs: CopyRuns, lab_folder: Path) -> list[str]:
    """Two real runs of two ranks."""
    return finished_runs(lab_folder, "six steps at rank 2", "six steps at rank 16")


@pytest.fixture(scope="module")
def address(start_app: StartApp, lab_folder: Path, run_ids: list[str]) -> str:
    """An app whose workers start when they are asked for."""
    return start_app("--no-worker", folder=lab_folder)


def compare(visit: Visit, address: str, run_ids: list[str], **options: object) -> Page:
    """The Compare page with these runs, drawn."""
    page = visit(address=address, **options).open(f"/compare?runs={','.join(run_ids)}")
    expect(page.locator("#compare-loss svg")).to_be_visible()
    return page


def ask(page: Page, prompt: str) -> None:
    page.get_by_label("Prompt").fill(prompt)
    page.get_by_role("button", name="Ask", exact=True).click()


def test_runs_ticked_in_the_lab_are_beside_each_other_and_stay_so(
    look: Visit, address: str, run_ids: list[str]
) -> None:
    page = look(address=address).open("/lab?preset=instant")
    page.locator("summary", has_text="Earlier runs").click()
    for run_id in run_ids:
        page.locator(f"#tick-{run_id}").check()
    page.get_by_role("button", name="Compare the ticked runs").click()
    expect(page).to_have_url(re.compile(r"/compare\?runs="))
    expect(page.locator("figure.plot svg")).to_have_count(4)
    for figure in page.locator("figure.plot").all():
        assert re.search(r"\d", figure.locator("h2").inner_text())
        assert re.search(r"Latest: A .*; B ", figure.locator("svg").get_attribute("aria-label") or "")
    expect(page.locator("tr.differs th")).to_contain_text(["rank", "alpha"])
    expect(page.locator("table.beside tbody tr")).to_have_count(3)
    shown_as = "tables => tables.map(each => getComputedStyle(each).display)"
    assert set(page.locator("table").evaluate_all(shown_as)) == {"table"}

    page.get_by_text("Choose runs").click()
    page.locator(f"#tick-{run_ids[1]}").uncheck()
    expect(page.locator("tr.differs")).to_have_count(0)
    expect(page).to_have_url(re.compile(rf"runs={run_ids[0]}$"))
    page.reload()
    expect(page.locator("ul.compared-runs li")).to_have_count(1)


def test_base_and_tuned_answer_side_by_side(look: Visit, address: str, run_ids: list[str]) -> None:
    page = compare(look, address, run_ids)
    ask(page, "What is W?")
    expect(page.locator(".chat-answer h3")).to_have_text(
        ["Base model", "A r=2 nf4-dq on tiny-random", "B r=16 nf4-dq on tiny-random"], timeout=RUN_MS
    )
    state = page.locator(".chat-state")
    expect(state).to_contain_text("Done. “What is W?”, greedy", timeout=RUN_MS)
    said = page.locator(".chat-answer .said").all_inner_texts()
    assert len(said) == 3
    page.reload()
    expect(page.locator(".chat-answer .said")).to_have_text(said)
    expect(page.get_by_label("Prompt")).to_have_value("What is W?")


def test_a_question_waits_while_a_run_trains_and_can_be_taken_back(
    look: Visit, address: str, run_ids: list[str]
) -> None:
    lab = look(address=address).open("/lab?preset=instant&steps=2000")
    lab.get_by_role("button", name="Start training").click()
    expect(lab.locator("#run dl.readings dd").first).to_have_text(
        re.compile(r"^[1-9]\d* / 2000"), timeout=RUN_MS
    )
    page = compare(look, address, run_ids)
    ask(page, "What is B?")
    expect(page.locator("#answers-live")).to_contain_text("A run is training. Your question waits")
    page.get_by_role("button", name="Take it back").click()
    expect(page.locator("#answers-live")).to_contain_text("Stopped.")
    lab.get_by_role("button", name="Stop and keep the adapter").click()
    expect(lab.locator("#run .head p")).to_contain_text("Stopped at step", timeout=RUN_MS)


def test_a_guess_hides_the_figures_and_a_wrong_one_comes_back_as_cards(look: Visit, address: str) -> None:
    page = look(address=address).open("/lab?preset=instant&steps=3")
    expect(page.locator("#trainable")).to_be_visible()
    page.get_by_role("button", name="Predict first").click()
    expect(page.locator("#guess-percent")).to_be_focused()
    expect(page.locator("#trainable")).to_have_count(0)
    expect(page.locator("figure.plot")).to_have_count(0)
    page.keyboard.type("90")
    page.get_by_role("spinbutton", name="Rank r").fill("4")
    expect(page).to_have_url(re.compile("rank=4"))
    expect(page.locator("#guess-percent")).to_have_value("90")
    expect(page.locator("#trainable")).to_have_count(0)
    page.get_by_role("button", name="Keep my guess and show the numbers").click()
    expect(page.locator("#trainable")).to_have_text("8,192")
    expect(page.locator("#kept-guess")).to_contain_text("Your guess is kept: 90.0 % trainable")
    page.get_by_role("button", name="Start training").click()
    verdict = page.locator(".prediction li")
    expect(verdict).to_contain_text("✗ Not quite", timeout=RUN_MS)
    expect(verdict).to_contain_text(
        "Your guess: 90.0 %. Result: 8.30 %. Rank 4 gives the adapters 8,192 numbers"
    )
    expect(verdict.get_by_role("link", name="Counting trainable parameters")).to_have_attribute(
        "href", "/concept?id=counting-parameters"
    )
    expect(verdict).to_contain_text("Cards about it are due")


def test_an_answer_about_the_shown_figures_that_comes_late_does_not_bring_them_back(
    look: Visit, address: str
) -> None:
    page = look(address=address).open("/lab?preset=instant&steps=3")
    expect(page.locator("figure.plot svg")).to_have_count(3)
    page.evaluate("window.requestAnimationFrame = () => 0")  # showing an answer now takes 200 ms
    held: dict[str, tuple[Route, APIResponse]] = {}

    def hold(route: Route) -> None:
        act = json.loads(route.request.post_data or "{}")["act"]
        if act in held or act not in {"predict", "draw-more"}:
            return route.continue_()
        held[act] = (route, route.fetch())

    page.route("**/act/lab", hold)
    page.get_by_role("button", name="Predict first").click()
    page.get_by_role("spinbutton", name="Rank r").fill("4")
    while len(held) < 2:
        page.wait_for_timeout(20)
    for act in ("predict", "draw-more"):
        route, answer = held[act]
        route.fulfill(response=answer)
    expect(page.locator("#guess-percent")).to_be_visible()
    page.wait_for_timeout(500)  # both answers have been shown, or left
    expect(page.locator("figure.plot")).to_have_count(0)


def test_the_data_is_read_when_asked_for_and_a_run_is_imported(
    look: Visit, address: str, run_ids: list[str], tmp_path: Path
) -> None:
    page = look(address=address).open("/lab?preset=instant&seq_len_tokens=64")
    page.locator("details.seen > summary").click()
    expect(page.locator(".token.trained").first).to_be_visible(timeout=RUN_MS)
    expect(page.locator("details.seen > summary")).to_contain_text(
        re.compile(r"\d+ of \d+ examples (is|are) cut at 64")
    )

    exported = json.loads(page.request.get(f"{address}/lab/runs/{run_ids[0]}/run.json").text())
    file = tmp_path / "run.json"
    file.write_text(json.dumps({"spec": exported["spec"] | {"rank": 0}, "data": exported["data"]}), "utf-8")
    page.locator("summary", has_text="More:").click()
    chooser = page.get_by_label("A run that was exported as JSON")
    chooser.set_input_files(file)
    expect(page.get_by_role("alert")).to_contain_text("rank must be 1 to 256, got 0")
    file.write_text(json.dumps({"spec": exported["spec"], "data": exported["data"]}), "utf-8")
    chooser.set_input_files(file)
    expect(page).to_have_url(re.compile(r"run=\d{8}-"))
    expect(page.locator("#run .head p")).to_contain_text("Finished", timeout=RUN_MS)
    again = page.url.rpartition("run=")[2]
    losses = [
        [event["loss"] for event in content["events"] if event["kind"] == "step"]
        for content in (
            exported,
            json.loads(page.request.get(f"{address}/lab/runs/{again}/run.json").text()),
        )
    ]
    assert losses[0] == losses[1]


def test_axe_finds_no_violation(look: Visit, address: str, run_ids: list[str]) -> None:
    page = compare(look, address, run_ids, reduced_motion="reduce")
    for summary in page.locator("#main summary").all():
        summary.click()
    assert violations_by_theme(page) == NONE_FOUND


def test_compared_runs_fit_a_phone(look: Visit, address: str, run_ids: list[str]) -> None:
    page = compare(look, address, run_ids, width=390, height=844)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    expect(page.locator("#compare-loss svg")).to_have_attribute("viewBox", re.compile("^0 0 358"))


def test_the_list_of_runs_hides_no_column_on_a_phone(look: Visit, address: str, run_ids: list[str]) -> None:
    page = look(address=address, width=390, height=844).open("/compare")
    region = page.get_by_role("region", name="Runs to compare")
    tick = region.locator(f"#tick-{run_ids[0]}")
    # The label of its row would say it again.
    expect(tick).to_have_accessible_name(re.compile(r"^Compare r=2 (?!.*r=2)"))
    expect(region).to_have_css("border-top-style", "solid")
    assert region.evaluate("region => region.scrollWidth <= region.clientWidth")


def test_a_tick_stays_while_the_list_of_runs_goes_on_changing(
    look: Visit, address: str, run_ids: list[str]
) -> None:
    page = look(address=address).open("/lab?preset=instant")
    page.locator("summary", has_text="Earlier runs").click()
    rows = page.locator("table.runs tbody tr")
    before = rows.count()
    page.locator(f"#tick-{run_ids[0]}").check()
    page.get_by_role("button", name="Start training").click()
    expect(rows).to_have_count(before + 1, timeout=RUN_MS)
    expect(page.locator(f"#tick-{run_ids[0]}")).to_be_checked()
