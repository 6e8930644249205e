"""The three still charts: numbers of the engine, words made of those numbers, pictures that are whole."""

import csv
import io
import itertools
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import cast
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from lora_lab.charts import findings
from lora_lab.charts.memory import memory_by_bits, memory_by_rank
from lora_lab.charts.parameters import parameters_by_rank
from lora_lab.data.batches import RowSize, even_row
from lora_lab.memory.ledger import COMPONENTS, Ledger, predict_ledger
from lora_lab.parameters.counts import count_parameters
from lora_lab.parameters.shapes import ModelShape, find_shape
from lora_lab.runs.predicted_vs_measured import MeasuredPeak
from lora_lab.spec import BITS, TARGET_LABELS, TARGET_SETS, Bits, Compute, RunSpec
from study.base.errors import LearnerError
from study.base.units import MB, as_bytes, as_percent
from study.plots.plot import Plot, to_csv
from study.plots.render import render_plot
from study.plots.sheet import INK, NARROW_INCHES, PAPER, WIDE_INCHES, text_width, wrap_text

SVG = "{http://www.w3.org/2000/svg}"
ROW = even_row(tokens=381, answer_tokens=150, examples=4)
POWERS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
DRAWN_BITS: tuple[Bits, ...] = (
    "bf16", "hqq8", "int8", "hqq4", "nf4", "fp4", "hqq3", "nf4-dq", "hqq2", "hqq1"
)  # fmt: skip
MODELS = ("tiny-random", "smollm2-135m", "gpt2", "llama-3.1-8b")

specs = st.builds(
    RunSpec,
    model=st.sampled_from(MODELS),
    rank=st.integers(1, 256) | st.sampled_from((1, 8, 256)),
    bits=st.sampled_from(BITS),
    targets=st.sampled_from(TARGET_SETS),
)
rows = st.integers(1, 4096).flatmap(
    lambda tokens: st.builds(
        even_row, tokens=st.just(tokens), answer_tokens=st.integers(1, tokens), examples=st.integers(1, 8)
    )
)
computes: st.SearchStrategy[Compute] = st.sampled_from(("fp32", "bf16"))


def measured(
    spec: RunSpec, *, factor: float = 1.0, device: str = "CPU, 2 threads", row: RowSize = ROW
) -> MeasuredPeak:
    predicted = predict_ledger(find_shape(spec.model), spec, row, "bf16").total_bytes
    return MeasuredPeak(
        run_id="some-run",
        spec=spec,
        peak_bytes=round(predicted * factor),
        predicted_bytes=predicted,
        device_name=device,
        compute="bf16",
        row=row,
        steps=40,
        trainable=1,
    )


def all_three(spec: RunSpec, *, runs: Sequence[MeasuredPeak] = ()) -> tuple[Plot, Plot, Plot]:
    shape = find_shape(spec.model)
    by_rank = [run for run in runs if run.spec.bits == spec.bits]
    by_bits = [run for run in runs if run.spec.rank == spec.rank]
    return (
        parameters_by_rank(shape, spec),
        memory_by_rank(shape, spec, ROW, "bf16", by_rank),
        memory_by_bits(shape, spec, ROW, "bf16", by_bits),
    )


def column(plot: Plot, name: str) -> list[object]:
    return [row[plot.header.index(name)] for row in plot.rows]


# ---- numbers ----


@given(specs)
@settings(max_examples=40, deadline=None)
def test_the_parameter_table_holds_the_exact_counts_of_every_drawn_rank(spec: RunSpec) -> None:
    shape = find_shape(spec.model)

    plot = parameters_by_rank(shape, spec)

    assert column(plot, "rank") == sorted({*POWERS, spec.rank})
    for row in plot.rows:
        rank, *counts, percent = row
        expected = [count_parameters(shape, rank=int(rank), targets=targets) for targets in TARGET_SETS]
        assert counts == [each.trainable for each in expected]
        assert percent == expected[TARGET_SETS.index(spec.targets)].percent


