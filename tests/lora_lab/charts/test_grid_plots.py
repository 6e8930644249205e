"""Plots of a grid: the cells' own numbers, findings for titles, and pictures that hold together."""

import csv
import io
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_lab.charts.grid import draw_grid_plots, list_planes
from lora_lab.charts.grid_maps import span_losses
from lora_lab.charts.heat_map import TileMap, choose_shade, choose_text_colour, compute_contrast
from lora_lab.charts.pareto_front import Box, LossAgainstMemory, ParetoPoint, find_front
from lora_lab.charts.seeds import LOOKS
from lora_lab.grids.findings import compare_ends, list_findings
from lora_lab.grids.results import GridSetting, group_by_setting
from lora_lab.spec import BITS, Bits
from study.plots.plot import Plot, to_csv
from study.plots.render import render_plot
from study.plots.sheet import NARROW_INCHES, WIDE_INCHES
from tests.lora_lab.grid_builders import cell, grid

SVG = "{http://www.w3.org/2000/svg}"
NAMES = ["grid-loss", "grid-memory", "grid-seconds", "grid-front", "grid-ranks"]


def plots(settings: list[GridSetting]) -> dict[str, Plot]:
    return {plot.name: plot for plot in draw_grid_plots(settings, list_planes(settings)[0])}


def texts(plot: Plot, *, inches: float = WIDE_INCHES) -> list[str]:
    root = ElementTree.fromstring(render_plot(plot, "svg", on_page=True, width_inches=inches))
    return ["".join(node.itertext()) for node in root.iter(f"{SVG}text")]


def test_a_finished_grid_has_three_maps_a_front_and_lines_by_rank() -> None:
    assert list(plots(grid())) == NAMES


def test_a_map_writes_every_value_into_its_tile_with_the_spread_of_the_seeds() -> None:
    settings = grid()
    shown = texts(plots(settings)["grid-loss"])
    for setting in settings:
        assert f"{setting.mean_loss:.2f}" in shown
        assert f"± {(max(setting.losses) - min(setting.losses)) / 2:.2f}" in shown
    assert "783" in texts(plots(settings)["grid-memory"])


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ((4.0, 4.0008), "± 0.0004"),
        ((4.0, 4.3), "± 0.15"),
        ((4.0, 4.0), "± 0"),
        ((4.0, 4.0 + 1e-8), "± under 0.000001"),
    ],
)
def test_a_small_spread_of_seeds_is_not_rounded_to_nothing(losses: tuple[float, float], said: str) -> None:
    cells = [cell(loss, rank=2, bits="nf4", seed=seed) for seed, loss in enumerate(losses)]
    others = [cell(5 + seed / 100, rank=8, bits="nf4", seed=seed) for seed in (0, 1)]
    plot = plots(group_by_setting([*cells, *others]))["grid-loss"]
    assert isinstance(plot.drawing, TileMap)
    assert plot.drawing.tiles[0][0].words[1] == said


def test_the_title_agrees_with_the_findings_about_two_seeds() -> None:
    """Two seeds state a difference that their wide interval leaves, and no smaller one."""

    def both(low: float) -> tuple[str, str]:
        pair = [cell(low + seed / 1000, rank=8, bits="nf4", seed=seed) for seed in (0, 1)]
        other = [cell(4.2 + seed / 1000, rank=2, bits="nf4", seed=seed) for seed in (0, 1)]
        cells = group_by_setting([*pair, *other])
        return plots(cells)["grid-loss"].title, list_findings(cells)[0].text

    title, finding = both(4.0)
    assert title.endswith("lower than all others by more than seed noise")
    assert finding.startswith("r=8 ends 0.200 ± 0.003 lower than r=2")
    title, finding = both(4.1985)
    assert title.endswith("but seeds can't tell any other cell from it")
    assert finding.startswith("No difference beyond seed noise between r=2 and r=8")


@pytest.mark.parametrize("inches", [WIDE_INCHES, NARROW_INCHES])
def test_failed_and_waiting_cells_say_so_in_words(inches: float) -> None:
    settings = grid(failed=[("int8", 64)])
    settings += group_by_setting([cell(None, status="waiting", rank=64, bits="fp4", seed=0)])
    shown = texts(plots(settings)["grid-loss"], inches=inches)
    assert "failed" in shown
    assert "waiting" in shown
    assert shown.count("not run") == 2  # fp4 at ranks 2 and 8


def test_a_map_of_a_row_that_is_too_wide_for_a_phone_is_turned() -> None:
    plot = plots(grid(ranks=(1, 2, 4, 8, 16, 32, 64, 128, 256), bits=("bf16", "nf4")))["grid-loss"]
    wide, narrow = texts(plot), texts(plot, inches=NARROW_INCHES)
    assert wide.index("bf16") < wide.index("256")
    assert narrow.index("256") < narrow.index("bf16")  # rows are named first


