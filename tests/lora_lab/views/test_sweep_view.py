"""The sweep on its page: a map that fills in, a table that filters and sorts, and its words."""

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.charts.grid import Plane
from lora_lab.charts.heat_map import compute_contrast
from lora_lab.grids.results import GridCell
from lora_lab.settings.grid import parse_grid
from lora_lab.spec import RunSpec
from lora_lab.views.sweep_view import (
    TableChoice,
    announce_first_numbers,
    describe_first_cell,
    format_factors,
    format_title,
    list_choices,
    list_lists,
    list_sweep_rows,
    render_live_map,
)
from tests.lora_lab.grid_builders import cell

PLANE: Plane = ("all-linear", "lora")

CELLS = [
    cell(2.5, rank=2, bits="nf4"),
    cell(2.0, rank=8, bits="nf4"),
    cell(None, rank=2, bits="bf16"),
    cell(None, status="running", rank=8, bits="bf16"),
    cell(None, status="waiting", rank=2, bits="int8"),
    cell(None, status="waiting", rank=8, bits="int8"),
]
WAITING = ["another", CELLS[5].run_id, CELLS[4].run_id]


def numbers(choice: TableChoice) -> list[int]:
    return [row.number for row in list_sweep_rows(CELLS, WAITING, choice)]


def test_the_table_follows_the_queue_then_the_grid() -> None:
    assert numbers(TableChoice()) == [4, 6, 5, 1, 2, 3]
    assert [row.place for row in list_sweep_rows(CELLS, WAITING, TableChoice())] == [
        None,
        1,
        2,
        None,
        None,
        None,
    ]


def test_filters_of_one_kind_add_up_and_of_several_kinds_narrow() -> None:
    choice = TableChoice().toggle("bits", "nf4").toggle("bits", "bf16")
    assert sorted(numbers(choice)) == [1, 2, 3, 4]
    assert numbers(choice.toggle("rank", "8")) == [4, 2]
    assert numbers(choice.toggle("rank", "8").toggle("status", "finished")) == [2]


def test_pressing_a_filter_twice_takes_it_back() -> None:
    assert TableChoice().toggle("bits", "nf4").toggle("bits", "nf4") == TableChoice()
    assert TableChoice().toggle("colour", "blue") == TableChoice()


def test_sorting_twice_turns_the_order_and_cells_without_a_value_stay_last() -> None:
    rising = TableChoice().sort_by("loss")
    assert numbers(rising)[:2] == [2, 1]
    falling = rising.sort_by("loss")
    assert numbers(falling)[:2] == [1, 2]
    assert sorted(numbers(falling)[2:]) == [3, 4, 5, 6]
    assert TableChoice().sort_by("colour").sort == "queue"


@given(
    st.builds(
        TableChoice,
        bits=st.frozensets(st.sampled_from(("nf4", "bf16"))),
        rank=st.frozensets(st.sampled_from(("2", "8"))),
        status=st.frozensets(st.sampled_from(("failed", "finished"))),
        sort=st.sampled_from(("loss", "peak", "seconds")),
        falling=st.booleans(),
    )
)
def test_an_address_keeps_filters_and_order(choice: TableChoice) -> None:
    assert TableChoice.parse(dict(parse_qsl(urlencode(choice.query())))) == choice


def test_an_address_with_nonsense_shows_everything() -> None:
    assert TableChoice.parse({"sort": "colour", "show_bits": ",,"}) == TableChoice()


def test_only_filters_that_could_leave_something_out_are_offered() -> None:
    assert list_choices(CELLS) == {
        "bits": ["bf16", "int8", "nf4"],
        "rank": ["2", "8"],
        "status": ["waiting", "running", "finished", "failed"],
    }
    assert list_choices(CELLS[:1]) == {}


def test_the_map_shows_losses_that_are_there_and_words_where_there_are_none() -> None:
    found = render_live_map(CELLS, PLANE)
    assert found.ranks == (2, 8)
    words = {bits: [tile.words for tile in tiles] for bits, tiles in found.rows}
    assert words == {
        "bf16": ["failed", "running"],
        "int8": ["waiting", "waiting"],
        "nf4": ["2.50", "2.00"],
    }
    lowest = dict(found.rows)["nf4"][1].style
    fill, ink = (part.partition(":")[2] for part in lowest.split(";"))
    assert compute_contrast(fill, "#ffffff") < 1.3
    assert compute_contrast(fill, ink) >= 4.5


def test_a_tile_of_several_seeds_counts_them_and_shows_the_step_of_the_one_that_runs() -> None:
    spec = RunSpec(seed=2, steps=40)
    running = GridCell(spec=spec, run_id="x", status="running", steps_done=7)
    found = render_live_map([cell(2.5, seed=0), cell(2.7, seed=1), running], PLANE)
    tile = found.rows[0][1][0]
    assert (tile.words, tile.detail) == ("2.60", "step 7/40; 2 of 3 measured")


