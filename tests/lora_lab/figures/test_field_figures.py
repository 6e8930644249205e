"""Figures of the wider field: their numbers are those of the lab's functions."""

from html import unescape

import pytest

from lora_lab.figures import FIGURES
from lora_lab.figures.adapters import relatives
from lora_lab.figures.quantization import four_bit_formats
from lora_lab.figures.training import error_bars, kv_cache, rate_schedule, split_over_gpus
from lora_lab.memory.kv_cache import kv_cache_bytes
from lora_lab.parameters.shapes import find_shape
from lora_lab.quantities import accuracy_standard_error, lora_parameters, zero_bytes_per_gpu


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


def test_the_relatives_train_what_the_lab_counts() -> None:
    full, dora, adalora, lora, vera = relatives.count_trained(
        relatives.RelativesSettings(rank=16, model="llama-3.1-8b")
    ).values()
    assert lora == lora_parameters("llama-3.1-8b", 16, "all-linear") == 41_943_040
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


def test_a_block_is_missed_by_the_error_of_its_format() -> None:
    chosen = four_bit_formats.FormatSettings(format="mxfp4")
    shown = four_bit_formats.show(chosen)
    error = four_bit_formats.error_percent("mxfp4", chosen.block)
    assert f"with a relative error of {error:.1f} %" in shown.finding
    assert shown.table is not None
    assert [row[1] for row in shown.table.rows] == ["4.5", "4.25", "4.5"]


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