@given(st.floats(0, 1))
def test_words_on_a_tile_can_be_read_whatever_its_value(share: float) -> None:
    fill = choose_shade(share)
    assert compute_contrast(choose_text_colour(fill), fill) >= 4.5


def test_shades_fall_in_lightness_so_that_order_needs_no_colour() -> None:
    against_white = [compute_contrast("#ffffff", choose_shade(step / 20)) for step in range(21)]
    assert against_white == sorted(against_white)


def test_the_title_names_the_lowest_loss_and_how_many_cells_seeds_cannot_tell_from_it() -> None:
    title = plots(grid(noise=0.001))["grid-loss"].title
    assert re.fullmatch(
        r"Held-out loss is lowest at r=64, \w+: 2\.10; \d of the 8 others may be as low: seeds can't tell",
        title,
    )


def test_every_title_of_a_partial_grid_says_how_many_cells_are_behind_it() -> None:
    waiting = [
        cell(None, status="waiting", rank=rank, bits="nf4", seed=seed)
        for rank, seed in ((64, 0), (1, 1), (64, 1))
    ]
    first = plots(group_by_setting([cell(4.161, rank=1, bits="nf4"), *waiting]))
    assert {name: plot.title for name, plot in first.items()} == {
        "grid-loss": "So far, 1 of 4 cells: held-out loss is 4.16 at r=1, nf4",
        "grid-memory": "So far, 1 of 4 cells: peak memory is 481 MB at r=1, nf4",
        "grid-seconds": "So far, 1 of 4 cells: a step takes 1.2 s at r=1, nf4, trained alone",
        "grid-front": "So far, 1 of 4 cells: r=1 nf4 (481 MB, loss 4.16)",
    }
    second = plots(
        group_by_setting([cell(4.161, rank=1, bits="nf4"), cell(4.2, rank=64, bits="nf4"), *waiting[1:]])
    )
    assert all(plot.title.startswith("So far, 2 of 4 cells: ") for plot in second.values())
    assert second["grid-ranks"].title == "So far, 2 of 4 cells: r=1 ends lowest of r=1 and r=64"
    ended = plots(group_by_setting([cell(4.161, rank=1, bits="nf4"), cell(None, rank=64, bits="nf4")]))
    assert not [plot.title for plot in ended.values() if "far" in plot.title or "lowest" in plot.title]


def test_times_of_cells_trained_side_by_side_are_compared_with_none() -> None:
    alone = cell(4.16, rank=1, bits="nf4")
    shared = [cell(4.16, rank=rank, bits="nf4", seed=1, shared_by=3) for rank in (1, 64)]
    drawn = plots(group_by_setting([alone, *(replace(each, seconds_a_step=0.7) for each in shared)]))[
        "grid-seconds"
    ]
    assert drawn.title == "A step takes 1.2 s at r=1, nf4, trained alone"
    assert [row[3] for row in drawn.rows] == [pytest.approx(1.201), "side by side"]
    assert "grid-seconds" not in plots(group_by_setting(shared))


@pytest.mark.parametrize(
    ("times", "title"),
    [
        # The first cell of a process, on one seed: 1.8 times as long, and nothing but its warm-up.
        (((0.216,), (0.12,)), "Alone, a step takes 120 to 216 ms: seeds can't tell the cells apart"),
        (
            ((0.216, 0.121, 0.119), (0.12, 0.118, 0.12)),
            "Alone, a step takes 120 to 121 ms: no difference beyond noise",
        ),
        (
            ((0.216, 0.214, 0.215), (0.12, 0.118, 0.12)),
            "Alone, a step takes 120 ms at r=1, nf4 and 215 ms at r=1, bf16, 1.8 times as long",
        ),
    ],
)
def test_a_longer_step_is_claimed_only_where_the_seeds_show_it(
    times: tuple[tuple[float, ...], tuple[float, ...]], title: str
) -> None:
    widths: tuple[Bits, Bits] = ("bf16", "nf4")
    timed = [
        replace(cell(4.16, rank=1, bits=bits, seed=seed), seconds_a_step=seconds)
        for bits, each in zip(widths, times, strict=True)
        for seed, seconds in enumerate(each)
    ]
    assert plots(group_by_setting(timed))["grid-seconds"].title == title


def losses_by_rank(means: dict[int, float], *, spread: float) -> list[GridSetting]:
    return group_by_setting(
        cell(mean + step * spread, rank=rank, bits="nf4", seed=seed)
        for rank, mean in means.items()
        for seed, step in enumerate((-1, 0, 1))
    )