@given(specs, rows, computes)
@settings(max_examples=40, deadline=None)
def test_the_rank_table_holds_the_ledger_of_every_bar_to_the_byte(
    spec: RunSpec, row: RowSize, compute: Compute
) -> None:
    shape = find_shape(spec.model)

    plot = memory_by_rank(shape, spec, row, compute, [])

    for rank, line in zip(sorted({*POWERS, spec.rank}), plot.rows, strict=True):
        ledger = predict_ledger(shape, replace(spec, rank=rank), row, compute)
        drawn = [(field, name) for field, name in COMPONENTS if f"{name} (MB)" in plot.header]
        assert line[0] == rank
        assert [round(float(cell) * MB) for cell in line[1:-1]] == [
            getattr(ledger, field) for field, _ in drawn
        ]
        assert round(float(line[-1]) * MB) == ledger.total_bytes == sum(getattr(ledger, f) for f, _ in drawn)


@given(specs, computes)
@settings(max_examples=40, deadline=None)
def test_the_bits_table_holds_the_total_of_every_bar_to_the_byte(spec: RunSpec, compute: Compute) -> None:
    shape = find_shape(spec.model)

    plot = memory_by_bits(shape, spec, ROW, compute, [])

    expected: tuple[Bits, ...] = ("fp32", *DRAWN_BITS) if spec.bits == "fp32" else DRAWN_BITS
    assert column(plot, "weights stored as") == list(expected)
    totals = [predict_ledger(shape, replace(spec, bits=bits), ROW, compute).total_bytes for bits in expected]
    assert [round(float(str(total)) * MB) for total in column(plot, "computed total (MB)")] == totals


def test_components_that_are_zero_in_every_bar_are_not_named() -> None:
    _, by_rank, _ = all_three(RunSpec(rank=8, bits="bf16"))

    assert "weights (MB)" in by_rank.header
    assert "quantization constants (MB)" not in by_rank.header
    assert "fixed (MB)" not in by_rank.header


def test_measured_peaks_stand_on_their_bars_with_their_difference() -> None:
    spec = RunSpec(rank=8)
    odd = measured(replace(spec, rank=24), factor=1.02)

    _, plot, _ = all_three(spec, runs=[measured(spec, factor=0.99), odd])

    by_rank = {row[0]: row[-3:] for row in plot.rows}
    assert sorted(by_rank) == sorted({*POWERS, 24})
    peak, difference, where = by_rank[24]
    assert (peak, where) == (odd.peak_bytes / MB, "CPU, 2 threads, 40 steps")
    assert difference == pytest.approx(2.0, abs=1e-3)
    assert by_rank[16] == ("", "", "")
    assert "1.0 % below computed" in plot.alt
    assert "2.0 % above computed" in plot.alt


def test_two_runs_on_one_bar_have_a_row_each_and_equal_ones_share_one() -> None:
    spec = RunSpec(rank=8)
    runs = [measured(spec), measured(spec), measured(spec, factor=1.1, device="NVIDIA A10")]

    _, plot, _ = all_three(spec, runs=runs)

    assert [row[-1] for row in plot.rows if row[0] == 8] == [
        "CPU, 2 threads, 40 steps",
        "NVIDIA A10, 40 steps",
    ]


def test_runs_in_another_number_type_are_not_drawn() -> None:
    spec = RunSpec(rank=8)

    plot = memory_by_rank(find_shape(spec.model), spec, ROW, "fp32", [measured(spec)])

    assert "measured on" not in plot.header


def test_fp32_is_drawn_when_it_was_measured_even_if_it_is_not_chosen() -> None:
    spec = RunSpec(rank=8)

    _, _, plot = all_three(spec, runs=[measured(replace(spec, bits="fp32"))])

    assert column(plot, "weights stored as") == ["fp32", *DRAWN_BITS]


def test_a_target_set_that_the_model_lacks_is_left_out_unless_it_is_chosen() -> None:
    whole = find_shape("tiny-random")
    shape = replace(whole, linears=tuple(each for each in whole.linears if each.role not in ("q", "v")))

    plot = parameters_by_rank(shape, RunSpec(model="tiny-random", targets="all-linear"))

    assert not any(TARGET_LABELS["q+v"] in name for name in plot.header)
    with pytest.raises(LearnerError, match="no linear layer named q, v"):
        parameters_by_rank(shape, RunSpec(model="tiny-random", targets="q+v"))


