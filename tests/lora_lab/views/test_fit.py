"""Will it fit? The verdict follows from the forecast, and every change that is offered makes it fit."""

import pytest

from lora_lab.memory.frameworks.contract import parse_setting
from lora_lab.memory.frameworks.forecast import forecast_step
from lora_lab.memory.gpus import CUDA_OVERHEAD_BYTES, GPUS
from lora_lab.parameters.counts import count_parameters
from lora_lab.parameters.shapes import find_shape
from lora_lab.views import fit
from lora_lab.views.memory_form import DEFAULTS, build_contract_record
from study.base.units import GB
from tests.lora_lab.memory_fields import complete

LLAMA = DEFAULTS  # Llama-3.1-8B, QLoRA, r = 16, 1,024 tokens


def test_the_usual_question_has_a_one_sentence_answer() -> None:
    verdict = fit.compute_verdict(LLAMA, 24 * GB)
    assert verdict.fits
    assert fit.describe_verdict(verdict, "24 GB") == "Fits in 24 GB with 10.6 GB left."
    assert fit.describe_trained(verdict) == "41,943,040 trainable parameters (0.52 %)."


def test_near_the_edge_the_sentence_says_what_is_missing() -> None:
    verdict = fit.compute_verdict(LLAMA, fit.compute_needed_bytes(LLAMA) - 31_000_000)
    assert fit.describe_verdict(verdict, "24 GB") == "Does not fit in 24 GB: 31.0 MB short."


def test_the_count_is_the_train_pages() -> None:
    for targets in ("q+v", "attention", "all-linear"):
        verdict = fit.compute_verdict({**LLAMA, "targets": targets}, 24 * GB)
        counted = count_parameters(find_shape("llama-3.1-8b"), rank=16, targets=targets)
        assert (verdict.trainable, verdict.total) == (counted.trainable, counted.total)


def test_full_fine_tuning_trains_everything() -> None:
    verdict = fit.compute_verdict(complete({"method": "full", "bits": "bf16"}), 80 * GB)
    assert verdict.trainable == verdict.total == find_shape("llama-3.1-8b").total_parameters


TOO_LARGE = [
    ({}, 12),
    ({"batch": "8"}, 16),
    ({"bits": "bf16"}, 16),
    ({"method": "full", "bits": "bf16"}, 24),
    ({"checkpointing": "no", "seq_len": "4096"}, 24),
    ({"rank": "512", "optimizer": "adamw"}, 24),
    ({"model": "llama-3.2-1b", "seq_len": "32768"}, 8),
]


@pytest.mark.parametrize(("given", "size_gb"), TOO_LARGE)
def test_every_change_that_is_offered_makes_it_fit(given: dict[str, str], size_gb: int) -> None:
    fields = complete(given)
    assert not fit.compute_verdict(fields, size_gb * GB).fits
    offered = fit.list_changes(fields, size_gb * GB)
    joint = fit.combine_changes(fields, size_gb * GB)
    assert offered or joint
    assert len(offered) <= fit.OFFERED
    for change in [*offered, *([joint] if joint else [])]:
        assert fit.compute_needed_bytes(change.fields) == change.needed_bytes <= size_gb * GB
    for change in offered:
        assert sum(fields[name] != value for name, value in change.fields.items()) == 1


def test_what_changes_no_result_is_offered_first() -> None:
    fields = complete({"checkpointing": "no", "seq_len": "4096"})
    first, *_ = fit.list_changes(fields, 24 * GB)
    assert first.fields["checkpointing"] == "yes"


def test_a_model_that_is_far_too_large_says_so() -> None:
    fields = complete({"model": "llama-3.1-70b"})
    assert fit.list_changes(fields, 12 * GB) == []
    assert fit.combine_changes(fields, 12 * GB) is None
    assert fit.find_smallest_gpu_gb(fields) == 80


def test_changes_of_framework_optimizer_matrices_rank_and_context_are_combined() -> None:
    fields = complete({"model": "qwen3-14b"})
    joint = fit.combine_changes(fields, 12 * GB)
    assert fit.list_changes(fields, 12 * GB) == []
    assert joint is not None
    assert joint.fields["framework"] == "unsloth"
    assert joint.needed_bytes <= 12 * GB
    assert len(joint.freed) == len(joint.texts)
    assert min(joint.freed) >= 0
    assert (
        fit.compute_needed_bytes(fields) - sum(joint.freed)
        == joint.needed_bytes
        == fit.compute_needed_bytes(joint.fields)
    )

    smaller = {**fields, "rank": "256", "targets": "all-linear"}
    least = fit.compute_needed_bytes({**joint.fields, "rank": "1", "targets": "q+v", "seq_len": "64"})
    tight = fit.combine_changes(smaller, least)
    assert tight is not None
    assert (tight.fields["targets"], tight.fields["rank"]) == ("q+v", "1")
    assert "adapters on query + value only" in ", ".join(tight.texts)
    assert fit.combine_changes(smaller, least - 1) is None


