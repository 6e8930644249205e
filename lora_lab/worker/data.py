"""Text to token rows: chat template, answer mask, truncation, packing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lora_lab.batches import Length
from lora_lab.datasets import Example
from study.errors import LearnerError

IGNORED = -100
"""Label of a token the loss leaves out, as PyTorch's cross-entropy has it."""

PLAIN_PROMPT = "Question: {prompt}\nAnswer: "
"""For models without a chat template."""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """One example as tokens; the last `answer_tokens` of them are trained on."""

    ids: tuple[int, ...]
    answer_tokens: int

    @property
    def length(self) -> Length:
        """What batching and memory need to know."""
        return Length(tokens=len(self.ids), answer_tokens=self.answer_tokens)


@dataclass(frozen=True, kw_only=True)
class Row:
    """Several examples in one row without padding; positions restart at each, which keeps them apart."""

    input_ids: Tensor  # (1, seq)
    position_ids: Tensor  # (1, seq)
    keep: Tensor  # (answers,) positions whose next token is trained on
    targets: Tensor  # (answers,)
    example_lengths: tuple[int, ...]  # sums to seq


def prompt_text(tokenizer: Any, prompt: str) -> str:
    """The prompt as the model is asked it, up to where its answer begins."""
    if not tokenizer.chat_template:
        return PLAIN_PROMPT.format(prompt=prompt)
    text: str = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=False
    )
    return text


def encode(tokenizer: Any, example: Example) -> Encoded:
    """Tokens of the prompt, then of the answer and the end-of-turn token."""
    special = not tokenizer.chat_template
    prompt = tokenizer(prompt_text(tokenizer, example.prompt), add_special_tokens=special)["input_ids"]
    answer = tokenizer(example.answer, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
    return Encoded(ids=tuple(prompt + answer), answer_tokens=len(answer))


def cut_to(encoded: Sequence[Encoded], seq_len_tokens: int) -> list[Encoded]:
    """Examples cut at their end; those that keep no answer token are left out.

    Raises LearnerError when nothing is left to train on.
    """
    kept = []
    for item in encoded:
        lost = max(0, len(item.ids) - seq_len_tokens)
        if item.answer_tokens > lost:
            kept.append(Encoded(ids=item.ids[:seq_len_tokens], answer_tokens=item.answer_tokens - lost))
    if not kept:
        shortest = min(len(item.ids) - item.answer_tokens for item in encoded) + 1
        raise LearnerError(
            f"At {seq_len_tokens} tokens no example keeps any of its answer.",
            do_next=f"Set the sequence length to at least {shortest} tokens.",
        )
    return kept


def pack(examples: Sequence[Encoded], device: torch.device) -> Row:
    """One row of all examples. Labels are shifted within each example, so no target crosses a border."""
    ids = [token for item in examples for token in item.ids]
    positions = [position for item in examples for position in range(len(item.ids))]
    labels: list[int] = []
    for item in examples:
        prompt_tokens = len(item.ids) - item.answer_tokens
        labels += [IGNORED] * (prompt_tokens - 1) + list(item.ids[prompt_tokens:]) + [IGNORED]
    shifted = torch.tensor(labels, device=device)
    keep = (shifted != IGNORED).nonzero()[:, 0]
    return Row(
        input_ids=torch.tensor([ids], device=device),
        position_ids=torch.tensor([positions], device=device),
        keep=keep,
        targets=shifted[keep],
        example_lengths=tuple(len(item.ids) for item in examples),
    )
