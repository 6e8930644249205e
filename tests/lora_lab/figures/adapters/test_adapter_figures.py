"""Figures of adapters: what they count, keep and merge, against the lab's functions."""

from html import unescape
from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_lab import quantities
from lora_lab.figures import FIGURES
from lora_lab.figures.adapters import (
    backward_graph,
    first_steps,
    forward_types,
    lora_to_scale,
    merging,
    relatives,
    scaling_over_ranks,
    singular_values,
    whole_model,
)
from lora_lab.figures.matrices import read_matrices
from lora_lab.figures.recorded import read_recording
from lora_lab.memory.ledger import COMPONENTS, Ledger, code_bytes, matrix_constant_bytes
from lora_lab.parameters.counts import lora_parameters
from lora_lab.parameters.shapes import find_shape
from lora_lab.runs.cost_preview import PredictedStep
from tests.visits import words


def test_w_plus_b_a_counts_what_the_lab_counts() -> None:
    found = lora_to_scale.compute_numbers(lora_to_scale.MatrixSettings(rank=8, model="llama-7b", matrix="up"))
    one = next(linear for linear in find_shape("llama-7b").linears if linear.role == "up")
    assert found.trained * one.count == lora_parameters([one], rank=8)
    assert (found.d_in, found.d_out, found.full) == (4096, 11008, 4096 * 11008)


def test_at_a_rank_where_nothing_is_saved_the_figure_says_so() -> None:
    shown = lora_to_scale.show(lora_to_scale.MatrixSettings(rank=256, model="tiny-random"))
    assert "no smaller than W itself" in shown.finding


def test_one_row_at_rank_1_is_told_in_the_singular() -> None:
    drawn = lora_to_scale.show(lora_to_scale.MatrixSettings(rank=1)).picture
    assert "One row of B·A: 1 number of B, times the row of A." in drawn


@given(st.sampled_from(sorted(read_matrices())), st.integers(min_value=1, max_value=575))
@settings(max_examples=20)
def test_a_higher_rank_never_keeps_less(matrix: str, rank: int) -> None:
    lower, higher = (
        singular_values.compute_numbers(singular_values.TruncationSettings(matrix=matrix, rank=r))
        for r in (rank, rank + 1)
    )
    assert lower.kept_percent <= higher.kept_percent + 1e-9
    assert higher.error_percent <= lower.error_percent + 1e-9
    assert lower.rank <= len(lower.matrix.singular_values)


def test_all_singular_values_keep_everything() -> None:
    found = singular_values.compute_numbers(singular_values.TruncationSettings(rank=576, matrix="14-up"))
    assert found.kept_percent == pytest.approx(100)
    assert found.error_percent == pytest.approx(0, abs=1e-4)


def test_rank_8_keeps_much_of_the_first_query_alone_as_two_lessons_say() -> None:
    kept = {
        matrix: singular_values.compute_numbers(
            singular_values.TruncationSettings(matrix=matrix, rank=8)
        ).kept_percent
        for matrix in read_matrices()
    }
    assert 50 < kept.pop("0-q") < 60  # `intrinsic-dimension`: a little more than half
    assert max(kept.values()) < 20  # `lora-limits`: no other one keeps more than a fifth


def test_the_two_scalings_are_alpha_over_r_and_over_its_root() -> None:
    found = scaling_over_ranks.compute_numbers(64, 16)
    assert (found.lora, found.rslora) == (16 / 64, 16 / sqrt(64))


