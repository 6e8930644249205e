"""Figures of training: memory against the lab's functions, recorded runs against its predictions."""

from pathlib import Path

import pytest

from lora_lab.figures.recorded import read_recording
from lora_lab.figures.training import (
    checkpointing,
    error_bars,
    kv_cache,
    paged_optimizer,
    rate_schedule,
    split_over_gpus,
    trained_tokens,
    training_memory,
)
from lora_lab.memory.kv_cache import kv_cache_bytes
from lora_lab.memory.optimizer_state import list_trained_tensors, optimizer_bytes
from lora_lab.parameters.shapes import find_shape
from lora_lab.quantities import accuracy_standard_error, zero_bytes_per_gpu
from study.base.errors import LearnerError
from study.base.units import GB, MB

ROOT = Path(__file__).parents[4]


def test_full_fine_tuning_of_65b_is_near_the_papers_780_gb_and_qlora_near_its_48_gb() -> None:
    full, lora, qlora = training_memory.predict_ledgers(training_memory.MemorySettings())
    stated_full = training_memory.find_published("llama-65b", "full")
    stated_qlora = training_memory.find_published("llama-65b", "qlora")
    assert (stated_full, stated_qlora) == (780 * GB, 48 * GB)
    assert full.total_bytes == pytest.approx(stated_full, rel=0.01)
    assert qlora.total_bytes == pytest.approx(stated_qlora, rel=0.01)
    assert qlora.total_bytes < lora.total_bytes < full.total_bytes


def test_published_points_are_drawn_only_at_the_model_they_are_for() -> None:
    assert training_memory.show(training_memory.MemorySettings()).picture.count('class="published"') == 2
    other = training_memory.show(training_memory.MemorySettings(model="llama-7b"))
    assert 'class="published"' not in other.picture
    assert "drawn for llama-65b" in other.origins[1].text


def test_recorded_peaks_are_what_the_lab_predicts() -> None:
    for length in checkpointing.LENGTHS:
        for run in checkpointing.compare_steps(checkpointing.CheckpointingSettings(seq_len=length)):
            assert run.predicted_bytes == pytest.approx(run.peak_bytes, abs=64)
            assert max(run.live_bytes) == run.peak_bytes


def test_checkpointing_lowers_the_peak_and_runs_more_operators() -> None:
    without, with_ = checkpointing.compare_steps(checkpointing.CheckpointingSettings(seq_len=256))
    assert with_.peak_bytes < without.peak_bytes
    assert with_.operators > without.operators


def test_the_lesson_says_how_much_longer_the_recorded_steps_took() -> None:
    longer = []
    for length in checkpointing.LENGTHS:
        without, with_ = checkpointing.compare_steps(checkpointing.CheckpointingSettings(seq_len=length))
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


def test_a_cache_grows_with_tokens_and_texts_and_shrinks_with_shared_heads() -> None:
    one = kv_cache.compute_numbers(kv_cache.CacheSettings(tokens=1024, model="llama-3.1-8b"))
    many = kv_cache.compute_numbers(kv_cache.CacheSettings(tokens=2048, batch=8, model="llama-3.1-8b"))
    assert one.cache == kv_cache_bytes(find_shape("llama-3.1-8b"), tokens=1024)
    assert many.cache == 16 * one.cache
    assert one.unshared == 4 * one.cache
    unshared = kv_cache.compute_numbers(kv_cache.CacheSettings(tokens=1024, model="llama-2-7b"))
    assert unshared.unshared == unshared.cache


def test_from_the_named_length_on_the_cache_is_larger_than_the_weights() -> None:
    found = kv_cache.compute_numbers(kv_cache.CacheSettings())
    assert found.overtakes_at * found.per_token == pytest.approx(found.weights_4)
    assert found.weights_4 < found.weights_16


@pytest.mark.parametrize("schedule", rate_schedule.NAMES)
def test_a_schedule_peaks_after_its_warm_up(schedule: str) -> None:
    chosen = rate_schedule.RateSettings(schedule=schedule, warmup=100, step=100)
    assert rate_schedule.compute_numbers(chosen).now == pytest.approx(100)
    assert rate_schedule.compute_percent_of_peak(chosen, 50) == pytest.approx(50)
    ends = rate_schedule.compute_percent_of_peak(chosen, rate_schedule.STEPS)
    assert ends == pytest.approx(100 if schedule == "constant" else 0, abs=1e-9)


def test_four_times_the_questions_halve_the_bar() -> None:
    few, many = error_bars.compute_numbers(70, 100), error_bars.compute_numbers(70, 400)
    assert few.half_width == pytest.approx(2 * many.half_width)
    assert few.half_width == pytest.approx(1.96 * accuracy_standard_error(0.7, 100))
    assert few.needed_gap == pytest.approx(few.half_width * 2**0.5)


def test_each_stage_holds_no_more_than_the_one_before() -> None:
    shown = split_over_gpus.split_bytes(split_over_gpus.ShardingSettings(gpus=8, model="llama-3.1-8b"))
    sizes = [sum(each.values()) for each in shown.values()]
    assert sizes == sorted(sizes, reverse=True)
    parameters = find_shape("llama-3.1-8b").total_parameters
    assert sizes[:4] == [zero_bytes_per_gpu(parameters, 8, stage) for stage in range(4)]


def test_on_one_gpu_nothing_is_split() -> None:
    shown = split_over_gpus.split_bytes(split_over_gpus.ShardingSettings(gpus=1, model="llama-3.1-8b"))
    full = [sum(shown[label].values()) for label in split_over_gpus.LABELS.values()]
    assert len(set(full)) == 1
    assert "on 1 GPU:" in split_over_gpus.show(split_over_gpus.ShardingSettings(gpus=1)).finding
