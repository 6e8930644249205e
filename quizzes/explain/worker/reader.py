"""The trained network as it is used: pairs in, likelihoods out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from quizzes.explain.weights import Weights, read_weights
from quizzes.explain.worker.network import ConceptReader, build, encode, load_tensors

BATCH_PAIRS = 32

Pair = tuple[str, str]
"""The text of a concept, and a passage of an answer."""


class Reader:
    """Scores pairs; of equal ones only the first costs anything."""

    def __init__(self, network: ConceptReader, tokenizer: Any, weights: Weights) -> None:
        self._network = network.eval()
        self._tokenizer = tokenizer
        self._numbers = {text: number for number, text in enumerate(weights.concepts, start=1)}
        self._temperature = weights.temperature

    @torch.inference_mode()
    def score(self, pairs: Sequence[Pair]) -> list[list[float]]:
        """Likelihoods of missing, partial, covered and contradicted for each pair."""
        distinct = sorted(set(pairs), key=_length)
        known: dict[Pair, list[float]] = {}
        for begin in range(0, len(distinct), BATCH_PAIRS):
            batch = distinct[begin : begin + BATCH_PAIRS]
            numbers = [self._numbers.get(concept, 0) for concept, _ in batch]
            logits = self._network(encode(self._tokenizer, batch, numbers))
            rows = (logits.float() / self._temperature).softmax(-1).tolist()
            known.update(zip(batch, rows, strict=True))
        return [known[pair] for pair in pairs]


def _length(pair: Pair) -> tuple[int, Pair]:
    return len(pair[0]) + len(pair[1]), pair


def load_reader(base: Path, folder: Path) -> Reader:
    """MiniLM from `base` with the trained adapter from `folder` added into its weights."""
    logging.disable_progress_bar()
    weights = read_weights(folder)
    network, tokenizer = build(base, known_concepts=len(weights.concepts))
    load_tensors(network, folder, alpha_over_rank=weights.alpha_over_rank)
    return Reader(network, tokenizer, weights)