def test_target_sets_that_come_to_the_same_matrices_share_a_line() -> None:
    whole = find_shape("tiny-random")
    shape = replace(whole, linears=tuple(each for each in whole.linears if each.role in ("q", "v")))

    words = texts(render_plot(parameters_by_rank(shape, RunSpec(model="tiny-random")), "svg", on_page=True))

    assert "q + v = attention = all linear" in [word.words for word in words]


# ---- words ----


def test_the_parameter_title_states_the_count_that_was_checked_by_hand() -> None:
    plot, _, _ = all_three(RunSpec(rank=8))

    assert plot.title == "Rank 8 on all linear layers trains 2,442,240 parameters, 1.78 % of all"


@given(specs)
@settings(max_examples=40, deadline=None)
def test_the_parameter_title_states_the_table_s_count_at_the_chosen_rank(spec: RunSpec) -> None:
    plot = parameters_by_rank(find_shape(spec.model), spec)

    (chosen,) = [row for row in plot.rows if row[0] == spec.rank]
    counted = chosen[1 + TARGET_SETS.index(spec.targets)]
    assert f"Rank {spec.rank} " in plot.title
    assert f" {counted:,} parameters" in plot.title
    assert f", {as_percent(float(chosen[-1]))} of all" in plot.title


@given(specs, rows, computes)
@settings(max_examples=80, deadline=None)
def test_every_number_in_a_memory_title_follows_from_the_table(
    spec: RunSpec, row: RowSize, compute: Compute
) -> None:
    shape = find_shape(spec.model)

    for plot in (
        memory_by_rank(shape, spec, row, compute, []),
        memory_by_bits(shape, spec, row, compute, []),
    ):
        totals = [round(float(str(total)) * MB) for total in column(plot, "computed total (MB)")]
        sizes = {as_bytes(total) for total in totals}
        sizes |= {as_bytes(abs(one - other)) for one, other in itertools.combinations(totals, 2)}
        assert set(re.findall(r"[\d.,]+ (?:B|kB|MB|GB)\b", plot.title)) <= sizes
        assert set(re.findall(r"[\d.]+ %", plot.title)) <= set(shares(plot))


def shares(plot: Plot) -> Iterator[str]:
    """Every percentage that a reader could work out of the table."""
    first = plot.header.index("weights (MB)")
    last = plot.header.index("computed total (MB)")
    totals = [float(row[last]) for row in plot.rows]
    yield from (f"{100 * (total / totals[0] - 1):.0f} %" for total in totals)
    for row in plot.rows:
        parts = [float(cell) for cell in row[first:last]]
        for some in itertools.chain.from_iterable(itertools.combinations(parts, n) for n in (1, 2, 3)):
            yield f"{100 * sum(some) / float(row[last]):.0f} %"
            yield f"{100 - 100 * sum(some) / float(row[last]):.0f} %"
    yield from ("99 %", "1 %")  # "over 99 %", "under 1 %"


def ledger(*, weights: int, adapters: int, activations: int) -> Ledger:
    """In MB; gradients as large as the adapters, and an optimizer twice as large."""
    return Ledger(
        weights=weights * MB,
        constants=0,
        adapters=adapters * MB,
        gradients=adapters * MB,
        optimizer=2 * adapters * MB,
        activations=activations * MB,
        logits=0,
        scratch=0,
    )


BY_RANK = {rank: ledger(weights=110, adapters=rank, activations=286) for rank in POWERS}


@pytest.mark.parametrize(
    ("rank", "said"),
    [
        (1, "Rank barely adds memory up to 8 (+7 %): activations and weights are 99 % of 400 MB"),
        (8, "Rank barely adds memory up to 8 (+7 %): activations and weights are 93 % of 428 MB"),
        (
            64,
            "Rank 64 takes 652 MB, 252 MB more than rank 1: adapters, gradients and optimizer are 39 % of it",
        ),
        (
            256,
            "Rank 256 takes 1.42 GB, 3.5 times as much as rank 1: "
            "adapters, gradients and optimizer are 72 % of it",
        ),
    ],
)
def test_the_rank_title_says_whether_the_chosen_rank_costs_anything(rank: int, said: str) -> None:
    assert findings.of_ranks(BY_RANK, rank) == said


