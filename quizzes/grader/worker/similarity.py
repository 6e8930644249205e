"""How near a text is to a concept for MiniLM as it was pretrained, which has read about every subject.

The adapted network learns from few subjects. For a concept that it knows by words alone, these figures tell
it what resembles what on the others. All are cosines of frozen states, except the last three.
"""

import re
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from quizzes.grader.prompts import CONCEPTS
from quizzes.grader.worker.encoder import Encoder, WordPieces

WINDOWS = (8, 16)
"""Widths in tokens of the runs that are compared with a concept: a long text says it in one place."""

COSINES = 4
FIGURES = 2 * COSINES + 3
"""Per concept: four cosines, each less the best of the other concepts, and three figures on negation."""

KEPT_TEXTS = 6_000
BATCH_TEXTS = 16
LONGEST_TOKENS = 128

_NEGATION = re.compile(
    r"\b(?:not|no|never|nothing|none|cannot|without|nor|neither|wrong|false|untrue|myth|nope)\b|n['’]?t\b",
    re.I,
)


class Similarity:
    """Measures texts against concepts with a frozen encoder; what it has encoded it keeps."""

    def __init__(self, frozen: Encoder, tokenizer: WordPieces) -> None:
        self._frozen = frozen
        self._tokenizer = tokenizer
        self._kept: dict[str, tuple[Tensor, Tensor]] = {}

    @torch.no_grad()
    def measure(self, concepts: Sequence[Sequence[str]], texts: Sequence[str]) -> Tensor:
        """Return the figures of each text against its own concepts: (rows, concepts, FIGURES)."""
        self._read([*texts, *(concept for row in concepts for concept in row)])
        return torch.stack([self._measure_row(row, text) for row, text in zip(concepts, texts, strict=True)])

    def _measure_row(self, concepts: Sequence[str], text: str) -> Tensor:
        cosines = torch.stack([self._compare(concept, text) for concept in concepts])  # (concepts, COSINES)
        others = [cosines[[at for at in range(CONCEPTS) if at != one]].amax(0) for one in range(CONCEPTS)]
        said = bool(_NEGATION.search(text))
        negations = [[said, bool(_NEGATION.search(concept))] for concept in concepts]
        signs = torch.tensor([[float(a), float(b), float(a != b)] for a, b in negations])
        return torch.cat([cosines, cosines - torch.stack(others), signs], dim=-1)

    def _compare(self, concept: str, text: str) -> Tensor:
        whole, tokens = self._kept[concept]
        said, words = self._kept[text]  # (hidden), (seq, hidden)
        near = functional.normalize(tokens, dim=-1) @ functional.normalize(words, dim=-1).T
        runs = [said.unsqueeze(0)]
        runs += [words.unfold(0, size, 4).mean(-1) for size in WINDOWS if len(words) > size]
        return torch.stack(
            [
                functional.cosine_similarity(whole, said, dim=0),
                functional.cosine_similarity(whole.unsqueeze(0), torch.cat(runs)).amax(),
                near.amax(1).mean(),
                near.amax(0).mean(),
            ]
        )

    def _read(self, texts: Sequence[str]) -> None:
        new = [text for text in dict.fromkeys(texts) if text not in self._kept]
        if len(self._kept) + len(new) > KEPT_TEXTS:
            self._kept.clear()
            new = list(dict.fromkeys(texts))
        if not new:
            return
        new.sort(key=len)
        for begin in range(0, len(new), BATCH_TEXTS):
            self._encode(new[begin : begin + BATCH_TEXTS])

    def _encode(self, texts: Sequence[str]) -> None:
        ids, masks = self._tokenizer.encode_all(texts, longest=LONGEST_TOKENS)
        words = self._frozen.get_input_embeddings()(ids)
        read = self._frozen(words, masks, torch.zeros_like(ids)).float()
        for text, states, mask in zip(texts, read, masks, strict=True):
            words = states[: int(mask.sum())]  # with [CLS] and [SEP], as MiniLM's own mean
            self._kept[text] = (words.mean(0), words[1:-1] if len(words) > 2 else words)
