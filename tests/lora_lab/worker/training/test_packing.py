"""Packed rows: the padded loss exactly, no example sees another, and only answers are trained on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lora_lab.data.batches import SHORT_EXAMPLE_TOKENS, Length, compute_row_sizes, step_plan, truncate_length
from lora_lab.data.datasets import Example
from lora_lab.spec import TINY_MODEL, RunSpec
from lora_lab.worker.model.load import build_tiny_tokenizer, load_tokenizer
from lora_lab.worker.training.group import count_shared_tokens
from lora_lab.worker.training.loop import held_out_loss
from lora_lab.worker.training.packing import (
    Encoded,
    cut_to,
    encode_example,
    list_lengths,
    pack_examples,
    render_prompt,
)
from study.base.errors import LearnerError
from tests.lora_lab.worker.builders import CPU, Lab, open_lab, padded_loss, silent, small_dataset

SPEC = RunSpec(model=TINY_MODEL, bits="nf4", seq_len_tokens=256, compute_dtype="fp32")


@pytest.fixture(scope="module")
def lab(models_dir: Path) -> Lab:
    """A tiny model after two real steps, so that its adapter is away from zero."""
    opened = open_lab(SPEC, "fp32", models_dir)
    opened.train(replace(SPEC, steps=2))
    return opened


@pytest.mark.parametrize("batch", [1, 2, 4, 7])
def test_a_packed_row_has_the_padded_batchs_loss(lab: Lab, batch: int) -> None:
    examples = lab.examples[:batch]
    assert len({len(item.ids) for item in examples}) > 1 or batch == 1
    assert lab.loss(examples).item() == pytest.approx(padded_loss(lab.model, examples).item(), abs=1e-4)


def test_changing_one_example_leaves_the_others_losses_alone(lab: Lab) -> None:
    first, second, third = lab.examples[:3]
    other = replace(second, ids=tuple(reversed(second.ids)))

    before, after = token_losses(lab, [first, second, third]), token_losses(lab, [first, other, third])

    ends = [first.answer_tokens, first.answer_tokens + second.answer_tokens]
    torch.testing.assert_close(before[: ends[0]], after[: ends[0]], rtol=0, atol=1e-5)
    torch.testing.assert_close(before[ends[1] :], after[ends[1] :], rtol=0, atol=1e-5)
    assert (before[ends[0] : ends[1]] - after[ends[0] : ends[1]]).abs().max() > 0.01, (
        "it was not changed at all"
    )


def test_an_example_has_the_same_losses_alone_and_in_a_row(lab: Lab) -> None:
    first, second = lab.examples[:2]
    together = token_losses(lab, [first, second])
    torch.testing.assert_close(together[: first.answer_tokens], token_losses(lab, [first]), rtol=0, atol=1e-5)
    torch.testing.assert_close(
        together[first.answer_tokens :], token_losses(lab, [second]), rtol=0, atol=1e-5
    )


@torch.no_grad()
def token_losses(lab: Lab, examples: Sequence[Encoded]) -> Tensor:
    """Of every answer token in the row, through the forward that training takes."""
    row = pack_examples(examples, CPU)
    with forward_of(lab) as seen:
        lab.loss(examples)
    return F.cross_entropy(seen["logits"], row.targets, reduction="none")


@contextmanager
def forward_of(lab: Lab) -> Iterator[dict[str, Any]]:
    """What the model is called with, and the logits it answers with."""
    seen: dict[str, Any] = {}

    def listen(module: object, args: object, kwargs: dict[str, Any], output: Any) -> None:
        seen.update(kwargs, logits=output.logits[0].detach())

    handle = lab.model.register_forward_hook(listen, with_kwargs=True)
    try:
        yield seen
    finally:
        handle.remove()


def test_training_and_evaluation_run_without_a_cache(lab: Lab) -> None:
    """docs/traps.md 10: with a cache, packed examples attend to each other without a warning."""
    with forward_of(lab) as seen:
        lab.loss(lab.examples[:2])
    assert seen["use_cache"] is False

    with forward_of(lab) as seen:
        held_out_loss(lab.model, lab.examples[:2], nullcontext)
    assert seen["use_cache"] is False


def test_held_out_loss_is_the_mean_over_all_answer_tokens(lab: Lab) -> None:
    """Twelve examples are more than one evaluation row."""
    examples = lab.examples[:12]
    losses = torch.cat([token_losses(lab, [item]) for item in examples])
    assert held_out_loss(lab.model, examples, nullcontext) == pytest.approx(losses.mean().item(), abs=1e-5)


# ---- from text to tokens

PAIR = Example(prompt="Why?", answer="So.")


def test_only_the_answer_and_its_end_are_trained_on() -> None:
    tokenizer = build_tiny_tokenizer()
    encoded = encode_example(tokenizer, PAIR)
    prompt = "Question: Why?\nAnswer: "
    assert tokenizer.decode(encoded.ids[: -encoded.answer_tokens]) == prompt
    assert tokenizer.decode(encoded.ids[-encoded.answer_tokens : -1]) == "So."
    assert encoded.ids[-1] == tokenizer.eos_token_id

    row = pack_examples([encoded], CPU)
    assert row.targets.tolist() == list(encoded.ids[-encoded.answer_tokens :])
    assert row.keep.tolist() == list(range(len(prompt) - 1, len(encoded.ids) - 1))


@pytest.mark.embedded
def test_a_chat_model_is_asked_in_its_own_template(embedded_dir: Path) -> None:
    tokenizer = load_tokenizer("smollm2-135m", embedded_dir, silent)
    encoded = encode_example(tokenizer, PAIR)
    text = tokenizer.decode(encoded.ids)
    assert text.startswith(render_prompt(tokenizer, "Why?"))
    assert text.endswith("<|im_start|>assistant\nSo.<|im_end|>")
    assert text.count("<|im_start|>system") == 1


def test_no_target_crosses_from_one_example_to_the_next() -> None:
    tokenizer = build_tiny_tokenizer()
    first, second = (
        encode_example(tokenizer, PAIR),
        encode_example(tokenizer, Example(prompt="And then?", answer="Nothing.")),
    )
    row = pack_examples([first, second], CPU)
    assert row.position_ids.tolist() == [[*range(len(first.ids)), *range(len(second.ids))]]
    assert len(first.ids) - 1 not in row.keep.tolist()
    assert row.targets.tolist() == [
        *first.ids[-first.answer_tokens :],
        *second.ids[-second.answer_tokens :],
    ]


def test_a_long_example_is_cut_at_its_end_and_one_without_answer_is_left_out() -> None:
    short, long = Encoded(ids=(1,) * 20, answer_tokens=5), Encoded(ids=(2,) * 40, answer_tokens=10)
    assert cut_to([short, long], 34) == [short, Encoded(ids=(2,) * 34, answer_tokens=4)]
    assert cut_to([short, long], 30) == [short]


def test_the_estimate_cuts_as_the_loop_does() -> None:
    """Batches and row sizes are planned from lengths alone, in another process."""
    encoded = [Encoded(ids=(1,) * (10 + 3 * n), answer_tokens=2 + n) for n in range(12)]
    kept = cut_to(encoded, 24)
    assert [item.length for item in kept] == [
        length
        for item in encoded
        if (length := truncate_length(item.length, seq_len_tokens=24)).answer_tokens
    ]
    sizes = compute_row_sizes(
        [item.length for item in encoded], RunSpec(batch=3, steps=5, seed=1, seq_len_tokens=24)
    )
    assert all(size.examples == 3 for size in sizes)
    assert max(size.tokens for size in sizes) <= 3 * 24


def test_rows_are_planned_with_the_shared_prefix_once_as_they_are_packed() -> None:
    examples = [encode_example(build_tiny_tokenizer(), example) for example in small_dataset().train]
    lengths, spec = list_lengths(examples), RunSpec(batch=3, steps=5, seed=1)
    planned = compute_row_sizes(lengths, spec)
    plan = step_plan(len(examples), batch=spec.batch, steps=spec.steps, seed=spec.seed)
    shared = count_shared_tokens(examples, CPU)
    assert planned == [pack_examples([examples[i] for i in row], CPU, shared=shared).size for row in plan]
    assert all(row.shared == shared > 0 for row in planned)


def test_the_fused_kernel_computes_a_shared_prefix_in_every_example() -> None:
    short, spec = Length(tokens=30, answer_tokens=5, shared=9), RunSpec(batch=2, steps=1, seq_len_tokens=512)
    long = replace(short, tokens=SHORT_EXAMPLE_TOKENS + 1)
    (row,) = compute_row_sizes([short, short], spec)
    assert (row.tokens, row.attended) == (51, [(9, 9), (21, 30), (21, 30)])
    for lengths, on_gpu in (([short, short], True), ([short, long], False)):
        (row,) = compute_row_sizes(lengths, spec, on_gpu=on_gpu)
        assert row.tokens == sum(length.tokens for length in lengths)


def test_data_too_short_for_any_answer_names_the_length_that_would_do() -> None:
    with pytest.raises(LearnerError, match="At 16 tokens no example keeps any of its answer") as caught:
        cut_to([encode_example(build_tiny_tokenizer(), example) for example in small_dataset().train], 16)
    shortest = int("".join(character for character in caught.value.do_next if character.isdigit()))
    assert (
        len(cut_to([encode_example(build_tiny_tokenizer(), e) for e in small_dataset().train], shortest)) > 0
    )
