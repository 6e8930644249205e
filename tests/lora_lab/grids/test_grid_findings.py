"""A finding is stated only where the spread over seeds supports it."""

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.grids.findings import (
    find_edge_rates,
    find_lowest,
    list_findings,
    list_rate_findings,
    variants_share_one_rate,
)
from lora_lab.grids.results import GridSetting, group_by_setting, select_best_rates
from lora_lab.grids.welch_test import compare_groups, compute_t_quantile
from tests.lora_lab.grid_builders import cell

losses = st.lists(st.floats(0.1, 10), min_size=2, max_size=6)


def settings(by_rank: dict[int, list[float]], **setting: Any) -> list[GridSetting]:
    return group_by_setting(
        cell(loss, rank=rank, seed=seed, **setting)
        for rank, group in by_rank.items()
        for seed, loss in enumerate(group)
    )


def test_targets_of_the_learners_own_come_after_the_named_sets() -> None:
    own = group_by_setting(
        cell(2 + seed / 100, targets=targets, seed=seed)
        for targets in ("q_proj,v_proj", "q_proj", "all-linear")
        for seed in (0, 1, 2)
    )
    [found] = list_findings(own)
    assert "all-linear, q_proj and q_proj,v_proj" in found.headline


@pytest.mark.parametrize(
    ("by_rank", "lowest"),
    [
        ({1: [5.5, 5.51, 5.52], 64: [5.3, 5.31, 5.32]}, 64),
        ({1: [5.3, 5.31, 5.32], 64: [5.5, 5.51, 5.52]}, 1),
        ({1: [5.3, 5.4, 5.5], 64: [5.31, 5.41, 5.49]}, None),  # within the noise
        ({1: [5.5, 5.51, 5.52], 8: [5.3, 5.31, 5.32], 64: [5.3, 5.311, 5.32]}, None),  # below one, not both
        ({1: [5.5, 5.5, 5.5], 64: [5.3, 5.3, 5.3]}, None),  # no spread: nothing is known of the noise
        ({1: [5.5], 64: [5.3]}, None),
    ],
)
def test_the_lowest_is_below_every_other_beyond_the_noise(
    by_rank: dict[int, list[float]], lowest: int | None
) -> None:
    found = find_lowest(settings(by_rank))
    assert (found.levels.rank if found else None) == lowest


# Two-sided 95 % and 99 % points of Student's t, as printed in Biometrika Tables for Statisticians, table 12.
PRINTED = [
    (0.975, 1, 12.706),
    (0.975, 2, 4.303),
    (0.975, 4, 2.776),
    (0.975, 10, 2.228),
    (0.975, 30, 2.042),
    (0.995, 1, 63.657),
    (0.995, 3, 5.841),
    (0.995, 12, 3.055),
]


@pytest.mark.parametrize(("probability", "freedom", "printed"), PRINTED)
def test_quantiles_are_those_of_the_printed_tables(probability: float, freedom: int, printed: float) -> None:
    assert compute_t_quantile(probability, freedom) == pytest.approx(printed, abs=6e-4)


def test_the_interval_is_welchs_on_a_worked_example() -> None:
    # s1²/n1 = 1/3 and s2²/n2 = 4/3: the error is sqrt(5/3), with 2.94 degrees of freedom, taken as 2.
    found = compare_groups([1, 2, 3], [8, 10, 12])
    assert found.difference == -8
    assert found.noise == pytest.approx(4.3027 * math.sqrt(5 / 3), abs=1e-3)
    assert found.verdict == "differ"


@given(losses, losses, st.randoms(use_true_random=False))
def test_the_order_of_seeds_changes_nothing(
    first: list[float], second: list[float], rng: random.Random
) -> None:
    before = compare_groups(first, second)
    rng.shuffle(first)
    rng.shuffle(second)
    assert compare_groups(first, second) == before


@given(losses, st.integers(1, 20))
def test_a_group_never_differs_from_itself(group: list[float], comparisons: int) -> None:
    assert compare_groups(group, list(group), comparisons=comparisons).verdict == "noise"


@given(losses, losses)
def test_swapping_the_groups_turns_the_sign_and_nothing_else(first: list[float], second: list[float]) -> None:
    one, other = compare_groups(first, second), compare_groups(second, first)
    assert (one.difference, one.noise) == (-other.difference, other.noise)