def test_losses_that_seeds_cannot_tell_apart_have_nearly_the_same_shade() -> None:
    settings = losses_by_rank({1: 4.163, 64: 4.162}, spread=0.002)
    drawing = plots(settings)["grid-loss"].drawing
    assert isinstance(drawing, TileMap)
    assert drawing.span == span_losses(settings)
    low, high = drawing.span or (0.0, 0.0)
    assert high - low == pytest.approx(compare_ends(settings).noise)
    assert high - low > 4 * 0.001
    assert (low + high) / 2 == pytest.approx(4.1625)


def test_losses_that_differ_beyond_seed_noise_span_all_shades() -> None:
    assert span_losses(losses_by_rank({1: 3, 64: 2}, spread=0.002)) == pytest.approx((2, 3))


def test_without_a_spread_over_seeds_the_shades_span_the_losses() -> None:
    assert span_losses(grid(seeds=(0,))) == pytest.approx((2.1, 2.6), abs=0.1)
    assert span_losses(group_by_setting([cell(None)])) is None


def test_with_one_seed_the_title_says_that_it_cannot_tell() -> None:
    drawn = plots(grid(seeds=(0,)))
    assert drawn["grid-loss"].title.endswith("on one seed, which can't tell close cells apart")
    assert drawn["grid-ranks"].title == "One seed can't tell r=2, r=8 and r=64 apart at any bit width"


def test_losses_are_drawn_at_the_best_learning_rate_and_the_subtitle_says_so() -> None:
    settings = group_by_setting(
        cell(loss, rank=8, bits="nf4", learning_rate=rate)
        for rate, loss in ((1e-4, 4.0), (1e-3, 2.0), (1e-2, 3.0))
    )
    plot = plots(settings)["grid-loss"]
    assert plot.rows == (("nf4", 8, "0.001", 2.0, 1, 2.0, 2.0),)
    assert "each at the best of 3 learning rates" in plot.subtitle


def test_the_front_is_what_nothing_beats_in_both() -> None:
    def point(label: str, size: int, loss: float) -> ParetoPoint:
        return ParetoPoint(label=label, bytes=size, losses=(loss,))

    points = [point("a", 10, 3.0), point("b", 20, 2.0), point("c", 30, 2.5), point("d", 40, 1.0)]
    assert [each.label for each in find_front(points)] == ["a", "b", "d"]


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), min_size=1, max_size=12).map(
        lambda pairs: [
            ParetoPoint(label=str(i), bytes=b, losses=(float(v),)) for i, (b, v) in enumerate(pairs)
        ]
    )
)
def test_every_point_off_the_front_is_beaten_by_one_on_it(points: list[ParetoPoint]) -> None:
    front = find_front(points)
    for point in points:
        at_most = [each for each in front if each.bytes <= point.bytes and each.loss <= point.loss]
        assert at_most
    for one in front:
        assert not any(each.bytes <= one.bytes and each.loss < one.loss for each in front if each is not one)


def test_both_ends_of_the_front_are_labelled_and_named_in_the_title() -> None:
    plot = plots(grid())["grid-front"]
    for inches in (WIDE_INCHES, NARROW_INCHES):
        shown = texts(plot, inches=inches)
        for label in re.findall(r"r\d+ \w+", plot.title):
            assert label in shown


CLOSE = {
    "r=2 nf4": (4.40, 5.418, 5.412, 5.494),
    "r=8 nf4": (4.70, 5.457, 5.457, 5.447),
    "r=32 nf4": (5.91, 5.459, 5.45, 5.462),
    "r=2 bf16": (4.50, 5.424, 5.414, 5.492),
    "r=8 bf16": (4.80, 5.457, 5.454, 5.451),
    "r=32 bf16": (6.01, 5.457, 5.449, 5.463),
}
"""Peak in MB, and the tiny model's losses after five steps with three seeds: one setting is the front."""


@pytest.mark.parametrize("inches", [WIDE_INCHES, NARROW_INCHES])
def test_close_neighbours_off_the_front_are_named_too(inches: float) -> None:
    points = tuple(
        ParetoPoint(label=label, bytes=int(peak * 1e6), losses=tuple(losses))
        for label, (peak, *losses) in CLOSE.items()
    )
    drawn = replace(plots(grid())["grid-front"], drawing=LossAgainstMemory(points=points, footnote=""))
    assert set(CLOSE) <= set(texts(drawn, inches=inches))


def test_a_front_of_one_point_is_not_called_a_line() -> None:
    alone = [cell(4.0, rank=2, bits="nf4"), cell(4.5, rank=8, bits="nf4")]
    said = " ".join(texts(plots(group_by_setting(alone))["grid-front"]))
    assert "The blue point is the front alone" in said
    assert "line is" not in said
    both = [cell(4.0, rank=8, bits="nf4"), cell(4.5, rank=2, bits="nf4")]
    assert "The line is the front" in " ".join(texts(plots(group_by_setting(both))["grid-front"]))


