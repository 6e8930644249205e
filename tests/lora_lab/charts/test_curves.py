"""Live charts: every point honest, nothing jumping, nothing overlapping, never a NaN."""

import math
import re
from collections.abc import Sequence
from itertools import accumulate, pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_lab.charts.drawing import Point
from lora_lab.charts.live_chart import (
    MAX_POINTS,
    NARROW,
    WIDE,
    Mark,
    Series,
    build_loss_series,
    clip_to_window,
    draw_line_chart,
    smooth_points,
    thin_points,
)
from lora_lab.charts.live_frame import HEIGHT
from lora_lab.charts.svg import format_path
from study.base.units import as_bytes

SVG = "{http://www.w3.org/2000/svg}"
numbers = st.floats(allow_nan=True, allow_infinity=True)
curves = st.lists(numbers, max_size=700).map(lambda values: list(enumerate(values, start=1)))
real_curves = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=700).map(
    lambda values: list(enumerate(values, start=1))
)


def two_digits(value: float) -> str:
    return f"{value:.2f}"


def chart(
    series: Sequence[Series],
    *,
    window: tuple[float, float] = (1, 60),
    marks: Sequence[Mark] = (),
    width: int = WIDE,
    from_zero: bool = False,
) -> ElementTree.Element:
    """The chart as parsed XML, which also shows that it is XML."""
    return ElementTree.fromstring(
        draw_line_chart(
            series,
            title="Loss",
            x_label="step",
            y_label="loss on the answer tokens",
            window=window,
            y_format=two_digits,
            marks=marks,
            width=width,
            from_zero=from_zero,
        )
    )


def lines(root: ElementTree.Element) -> list[list[Point]]:
    """The points of every series drawn, in the drawing's units."""
    drawn = [path for path in root.iter(f"{SVG}path") if path.attrib.get("stroke-linejoin") == "round"]
    return [read_points(path.attrib["d"]) for path in drawn]