@given(losses, losses, st.integers(2, 30))
def test_more_comparisons_in_a_sentence_never_find_more(
    first: list[float], second: list[float], comparisons: int
) -> None:
    assert compare_groups(first, second).noise <= compare_groups(first, second, comparisons=comparisons).noise


@given(st.floats(0.1, 10), losses)
def test_one_seed_never_supports_a_finding(alone: float, group: list[float]) -> None:
    assert compare_groups([alone], group).verdict == "unknown"
    found = list_findings(settings({8: [alone], 64: group[:1]}))
    assert [each.verdict for each in found] == ["unknown"]
    assert found[0].text == "One seed can't tell r=8 and r=64 apart. Add two seeds or more."


@given(st.floats(0.1, 10), st.floats(0.1, 10))
def test_seeds_that_all_end_on_one_loss_support_nothing(first: float, second: float) -> None:
    assert list_findings(settings({8: [first] * 3, 64: [second] * 3}))[0].verdict == "unknown"


def test_false_alarms_are_as_rare_as_promised() -> None:
    """Six ranks that are truly alike, three seeds each: at most 5 % of the sentences find a difference."""
    rng = random.Random(3)
    alarms = sum(
        list_findings(
            settings({rank: [rng.gauss(2, 0.1) for _ in range(3)] for rank in (1, 2, 4, 8, 16, 32)})
        )[0].verdict
        == "differ"
        for _ in range(300)
    )
    assert alarms <= 300 * 0.05 + 3 * math.sqrt(300 * 0.05 * 0.95)


def test_ranks_that_seeds_could_bring_together_are_said_not_to_differ() -> None:
    found = list_findings(settings({8: [2.0, 2.2, 2.1], 64: [2.05, 2.2, 2.15]}))
    assert [each.verdict for each in found] == ["noise"]
    assert found[0].text.startswith(
        "No difference beyond seed noise between r=8 and r=64: the largest gap is 0.033"
    )
    assert "(3 seeds)" in found[0].text


def test_ranks_that_seeds_cannot_bring_together_are_said_to_differ_and_by_how_much() -> None:
    found = list_findings(settings({1: [3.0, 3.02, 3.01], 8: [2.0, 2.02, 2.01], 64: [2.01, 2.0, 2.015]}))
    assert found[0].verdict == "differ"
    assert found[0].text.startswith("r=64 ends 1.002 ± 0.035 lower than r=1; r=8 ends 1.000 ± 0.032 lower")
    assert "No difference beyond seed noise in the other pair." in found[0].text


def test_a_setting_without_a_spread_is_named_and_left_out() -> None:
    found = list_findings(settings({1: [3.0], 8: [2.0, 2.02, 2.01], 64: [2.01, 2.0, 2.015]}))
    assert "Not compared, having no spread over seeds: r=1." in found[0].text
    assert "r=8 and r=64" in found[0].text


def test_every_axis_gets_a_sentence_for_each_row_of_the_grid_along_it() -> None:
    cells = [
        cell(2 + seed / 100, rank=rank, bits=bits, seed=seed)
        for rank in (2, 8)
        for bits in ("nf4", "bf16")
        for seed in (0, 1)
    ]
    found = [(each.axis, each.headline) for each in list_findings(group_by_setting(cells))]
    assert found == [
        ("rank", "No difference beyond seed noise between r=2 and r=8 at any bit width"),
        ("bits", "No difference beyond seed noise between bf16 and nf4 at any rank"),
    ]


def test_rows_that_differ_keep_their_own_sentence_and_the_others_share_one() -> None:
    bases = {
        ("nf4", 2): 3.0,
        ("nf4", 8): 2.0,
        ("bf16", 2): 2.0,
        ("bf16", 8): 2.01,
        ("int8", 2): 2.0,
        ("int8", 8): 2.02,
    }
    cells = [
        cell(base + seed / 100, rank=rank, bits=bits, seed=seed)
        for (bits, rank), base in bases.items()
        for seed in (0, 1, 2)
    ]
    said = [each.headline for each in list_findings(group_by_setting(cells)) if each.axis == "rank"]
    assert said == [
        "r=8 ends 1.000 ± 0.023 lower than r=2 at nf4",
        "No difference beyond seed noise between r=2 and r=8 at bf16 and at int8",
    ]


