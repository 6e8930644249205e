"""Figures of training: memory against the lab's functions, recorded runs against its predictions."""

from pathlib import Path

import pytest

from lora_lab.figures import FIGURES
from lora_lab.figures.adapters import backward_graph, first_steps, forward_types, merging, whole_model
from lora_lab.figures.recorded import read_recording
from lora_lab.figures.training import checkpointing, paged_optimizer, trained_tokens, training_memory
from lora_lab.memory.ledger import COMPONENTS, Ledger, code_bytes, matrix_constant_bytes
from lora_lab.memory.optimizer_state import list_trained_tensors, optimizer_bytes
from lora_lab.parameters.shapes import find_shape
from lora_lab.runs.cost_preview import PredictedStep
from study.base.errors import LearnerError
from study.base.units import GB, MB
from tests.visits import words

ROOT = Path(__file__).parents[3]


def test_full_fine_tuning_of_65b_is_near_the_papers_780_gb_and_qlora_near_its_48_gb() -> None:
    full, lora, qlora = training_memory.predict_ledgers(training_memory.MemorySettings())
    stated_full = training_memory.find_published("llama-65b", "full")
    stated_qlora = training_memory.find_published("llama-65b", "qlora")
    assert (stated_full, stated_qlora) == (780 * GB, 48 * GB)
    assert full.total_bytes == pytest.approx(stated_full, rel=0.01)
    assert qlora.total_bytes == pytest.approx(stated_qlora, rel=0.01)
    assert qlora.total_bytes < lora.total_bytes < full.total_bytes


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


def test_published_points_are_drawn_only_at_the_model_they_are_for() -> None:
    assert training_memory.show(training_memory.MemorySettings()).picture.count('class="published"') == 2
    other = training_memory.show(training_memory.MemorySettings(model="llama-7b"))
    assert 'class="published"' not in other.picture
    assert "drawn for llama-65b" in other.origins[1].text


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


def test_recorded_peaks_are_what_the_lab_predicts() -> None:
    for length in checkpointing.LENGTHS:
        for run in checkpointing.compare_runs(checkpointing.CheckpointingSettings(seq_len=length)):
            assert run.predicted_bytes == pytest.approx(run.peak_bytes, abs=64)
            assert max(run.live_bytes) == run.peak_bytes


def test_checkpointing_lowers_the_peak_and_runs_more_operators() -> None:
    without, with_ = checkpointing.compare_runs(checkpointing.CheckpointingSettings(seq_len=256))
    assert with_.peak_bytes < without.peak_bytes
    assert with_.operators > without.operators


def test_the_lesson_says_how_much_longer_the_recorded_steps_took() -> None:
    longer = []
    for length in checkpointing.LENGTHS:
        without, with_ = checkpointing.compare_runs(checkpointing.CheckpointingSettings(seq_len=length))
        longer.append(round(100 * (with_.cpu_seconds / without.cpu_seconds - 1)))
    said = " ".join((ROOT / "study/lessons/gradient-checkpointing.yaml").read_text("utf-8").split())
    first, second, last = longer
    lengths = "{}, {} and {}".format(*checkpointing.LENGTHS)
    assert f"{first}, {second} and {last} percent higher for {lengths} tokens" in said


def test_the_moments_that_paging_could_move_are_those_the_lab_counts() -> None:
    run = read_recording("training")["spike"]
    shape = find_shape("smollm2-135m")
    tensors = list_trained_tensors(shape.linears, rank=run["rank"], variant="lora")
    assert run["optimizer_bytes"] == optimizer_bytes(tensors, run["optimizer"])


def test_paging_moves_no_more_than_the_moments_and_only_where_they_are_needed() -> None:
    moments = paged_optimizer.compute_movable_bytes()
    for limit in paged_optimizer.LIMITS:
        for step in paged_optimizer.list_steps(paged_optimizer.PagingSettings(limit=limit, paging="on")):
            assert 0 <= step.moved_bytes <= moments
            assert step.fits == (step.peak_bytes - step.moved_bytes <= limit * MB)
        for step in paged_optimizer.list_steps(paged_optimizer.PagingSettings(limit=limit, paging="off")):
            assert step.moved_bytes == 0


def test_a_run_that_stops_says_at_which_step_and_that_the_move_itself_was_not_measured() -> None:
    shown = paged_optimizer.show(paged_optimizer.PagingSettings(limit=1600, paging="off"))
    assert "the run stops at step 8: nothing can move" in shown.finding
    saved = paged_optimizer.show(paged_optimizer.PagingSettings(limit=1600, paging="on"))
    assert "the run continues" in saved.finding
    assert any("was not measured: it needs a GPU" in origin.text for origin in saved.origins)


def test_step_1_has_nothing_to_page_and_a_later_step_too_little() -> None:
    first, later = (
        paged_optimizer.show(paged_optimizer.PagingSettings(limit=limit, paging="on")).finding
        for limit in (700, 900)
    )
    assert "stops at step 1: moments are made only at the end of that step" in first
    assert "stops at step 8: moving all 142 MB that bitsandbytes pages is not enough" in later


@pytest.mark.parametrize("steps", merging.STEPS)
def test_merging_in_32_bits_changes_nothing_and_into_nf4_rounds_most_of_the_update_away(steps: int) -> None:
    exact, half, again = merging.list_ways(steps)
    taken = merging.read_snapshot(steps)
    assert (exact.id, half.id, again.id) == ("fp32", "bf16", "nf4")
    assert exact.logit_error < 1e-5 < half.logit_error < again.logit_error
    assert merging.compute_gain_kept(exact, taken) == pytest.approx(100, abs=0.01)
    assert merging.compute_gain_kept(again, taken) < 15


def test_the_answer_and_the_end_of_turn_are_trained_on_and_nothing_else() -> None:
    tokens = trained_tokens.mark_tokens(trained_tokens.read_recorded, trained_tokens.TokensSettings())
    trained = "".join(token.text for token in tokens if token.kind == "trained")
    assert trained == f"{trained_tokens.ANSWER}<|im_end|>"
    assert {token.kind for token in tokens} == {"masked", "trained"}


def test_what_lies_beyond_the_cut_is_lost() -> None:
    settings = trained_tokens.TokensSettings(seq_len=48)
    tokens = trained_tokens.mark_tokens(trained_tokens.read_recorded, settings)
    assert [token.kind for token in tokens].index("cut") == 48


def test_what_is_trained_on_is_named_only_as_far_as_it_is_left(tmp_path: Path) -> None:
    figure = trained_tokens.build_tokens_figure(tmp_path)
    whole, some, none = (
        figure.show(trained_tokens.TokensSettings(seq_len=length)).finding for length in (128, 48, 32)
    )
    assert "19 are trained on (31.1 %): the answer and its end-of-turn token. The other 42" in whole
    assert "6 are trained on (12.5 %): what is left of the answer. The other 42" in some
    assert "13 more at the end are cut off" in some
    assert "0 are trained on (0 %). The other 32" in none


def test_without_the_tokenizer_own_words_are_answered_with_what_to_do(tmp_path: Path) -> None:
    figure = trained_tokens.build_tokens_figure(tmp_path)
    assert "19 are trained on" in figure.render_fragment({})
    with pytest.raises(LearnerError, match="Open the Lab, wait"):
        figure.answer({"prompt": "Mine", "answer": "Yours"})


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
