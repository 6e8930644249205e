"""An X-ray's measures, sentences and charts, on updates whose answers are known."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.spec import RunSpec
from lora_lab.xray.captions import (
    describe_amplification,
    describe_overlap,
    judge_prediction,
    note_beside,
    note_same_start,
    note_variant,
    refuse_slip,
    tabulate_amplification,
)
from lora_lab.xray.charts import (
    draw_factor_map,
    draw_norm_map,
    draw_overlap_maps,
    draw_used_map,
    name_place,
    plot_spectrum,
    shorten_kind,
)
from lora_lab.xray.result import (
    Module,
    SeenDirections,
    Xray,
    compute_expected_overlap,
    count_directions,
    list_stops,
    read_pair,
    read_xray,
    stable_rank,
)
from study.base.errors import LearnerError
from study.plots.plot import Plot, to_csv
from study.plots.render import render_plot
from tests.lora_lab import xrays

VALUES = st.lists(st.floats(0.01, 100), min_size=1, max_size=32).map(
    lambda found: sorted(found, reverse=True)
)


def xray_of(*modules: dict[str, Any], **changed: Any) -> Xray:
    return read_xray(xrays.found(modules or None, **changed))


def first(xray: Xray) -> Module:
    return xray.modules[0]


# ---- measures


@given(VALUES)
def test_used_is_the_least_number_of_directions_that_carries_its_share(values: list[float]) -> None:
    used, total = count_directions(values), sum(value**2 for value in values)
    assert 1 <= used <= len(values)
    assert sum(value**2 for value in values[:used]) >= 0.9 * total * (1 - 1e-12)
    assert sum(value**2 for value in values[: used - 1]) < 0.9 * total


@given(VALUES)
def test_the_stable_rank_lies_between_1_and_the_rank(values: list[float]) -> None:
    assert 1 - 1e-12 <= stable_rank(values) <= len(values) * (1 + 1e-12)


def test_equal_values_use_the_whole_rank_and_one_value_a_single_direction() -> None:
    assert (count_directions([3.0] * 8), stable_rank([3.0] * 8)) == (8, 8)
    assert (count_directions([3.0, 0.0]), stable_rank([3.0, 0.0])) == (1, 1)
    assert (count_directions([0.0, 0.0]), stable_rank([0.0, 0.0])) == (0, 0)


def test_norms_and_factors_follow_from_the_singular_values() -> None:
    found = first(xray_of())
    assert found.norm == pytest.approx(21.25**0.5)
    assert found.used == 2
    assert found.relative_percent == pytest.approx(21.25**0.5)
    assert found.amplification == pytest.approx(21.25**0.5 / 2)
    assert found.random_expected == pytest.approx(4 * 100 / (64 * 128) ** 0.5)


def test_the_closed_form_of_chance_gives_the_papers_random_column() -> None:
    """Table 7 prints 0.02 at r = 4 for ||W|| = 61.95 in 12,288 dimensions."""
    query: dict[str, Any] = {"d_out": 12288, "d_in": 12288, "weight_norm": 61.95}
    found = first(xray_of(xrays.module(**query)))
    assert f"{found.random_expected:.2f}" == "0.02"


def test_layers_and_matrices_are_read_from_names() -> None:
    found = xray_of(
        xrays.module("self_attn.q_proj", layer=2),
        xrays.module("experts.3.w1", layer=10),
        xrays.module(name="lm_head"),
    )
    assert found.layers == ("2", "10", "-")
    assert found.kinds == ("self_attn.q_proj", "experts.3.w1", "lm_head")
    assert [shorten_kind(kind) for kind in found.kinds] == ["q", "w1", "lm_head"]
    assert [name_place(each) for each in found.modules] == ["q_proj in layer 2", "w1 in layer 10", "lm_head"]


def test_an_address_that_names_no_matrix_gets_the_nearest_there_is() -> None:
    found = xray_of()
    assert found.find("1", "mlp.down_proj").name == "model.layers.1.mlp.down_proj"
    assert found.find("9", "mlp.down_proj").name == "model.layers.0.mlp.down_proj"
    assert found.find("", "nothing").name == "model.layers.0.self_attn.q_proj"


def test_stops_end_at_the_rank_and_stay_few() -> None:
    assert list_stops(1) == (1,)
    assert list_stops(8) == (1, 2, 3, 4, 6, 8)
    assert list_stops(20) == (1, 2, 3, 4, 6, 8, 12, 16, 20)
    assert len(list_stops(256)) == 16


def test_chance_is_the_larger_dimension_over_all() -> None:
    assert compute_expected_overlap(4, 16, 576) == compute_expected_overlap(16, 4, 576) == 16 / 576
    assert compute_expected_overlap(576, 3, 576) == 1


# ---- sentences


def test_a_finding_says_what_an_update_adds_and_what_chance_would() -> None:
    said = describe_amplification(first(xray_of()), "q_proj in layer 0")
    assert "In its 4 directions, the update of q_proj in layer 0 has a norm of 4.61 and W one of 2.00" in said
    assert (
        "W's norm there is 1.3 times the 1.50 of as many random directions, drawn once; by chance it is 4.42 "
        "on average. In as many of W's own strongest directions it is 50.0."
    ) in said


def test_a_finding_and_its_table_give_the_same_numbers() -> None:
    module = replace(first(xray_of()), seen=SeenDirections(directions=4, update=4.06, own=50, random=2.72))
    rows = {name: values[0] for name, values in tabulate_amplification([("this run", module)]).rows}
    drawn = rows["‖UᵀWV‖, random directions"]
    expected = rows["the same by chance, on average: r‖W‖ / √(d_in·d_out)"]
    said = describe_amplification(module, "q_proj in layer 0")
    assert drawn == "2.72"
    assert f"is 1.5 times the {drawn} of as many random directions" in said, "4.06 / 2.72"
    assert f"by chance it is {expected} on average" in said


def test_the_table_stands_beside_the_published_one() -> None:
    table = tabulate_amplification([("this run, r = 4", first(xray_of()))])
    assert [kind for _, kind in table.columns] == ["computed", "published", "published"]
    rows = {name: tuple(values) for name, values in table.rows}
    assert rows["‖ΔW‖"] == ("4.61", "6.91", "3.57")
    assert rows["‖W‖"] == ("100", "61.95", "61.95")
    assert rows["‖UᵀWV‖, ΔW's directions"] == ("2.00", "0.32", "1.90")
    assert rows["‖UᵀWV‖, W's own directions"] == ("50.0", "21.67", "37.71")
    assert "Table 7" in table.source


def test_a_zero_update_is_told_everywhere_and_draws_nothing_false() -> None:
    found = xray_of(xrays.module(values=(0.0, 0.0)), xrays.module(layer=1, values=(0.0, 0.0)))
    zero = first(found)
    assert (zero.used, zero.relative_percent, zero.amplification) == (0, 0, None)
    assert (
        plot_spectrum(zero, "").title
        == "The update of q_proj in layer 0 is zero: B is still what it was at the start"
    )
    assert draw_used_map(found, "").title == "All updates are zero: nothing was learnt yet"
    assert draw_norm_map(found, "").title == "No weight has changed: all updates are zero"
    assert draw_factor_map(found, "").title == "No directions are amplified: all updates are zero"
    assert "zero, so it amplifies nothing" in describe_amplification(zero, "q_proj in layer 0")
    assert found.median_used == 0
    for plot in (
        plot_spectrum(zero, ""),
        draw_used_map(found, ""),
        draw_norm_map(found, ""),
        draw_factor_map(found, ""),
    ):
        assert_drawn(plot)


def test_dora_says_what_its_low_rank_part_leaves_out() -> None:
    whole = {"norm": 9.0, "used": 40, "stable_rank": 12.5}
    found = xray_of(xrays.module(whole=whole))
    said = note_variant(found, first(found), "dora")
    assert "a norm of 9.00 against 4.61 of s·B·A, and 90 % of its square needs 40 of 64 directions" in said
    assert first(found).relative_percent == 9
    assert "DoRA's magnitudes are included" in getattr(draw_norm_map(found, "").drawing, "footnote", "")


@pytest.mark.parametrize(
    ("method", "variant", "said"),
    [
        ("LORA", "rslora", "at rank 4 that is 2 times LoRA's scale"),
        ("ADALORA", "lora", "E between B and A"),
        ("VERA", "lora", "only the two vectors"),
        ("LORA", "lora", ""),
    ],
)
def test_every_variant_says_what_is_its_own(method: str, variant: Any, said: str) -> None:
    found = xray_of(method=method)
    note = note_variant(found, first(found), variant)
    assert said in note
    assert bool(note) == bool(said)


def test_what_was_trained_besides_is_named() -> None:
    assert note_beside(xray_of()) == ""
    assert "1 more trained tensor isn't a low-rank update and isn't shown: head" in note_beside(
        xray_of(beside=["head"])
    )
    assert "4 more trained tensors are" in note_beside(xray_of(beside=["a", "b", "c", "d"]))
    assert "a, b, c and more" in note_beside(xray_of(beside=["a", "b", "c", "d"]))


def test_overlap_is_told_in_times_of_chance() -> None:
    overlap = read_pair(xrays.pair_found()).find("model.layers.0.self_attn.q_proj", "A")
    assert overlap is not None
    assert overlap.ends == (4, 8)
    assert describe_overlap(overlap) == (
        "All 4 and 8 directions overlap by 50 %, 8.0 times what chance gives on average; the strongest "
        "one of each by 50 %, 64 times."
    )


def test_the_side_decides_the_space_that_chance_is_about() -> None:
    pair = read_pair(xrays.pair_found())
    sizes = {side: found.size for (_, side), found in pair.overlaps.items()}
    assert sizes == {"A": 128, "B": 64, "inputs": 128, "outputs": 64}


def test_a_zero_update_has_no_overlap() -> None:
    overlap = read_pair(xrays.pair_found(phi=None)).find("model.layers.0.self_attn.q_proj", "B")
    assert overlap is not None
    assert overlap.ends is None
    assert "no directions yet" in describe_overlap(overlap)
    for plot in draw_overlap_maps(first(xray_of()), overlap, ""):
        assert_drawn(plot)


def test_runs_that_drew_the_same_a_are_told_so() -> None:
    one = RunSpec(rank=4)
    assert "the very same A" in note_same_start(one, replace(one, bits="bf16", steps=3))
    for other in (replace(one, seed=1), replace(one, rank=8), replace(one, targets="q+v")):
        assert note_same_start(one, other) == ""


@pytest.mark.parametrize(("guess", "right"), [("2", True), ("2,4", True), ("1", False), ("4", False)])
def test_a_guess_is_right_within_the_usual_factor(guess: str, right: bool) -> None:
    found = judge_prediction(xray_of(), guess)
    assert found is not None
    assert (found.right, found.result, found.rank) == (right, 2, 4)


def test_no_guess_is_not_judged_and_a_slip_is_refused() -> None:
    assert judge_prediction(xray_of(), " ") is None
    refuse_slip("")
    for slip in ("many", "0", "-1", "nan", "300"):
        assert judge_prediction(xray_of(), slip) is None
        with pytest.raises(LearnerError, match="number of directions is above 0"):
            refuse_slip(slip)


# ---- charts


def assert_drawn(plot: Plot) -> None:
    """As a picture, as a table, and in words with numbers."""
    for inches in (7.0, 4.2):
        svg = render_plot(plot, "svg", on_page=True, width_inches=inches).decode()
        assert svg.startswith("<svg")
        assert "nan" not in svg
    assert to_csv(plot).count("\n") == len(plot.rows) + 1


def test_charts_say_a_finding_with_numbers_and_hold_what_they_draw() -> None:
    found = xray_of()
    overlap = read_pair(xrays.pair_found()).find(first(found).name, "A")
    assert overlap is not None
    plots = [
        plot_spectrum(first(found), "r=4"),
        *(draw(found, "r=4") for draw in (draw_used_map, draw_norm_map, draw_factor_map)),
        *draw_overlap_maps(first(found), overlap, "r=4"),
    ]
    for plot in plots:
        assert_drawn(plot)
        assert any(letter.isdigit() for letter in plot.title)
        assert plot.title in plot.alt
    assert [plot.name for plot in plots] == [
        "xray-values", "xray-used", "xray-norms", "xray-factors", "xray-overlap", "xray-random"
    ]  # fmt: skip
    values, used, norms, factors, ours, drawn = plots
    assert values.title.startswith("2 of 4 directions carry 90 % of the update of q_proj in layer 0")
    assert values.rows[1][:2] == (2, 2.0)
    assert values.rows[1][2] == pytest.approx(100 * 20 / 21.25)
    assert used.title == "Over 6 matrices, 2 of 4 directions carry 90 % of an update; the median is 2"
    assert "4.6 % of its weight's norm at the median" in norms.title
    assert "2.3 times what W has in its directions" in factors.title
    assert len(norms.rows) == 6
    assert "overlap by 50 %, 4 and 8 directions by 50 %" in ours.title
    assert "6.0 % in one drawn pair, 6.2 % on average" in drawn.title


def test_a_rank_too_wide_for_its_numbers_still_draws() -> None:
    found = xray_of(xrays.module(values=[2.0 / number for number in range(1, 257)]))
    overlap = read_pair(xrays.pair_found(256, 256)).find("model.layers.0.self_attn.q_proj", "A")
    assert overlap is not None
    assert_drawn(plot_spectrum(first(found), ""))
    assert_drawn(draw_overlap_maps(first(found), overlap, "")[0])


def test_a_rank_above_a_side_of_the_matrix_compares_with_as_many_directions_as_there_are() -> None:
    """Random subspaces of 64 dimensions have at most 64 directions, and so has the update."""
    pair_found = xrays.pair_found(96, 128)
    known = [[0.9 if i <= 64 and j <= 64 else None for j in list_stops(128)] for i in list_stops(96)]
    pair_found["random"]["64"] = known
    for module in pair_found["modules"]:
        module["outputs"] = known
    overlap = read_pair(pair_found).find("model.layers.0.self_attn.q_proj", "outputs")
    assert overlap is not None
    ours, drawn = draw_overlap_maps(first(xray_of()), overlap, "")
    assert "64 directions of each by 90 %" in ours.title
    assert drawn.title.startswith("By chance, 64 directions of each in 64 dimensions overlap by 90 % in")
    assert drawn.title.endswith("100 % on average")
    for plot in (ours, drawn):
        assert_drawn(plot)
        assert max(row[3] for row in plot.rows) == 100


def test_a_place_that_no_update_stands_in_is_empty() -> None:
    found = xray_of(xrays.module(layer=0), xrays.module("mlp.down_proj", layer=1))
    assert_drawn(draw_norm_map(found, ""))
    assert len(draw_norm_map(found, "").rows) == 2
