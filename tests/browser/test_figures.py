"""Live figures by keyboard: one of each kind, the numbers read as a person and a screen reader get them."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from lora_lab.figures import FIGURES
from lora_lab.figures.adapters import merging
from lora_lab.figures.matrices import read_matrices
from lora_lab.figures.recorded import read_recording
from lora_lab.figures.training import checkpointing
from lora_lab.memory.frameworks.forecast import forecast_step
from lora_lab.memory.frameworks.setting import StepSetting
from lora_lab.memory.ledger import bits_per_param
from lora_lab.memory.optimizer_state import list_trained_tensors, optimizer_bytes
from lora_lab.parameters.quantization_levels import LEVELS, NF4_LEVELS, find_nearest
from lora_lab.parameters.shapes import find_shape
from lora_lab.quantities import (
    base_parameters,
    format_bits,
    kv_cache_bytes,
    lora_parameters,
    lora_parameters_matrix,
    lora_scaling,
    trainable_percent,
)
from study.base.units import MB, as_bytes, as_percent
from study.base.yaml_loader import load_yaml
from study.lessons.lesson import LESSONS_DIR
from tests.browser.answering import answer_by_keyboard
from tests.browser.axe import NONE_FOUND, violations_by_theme
from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser


class Figure:
    """One live figure on the page."""

    def __init__(self, page: Page, name: str) -> None:
        self.page = page
        self.place = page.locator(f'[data-figure="{name}"]')

    def press(self, label: str, *keys: str) -> None:
        """Focus the slider with that name and press keys."""
        self.slider(label).focus()
        for key in keys:
            self.page.keyboard.press(key)

    def slider(self, label: str) -> Locator:
        return self.place.get_by_role("slider", name=label, exact=True)

    def says(self, words: str) -> None:
        expect(self.place.locator("[data-finding]")).to_contain_text(words)

    def shows(self, words: str) -> None:
        """In the picture's alternative text."""
        expect(self.place.locator(".fig-picture")).to_have_attribute("aria-label", words)


def test_a_slider_moves_numbers_picture_and_alternative_text_and_keeps_the_focus(look: Visit) -> None:
    page = look().open("/figures")
    one = Figure(page, "lora-to-scale")
    one.says("At rank 8")
    one.press("Rank r", "ArrowRight")
    one.says("At rank 12, B and A hold 13,824 numbers")
    rank = one.slider("Rank r")
    expect(rank).to_be_focused()
    expect(rank).to_have_attribute("aria-valuetext", "12")
    one.press("Rank r", "End")
    one.says("At rank 256")
    assert "B of 576 by 256" in (one.place.locator(".fig-picture").get_attribute("aria-label") or "")
    expect(page.locator("#live")).to_contain_text("At rank 256")


def weight_after_one_step() -> str:
    """The fifth weight of the first block, coded by the lab's own table."""
    block = read_matrices()["0-q"].blocks[0]["weights"]
    code = find_nearest(block[4] / max(map(abs, block)), NF4_LEVELS)
    return f"the nearest level is {NF4_LEVELS[code]:.4f} with code {code}"


def share_of_the_first() -> str:
    """What the largest singular value holds of the sum of squares."""
    squares = [value**2 for value in read_matrices()["0-q"].singular_values]
    return f"rank 1 keeps {as_percent(100 * squares[0] / sum(squares))}"


def step_that_fails(limit_mb: int) -> str:
    """The first recorded step that does not fit with all moments moved away; the first step has none yet."""
    run = read_recording("training")["spike"]
    tensors = list_trained_tensors(find_shape("smollm2-135m").linears, rank=run["rank"], variant="lora")
    moments = optimizer_bytes(tensors, run["optimizer"])
    steps = enumerate(run["steps"], 1)
    needed = ((at, step["peak_bytes"] - (moments if at > 1 else 0)) for at, step in steps)
    return f"the run stops at step {next(at for at, kept in needed if kept > limit_mb * MB)}"


