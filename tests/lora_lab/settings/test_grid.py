"""Grids: which cells they have, in which order, and what they refuse."""

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.settings.grid import AXES, MAX_CELLS, Grid, parse_grid
from lora_lab.spec import BITS, TARGET_SETS, VARIANTS, RunSpec
from study.base.errors import LearnerError

BASE = RunSpec(model="tiny-random", steps=5)

grids = st.builds(
    parse_grid,
    st.just(BASE),
    st.fixed_dictionaries(
        {},
        optional={
            "ranks": st.lists(st.integers(1, 256), min_size=1, max_size=3, unique=True),
            "bits": st.lists(st.sampled_from(BITS), min_size=1, max_size=3, unique=True),
            "targets": st.lists(st.sampled_from(TARGET_SETS), min_size=1, max_size=2, unique=True),
            "variants": st.lists(st.sampled_from(VARIANTS), min_size=1, max_size=2, unique=True),
            "learning_rates": st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=2, unique=True),
            "seeds": st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=2, unique=True),
            "alpha_per_rank": st.floats(0.5, 4),
        },
    ),
)


@given(grids)
def test_a_grid_survives_being_written_and_read(grid: Grid) -> None:
    assert Grid.from_json(grid.to_json()) == grid


@given(grids)
def test_every_combination_is_one_cell_and_no_other_setting_changes(grid: Grid) -> None:
    specs = grid.list_specs()
    assert len(set(specs)) == len(specs) == grid.count
    varied = {field: getattr(BASE, field) for field in AXES.values()}
    for spec in specs:
        assert replace(spec, **varied, alpha=BASE.alpha) == BASE
        assert all(getattr(spec, field) in getattr(grid, axis) for axis, field in AXES.items())


@given(grids)
def test_cells_that_share_a_base_model_stand_next_to_each_other(grid: Grid) -> None:
    changes = sum(a.bits != b.bits for a, b in pairwise(grid.list_specs()))
    assert changes == len(grid.bits) - 1


def test_with_several_seeds_the_whole_grid_is_there_once_before_the_next_seed() -> None:
    grid = parse_grid(BASE, {"ranks": "1,4", "learning_rates": "1e-3,2e-3", "seeds": "0,1"})
    assert [spec.seed for spec in grid.list_specs()] == [0] * 4 + [1] * 4
    assert [spec.rank for spec in grid.list_specs()] == [1, 4] * 4
    assert grid.varied == ("seeds", "learning_rates", "ranks")


def test_alpha_stays_the_bases_unless_it_is_to_grow_with_the_rank() -> None:
    constant = parse_grid(BASE, {"ranks": [1, 8, 64]})
    assert [(spec.alpha, spec.scaling) for spec in constant.list_specs()] == [(16, 16), (16, 2), (16, 0.25)]
    growing = parse_grid(BASE, {"ranks": [1, 8, 64], "alpha_per_rank": "2"})
    assert [(spec.alpha, spec.scaling) for spec in growing.list_specs()] == [(2, 2), (16, 2), (128, 2)]
    assert json.loads(growing.to_json())["alpha_per_rank"] == 2


def test_an_axis_that_is_left_out_has_the_bases_value() -> None:
    assert parse_grid(BASE, {}).list_specs() == [BASE]


def test_a_cell_is_named_by_rank_bits_and_what_the_grid_varies() -> None:
    grid = parse_grid(BASE, {"ranks": "1,4", "seeds": "0,7", "learning_rates": "1e-3,2e-3"})
    assert grid.label(grid.list_specs()[-1]) == "r=4 nf4-dq lr 0.002 seed 7"
    assert parse_grid(BASE, {"ranks": "1,4"}).label(grid.list_specs()[0]) == "r=1 nf4-dq"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"ranks": "1,x,999"},
            "ranks: rank must be a whole number, got 'x'. ranks: rank must be 1 to 256, got 999.",
        ),
        ({"bits": "nf4,1bit"}, "bits must be one of"),
        ({"ranks": "4,1,4"}, "ranks names 4 more than once."),
        ({"ranks": " , "}, "ranks has no value."),
        ({"seeds": tuple(range(201))}, f"seeds has 201 values; the limit is {MAX_CELLS} cells."),
        ({"seeds": range(21), "ranks": range(1, 12)}, f"The grid has 231 cells; the limit is {MAX_CELLS}."),
        ({"alpha_per_rank": -1}, "alpha must be a number above 0, got -1.0."),
        ({"batch": "1,2"}, "A grid has no axis batch. Use only: bits, variants, targets, seeds,"),
    ],
)
def test_every_wrong_value_is_named(values: dict[str, object], said: str) -> None:
    with pytest.raises(LearnerError) as raised:
        parse_grid(BASE, values)
    assert said in str(raised.value)


def test_values_that_are_too_many_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[object] = []

    def count(values: object) -> RunSpec:
        read.append(values)
        return BASE

    monkeypatch.setattr("lora_lab.settings.grid.parse_spec", count)
    with pytest.raises(LearnerError, match=r"ranks has 200,000 values"):
        parse_grid(BASE, {"ranks": ["4"] * 200_000})
    assert read == []


def test_a_grid_built_directly_names_each_cell_that_no_run_can_be() -> None:
    with pytest.raises(LearnerError, match="rank must be 1 to 256, got 0") as raised:
        replace(parse_grid(BASE, {"bits": "nf4,bf16"}), ranks=(0, 4))
    assert raised.value.do_next == "Set rank to a whole number from 1 to 256, for example 8."


@pytest.mark.parametrize(
    ("axes", "do_next"),
    [
        ({"ranks": ()}, "Give ranks at least one value."),
        ({"seeds": (3, 3)}, "Name each value of seeds once."),
        ({"seeds": tuple(range(201))}, "Shorten the lists until their lengths multiply to at most 200."),
    ],
)
def test_a_grid_built_directly_says_what_to_change(axes: dict[str, Any], do_next: str) -> None:
    with pytest.raises(LearnerError) as raised:
        replace(parse_grid(BASE, {}), **axes)
    assert raised.value.do_next == do_next


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"base": 3}', '{"base": {"rank": "x"}}'])
def test_what_is_no_grid_is_said_to_be_none(text: str) -> None:
    with pytest.raises(LearnerError):
        Grid.from_json(text)
