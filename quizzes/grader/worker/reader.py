"""Inference with the trained networks: concepts and texts in, likelihoods out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from quizzes.grader.weights import Weights, list_adapters, read_weights
from quizzes.grader.worker.network import AnswerReader, NetworkRow, build_network, collate, load_tensors

BATCH_ROWS = 16


class Reader:
    """An ensemble of networks that scores texts against a prompt's four concepts by their mean likelihood."""

    def __init__(self, networks: Sequence[AnswerReader], tokenizer: Any, weights: Weights) -> None:
        self._networks = [network.eval() for network in networks]
        self._tokenizer = tokenizer
        self.known = {text: (label, at) for at, (text, label) in enumerate(weights.concepts.items(), start=1)}
        self.temperature = weights.temperature

    @torch.inference_mode()
    def score(self, concepts: Sequence[str], texts: Sequence[str]) -> list[list[list[float]]]:
        """Return the likelihoods of missing, partial, covered and contradicted, per text and concept."""
        words, numbers = zip(*(self.known.get(concept, (concept, 0)) for concept in concepts), strict=True)
        rows = [NetworkRow(concepts=words, numbers=numbers, text=text) for text in texts]
        order = sorted(range(len(rows)), key=[len(text) for text in texts].__getitem__)
        scored: dict[int, list[list[float]]] = {}
        for begin in range(0, len(order), BATCH_ROWS):
            chosen = order[begin : begin + BATCH_ROWS]
            batch = collate(self._tokenizer, [rows[at] for at in chosen])
            likely = [(network(batch).float() / self.temperature).softmax(-1) for network in self._networks]
            scored.update(zip(chosen, torch.stack(likely).mean(0).tolist(), strict=True))
        return [scored[at] for at in range(len(rows))]


def load_reader(base: Path, folder: Path) -> Reader:
    """Load MiniLM from `base` once per adapter in `folder`, with the adapter merged into its weights."""
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    weights = read_weights(folder)
    networks = []
    for path in list_adapters(folder):
        network, tokenizer = build_network(base, known_concepts=len(weights.concepts))
        load_tensors(network, path, alpha_over_rank=weights.alpha_over_rank)
        networks.append(network)
    return Reader(networks, tokenizer, weights)