def test_b_is_empty_at_the_start_and_fills_and_a_follows_from_the_second_step_on() -> None:
    shown = [first_steps.show(first_steps.FirstStepsSettings(steps=steps)) for steps in range(11)]
    filled = [view.picture.count('class="b"') for view in shown]
    assert filled == [0, *[first_steps.PARTS * 8] * 10]
    assert all(view.picture.count('class="a"') == first_steps.PARTS * 8 for view in shown)
    kept = read_recording("first-steps")["snapshots"]
    assert [one["step"] for one in kept] == list(range(11))
    assert [one["a_moved"] for one in kept[:2]] == [0, 0]
    assert kept[2]["a_moved"] > 0
    for measure in ("b_norm", "update_over_base"):
        grown = [one[measure] for one in kept]
        assert grown[0] == 0
        assert grown == sorted(set(grown))
    assert "B is all zeros" in shown[0].finding
    assert "A is still what it was" in shown[1].finding
    assert "A moves too" in shown[2].finding
    assert dict(shown[0].numbers)["scale, alpha / r"] == "16 / 8 = 2"


def test_the_forward_pass_names_the_bytes_that_the_lab_stores() -> None:
    found = {
        part.name: part
        for part in forward_types.list_parts(forward_types.ForwardTypesSettings(matrix="down", rank=4))
    }
    down = next(one for one in find_shape("smollm2-135m").linears if one.role == "down")
    assert found["W, codes"].bytes == code_bytes(down, "nf4-dq")
    assert found["W, constants"].bytes == matrix_constant_bytes(down, "nf4-dq")
    assert found["W, decoded"].bytes == 2 * down.d_in * down.d_out
    assert found["A"].bytes + found["B"].bytes == 4 * 4 * (down.d_in + down.d_out)


def test_a_16_bit_base_computed_in_16_bits_is_not_decoded() -> None:
    shown = forward_types.show(forward_types.ForwardTypesSettings(bits="bf16", compute="bf16"))
    assert "nothing is decoded" in shown.finding
    assert dict(shown.numbers)["W decoded"] == "not needed"


def test_only_what_is_adapted_gets_a_gradient() -> None:
    few, all_of_them = (
        backward_graph.compute_numbers(backward_graph.BackwardSettings(targets=targets))
        for targets in ("q+v", "all-linear")
    )
    assert few.adapted == ("q", "v")
    assert few.trained == 460_800
    assert all_of_them.trained == 2_442_240
    assert few.ledger.gradients == 4 * few.trained
    assert few.saved_bytes < all_of_them.saved_bytes


def test_checkpointing_keeps_less_for_the_backward_pass() -> None:
    off, on = (
        backward_graph.compute_numbers(backward_graph.BackwardSettings(checkpointing=each))
        for each in ("off", "on")
    )
    assert on.ledger.activations < off.ledger.activations
    assert on.saved_bytes == off.saved_bytes


@pytest.mark.parametrize("steps", merging.STEPS)
def test_merging_in_32_bits_changes_nothing_and_into_nf4_rounds_most_of_the_update_away(steps: int) -> None:
    exact, half, again = merging.list_ways(steps)
    taken = merging.read_snapshot(steps)
    assert (exact.id, half.id, again.id) == ("fp32", "bf16", "nf4")
    assert exact.logit_error < 1e-5 < half.logit_error < again.logit_error
    assert merging.compute_gain_kept(exact, taken) == pytest.approx(100, abs=0.01)
    assert merging.compute_gain_kept(again, taken) < 15


def predict_megabytes(rank: int, targets: str) -> PredictedStep:
    """A step of as many megabytes as the rank: half of them for the base, none kept for the adapter."""
    nothing = {name: 0 for name, _ in COMPONENTS}
    ledger = Ledger(**{**nothing, "weights": rank * 500_000, "activations": rank * 500_000})
    return PredictedStep(ledger=ledger)


def test_both_figures_of_the_whole_model_show_the_same_step() -> None:
    glance = whole_model.build_glance_figure(predict_megabytes).show(whole_model.GlanceSettings(rank=16))
    whole = whole_model.build_whole_figure(predict_megabytes).show(whole_model.WholeSettings(rank=16))
    assert dict(glance.numbers)["memory"] == dict(whole.numbers)["peak of a step"] == "16.0 MB"
    assert dict(whole.numbers)["kept for training"] == "8.00 MB"
    assert "8.00 MB for the frozen base in 4 bits" in whole.alt


