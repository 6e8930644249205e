"""Which examples meet in which step, and how long each packed row is. Shared by the loop and the estimate."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Length:
    """One encoded example: all its tokens, and those the loss is computed on."""

    tokens: int
    answer_tokens: int


@dataclass(frozen=True, kw_only=True)
class RowSize:
    """One packed row: what a step's memory depends on."""

    lengths: tuple[int, ...]
    """Tokens of each example in it."""

    answer_tokens: int
    on_gpu: bool = False
    """Where it is computed: attention keeps other tensors there."""

    shared: int = 0
    """Tokens that all of several examples begin with, in the row once; cells side by side do that."""

    @property
    def tokens(self) -> int:
        """Of the whole row."""
        return sum(self.lengths) - self.shared * (self.examples - 1)

    @property
    def examples(self) -> int:
        """How many are packed into it."""
        return len(self.lengths)

    @property
    def attended(self) -> list[tuple[int, int]]:
        """Queries and keys of each part that attention does at once."""
        if not self.shared or self.examples == 1:
            return [(tokens, tokens) for tokens in self.lengths]
        return [(self.shared, self.shared), *((tokens - self.shared, tokens) for tokens in self.lengths)]


def row_from(values: Mapping[str, Any]) -> RowSize:
    """A row that was written as JSON."""
    return RowSize(**{**values, "lengths": tuple(values["lengths"])})


def even_row(*, tokens: int, answer_tokens: int, examples: int) -> RowSize:
    """A row whose examples are as equal in length as they can be."""
    short, longer = divmod(tokens, examples)
    lengths = tuple(short + (number < longer) for number in range(examples))
    return RowSize(lengths=lengths, answer_tokens=answer_tokens)


def step_plan(examples: int, *, batch: int, steps: int, seed: int) -> list[list[int]]:
    """Example numbers for each step: seeded shuffles, one after another, cut into batches."""
    dice = random.Random(seed)
    stream: list[int] = []
    while len(stream) < batch * steps:
        epoch = list(range(examples))
        dice.shuffle(epoch)
        stream += epoch
    return [stream[start : start + batch] for start in range(0, batch * steps, batch)]


def cut(length: Length, *, seq_len_tokens: int) -> Length:
    """An example's length once it is truncated; the answer is at the end, so it is cut first."""
    lost = max(0, length.tokens - seq_len_tokens)
    return Length(tokens=length.tokens - lost, answer_tokens=max(0, length.answer_tokens - lost))


def row_sizes(
    lengths: Sequence[Length],
    *,
    batch: int,
    steps: int,
    seed: int,
    seq_len_tokens: int,
    on_gpu: bool = False,
) -> list[RowSize]:
    """The packed row of every step. Examples that keep no answer token are left out, as in training."""
    shortened = [cut(length, seq_len_tokens=seq_len_tokens) for length in lengths]
    kept = [length for length in shortened if length.answer_tokens]
    plan = step_plan(len(kept), batch=batch, steps=steps, seed=seed) if kept else []
    return [_row([kept[i] for i in picked], on_gpu) for picked in plan]


def _row(examples: Sequence[Length], on_gpu: bool) -> RowSize:
    return RowSize(
        lengths=tuple(example.tokens for example in examples),
        answer_tokens=sum(example.answer_tokens for example in examples),
        on_gpu=on_gpu,
    )