def test_of_several_ranks_that_fit_only_the_highest_is_offered() -> None:
    fields = complete({"rank": "512", "framework": "unsloth", "loss": "chunked cross-entropy"})
    offered = fit.list_changes(fields, fit.compute_needed_bytes({**fields, "rank": "64"}))
    ranks = [change.fields["rank"] for change in offered if change.fields["rank"] != "512"]
    assert ranks in ([], ["64"])
    assert len({tuple(change.texts) for change in offered}) == len(offered)


def test_an_offered_context_is_the_longest_that_fits() -> None:
    fields = complete({"model": "llama-3.2-1b", "seq_len": "131072", "framework": "unsloth"})
    size = fit.compute_needed_bytes({**fields, "seq_len": "9000"})
    found = [each for each in fit.list_changes(fields, size) if each.fields["seq_len"] != "131072"]
    for change in found:
        assert change.fields["seq_len"] == str(fit.find_longest_context(fields, size))


def test_what_makes_a_longer_text_fit_is_offered_with_its_length() -> None:
    longest = fit.find_longest_context(LLAMA, 24 * GB)
    offered = fit.list_longer_texts(LLAMA, 24 * GB)
    assert 0 < len(offered) <= fit.OFFERED + 1
    for change in offered:
        tokens = int(change.fields["seq_len"])
        assert tokens > fit.LONGER * longest - 1
        assert tokens == fit.find_longest_context(change.fields, 24 * GB)
        assert change.needed_bytes <= 24 * GB
    assert fit.list_longer_texts({**LLAMA, **offered[-1].fields}, 24 * GB) == []


def test_a_card_has_what_pytorch_reports_for_it() -> None:
    for gpu in GPUS.values():
        assert 0.9 * gpu.gb < gpu.gib < gpu.gb, gpu
        assert gpu.source
    assert GPUS[24].total_bytes == round(23.64 * 2**30)
    assert fit.find_smallest_gpu_gb(LLAMA) == next(
        gpu.gb for gpu in GPUS.values() if gpu.total_bytes >= fit.compute_needed_bytes(LLAMA)
    )


def test_newer_trl_leaves_in_16_bits_what_older_trl_widened() -> None:
    older, newer = (
        forecast_step(
            parse_setting(build_contract_record({**LLAMA, "framework": each}), find_shape("llama-3.1-8b"))
        )
        for each in ("trl SFTTrainer", "trl>=0.26")
    )
    assert newer.adapters * 2 == older.adapters
    assert newer.total_bytes < older.total_bytes
    plain = {**LLAMA, "bits": "bf16", "framework": "trl>=0.26"}
    on_16_bits = forecast_step(parse_setting(build_contract_record(plain), find_shape("llama-3.1-8b")))
    assert on_16_bits.adapters == older.adapters


def test_the_longest_context_is_the_last_that_fits() -> None:
    tokens = fit.find_longest_context(LLAMA, 24 * GB)
    assert fit.compute_needed_bytes({**LLAMA, "seq_len": str(tokens)}) <= 24 * GB
    assert fit.compute_needed_bytes({**LLAMA, "seq_len": str(tokens + 1)}) > 24 * GB
    assert fit.find_longest_context(LLAMA, 2 * GB) == 0


def test_weights_differ_by_the_cast_to_fp32_and_only_where_weights_are_quantized() -> None:
    found = fit.compare_weights(LLAMA)
    assert found is not None
    cast, kept, own = found
    shape = find_shape("llama-3.1-8b")
    outer = shape.embedding_parameters + shape.head_parameters + shape.other_parameters
    assert cast - kept == 2 * outer
    assert kept < own < cast
    assert fit.compare_weights({**LLAMA, "bits": "bf16"}) is None


def test_the_drivers_share_is_counted() -> None:
    verdict = fit.compute_verdict(LLAMA, 24 * GB)
    assert fit.compute_verdict(LLAMA, verdict.needed_bytes).fits
    assert not fit.compute_verdict(LLAMA, verdict.needed_bytes - 1).fits
    assert verdict.needed_bytes > CUDA_OVERHEAD_BYTES
