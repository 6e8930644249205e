"""Pictures and files of the still charts: whole, readable, the same each time, and a CSV with the numbers."""

import csv
import io
import itertools
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from lora_lab.charts.memory import plot_memory_by_rank
from lora_lab.parameters.shapes import ModelShape, find_shape
from lora_lab.spec import RunSpec
from study.plots.plot import Plot, to_csv
from study.plots.render import render_plot
from study.plots.sheet import INK, NARROW_INCHES, PAPER, WIDE_INCHES, wrap_text
from tests.lora_lab.charts.plot_builders import (
    ROW,
    SVG,
    all_three,
    line_of_words,
    measured,
    on_page,
    specs,
    texts,
)


@given(specs)
@settings(max_examples=20, deadline=None)
def test_the_description_names_the_kind_of_chart_and_the_chosen_setting(spec: RunSpec) -> None:
    for plot in all_three(spec):
        assert "omputed" in plot.alt
        assert f"rank {spec.rank}" in plot.alt or f"At {spec.bits} " in plot.alt
        assert 60 < len(plot.alt) < 420


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

    plot = plot_memory_by_rank(shape, RunSpec(model="tiny-random"), ROW, "fp32", [])

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
