"""Tokenization and packing of examples: chat template, answer mask, truncation, packed rows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor

from lora_lab.data.batches import Length, RowSize
from lora_lab.data.datasets import Example
from study.base.errors import LearnerError

IGNORED = -100
"""The label of a token that the loss ignores, as in PyTorch's cross-entropy."""

PLAIN_PROMPT = "Question: {prompt}\nAnswer: "
"""The prompt template for models without a chat template."""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """An example as tokens; the last `answer_tokens` of them are trained on."""

    ids: tuple[int, ...]
    answer_tokens: int

    @property
    def length(self) -> Length:
        """The length of this example alone; `list_lengths` also knows what it shares with others."""
        return Length(tokens=len(self.ids), answer_tokens=self.answer_tokens)


@dataclass(frozen=True, kw_only=True)
class PackedRow:
    """Several examples in one row without padding; positions restart at each, which separates the examples.

    With `shared`, the row begins with a prefix of that many tokens, which all examples share, followed by the
    rest of each example.
    """

    input_ids: Tensor  # (1, seq)
    position_ids: Tensor  # (1, seq)
    keep: Tensor  # (answers,) positions whose next token is trained on
    targets: Tensor  # (answers,)
    example_lengths: tuple[int, ...]  # of the shared prefix, if any, and of the rests; sums to seq
    shared: int = 0

    @property
    def size(self) -> RowSize:
        """The size that memory estimates use."""
        before = self.shared if len(self.example_lengths) > 1 else 0
        own = self.example_lengths[1:] if before else self.example_lengths
        lengths = tuple(before + length for length in own)
        return RowSize(lengths=lengths, answer_tokens=self.targets.numel(), shared=before)


def render_prompt(tokenizer: Any, prompt: str) -> str:
    """Format the prompt as the model's input, up to the start of its answer."""
    if not tokenizer.chat_template:
        return PLAIN_PROMPT.format(prompt=prompt)
    text: str = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=False
    )
    return text


def encode_example(tokenizer: Any, example: Example) -> Encoded:
    """Encode the prompt, then the answer and the end-of-turn token."""
    special = not tokenizer.chat_template
    prompt = tokenizer(render_prompt(tokenizer, example.prompt), add_special_tokens=special)["input_ids"]
    answer = tokenizer(example.answer, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
    return Encoded(ids=tuple(prompt + answer), answer_tokens=len(answer))


def cut_to(encoded: Sequence[Encoded], seq_len_tokens: int, *, part: str = "") -> list[Encoded]:
    """Truncate examples at their end; those that keep no answer token are left out.

    Raises LearnerError, in which `part` says which examples these are, when none is left.
    """
    kept = []
    for item in encoded:
        lost = max(0, len(item.ids) - seq_len_tokens)
        if item.answer_tokens > lost:
            kept.append(Encoded(ids=item.ids[:seq_len_tokens], answer_tokens=item.answer_tokens - lost))
    if not kept:
        shortest = min(len(item.ids) - item.answer_tokens for item in encoded) + 1
        raise LearnerError(
            f"At {seq_len_tokens} tokens no {part}example keeps any of its answer.",
            do_next=f"Set the sequence length to at least {shortest} tokens.",
        )
    return kept


def find_shared_beginning(examples: Sequence[Encoded]) -> int:
    """Count the tokens of a prefix shared by all examples whose next tokens are not trained on in any."""
    first, last = min(item.ids for item in examples), max(item.ids for item in examples)
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return max(0, min(sum(1 for _ in alike), *(len(item.ids) - item.answer_tokens - 1 for item in examples)))


def list_lengths(examples: Sequence[Encoded]) -> list[Length]:
    """Return the lengths of a data set's examples, with that of the prefix that they share."""
    shared = find_shared_beginning(examples)
    return [replace(item.length, shared=shared) for item in examples]


def pack_examples(examples: Sequence[Encoded], device: torch.device, *, shared: int = 0) -> PackedRow:
    """Pack all examples into one row. Labels are shifted within each example, so no target crosses a border.

    The first `shared` tokens, which must be the same in all examples, are in the row once.
    """
    shared = shared if len(examples) > 1 else 0
    ids, positions = list(examples[0].ids[:shared]), list(range(shared))
    labels = [IGNORED] * shared
    for item in examples:
        prompt_tokens = len(item.ids) - item.answer_tokens
        ids += item.ids[shared:]
        positions += range(shared, len(item.ids))
        labels += [IGNORED] * (prompt_tokens - 1 - shared) + list(item.ids[prompt_tokens:]) + [IGNORED]
    shifted = torch.tensor(labels)  # on the CPU: counting on a GPU would wait for everything queued there
    keep = (shifted != IGNORED).nonzero()[:, 0]
    return PackedRow(
        input_ids=torch.tensor([ids], device=device),
        position_ids=torch.tensor([positions], device=device),
        keep=keep.to(device),
        targets=shifted[keep].to(device),
        example_lengths=(shared,) * bool(shared) + tuple(len(item.ids) - shared for item in examples),
        shared=shared,
    )