def read_points(d: str) -> list[Point]:
    """The points of a path of pieces, each a start and the steps from there."""
    points: list[Point] = []
    for piece in d.split("M")[1:]:
        steps = [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", piece)]
        points += accumulate(steps, lambda at, by: (round(at[0] + by[0], 1), round(at[1] + by[1], 1)))
    return points


def test_a_path_of_steps_goes_through_every_point() -> None:
    piece = [(x / 3, math.sin(x)) for x in range(700)]
    drawn = read_points(format_path([piece, [(5, 7)]]))
    assert drawn == [(round(10 * x) / 10, round(10 * y) / 10) for x, y in [*piece, (5, 7), (5, 7)]]


def words(root: ElementTree.Element) -> list[str]:
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


def tick_places(root: ElementTree.Element) -> list[tuple[str, str]]:
    return [
        ("".join(text.itertext()), text.attrib["x"])
        for text in root.iter(f"{SVG}text")
        if float(text.attrib["y"]) > HEIGHT - 30
    ]


# ---- points ----


@given(curves, st.booleans(), st.sampled_from((WIDE, NARROW)))
@settings(max_examples=60, deadline=None)
def test_whatever_numbers_come_the_picture_has_neither_nan_nor_infinity(
    points: list[Point], whole: bool, width: int
) -> None:
    root = chart(
        build_loss_series("loss", points), window=(1, len(points)) if whole else (1, 60), width=width
    )

    text = ElementTree.tostring(root, encoding="unicode")
    assert not re.search(r"\b(nan|inf)\b", text, re.IGNORECASE)
    assert sum(map(len, lines(root)[:1])) <= MAX_POINTS + 1  # a lone point is drawn onto itself


@given(curves, st.floats(0, 300), st.floats(0.5, 300))
@settings(max_examples=60, deadline=None)
def test_only_what_the_window_shows_is_drawn(points: list[Point], start: float, span: float) -> None:
    window = (start, start + span)

    pieces = clip_to_window(points, window)

    assert sum(map(len, pieces)) <= MAX_POINTS
    assert all(window[0] <= x <= window[1] for piece in pieces for x, _ in piece)
    assert all(math.isfinite(y) for piece in pieces for _, y in piece)


def test_a_line_is_cut_exactly_where_it_leaves_the_window() -> None:
    assert clip_to_window([(0, 0.0), (10, 10.0), (20, 0.0)], (5, 16)) == [[(5, 5.0), (10, 10.0), (16, 4.0)]]
    assert clip_to_window([(0, 0.0), (10, 10.0)], (4, 6)) == [[(4, 4.0), (6, 6.0)]]
    assert clip_to_window([(0, 0.0), (3, 10.0)], (4, 6)) == []


def test_a_zoomed_line_stays_inside_the_plot() -> None:
    points = [(step, 5 / step) for step in range(1, 61)]

    root = chart([Series(label="loss", points=points)], window=(20, 30))

    ((first, *_, last),) = lines(root)
    ticks = dict(tick_places(root))
    assert str(first[0]) == str(float(ticks["20"]))
    assert str(last[0]) == str(float(ticks["30"]))


@given(real_curves, st.integers(4, 300))
@settings(max_examples=60, deadline=None)
def test_thinning_keeps_the_ends_the_extremes_and_the_order(points: list[Point], limit: int) -> None:
    kept = thin_points(points, limit=limit)

    assert len(kept) <= limit
    assert set(kept) <= set(points)
    assert kept == sorted(kept)
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    for extreme in (min, max):
        assert extreme(y for _, y in kept) == extreme(y for _, y in points)


def test_a_value_that_is_no_number_is_a_gap_and_not_a_line_across_it() -> None:
    points = [(1, 2.0), (2, 2.1), (3, math.nan), (4, 2.2), (5, math.inf), (6, 2.3)]

    assert [len(piece) for piece in clip_to_window(points, (1, 60))] == [2, 1, 1]
    assert chart([Series(label="loss", points=points)]).find(f"{SVG}title") is not None


def test_smoothing_leaves_a_constant_alone_from_its_first_point() -> None:
    assert [y for _, y in smooth_points([(1, 3.0), (2, 3.0), (3, 3.0)])] == pytest.approx([3.0, 3.0, 3.0])


def test_smoothing_is_the_corrected_exponential_average() -> None:
    assert smooth_points([(1, 4.0), (2, 2.0)], keep=0.5) == [(1, 4.0), (2, (0.5 * 2.0 + 0.25 * 4.0) / 0.75)]


def test_smoothing_passes_over_what_is_no_number() -> None:
    one, gap, other = smooth_points([(1, 4.0), (2, math.nan), (3, 4.0)])

    assert (one, other) == ((1, 4.0), (3, 4.0))
    assert math.isnan(gap[1])


# ---- the frame ----


@given(st.lists(st.floats(0.01, 99), max_size=59))
@settings(max_examples=30, deadline=None)
def test_the_step_axis_stays_where_it_is_while_points_arrive(values: list[float]) -> None:
    points = list(enumerate(values, start=1))

    now, later = (chart(build_loss_series("loss", some)) for some in (points, [*points, (60, 1.0)]))

    assert now.attrib["viewBox"] == later.attrib["viewBox"] == f"0 0 {WIDE} {HEIGHT}"
    assert tick_places(now) == tick_places(later)


def test_the_step_axis_shows_whole_steps_only() -> None:
    assert [label for label, _ in tick_places(chart([], window=(1, 3)))] == ["1", "2", "3", "step"]


def test_before_the_first_step_the_frame_says_that_it_waits() -> None:
    root = chart(build_loss_series("loss", []))

    assert "Waiting for the first step" in words(root)
    assert root.attrib["aria-label"] == "Loss. Waiting for the first step."


def test_a_computed_line_alone_still_waits_for_the_first_step() -> None:
    computed = Series(label="computed", points=[(1, 2.0), (60, 2.0)], dashed=True, measured=False)

    said = words(chart([computed]))

    assert "Waiting for the first step" in said
    assert "computed 2.00" in said


def test_two_ticks_never_read_the_same() -> None:
    points = [(1, 2.310), (2, 2.311), (3, 2.312)]

    labels = [
        label for label in words(chart([Series(label="", points=points)])) if re.fullmatch(r"\d\.\d\d", label)
    ]

    assert len(labels) == len(set(labels)) >= 1


def test_ticks_stand_at_the_very_values_that_they_say() -> None:
    points = [(1, 0.226), (2, 0.324)]  # by 0.025 they would read 0.23, 0.25, 0.28, 0.30, 0.33

    labels = [
        label for label in words(chart([Series(label="", points=points)])) if re.fullmatch(r"\d\.\d\d", label)
    ]

    assert labels == ["0.24", "0.26", "0.28", "0.30", "0.32"]


def test_amounts_start_at_zero_when_asked() -> None:
    points = [(1, 500.0), (2, 520.0)]

    assert "0" not in words(chart([Series(label="", points=points)]))
    assert "0" in words(chart([Series(label="", points=points)], from_zero=True))


# ---- words ----


def test_the_latest_values_are_said_to_a_screen_reader_and_stand_at_the_lines() -> None:
    peak = Series(label="peak", points=[(1, 5e8), (14, 525e6)])
    computed = Series(label="computed", points=[(1, 527e6), (60, 527e6)], measured=False, dashed=True)

    svg = draw_line_chart(
        [peak, computed], title="Memory", x_label="step", y_label="memory", window=(1, 60), y_format=as_bytes
    )

    root = ElementTree.fromstring(svg)
    assert root.attrib["role"] == "img"
    said = "Latest: peak 525 MB at step 14. Computed beforehand: computed 527 MB."
    assert root.findtext(f"{SVG}desc") == said
    assert root.attrib["aria-label"] == f"Memory. {said}"
    assert {"peak 525 MB", "computed 527 MB"} <= set(words(root))


@given(st.lists(st.floats(0.5, 5), min_size=1, max_size=6), st.booleans())
@settings(max_examples=60, deadline=None)
def test_names_at_the_lines_ends_keep_apart(ends: list[float], same_end: bool) -> None:
    series = [
        Series(label=f"run {number}", points=[(1, 4.0), (60 if same_end else 20 + number, end)])
        for number, end in enumerate(ends)
    ]

    root = chart(series)

    heights = sorted(
        float(text.attrib["y"])
        for text in root.iter(f"{SVG}text")
        if "".join(text.itertext()).startswith("run")
    )
    assert len(heights) == len(ends)
    assert all(lower - upper > 15 for upper, lower in pairwise(heights))
    assert heights[0] > 0
    assert heights[-1] < HEIGHT - 30


def test_a_name_too_long_for_the_margin_is_cut() -> None:
    said = words(chart([Series(label="a very long name of a run, r=8", points=[(1, 2.0)])]))

    assert any(re.fullmatch(r"a very .*… 2\.00", word) for word in said)


def test_marks_name_a_moment_inside_the_window_only() -> None:
    series = [Series(label="loss", points=[(1, 2.0), (60, 1.0)])]
    marks = [Mark(x=25, label="stopped here"), Mark(x=45, label="outside")]

    said = words(chart(series, window=(20, 30), marks=marks))

    assert "stopped here" in said
    assert "outside" not in said


def test_texts_are_escaped() -> None:
    svg = draw_line_chart(
        [Series(label="<b>&", points=[(1, 1.0)])],
        title='"<script>',
        x_label="<i>",
        y_label="&amp;",
        window=(1, 1),
        y_format=two_digits,
        marks=[Mark(x=1, label="<u>")],
    )

    root = ElementTree.fromstring(svg)

    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        "svg", "title", "desc", "text", "tspan", "path", "circle",
    }  # fmt: skip
    assert root.findtext(f"{SVG}title") == '"<script>'


