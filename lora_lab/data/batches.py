"""The step plan, shared by loop and estimate: which examples share a step, and how long each row is."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import ge
from typing import Any

from lora_lab.spec import RunSpec

SHORT_EXAMPLE_TOKENS = 256
"""Up to here, attention on a CPU is unfused and keeps its softmax; beyond, the fused kernel is better."""


@dataclass(frozen=True, kw_only=True)
class Length:
    """The length of one encoded example: all its tokens, and those that the loss is computed on."""

    tokens: int
    answer_tokens: int
    shared: int = 0
    """Tokens of the prefix that all examples of the data share, such as a system prompt."""


@dataclass(frozen=True, kw_only=True)
class RowSize:
    """The size of one packed row, which a step's memory depends on."""

    lengths: tuple[int, ...]
    """Tokens per example in the row."""

    answer_tokens: int
    on_gpu: bool = False
    """Where the row is computed: attention keeps other tensors on a GPU."""

    shared: int = 0
    """Tokens of a prefix that all examples share, in the row once."""

    @property
    def tokens(self) -> int:
        return sum(self.lengths) - self.shared * (self.examples - 1)

    @property
    def examples(self) -> int:
        """The number of examples packed into the row."""
        return len(self.lengths)

    def dominates(self, other: "RowSize") -> bool:
        """Return whether this row is as large in everything that a step's memory grows with, as in a Pareto
        front. The other one then needs no more memory: the same operators run on no more numbers.
        """
        return all(map(ge, self._memory_drivers, other._memory_drivers))

    @cached_property
    def _memory_drivers(self) -> tuple[int, ...]:
        """Query-key pairs count three times: the softmax keeps those of all parts, masks are kept, and the
        backward pass goes through the largest part. The last two keep rows apart whose attention takes
        another kernel.
        """
        pairs = [queries * keys for queries, keys in self.attended]
        fused = max(self.lengths) > SHORT_EXAMPLE_TOKENS
        return (self.tokens, self.answer_tokens, sum(pairs), self.mask_pairs, max(pairs), fused, not fused)

    @property
    def mask_pairs(self) -> int:
        """The number of query-key pairs in the masks of unfused attention: one mask per size of part."""
        return sum(queries * keys for queries, keys in set(self.attended))

    @property
    def attended(self) -> list[tuple[int, int]]:
        """The number of queries and keys per part that attention computes at once."""
        if not self.shared or self.examples == 1:
            return [(tokens, tokens) for tokens in self.lengths]
        return [(self.shared, self.shared), *((tokens - self.shared, tokens) for tokens in self.lengths)]


def parse_row(values: Mapping[str, Any]) -> RowSize:
    """Parse a row from its JSON object."""
    return RowSize(**{**values, "lengths": tuple(values["lengths"])})


def build_even_row(*, tokens: int, answer_tokens: int, examples: int) -> RowSize:
    """Build a row whose examples are as equal in length as possible."""
    short, longer = divmod(tokens, examples)
    lengths = tuple(short + (number < longer) for number in range(examples))
    return RowSize(lengths=lengths, answer_tokens=answer_tokens)


def step_plan(examples: int, *, batch: int, steps: int, seed: int) -> list[list[int]]:
    """Plan the example numbers of each step: seeded shuffles, one after another, cut into batches."""
    rng = random.Random(seed)
    stream: list[int] = []
    while len(stream) < batch * steps:
        epoch = list(range(examples))
        rng.shuffle(epoch)
        stream += epoch
    return [stream[start : start + batch] for start in range(0, batch * steps, batch)]


def truncate_length(length: Length, *, seq_len_tokens: int) -> Length:
    """Truncate an example's length; the answer is at the end, so it is cut first."""
    lost = max(0, length.tokens - seq_len_tokens)
    return replace(length, tokens=length.tokens - lost, answer_tokens=max(0, length.answer_tokens - lost))


def compute_row_sizes(lengths: Sequence[Length], spec: RunSpec, *, on_gpu: bool = False) -> list[RowSize]:
    """Compute the packed row of every step. Examples without an answer token are left out, as in training.

    A shared prefix is in a row once where attention is unfused: on a CPU, if every example is short.
    """
    shortened = [truncate_length(length, seq_len_tokens=spec.seq_len_tokens) for length in lengths]
    kept = [length for length in shortened if length.answer_tokens]
    plan = step_plan(len(kept), batch=spec.batch, steps=spec.steps, seed=spec.seed) if kept else []
    short = not on_gpu and all(length.tokens <= SHORT_EXAMPLE_TOKENS for length in kept)
    shared = min(length.shared for length in kept) if short and kept and spec.batch > 1 else 0
    return [_build_row([kept[i] for i in picked], on_gpu, shared) for picked in plan]


def _build_row(examples: Sequence[Length], on_gpu: bool, shared: int) -> RowSize:
    return RowSize(
        lengths=tuple(example.tokens for example in examples),
        answer_tokens=sum(example.answer_tokens for example in examples),
        on_gpu=on_gpu,
        shared=shared,
    )
