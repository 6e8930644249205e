"""The grid's form and its address: what is shown is what is started, and what a link opens."""

import shlex
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_lab.cli.options import SHARED_FLAGS, build_parser
from lora_lab.cli.runs import read_run
from lora_lab.settings.grid import AXES, Grid, parse_grid
from lora_lab.settings.grid_form import (
    BASE_NAMES,
    build_grid_address,
    format_grid_command,
    normalize_grid,
    parse_grid_address,
    parse_grid_form,
    read_grid_presets,
    with_rate_sweep,
)
from lora_lab.spec import BITS, TARGET_SETS, TINY_MODEL, VARIANTS, RunSpec
from study.base.errors import LearnerError


def lists(values: st.SearchStrategy[object], most: int = 3) -> st.SearchStrategy[list[object]]:
    return st.lists(values, min_size=1, max_size=most, unique=True)


grids: st.SearchStrategy[Grid] = st.builds(
    lambda base, axes: normalize_grid(parse_grid(base, axes)),
    st.builds(
        RunSpec,
        model=st.sampled_from(("smollm2-135m", "tiny-random", "owner/name", "/models/a b&c=d")),
        steps=st.integers(1, 2000),
        alpha=st.floats(0.5, 512),
        checkpointing=st.booleans(),
        optimizer=st.sampled_from(("adamw", "adamw8bit")),
    ),
    st.fixed_dictionaries(
        {
            "ranks": lists(st.integers(1, 256)),
            "bits": lists(st.sampled_from(BITS)),
            "targets": lists(st.sampled_from(TARGET_SETS), 2),
            "variants": lists(st.sampled_from(VARIANTS), 2),
            "learning_rates": lists(st.floats(1e-6, 1.0), 2),
            "seeds": lists(st.integers(0, 2**32 - 1), 2),
        },
        optional={"alpha_per_rank": st.floats(0.1, 8)},
    ),
)


@given(grids)
def test_an_address_opens_the_grid_that_made_it(grid: Grid) -> None:
    assert parse_grid_address(dict(parse_qsl(urlsplit(build_grid_address(grid)).query))) == grid


@given(grids)
def test_a_form_sends_the_grid_that_it_shows(grid: Grid) -> None:
    form = {name: [str(getattr(grid.base, name))] for name in BASE_NAMES}
    form["checkpointing"] = ["true"] if grid.base.checkpointing else []
    form |= {axis: [str(value) for value in getattr(grid, axis)] for axis in AXES}
    form["alpha_per_rank"] = [str(grid.alpha_per_rank)] if grid.alpha_per_rank is not None else [""]
    assert parse_grid_form(form) == grid


def form(**changed: str) -> dict[str, list[str]]:
    grid = read_grid_presets()[0].grid
    values = {name: [str(getattr(grid.base, name))] for name in BASE_NAMES if name != "checkpointing"}
    values |= {axis: [str(value) for value in getattr(grid, axis)] for axis in AXES}
    return values | {name: [text] for name, text in changed.items()}


@pytest.mark.parametrize("typed", ["2, 8, 32", "2 8 32", "2;8;32", " 2,8,\n32, "])
def test_lists_take_commas_semicolons_and_spaces(typed: str) -> None:
    assert parse_grid_form(form(ranks=typed)).ranks == (2, 8, 32)


def test_an_empty_list_is_named_by_its_label() -> None:
    with pytest.raises(LearnerError, match="Ranks, Weights stored in: nothing is chosen"):
        parse_grid_form(form(ranks=" ") | {"bits": []})


def test_every_wrong_value_is_named_at_once() -> None:
    with pytest.raises(LearnerError) as caught:
        parse_grid_form(form(ranks="2, 300, x", seeds="-1"))
    for said in ("300", "'x'", "-1"):
        assert said in str(caught.value)


def test_a_value_typed_twice_is_said_to_be() -> None:
    with pytest.raises(LearnerError, match="ranks names 8 more than once"):
        parse_grid_form(form(ranks="8, 8"))


