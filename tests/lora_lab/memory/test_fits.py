"""What fits: never less in more memory, never more at a greater length."""

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from lora_lab.views import fit
from lora_lab.views.memory_form import CHOICES, read_fields
from study.base.units import GB
from tests.lora_lab.memory_fields import complete

SOME = ["llama-3.2-1b", "llama-2-7b"]


def batches(size_gb: int, *, models: list[str] = SOME, **given: str) -> list[int]:
    found = [
        fit.find_largest_batch(complete({**given, "model": model, "bits": bits}), size_gb * GB)
        for model in models
        for bits, _ in CHOICES["bits"]
    ]
    assert None not in found
    return [batch or 0 for batch in found]


@limits(max_examples=8)
@given(size_gb=st.integers(1, 100), more_gb=st.integers(0, 100), seq_len=st.integers(64, 4096))
def test_more_memory_never_fits_less(size_gb: int, more_gb: int, seq_len: int) -> None:
    small, large = (batches(size, rank="8", seq_len=str(seq_len)) for size in (size_gb, size_gb + more_gb))
    assert all(a <= b for a, b in zip(small, large, strict=True))


@limits(max_examples=8)
@given(size_gb=st.integers(1, 100), seq_len=st.integers(64, 2048), factor=st.integers(1, 4))
def test_longer_sequences_never_fit_a_larger_batch(size_gb: int, seq_len: int, factor: int) -> None:
    short, long = (batches(size_gb, rank="8", seq_len=str(each)) for each in (seq_len, seq_len * factor))
    assert all(a >= b for a, b in zip(short, long, strict=True))


def test_the_batch_shown_is_the_largest_that_is_predicted_to_fit() -> None:
    fields = complete({"model": "llama-2-7b"})
    batch = fit.find_largest_batch(fields, 24 * GB)
    assert batch is not None
    needed = [fit.compute_needed_bytes({**fields, "batch": str(each)}) for each in (batch, batch + 1)]
    assert needed[0] <= 24 * GB < needed[1]


@pytest.mark.parametrize("framework", ["transformers Trainer", "trl SFTTrainer", "unsloth"])
def test_the_batch_shown_is_of_the_chosen_framework(framework: str) -> None:
    fields = complete({"framework": framework, "targets": "q+v", "optimizer": "sgd"})
    batch = fit.find_largest_batch(fields, 12 * GB)
    assert bool(batch) == (fit.compute_needed_bytes({**fields, "batch": "1"}) <= 12 * GB)


def test_what_does_not_fit_at_all_says_zero() -> None:
    fields = complete({"model": "llama-65b", "rank": "8", "seq_len": "512"})
    assert {fit.find_largest_batch({**fields, "bits": bits}, 8 * GB) for bits, _ in CHOICES["bits"]} == {0}


def test_what_is_not_computed_is_told_from_zero() -> None:
    _, problems = read_fields({"model": "bert-base", "framework": "unsloth"})
    assert "does not compute the memory of the model 'bert-base'" in problems["model"]
    assert fit.find_largest_batch(complete({"method": "full", "bits": "nf4"}), 80 * GB) is None