def test_the_embedded_model_at_a_glance_and_in_whole() -> None:
    # 2,442,240 trained numbers are what PEFT counts at rank 8 (tests/lora_lab/parameters); 16 bytes each.
    whole = FIGURES["adapter-of-a-model"].show(whole_model.WholeSettings(rank=8))
    assert whole.finding.startswith(
        "Rank 8 trains 2,442,240 of 136,957,248 numbers, 1.78 %. Training keeps 151 MB, not 2.15 GB: "
        "the frozen base in 4 bits and 39.1 MB for the adapter."
    )
    peak = words(whole.picture).partition("What a step needs at its peak, with activations")[2]
    assert f"adapter: {dict(whole.numbers)['peak of a step']}" in peak
    assert "if all were trained: over 2.15 GB" in peak
    glance = whole_model.build_glance_figure(predict_megabytes).show(whole_model.GlanceSettings(rank=16))
    assert glance.numbers == (("trained", "3.50 %"), ("memory", "16.0 MB"))
    full = FIGURES["full-fine-tuning-state"].show(whole_model.FullSettings())
    assert dict(full.numbers)["four sets"] == "2.15 GB"


def test_the_bars_of_the_whole_model_have_the_colours_of_their_memory() -> None:
    """Blue and orange are A and B alone."""
    full = whole_model.show_full(whole_model.FullSettings()).picture
    assert (full.count('class="m-gradients"'), full.count('class="m-optimizer"')) == (1, 2)
    shares = whole_model.show_whole(whole_model.WholeSettings(), predict_megabytes(8, "all-linear")).picture
    assert shares.count('class="m-adapters"') == 3
    assert 'class="b"' not in full + shares
    assert 'class="a"' not in full + shares


def test_a_tiny_error_is_told_in_powers_of_ten() -> None:
    picture = merging.show(merging.MergingSettings(measure="logit_error")).picture
    assert "1.1·10⁻⁶" in picture
    assert "e-0" not in picture


def test_the_relatives_train_what_the_lab_counts() -> None:
    full, dora, adalora, lora, vera = relatives.count_trained(
        relatives.RelativesSettings(rank=16, model="llama-3.1-8b")
    ).values()
    assert lora == quantities.lora_parameters("llama-3.1-8b", 16, "all-linear") == 41_943_040
    assert full > dora > adalora > lora > vera
    linears = find_shape("llama-3.1-8b").linears
    assert dora - lora == sum(one.d_out * one.count for one in linears)
    assert adalora - lora == 16 * sum(one.count for one in linears) == 3_584


def test_adalora_is_not_said_to_train_as_many_numbers_as_lora() -> None:
    said = relatives.show(relatives.RelativesSettings(rank=16, model="llama-3.1-8b")).finding
    assert "rsLoRA, LoRA+, PiSSA and LoftQ train exactly as many" in said
    assert "AdaLoRA 3,584 more if it starts from this rank" in said
    assert "other relatives" not in said


def test_one_picture_shows_what_each_relative_changes() -> None:
    companion = relatives.show(relatives.RelativesSettings()).companion
    assert companion is not None
    changed = {
        "rsLoRA": "α / √r", "DoRA": "magnitude vector", "LoRA+": "learning rate of B", "PiSSA": "singular",
        "LoftQ": "error of quantization", "AdaLoRA": "rank of each matrix", "VeRA": "two vectors, b and d",
    }  # fmt: skip
    told = {name: what for name, _, what in (one.partition(": ") for one in companion.alt.split(". "))}
    for name, piece in changed.items():
        assert piece in told[name], name
        assert f">{name}</text>" in companion.picture
    assert companion.alt.startswith("A row for each of 8 methods. LoRA: A and B are trained")
    html = FIGURES["relatives"].render_fragment({})
    assert f'aria-label="{companion.alt}"' in unescape(html)
    assert f'aria-label="{companion.alt}"' in unescape(FIGURES["relatives"].render_fragment({}, beside=()))