def qlora_bytes(rank: int) -> str:
    """The lab's forecast of a QLoRA step of LLaMA-65B."""
    shape = find_shape("llama-65b")
    setting = StepSetting(
        shape=shape, adapted=shape.linears, rank=rank, bits="nf4-dq", framework="trl",
        seq_len=512, checkpointing=True, optimizer="paged_adamw_32bit",
    )  # fmt: skip
    return f"{as_bytes(forecast_step(setting).total_bytes)} with QLoRA at rank {rank}"


def peaks_recorded(tokens: int) -> str:
    """Of one step without and with checkpointing."""
    without, with_ = checkpointing.compare_steps(checkpointing.CheckpointingSettings(seq_len=tokens))
    return f"from {as_bytes(without.peak_bytes)} to {as_bytes(with_.peak_bytes)}"


DOUBLE = bits_per_param("nf4-dq", block_size=128) - 4
DRIVEN = [  # figure, its slider or list, a key or what is typed, and a number by the lab's functions
    ("lora-to-scale", "Rank r", "End", f"hold {lora_parameters_matrix(576, 576, 256):,} numbers"),
    ("singular-values", "Rank kept", "Home", share_of_the_first()),
    ("scaling-over-ranks", "Rank r", "End", f"multiplies the product B·A by {lora_scaling(16, 256):.4f}"),
    ("first-steps", "Steps trained", "Home", "Before training, B is all zeros"),
    ("number-lines", "Levels of", "int8", f"int8 has {len(LEVELS['int8'])} values"),
    ("block-step-by-step", "Weight number", "ArrowRight", weight_after_one_step()),
    ("block-size", "Weights in a block", "End", f"needs {bits_per_param('nf4', block_size=4096):.4g} bits"),
    ("double-quantization", "Weights in a block", "ArrowRight", f"{DOUBLE:.4g} once they are quantized"),
    ("training-memory", "Rank r", "End", qlora_bytes(256)),
    ("forward-types", "Rank r", "End", as_bytes(4 * lora_parameters_matrix(576, 576, 256))),
    ("backward-graph", "Rank r", "End", f"{lora_parameters('smollm2-135m', 256, 'all-linear'):,} numbers"),
    ("paged-optimizer", "Memory of the device", "Home", step_that_fails(400)),
    ("checkpointing", "Tokens in an example", "Home", peaks_recorded(64)),
    ("merging", "Steps trained", "Home", f"to NF4 it is {merging.list_ways(5)[-1].loss:.2f}"),
    (
        "kv-cache",
        "Tokens per text",
        "End",
        f"131,072 tokens: {as_bytes(kv_cache_bytes('llama-3.1-8b', 131_072))}",
    ),
    ("rate-schedule", "Look at step", "End", "at 0 % of its peak"),
    (
        "relatives",
        "Rank r",
        "End",
        f"LoRA trains {lora_parameters('llama-3.1-8b', 256, 'all-linear'):,} numbers",
    ),
    ("four-bit-formats", "Format", "nvfp4", f"NVFP4 needs {format_bits('nvfp4'):.4g} bits per weight"),
    ("error-bars", "Questions", "End", "of 10,000 questions"),
    ("split-over-gpus", "GPUs", "End", "on 64 GPUs"),
    ("trained-tokens", "Cut at", "Home", "Of 16 tokens that the model reads, 0 are trained on"),
    (
        "lora-at-a-glance",
        "Rank r",
        "End",
        f"makes up {as_percent(trainable_percent('smollm2-135m', 256, 'all-linear'))}",
    ),
    ("full-fine-tuning-state", "Model", "llama-7b", as_bytes(16 * base_parameters("llama-7b"))),
    ("adapter-of-a-model", "Rank r", "End", f"{lora_parameters('smollm2-135m', 256, 'all-linear'):,} of"),
]


REST_MS = 700
"""How long a figure rests before its finding is announced, as in figures.js."""