def test_a_tile_counts_the_seeds_that_are_measured_and_no_cancelled_one() -> None:
    def cancelled(**values: Any) -> GridCell:
        return cell(None, status="cancelled", **values)

    cells = [cell(5.531, rank=2, seed=0), cancelled(rank=2, seed=1)]
    cells += [cancelled(rank=8, seed=seed) for seed in (0, 1)]
    tiles = render_live_map(cells, PLANE).rows[0][1]
    assert [(tile.words, tile.detail) for tile in tiles] == [("5.53", "1 of 2"), ("cancelled", "0 of 2")]


@pytest.mark.parametrize(("steps_done", "said"), [(0, "getting ready"), (4, "measuring")])
def test_a_tile_says_in_a_word_what_a_cell_does_before_and_after_its_steps(
    steps_done: int, said: str
) -> None:
    running = GridCell(
        spec=RunSpec(steps=4),
        run_id="x",
        status="running",
        steps_done=steps_done,
        doing="Measuring the held-out loss with the adapter: 32 of 56 examples",
    )
    assert render_live_map([running], PLANE).rows[0][1][0].detail == said


def test_tiles_that_seeds_cannot_tell_apart_have_nearly_the_same_shade() -> None:
    losses = {1: (4.161, 4.165), 64: (4.153, 4.171)}
    found = render_live_map(
        [cell(e, rank=r, seed=s) for r, both in losses.items() for s, e in enumerate(both)], PLANE
    )
    fills = [tile.style.partition(":")[2].partition(";")[0] for tile in found.rows[0][1]]
    assert compute_contrast(*fills) < 1.1


def test_a_map_shows_one_plane_only() -> None:
    cells = [cell(2.0, variant="lora"), cell(3.0, variant="dora", rank=64)]
    assert render_live_map(cells, ("all-linear", "dora")).ranks == (64,)


def test_a_grid_says_what_its_size_comes_from() -> None:
    grid = parse_grid(RunSpec(), {"ranks": [2, 8], "bits": ["nf4", "bf16"], "targets": ["q+v", "all-linear"]})
    assert format_factors(grid) == "2 ranks × 2 sets of matrices × 2 bit widths"
    assert format_factors(parse_grid(RunSpec(), {})) == ""


def test_when_the_first_numbers_come_is_said_before_the_start() -> None:
    grid = parse_grid(RunSpec(), {"ranks": [2, 8], "seeds": [0, 1]})
    assert announce_first_numbers(grid, 130).startswith(
        "First comes r=2 in nf4-dq, which takes about 2 min: its peak memory"
    )
    assert "which takes under a second: its peak" in announce_first_numbers(grid, 0.3)
    assert announce_first_numbers(grid).startswith(
        "First comes r=2 in nf4-dq: its peak memory is measured from its first step"
    )
    assert announce_first_numbers(parse_grid(RunSpec(), {})) == ""
    assert list_lists(grid) == "ranks 2, 8; bit width nf4-dq; seeds 0, 1"


def test_a_title_names_ranks_bits_and_what_else_varies() -> None:
    grid = parse_grid(RunSpec(), {"ranks": [2, 8], "learning_rates": [1e-3, 2e-3], "seeds": [0, 1, 2]})
    assert format_title(grid, "smollm2-135m") == "r 2, 8 × nf4-dq × 0.001, 0.002 × 3 seeds on smollm2-135m"


def test_the_first_finished_cell_is_told_until_a_second_setting_has_finished() -> None:
    first = replace(cell(3.71, rank=2, bits="nf4-dq", steps=10), loss_before=4.43, peak_bytes=512_000_000)
    first = replace(first, predicted_bytes=506_000_000)
    waiting = GridCell(spec=RunSpec(rank=8), run_id="y", status="waiting")
    said = describe_first_cell([first, waiting])
    assert "r=2 in nf4-dq, took the held-out loss from 4.430 to 3.710 in 10 steps" in said
    assert "512 MB at its peak, computed 506 MB" in said
    assert describe_first_cell([waiting]) == ""
    begun = replace(first, status="running", steps_done=3, loss_after=None)
    assert describe_first_cell([begun, waiting]) == (
        "The first cell, r=2 in nf4-dq, has needed 512 MB at most so far, after 3 of 10 steps. "
        "Computed for its largest step: 506 MB."
    )
    assert "to 3.710 in 10 steps" in describe_first_cell(
        [replace(first, status="running", steps_done=10), waiting]
    )
    second = replace(cell(3.6, rank=8), loss_before=4.43)
    assert describe_first_cell([first, second]) == ""