def test_where_rank_2_already_costs_more_than_a_tenth_the_title_of_rank_1_names_what_it_takes() -> None:
    by_rank = {rank: ledger(weights=2, adapters=rank, activations=4) for rank in POWERS}

    assert findings.of_ranks(by_rank, 1) == "Rank 1 takes 10.0 MB: activations and weights are 60 % of it"


@pytest.mark.parametrize(
    ("bits", "weights", "said"),
    [
        (
            "nf4",
            110,
            "nf4 saves 160 MB of the 600 MB that bf16 takes; 75 % of the 440 MB left is not weights",
        ),
        (
            "int8",
            210,
            "int8 saves 60.0 MB of the 600 MB that bf16 takes; 61 % of the 540 MB left is not weights",
        ),
        ("bf16", 270, "In bf16, weights are 45 % of 600 MB: nf4-dq would save 165 MB"),
    ],
)
def test_the_bits_title_says_what_is_saved_and_what_is_left(bits: Bits, weights: int, said: str) -> None:
    sizes = {"bf16": 270, "nf4-dq": 105, bits: weights}
    by_bits = {name: ledger(weights=size, adapters=0, activations=330) for name, size in sizes.items()}

    assert findings.of_bits(cast(dict[Bits, Ledger], by_bits), bits) == said


def test_where_weights_are_most_of_what_is_left_the_bits_title_says_so() -> None:
    by_bits: dict[Bits, Ledger] = {
        "bf16": ledger(weights=900, adapters=0, activations=100),
        "int8": ledger(weights=450, adapters=0, activations=100),
    }

    said = "int8 saves 450 MB of the 1.00 GB that bf16 takes; weights are still 82 % of the 550 MB left"
    assert findings.of_bits(by_bits, "int8") == said


def test_where_fewer_bits_save_nothing_the_title_does_not_claim_that_they_do() -> None:
    by_bits: dict[Bits, Ledger] = {
        "bf16": ledger(weights=1, adapters=0, activations=9),
        "nf4": ledger(weights=2, adapters=0, activations=9),
    }

    assert findings.of_bits(by_bits, "nf4") == "nf4 saves nothing here: 11.0 MB, against 10.0 MB in bf16"
    assert (
        findings.of_bits(by_bits, "bf16")
        == "In bf16, weights are 10 % of 10.0 MB: fewer bits save nothing here"
    )


def test_a_plot_without_measurements_says_so_and_one_with_them_names_the_device() -> None:
    spec = RunSpec(rank=8)
    run = measured(spec, factor=0.996)
    _, bare, _ = all_three(spec)
    _, seen, _ = all_three(spec, runs=[run])

    peak = as_bytes(run.peak_bytes)
    assert "No run with these settings has been measured yet." in line_of_words(bare)
    assert f"measured on CPU, 2 threads, 40 steps: {peak}, 0.4 % below computed" in line_of_words(seen)


def test_several_runs_are_summed_up_by_their_range() -> None:
    spec = RunSpec(rank=8)
    low, high = measured(replace(spec, rank=4), factor=0.996), measured(replace(spec, rank=2), factor=1.01)

    _, plot, _ = all_three(spec, runs=[low, high])

    assert "40 steps: 2 runs, 0.4 % below to 1.0 % above computed" in line_of_words(plot)


@given(specs)
@settings(max_examples=20, deadline=None)
def test_the_description_names_the_kind_of_chart_and_the_chosen_setting(spec: RunSpec) -> None:
    for plot in all_three(spec):
        assert "omputed" in plot.alt
        assert f"rank {spec.rank}" in plot.alt or f"At {spec.bits} " in plot.alt
        assert 60 < len(plot.alt) < 420


# ---- files ----