PHONE = {"width": 390, "height": 844}
COVERED = """() => {
  const at = document.activeElement.getBoundingClientRect();
  const top = document.elementFromPoint(at.left + at.width / 2, at.top + at.height / 2);
  return Boolean(top?.closest('.fig-seen'));
}"""


SMALLEST_LETTERS = """() => Math.min(...[...document.querySelectorAll('.fig-picture text')].map((text) => {
  const drawn = text.getScreenCTM();
  return parseFloat(getComputedStyle(text).fontSize) * Math.hypot(drawn.b, drawn.d);
}))"""
"""The size on the screen, in px, of the smallest letters in a page's drawings."""


REACH = """picture => {
  const right = (one) => one.getBoundingClientRect().right;
  return Math.max(...[...picture.querySelectorAll('text')].map(right)) - right(picture.querySelector('svg'));
}"""
"""By how many px a word passes the right edge of its drawing."""


def concepts_by_figure() -> dict[str, str]:
    """A concept whose page shows the figure beside its text, for each such figure."""
    lessons = (load_yaml(path.read_text("utf-8")) for path in sorted(LESSONS_DIR.glob("*.yaml")))
    return {lesson["visualize"]["figure"]: lesson["concept"] for lesson in lessons}


def drive(page: Page, name: str, control: str, key: str, number: str) -> None:
    """Press a key on one control of a figure, and read the number."""
    one = Figure(page, name)
    shown = one.place.locator("[data-figure-shown]")
    expect(shown, name).not_to_contain_text(number)
    if key in ("Home", "End", "ArrowRight"):
        place = one.slider(control)
        place.press(key)
    else:  # a list is chosen from by typing
        place = one.place.get_by_role("combobox", name=control, exact=True)
        place.focus()
        page.keyboard.type(key)
    expect(shown, name).to_contain_text(number)
    page.clock.run_for(REST_MS)
    expect(place, name).to_be_focused()
    expect(page.locator("#live"), name).to_have_text(one.place.locator("[data-finding]").inner_text())


def test_every_figure_answers_the_keyboard_with_the_labs_number(visit: Visit) -> None:
    assert [figure for figure, *_ in DRIVEN] == list(FIGURES)
    page = visit().open("/figures")
    page.clock.install()
    for driven in DRIVEN:
        drive(page, *driven)


def test_every_figure_beside_a_text_answers_the_keyboard_on_a_phone_and_leaves_room_to_read(
    visit: Visit,
) -> None:
    visitor = visit(**PHONE)
    visitor.page.clock.install()
    for figure, concept in concepts_by_figure().items():
        page = visitor.open(f"/concept?id={concept}&mode=learn")
        driven = next(driven for driven in DRIVEN if driven[0] == figure)
        if page.locator(".fig-seen .fig-tokens").count():  # a text: all of it, and nothing lies behind it
            expect(page.locator(".fig-seen")).to_have_css("position", "static")
            assert page.locator(".fig-picture").evaluate("e => e.scrollHeight <= e.clientHeight"), figure
        else:
            seen = page.locator(".fig-seen").bounding_box()
            assert seen is not None
            assert seen["height"] <= 0.4 * PHONE["height"] + 1, figure
            assert page.evaluate(SMALLEST_LETTERS) >= 11, figure
        if not page.locator(".fig").get_by_text(driven[1], exact=True).is_visible():
            page.locator(".fig-rest > summary").press("Enter")
        drive(page, *driven)


