"""Trainable parameters by rank: every count is the engine's, and the title states the one that was chosen."""

from dataclasses import replace

import pytest
from hypothesis import given, settings

from lora_lab.charts.parameters import plot_parameters_by_rank
from lora_lab.parameters.counts import count_parameters
from lora_lab.parameters.shapes import find_shape
from lora_lab.spec import TARGET_LABELS, TARGET_SETS, RunSpec
from study.base.errors import LearnerError
from study.base.units import as_percent
from study.plots.render import render_plot
from tests.lora_lab.charts.plot_builders import POWERS, all_three, column, specs, texts


@given(specs)
@settings(max_examples=40, deadline=None)
def test_the_parameter_table_holds_the_exact_counts_of_every_drawn_rank(spec: RunSpec) -> None:
    shape = find_shape(spec.model)

    plot = plot_parameters_by_rank(shape, spec)

    assert column(plot, "rank") == sorted({*POWERS, spec.rank})
    for row in plot.rows:
        rank, *counts, percent = row
        expected = [count_parameters(shape, rank=int(rank), targets=targets) for targets in TARGET_SETS]
        assert counts == [each.trainable for each in expected]
        assert percent == expected[TARGET_SETS.index(spec.targets)].percent


def test_a_target_set_that_the_model_lacks_is_left_out_unless_it_is_chosen() -> None:
    whole = find_shape("tiny-random")
    shape = replace(whole, linears=tuple(each for each in whole.linears if each.role not in ("q", "v")))

    plot = plot_parameters_by_rank(shape, RunSpec(model="tiny-random", targets="all-linear"))

    assert not any(TARGET_LABELS["q+v"] in name for name in plot.header)
    with pytest.raises(LearnerError, match="no linear layer named q, v"):
        plot_parameters_by_rank(shape, RunSpec(model="tiny-random", targets="q+v"))


def test_target_sets_that_come_to_the_same_matrices_share_a_line() -> None:
    whole = find_shape("tiny-random")
    shape = replace(whole, linears=tuple(each for each in whole.linears if each.role in ("q", "v")))

    words = texts(
        render_plot(plot_parameters_by_rank(shape, RunSpec(model="tiny-random")), "svg", on_page=True)
    )

    assert "q + v = attention = all linear" in [word.words for word in words]


def test_the_parameter_title_states_the_count_that_was_checked_by_hand() -> None:
    plot, _, _ = all_three(RunSpec(rank=8))

    assert plot.title == "Rank 8 on all linear layers trains 2,442,240 parameters, 1.78 % of all"


@given(specs)
@settings(max_examples=40, deadline=None)
def test_the_parameter_title_states_the_table_s_count_at_the_chosen_rank(spec: RunSpec) -> None:
    plot = plot_parameters_by_rank(find_shape(spec.model), spec)

    (chosen,) = [row for row in plot.rows if row[0] == spec.rank]
    counted = chosen[1 + TARGET_SETS.index(spec.targets)]
    assert f"Rank {spec.rank} " in plot.title
    assert f" {counted:,} parameters" in plot.title
    assert f", {as_percent(float(chosen[-1]))} of all" in plot.title