def test_boxes_that_share_an_edge_meet() -> None:
    assert Box(0, 10, 0, 10).meets(Box(10, 20, 5, 6))
    assert not Box(0, 10, 0, 10).meets(Box(11, 20, 5, 6))


def test_lines_by_rank_hold_every_seed() -> None:
    settings = grid(failed=[("int8", 64)])
    plot = plots(settings)["grid-ranks"]
    assert len(plot.rows) == sum(len(setting.losses) for setting in settings) == 24
    assert {row[2] for row in plot.rows} == {0, 1, 2}


def test_there_is_a_look_for_every_bit_width() -> None:
    assert len(LOOKS) >= len(BITS)
    assert len({mark for _, mark in LOOKS}) == len(LOOKS)


@pytest.mark.parametrize("name", NAMES)
def test_a_plot_comes_as_a_table_with_its_numbers_and_says_them_aloud(name: str) -> None:
    plot = plots(grid())[name]
    table = list(csv.reader(io.StringIO(to_csv(plot))))
    assert table[0] == list(plot.header)
    assert len(table) == 1 + len(plot.rows)
    assert len(re.findall(r"\d", plot.alt)) > 6
    assert plot.title[0].isupper() or plot.title.startswith("r=")
    assert not plot.title.endswith(".")


SIZES = st.sampled_from([(1,), (8, 16), (1, 2, 4, 8, 16, 32, 64, 128, 256), (3, 200)])


@given(SIZES, st.integers(1, 6), st.integers(1, 3), st.booleans())
@settings(max_examples=12)
def test_any_grid_can_be_drawn_at_both_widths(
    ranks: tuple[int, ...], widths: int, seeds: int, failing: bool
) -> None:
    failed = [(BITS[0], ranks[0])] if failing and widths > 1 else []
    settings = grid(ranks=ranks, bits=BITS[:widths], seeds=range(seeds), failed=failed)
    for plot in plots(settings).values():
        for inches in (WIDE_INCHES, NARROW_INCHES):
            assert render_plot(plot, "svg", on_page=True, width_inches=inches).startswith(b"<svg")


def test_nothing_finished_means_nothing_drawn() -> None:
    assert plots(group_by_setting([cell(None, status="running"), cell(None, status="failed", seed=1)])) == {}


def test_a_plane_is_drawn_for_each_target_set_and_variant_and_the_front_shows_them_all() -> None:
    settings = group_by_setting(
        cell(2.0 + rank / 100, rank=rank, variant=variant) for variant in ("lora", "dora") for rank in (2, 8)
    )
    assert list_planes(settings) == [("all-linear", "lora"), ("all-linear", "dora")]
    dora = {plot.name: plot for plot in draw_grid_plots(settings, list_planes(settings)[1])}
    assert len(dora["grid-loss"].rows) == 2
    assert ", dora, " in dora["grid-loss"].subtitle
    assert [row[0] for row in dora["grid-front"].rows] == [
        "r=2 nf4-dq lora",
        "r=8 nf4-dq lora",
        "r=2 nf4-dq dora",
        "r=8 nf4-dq dora",
    ]


def test_cells_trained_side_by_side_have_a_computed_peak_that_says_so() -> None:
    settings = group_by_setting(
        [
            cell(2.0, rank=8, bits="nf4", shared_by=2),
            cell(2.5, rank=2, bits="nf4", shared_by=2),
            cell(2.2, rank=2, bits="bf16"),
        ]
    )
    drawn = plots(settings)
    memory = drawn["grid-memory"]
    assert "measured on" not in memory.subtitle
    assert [row[3:] for row in memory.rows if row[0] == "nf4"] == [
        (487.8, "computed"),
        (496.2, "computed"),
    ]
    assert ("bf16", 2, "0.002", 782.8, "measured") in memory.rows
    said = "982 MB measured for 2 of them"
    assert said in " ".join(texts(memory))
    assert said in memory.alt
    assert "peaks computed where cells were trained side by side" in " ".join(texts(drawn["grid-front"]))
    assert "share each step equally" in " ".join(texts(drawn["grid-seconds"]))


def test_an_end_of_the_front_close_behind_the_other_is_labelled_all_the_same() -> None:
    """As measured on the embedded model: three ranks whose losses differ by less than their seeds."""
    spreads = {1: (3.657, 3.649, 3.723), 8: (3.650, 3.630, 3.720), 64: (3.653, 3.638, 3.732)}
    settings = group_by_setting(
        cell(loss, rank=rank, bits="nf4", seed=seed)
        for rank, losses in spreads.items()
        for seed, loss in enumerate(losses)
    )
    shown = texts(plots(settings)["grid-front"])
    assert {"r=1 nf4", "r=8 nf4"} <= set(shown)