def test_a_phrase_sets_the_figure_in_view_on_a_phone_and_the_figure_covers_no_focus(look: Visit) -> None:
    visitor = look(**PHONE, has_touch=True)
    page = visitor.open("/concept?id=lora-rank&mode=learn")
    visitor.answer_who()
    first, figure = page.locator("#place-1").bounding_box(), page.locator(".fig-seen").bounding_box()
    assert first is not None
    assert figure is not None
    assert 0 <= figure["y"] - first["y"] - first["height"] < 40  # under the first paragraph
    page.get_by_role("button", name="r = 1", exact=True).tap()
    Figure(page, "lora-to-scale").says("At rank 1, ")
    for part in (".fig-finding", ".fig-picture"):
        expect(page.locator(part)).to_be_in_viewport(ratio=1)
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.locator(".actions a, .actions button").last.focus()
    for _ in range(30):
        page.keyboard.press("Shift+Tab")
        assert not page.evaluate(COVERED), page.evaluate("document.activeElement.outerHTML")


def test_a_figure_beside_a_text_is_in_the_first_window_and_stays_in_view(look: Visit) -> None:
    visitor = look(width=1280, height=800)
    page = visitor.open("/concept?id=lora-rank&mode=learn")
    visitor.answer_who()
    whole = (".fig-picture", ".fig-finding", "input[data-setting=rank]")
    for part in whole:
        expect(page.locator(part)).to_be_in_viewport(ratio=1)
    page.locator("[data-place]").last.scroll_into_view_if_needed()
    for part in whole:
        expect(page.locator(part)).to_be_in_viewport(ratio=1)


def test_a_figure_stands_alone_at_its_address_and_fits_a_phone(look: Visit) -> None:
    visitor = look(width=390, height=844)
    page = visitor.open("/figures?figure=lora-to-scale&rank=64")
    one = Figure(page, "lora-to-scale")
    one.says("At rank 64")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    slider = one.slider("Rank r").bounding_box()
    assert slider is not None
    assert slider["height"] >= 44
    one.press("Rank r", "ArrowRight")
    one.says("At rank 96")
    expect(page).to_have_url(re.compile(r"/figures\?figure=lora-to-scale&rank=96"))


def test_axe_finds_no_violation_in_any_figure_with_all_of_it_open(look: Visit) -> None:
    page = look(reduced_motion="reduce").open("/figures")
    page.evaluate("document.querySelectorAll('.fig details').forEach((one) => { one.open = true; })")
    assert violations_by_theme(page) == NONE_FOUND


def test_a_figure_unfolds_below_a_cards_answer_and_a_questions_feedback(visit: Visit) -> None:
    visitor = visit(reduced_motion="reduce")
    visitor.page.clock.install()
    page = visitor.open("/cards?concept=lora-rank")
    page.keyboard.press("Space")
    unfold = page.locator("summary", has_text="Look at it: W + B·A, drawn to scale")
    unfold.press("Enter")
    drive(page, *DRIVEN[0])
    assert violations_by_theme(page) == NONE_FOUND
    page.keyboard.press("3")  # the slider has no use for it
    expect(page.locator("#flip")).to_be_visible()

    page = visitor.open("/quiz?concept=double-quantization&length=1&seed=1")
    page.get_by_role("button", name="Start this quiz").click()
    answer_by_keyboard(page)
    if page.get_by_role("button", name="Show the answer").count():
        page.keyboard.press("Space")
        expect(page.locator("#next")).to_be_focused()  # one frame after the answer is shown
    folded = page.locator("[data-figure-of]")
    folded.locator("summary").press("Enter")
    name = folded.get_attribute("data-figure-of")
    drive(page, *next(driven for driven in DRIVEN if driven[0] == name))
    assert violations_by_theme(page) == NONE_FOUND


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("mode", ["learn", "visualize"])
def test_the_picture_of_what_each_relative_changes_is_readable(
    look: Visit, mode: str, width: int, scheme: str
) -> None:
    page = look(width=width, height=844, color_scheme=scheme).open(f"/concept?id=lora-relatives&mode={mode}")
    changes = page.get_by_role("img", name=re.compile("^A row for each of 8 methods"))
    changes.scroll_into_view_if_needed()
    expect(changes).to_be_visible()
    assert page.evaluate(SMALLEST_LETTERS) >= 11
    assert changes.evaluate(REACH) <= 0
