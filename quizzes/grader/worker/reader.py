"""Inference with the trained networks: concepts and texts in, likelihoods out."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import torch

from quizzes.grader.prompts import CONCEPTS
from quizzes.grader.weights import OWN_TENSORS, Weights, list_adapters, read_weights
from quizzes.grader.worker.encoder import WordPieces, load_encoder
from quizzes.grader.worker.network import AnswerReader, NetworkRow, build_network, collate, load_tensors
from quizzes.grader.worker.similarity import FIGURES, Similarity

BATCH_ROWS = 16


class Reader:
    """Scores texts against a prompt's four concepts.

    For the app's prompts that is the mean likelihood of an ensemble of networks that know their concepts. All
    other concepts are left to the network for own prompts.
    """

    def __init__(
        self,
        networks: Sequence[AnswerReader],
        tokenizer: WordPieces,
        weights: Weights,
        *,
        load_own: Callable[[], tuple[AnswerReader, Similarity]],
    ) -> None:
        self._networks = [network.eval() for network in networks]
        self._load_own = load_own
        self._tokenizer = tokenizer
        self.known = {text: (label, at) for at, (text, label) in enumerate(weights.concepts.items(), start=1)}
        self.temperature = weights.temperature
        self.own_temperature = weights.own_temperature

    @cached_property
    def _own(self) -> tuple[AnswerReader, Similarity]:
        """The network for own prompts, loaded with the first own prompt: most sessions have none."""
        return self._load_own()

    def warm_up(self) -> None:
        """Score a text against known concepts: PyTorch's first pass is slow. Own prompts load a network."""
        self.score(list(self.known)[:CONCEPTS], ["warm up"])

    @torch.inference_mode()
    def score(self, concepts: Sequence[str], texts: Sequence[str]) -> list[list[list[float]]]:
        """Return the likelihoods of missing, partial, covered and contradicted, per text and concept."""
        if all(concept in self.known for concept in concepts):
            words, numbers = zip(*(self.known[concept] for concept in concepts), strict=True)
            networks, similarity, temperature = self._networks, None, self.temperature
        else:
            words, numbers = tuple(concepts), (0,) * len(concepts)
            network, similarity = self._own
            networks, temperature = [network], self.own_temperature
        rows = [NetworkRow(concepts=words, numbers=numbers, text=text) for text in texts]
        order = sorted(range(len(rows)), key=[len(text) for text in texts].__getitem__)
        scored: dict[int, list[list[float]]] = {}
        for begin in range(0, len(order), BATCH_ROWS):
            chosen = order[begin : begin + BATCH_ROWS]
            batch = collate(self._tokenizer, [rows[at] for at in chosen], similarity)
            likely = [(network(batch).float() / temperature).softmax(-1) for network in networks]
            scored.update(zip(chosen, torch.stack(likely).mean(0).tolist(), strict=True))
        return [scored[at] for at in range(len(rows))]


def load_reader(base: Path, folder: Path) -> Reader:
    """Load MiniLM from `base` once per adapter in `folder`, with the adapter merged into its weights."""
    weights, tokenizer = read_weights(folder), WordPieces(base)
    networks = []
    for path in list_adapters(folder):
        network = build_network(base, known_concepts=len(weights.concepts))
        load_tensors(network, path, alpha_over_rank=weights.alpha_over_rank)
        networks.append(network)

    def load_own() -> tuple[AnswerReader, Similarity]:
        network = build_network(base, known_concepts=0, figures=FIGURES)
        load_tensors(network, folder / OWN_TENSORS, alpha_over_rank=weights.alpha_over_rank)
        return network.eval(), Similarity(load_encoder(base), tokenizer)

    return Reader(networks, tokenizer, weights, load_own=load_own)