def test_a_plot_s_csv_reads_back_to_the_same_numbers() -> None:
    for plot in all_three(RunSpec(rank=12), runs=[measured(RunSpec(rank=12))]):
        header, *lines = csv.reader(io.StringIO(to_csv(plot)))
        assert tuple(header) == plot.header
        for line, row in zip(lines, plot.rows, strict=True):
            assert len(line) == len(header)
            assert [type(cell)(text) for cell, text in zip(row, line, strict=True)] == list(row)


@pytest.mark.parametrize("name", ["=1+1", "+A1", "-A1", "@SUM(A1)", "\t=1"])
def test_a_device_name_that_a_spreadsheet_would_run_is_defused(name: str) -> None:
    spec = RunSpec(rank=8)

    _, plot, _ = all_three(spec, runs=[measured(spec, device=name, factor=0.85)])

    cells = [cell for line in csv.reader(io.StringIO(to_csv(plot))) for cell in line]
    assert f"'{name}, 40 steps" in cells
    assert any(cell.startswith("-1") for cell in cells)  # a negative number stays a number


def test_names_are_safe_in_an_address_and_different() -> None:
    names = [plot.name for plot in all_three(RunSpec())]

    assert names == ["parameters-by-rank", "memory-by-rank", "memory-by-bits"]


# ---- pictures ----


