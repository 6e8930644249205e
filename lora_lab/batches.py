"""Which examples meet in which step, and how long each packed row is. Shared by the loop and the estimate."""

import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Length:
    """One encoded example: all its tokens, and those the loss is computed on."""

    tokens: int
    answer_tokens: int


@dataclass(frozen=True, kw_only=True)
class RowSize:
    """One packed row: what a step's memory depends on."""

    tokens: int
    answer_tokens: int
    examples: int


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
    lengths: Sequence[Length], *, batch: int, steps: int, seed: int, seq_len_tokens: int
) -> list[RowSize]:
    """The packed row of every step. Examples that keep no answer token are left out, as in training."""
    shortened = [cut(length, seq_len_tokens=seq_len_tokens) for length in lengths]
    kept = [length for length in shortened if length.answer_tokens]
    plan = step_plan(len(kept), batch=batch, steps=steps, seed=seed) if kept else []
    return [_row([kept[i] for i in picked]) for picked in plan]


def _row(lengths: Sequence[Length]) -> RowSize:
    return RowSize(
        tokens=sum(length.tokens for length in lengths),
        answer_tokens=sum(length.answer_tokens for length in lengths),
        examples=len(lengths),
    )