def test_an_address_that_asks_for_the_impossible_opens_what_can_be_read_of_it() -> None:
    grid = parse_grid_address({"ranks": "0,9999", "bits": "1bit", "seeds": "5", "steps": "7", "model": ""})
    usual = read_grid_presets()[0].grid
    assert (grid.ranks, grid.bits, grid.seeds, grid.base.steps) == (usual.ranks, usual.bits, (5,), 7)


def test_presets_have_their_own_ids_and_more_than_one_cell() -> None:
    ids = [preset.id for preset in read_grid_presets()]
    assert len(set(ids)) == len(ids)
    for preset in read_grid_presets():
        assert preset.grid.count > 1
        assert parse_grid_address({"preset": preset.id}) == preset.grid


def test_a_learning_rate_sweep_brackets_the_rate_that_was_chosen() -> None:
    grid = normalize_grid(parse_grid(RunSpec(learning_rate=2e-3), {"variants": ["lora", "dora"]}))
    assert with_rate_sweep(grid).learning_rates == (5e-4, 2e-3, 8e-3)
    assert with_rate_sweep(grid).count == 6


@given(grids)
@settings(max_examples=30)
def test_the_command_line_reads_the_command_back_to_the_same_grid(grid: Grid) -> None:
    options = build_parser("").parse_args(shlex.split(format_grid_command(grid))[3:])
    base, _ = read_run(options, leave_out=SHARED_FLAGS)
    given_lists = {name: getattr(options, name) for name in (*AXES, "alpha_per_rank")}
    read = parse_grid(base, {name: value for name, value in given_lists.items() if value is not None})
    assert normalize_grid(read) == grid


def test_presets_of_trained_models_have_three_seeds_and_one_scale_over_ranks() -> None:
    for preset in read_grid_presets():
        if preset.grid.base.model == TINY_MODEL:  # its losses mean nothing, so seeds would add nothing
            continue
        assert len(preset.grid.seeds) == 3, preset.id
        assert len({spec.scaling for spec in preset.grid.list_specs() if spec.variant != "rslora"}) == 1, (
            preset.id
        )


def test_one_alpha_for_all_cells_outlives_an_address() -> None:
    grid = normalize_grid(replace(read_grid_presets()[0].grid, alpha_per_rank=None))
    query = dict(parse_qsl(urlsplit(build_grid_address(grid)).query))
    assert parse_grid_address(query) == grid


@pytest.mark.parametrize(
    ("scale", "alphas", "flags"),
    [("alpha", {64.0}, ["--alpha", "64"]), ("alpha_per_rank", {4.0, 16.0, 64.0}, ["--alpha-per-rank", "2"])],
)
def test_only_the_chosen_one_of_alpha_and_its_ratio_counts(
    scale: str, alphas: set[float], flags: list[str]
) -> None:
    grid = parse_grid_form(form(scale=scale, alpha="64", alpha_per_rank="2"))
    assert {spec.alpha for spec in grid.list_specs()} == alphas
    words = format_grid_command(grid).split()
    assert [word for word in words if word.startswith("--alpha")] == flags[:1]
    assert words[words.index(flags[0]) + 1] == flags[1]


def test_the_chosen_scale_needs_a_number_and_the_other_needs_none() -> None:
    with pytest.raises(LearnerError, match="alpha / r: nothing is chosen"):
        parse_grid_form(form(scale="alpha_per_rank", alpha_per_rank=" "))
    with pytest.raises(LearnerError, match="alpha: nothing is chosen"):
        parse_grid_form(form(scale="alpha", alpha=" "))
    assert parse_grid_form(form(scale="alpha_per_rank", alpha="", alpha_per_rank="2")).alpha_per_rank == 2
    assert parse_grid_form(form(scale="alpha", alpha="8", alpha_per_rank="")).base.alpha == 8