@dataclass(frozen=True)
class Word:
    """A text of an SVG and the box it takes."""

    words: str
    left: float
    top: float
    right: float
    bottom: float

    def touches(self, other: "Word") -> bool:
        """Whether the boxes share more than an edge."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return across > 0.5 and down > 0.5


def texts(svg: bytes) -> list[Word]:
    return [_word(element) for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def _word(element: ElementTree.Element) -> Word:
    style = dict(part.split(": ", 1) for part in element.attrib["style"].rstrip(";").split("; "))
    size = float(style["font-size"].removesuffix("px"))
    words = element.text or ""
    width = text_width(words, size=size, bold=style.get("font-weight") == "700")
    x, y = float(element.attrib["x"]), float(element.attrib["y"])
    left = x - {"start": 0.0, "middle": 0.5, "end": 1.0}[style["text-anchor"]] * width
    return Word(words, left, y - 0.76 * size, left + width, y + 0.1 * size)


def line_of_words(plot: Plot) -> str:
    return " ".join(word.words for word in texts(render_plot(plot, "svg", on_page=True)))


def on_page(spec: RunSpec, *, width_inches: float = WIDE_INCHES) -> list[bytes]:
    runs = [
        measured(spec, factor=0.97),
        measured(replace(spec, rank=100)),
        measured(replace(spec, bits="int8")),
    ]
    return [
        render_plot(plot, "svg", on_page=True, width_inches=width_inches)
        for plot in all_three(spec, runs=runs)
    ]


@given(specs, st.sampled_from((WIDE_INCHES, NARROW_INCHES)))
@settings(max_examples=25, deadline=None)
def test_no_text_touches_another_or_leaves_the_picture(spec: RunSpec, width_inches: float) -> None:
    for svg in on_page(spec, width_inches=width_inches):
        _, _, width, height = map(float, ElementTree.fromstring(svg).attrib["viewBox"].split())
        words = texts(svg)
        for word in words:
            assert word.left >= 0
            assert word.right <= width
            assert word.top >= 0
            assert word.bottom <= height
        for one, other in itertools.combinations(words, 2):
            assert not one.touches(other), (one, other)


def test_every_text_is_at_least_12_points_on_a_7_inch_chart() -> None:
    for svg in on_page(RunSpec()):
        sizes = re.findall(rb"font-size: ([\d.]+)px", svg)
        assert min(map(float, sizes)) >= 12


def test_three_pictures_on_a_page_share_no_id_and_every_reference_is_found() -> None:
    pictures = [
        ElementTree.fromstring(svg)
        for width_inches in (WIDE_INCHES, NARROW_INCHES)
        for svg in on_page(RunSpec(), width_inches=width_inches)
    ]
    ids = [e.attrib["id"] for picture in pictures for e in picture.iter() if "id" in e.attrib]

    assert len(ids) == len(set(ids))
    for picture in pictures:
        own = {element.attrib["id"] for element in picture.iter() if "id" in element.attrib}
        values = [value for element in picture.iter() for value in element.attrib.values()]
        used = {name for value in values for name in re.findall(r"url\(#([^)]+)\)", value)}
        used |= {value[1:] for value in values if value.startswith("#") and len(value) > 7}
        assert used <= own


def test_a_page_picture_takes_the_page_s_colours_and_reaches_for_nothing_outside() -> None:
    for svg in on_page(RunSpec()):
        text = svg.decode()
        root = ElementTree.fromstring(svg)
        assert INK not in text
        assert PAPER not in text
        assert "currentColor" in text
        assert re.findall(r"https?://[^\"]+", text) == ["http://www.w3.org/2000/svg"]
        assert {e.tag for e in root.iter()}.isdisjoint(f"{SVG}{tag}" for tag in ("style", "script", "image"))
        assert (root.attrib["width"], root.attrib.get("height")) == ("100%", None)


def test_a_page_picture_is_one_image_with_a_name_for_screen_readers() -> None:
    plot, _, _ = all_three(RunSpec())

    root = ElementTree.fromstring(render_plot(plot, "svg", on_page=True))

    assert (root.attrib["role"], root.attrib["aria-label"]) == ("img", plot.alt)
    assert root.findtext(f"{SVG}title") == plot.title


def test_a_pale_bar_s_hatch_is_faded_once_and_not_twice() -> None:
    _, by_rank, _ = all_three(RunSpec())

    root = ElementTree.fromstring(render_plot(by_rank, "svg", on_page=True))

    hatches = [path.attrib["style"] for path in root.iterfind(f".//{SVG}pattern/{SVG}path")]
    pale = [e for e in root.iter() if re.search(r"url\(.*opacity: 0\.42", e.attrib.get("style", ""))]
    assert len(hatches) > 1
    assert not any("opacity" in style for style in hatches)
    assert len(pale) > 1


def test_the_title_can_be_left_to_the_page() -> None:
    plot, _, _ = all_three(RunSpec())

    bare = render_plot(plot, "svg", on_page=True, titled=False)

    shown = " ".join(word.words for word in texts(bare))
    assert "trains" not in shown
    assert "2,442,240" in shown


def test_a_download_is_dark_on_white_as_svg_and_200_dpi_png() -> None:
    plot, _, _ = all_three(RunSpec())

    svg, png = render_plot(plot, "svg", on_page=False), render_plot(plot, "png", on_page=False)

    assert b"currentColor" not in svg
    assert PAPER.encode() in svg
    assert png.startswith(b"\x89PNG\r\n")
    assert int.from_bytes(png[16:20]) == 1400


def test_equal_settings_give_the_same_bytes_from_any_thread() -> None:
    plots = all_three(RunSpec(rank=77)) * 3
    fresh = render_plot.__wrapped__

    def draw(plot: Plot) -> bytes:
        picture: bytes = fresh(plot, "svg", on_page=True)
        return picture

    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(draw, plots))

    assert drawn == [draw(plot) for plot in plots]


def test_a_plot_draws_onto_any_empty_figure() -> None:
    plot, _, _ = all_three(RunSpec())
    figure = Figure(figsize=(7, plot.height(7 * 72) / 72))

    plot.draw(figure)

    assert any("2,442,240" in words.get_text() for words in figure.texts)


def test_a_model_s_name_is_never_taken_for_a_formula_and_never_too_long() -> None:
    shape: ModelShape = replace(find_shape("tiny-random"), name="someone/$x^2$-" + "very-long-name-" * 9)

    plot = memory_by_rank(shape, RunSpec(model="tiny-random"), ROW, "fp32", [])

    assert "$x^2$-very-long" in line_of_words(plot)
    assert "…" in plot.subtitle


def test_a_number_and_its_unit_stay_on_one_line() -> None:
    lines = wrap_text("it takes 527 MB and 79 % of rank 8", 40)

    assert "527 MB" in lines
    assert "79 %" in lines
    assert "rank 8" in lines


def test_drawing_needs_neither_pyplot_nor_torch_nor_gradio() -> None:
    code = (
        "import sys, lora_lab.charts.memory, lora_lab.charts.live_chart; "
        "print({'matplotlib.pyplot', 'torch', 'gradio'} & set(sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