def test_colours_are_the_page_s_and_no_id_can_clash() -> None:
    svg = draw_line_chart(
        build_loss_series("loss", [(1, 2.0), (2, 1.9)]),
        title="Loss",
        x_label="step",
        y_label="loss",
        window=(1, 60),
        y_format=two_digits,
    )

    assert " id=" not in svg
    assert set(re.findall(r"#[0-9A-Fa-f]{6}", svg)) == {"#0072B2"}
    assert "var(--series-blue, #0072B2)" in svg
    assert re.findall(r"https?://[^\"]+", svg) == ["http://www.w3.org/2000/svg"]


def test_a_long_run_s_chart_stays_small_enough_to_send_every_second() -> None:
    points = [(step, 2 + math.sin(step)) for step in range(1, 2001)]

    svg = draw_line_chart(
        build_loss_series("loss", points),
        title="Loss",
        x_label="step",
        y_label="loss",
        window=(1, 2000),
        y_format=two_digits,
    )

    assert len(svg) < 12_000


def test_an_axis_of_whole_megabytes_has_no_decimals() -> None:
    svg = draw_line_chart(
        [Series(label="peak", points=[(1, 25.5e6), (2, 26e6)], colour="blue")],
        title="Memory",
        x_label="step",
        y_label="bytes",
        window=(1, 2),
        y_format=as_bytes,
        from_zero=True,
    )
    labels = {text.text for text in ElementTree.fromstring(svg).iter(f"{SVG}text")}
    assert {"0 B", "10 MB", "20 MB", "30 MB"} <= labels
    assert "26.0 MB" in str(svg)  # a measured value keeps its digits
