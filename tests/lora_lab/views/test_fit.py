"""Will it fit? The verdict follows from the forecast, and every change that is offered makes it fit."""

import pytest

from lora_lab.memory.frameworks.largest_batch import CONTEXT_BYTES
from lora_lab.parameters.counts import count_parameters
from lora_lab.parameters.shapes import find_shape
from lora_lab.views import fit
from lora_lab.views.memory_form import DEFAULTS, fields_of
from study.base.units import GB

LLAMA = DEFAULTS  # Llama-3.1-8B, QLoRA, r = 16, 1,024 tokens


def test_the_usual_question_has_a_one_sentence_answer() -> None:
    verdict = fit.verdict_of(LLAMA, 24 * GB)
    assert verdict.fits
    assert (
        fit.in_words(verdict) == "Fits in 24 GB with 10.6 GB left, 41,943,040 trainable parameters (0.52 %)."
    )


def test_the_count_is_the_train_pages() -> None:
    for targets in ("q+v", "attention", "all-linear"):
        verdict = fit.verdict_of({**LLAMA, "targets": targets}, 24 * GB)
        counted = count_parameters(find_shape("llama-3.1-8b"), rank=16, targets=targets)
        assert (verdict.trainable, verdict.total) == (counted.trainable, counted.total)


def test_full_fine_tuning_trains_everything() -> None:
    verdict = fit.verdict_of(fields_of({"method": "full", "bits": "bf16"}), 80 * GB)
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
    fields = fields_of(given)
    assert not fit.verdict_of(fields, size_gb * GB).fits
    offered = fit.changes(fields, size_gb * GB)
    joint = fit.together(fields, size_gb * GB)
    assert offered or joint
    assert len(offered) <= fit.OFFERED
    for change in [*offered, *([joint] if joint else [])]:
        assert fit.needed_bytes(change.fields) == change.needed_bytes <= size_gb * GB
    for change in offered:
        assert sum(fields[name] != value for name, value in change.fields.items()) == 1


def test_what_changes_no_result_is_offered_first() -> None:
    fields = fields_of({"checkpointing": "no", "seq_len": "4096"})
    first, *_ = fit.changes(fields, 24 * GB)
    assert first.fields["checkpointing"] == "yes"


def test_a_model_that_is_far_too_large_says_so() -> None:
    fields = fields_of({"model": "llama-3.1-70b"})
    assert fit.changes(fields, 12 * GB) == []
    assert fit.together(fields, 12 * GB) is None
    assert fit.smallest_gpu_gb(fields) == 80


def test_the_longest_context_is_the_last_that_fits() -> None:
    tokens = fit.longest_context(LLAMA, 24 * GB)
    assert fit.needed_bytes({**LLAMA, "seq_len": str(tokens)}) <= 24 * GB
    assert fit.needed_bytes({**LLAMA, "seq_len": str(tokens + 1)}) > 24 * GB
    assert fit.longest_context(LLAMA, 2 * GB) == 0


def test_weights_differ_by_the_cast_to_fp32_and_only_where_weights_are_quantized() -> None:
    found = fit.other_weights(LLAMA)
    assert found is not None
    cast, kept, own = found
    shape = find_shape("llama-3.1-8b")
    outer = shape.embedding_parameters + shape.head_parameters + shape.other_parameters
    assert cast - kept == 2 * outer
    assert kept < own < cast
    assert fit.other_weights({**LLAMA, "bits": "bf16"}) is None


def test_the_drivers_share_is_counted() -> None:
    verdict = fit.verdict_of(LLAMA, 24 * GB)
    assert fit.verdict_of(LLAMA, verdict.needed_bytes).fits
    assert not fit.verdict_of(LLAMA, verdict.needed_bytes - 1).fits
    assert verdict.needed_bytes > CONTEXT_BYTES