def test_variants_are_compared_at_the_best_rate_of_each() -> None:
    tried = {("lora", 1e-3): 2.0, ("lora", 1e-2): 9.0, ("dora", 1e-3): 5.0, ("dora", 1e-2): 2.01}
    cells = [
        cell(loss + seed / 100, variant=variant, learning_rate=rate, seed=seed)
        for (variant, rate), loss in tried.items()
        for seed in (0, 1, 2)
    ]
    best = select_best_rates(group_by_setting(cells))
    assert {setting.levels.variant: setting.levels.learning_rate for setting in best} == {
        "lora": 1e-3,
        "dora": 1e-2,
    }
    assert [(each.axis, each.verdict) for each in list_findings(group_by_setting(cells))] == [
        ("variant", "noise")
    ]


def test_a_comparison_at_the_best_rate_names_it() -> None:
    def grid(best: dict[int, float]) -> list[GridSetting]:
        return group_by_setting(
            cell(2.0 + (rate != best[rank]) + seed / 100, rank=rank, learning_rate=rate, seed=seed)
            for rank in best
            for rate in (1e-3, 1e-2)
            for seed in (0, 1, 2)
        )

    [shared] = list_findings(grid({8: 1e-2, 64: 1e-2}))
    assert shared.text.startswith(
        "No difference beyond seed noise between r=8 and r=64 at the best learning rate, 0.01: the largest"
    )
    [own] = list_findings(grid({8: 1e-2, 64: 1e-3}))
    assert "r=8 and r=64, each at its best learning rate: the largest gap" in own.text
    [alone] = list_findings(settings({8: [2.0, 2.2, 2.1], 64: [2.05, 2.2, 2.15]}))
    assert "learning rate" not in alone.text


def test_the_learning_rate_is_a_finding_where_seeds_support_it() -> None:
    def grid(gap: float) -> list[GridSetting]:
        return group_by_setting(
            cell(
                2.0 + gap * (rate == 1e-3) + seed / 100 + rank / 1000,
                rank=rank,
                learning_rate=rate,
                seed=seed,
            )
            for rank in (1, 4)
            for rate in (1e-3, 1e-2)
            for seed in (0, 1, 2)
        )

    [found] = list_rate_findings(grid(1.0))
    assert found.text == "Learning rate 0.01 ends 1.000 ± 0.023 lower than 0.001 at r=1 (3 seeds)."
    assert list_rate_findings(grid(0.005)) == []
    assert list_rate_findings(settings({8: [2.0, 2.2, 2.1], 64: [2.05, 2.2, 2.15]})) == []
    assert list_rate_findings([]) == []


def test_a_rate_at_which_seeds_failed_does_not_win_by_one_lucky_seed() -> None:
    steady = [cell(2.0 + seed / 10, learning_rate=1e-3, seed=seed) for seed in (0, 1, 2)]
    lucky = [cell(loss, learning_rate=1e-1, seed=seed) for seed, loss in enumerate([1.0, None, None])]
    assert [
        setting.levels.learning_rate for setting in select_best_rates(group_by_setting(steady + lucky))
    ] == [1e-3]


def test_a_race_of_variants_at_one_rate_is_recognised() -> None:
    def race(rates: list[float]) -> list[GridSetting]:
        return group_by_setting(
            cell(2.0, variant=variant, learning_rate=rate) for variant in ("lora", "dora") for rate in rates
        )

    assert variants_share_one_rate(race([1e-3]))
    assert not variants_share_one_rate(race([1e-3, 1e-2]))
    assert not variants_share_one_rate(settings({8: [2.0], 64: [2.0]}))


def test_a_best_rate_at_the_end_of_the_list_is_named() -> None:
    tried = {1e-4: 3.0, 1e-3: 2.0, 1e-2: 2.5}
    inner = group_by_setting(cell(loss, learning_rate=rate) for rate, loss in tried.items())
    assert find_edge_rates(inner) == []
    outer = group_by_setting(cell(-loss, learning_rate=rate) for rate, loss in tried.items())
    assert [setting.levels.learning_rate for setting in find_edge_rates(outer)] == [1e-4]


def test_while_seeds_are_still_to_come_one_seed_is_named_and_not_dismissed() -> None:
    early = [cell(3.2, rank=2), cell(2.9, rank=8), cell(None, status="waiting", rank=2, seed=1)]
    [found] = list_findings(group_by_setting(early))
    assert found.text == (
        "So far r=8 ends lowest of r=2 and r=8, at 2.900. The seeds to come will tell whether that is luck."
    )
    assert found.verdict == "unknown"
    [ended] = list_findings(group_by_setting(early[:2]))
    assert "One seed can't tell" in ended.text
