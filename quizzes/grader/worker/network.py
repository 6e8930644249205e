"""The entailment network: classifies what a text states about each of a prompt's four concepts.

One row holds all four concepts and the text, so MiniLM compares every word with every concept at once:

    [CLS] concept 1 [SEP] concept 2 [SEP] concept 3 [SEP] concept 4 [SEP] text [SEP]

The mean vector of a concept's tokens, concatenated with that of the text's, goes through one head shared by
all concepts and a small head per concept. A known concept also has its own embedding, added to its token
embeddings. The network for learners' own prompts knows none: it has the words alone, and figures on how near
they are to the text in MiniLM as it was pretrained (similarity.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from quizzes.grader.prompts import CONCEPTS
from quizzes.grader.worker.adapters import AdaptedEncoder
from quizzes.grader.worker.encoder import WordPieces, load_encoder
from quizzes.grader.worker.similarity import Similarity

VERDICTS = 4
LONGEST_TEXT_TOKENS = 220
"""About 150 words; longer texts are split into passages (passages.py)."""

LONGEST_CONCEPT_TOKENS = 40
FIGURES_SCALE = 4.0
"""Cosines differ by some tenths where hidden states differ by ones."""


@dataclass(frozen=True, kw_only=True)
class NetworkRow:
    """A text and its four concepts: their words and their numbers (0: not in training)."""

    concepts: tuple[str, ...]
    numbers: tuple[int, ...]
    text: str


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Padded rows, of shape (rows, seq); `numbers` is (rows, concepts), `figures` (rows, concepts, figures).

    `slots` is the concept that a token belongs to (1 to 4, 0 for none), `own` the embedding added to it.
    """

    ids: Tensor
    mask: Tensor
    types: Tensor
    slots: Tensor
    own: Tensor
    numbers: Tensor
    figures: Tensor


class AnswerReader(nn.Module):
    """MiniLM with one shared head and one head per concept; logits of shape (rows, concepts, verdicts)."""

    def __init__(self, encoder: nn.Module, hidden: int, *, known_concepts: int, figures: int = 0) -> None:
        super().__init__()
        self.encoder = encoder
        self.own = nn.Embedding(known_concepts + 1, hidden, padding_idx=0)
        self.head = nn.Sequential(
            nn.Linear(2 * hidden + figures, hidden), nn.GELU(), nn.Linear(hidden, VERDICTS)
        )
        self.own_heads = nn.Embedding(known_concepts + 1, VERDICTS * (2 * hidden + 1), padding_idx=0)
        self.dropout = nn.Dropout(0.1)
        nn.init.zeros_(self.own.weight)
        nn.init.zeros_(self.own_heads.weight)

    @property
    def embeddings(self) -> nn.Module:
        """MiniLM's word embeddings."""
        return cast(nn.Module, cast(Any, self.encoder).get_input_embeddings())

    def forward(self, batch: Batch) -> Tensor:
        """Compute the logits (rows, concepts, verdicts) of a batch."""
        words = self.embeddings(batch.ids) + self.own(batch.own)
        read = self.encoder(
            inputs_embeds=words, attention_mask=batch.mask, token_type_ids=batch.types
        ).float()  # (rows, seq, hidden)
        slots = functional.one_hot(batch.slots, CONCEPTS + 1)[..., 1:].float()  # (rows, seq, concepts)
        # axes: r rows, s seq, c concepts, h hidden, v verdicts
        concepts = torch.einsum("rsc,rsh->rch", slots, read) / slots.sum(1).clamp(min=1).unsqueeze(-1)
        said = (batch.types * batch.mask).unsqueeze(-1)
        text = (read * said).sum(1) / said.sum(1).clamp(min=1)  # (rows, hidden)
        both = torch.cat(
            [concepts, text.unsqueeze(1).expand_as(concepts)], dim=-1
        )  # (rows, concepts, 2 hidden)
        both = self.dropout(both)
        own = self.own_heads(batch.numbers).unflatten(-1, (VERDICTS, -1))
        second = torch.einsum("rcvh,rch->rcv", own[..., :-1], both) + own[..., -1]
        logits: Tensor = self.head(torch.cat([both, FIGURES_SCALE * batch.figures], dim=-1)) + second
        return logits


def build_network(
    base: Path, *, known_concepts: int, figures: int = 0, training: bool = False
) -> AnswerReader:
    """Build an untrained network on MiniLM.

    Training multiplies attention out because the backward pass of PyTorch's fused CPU attention costs half of
    a step (torch 2.13, heads 32 wide: 1.2 s against 0.7 s for 64 rows of 64 tokens).
    """
    encoder = load_encoder(base, fused=not training)
    return AnswerReader(encoder, encoder.hidden, known_concepts=known_concepts, figures=figures)


def collate(tokenizer: WordPieces, rows: Sequence[NetworkRow], similarity: Similarity | None = None) -> Batch:
    """Tokenize rows into padded tensors; `similarity` measures texts against concepts."""
    built = [_tokenize_row(tokenizer, row) for row in rows]
    longest = max(len(ids) for ids, _, _, _ in built)
    shape = (len(rows), longest)
    ids = torch.full(shape, tokenizer.padding)
    mask, types, slots, own = (torch.zeros(shape, dtype=torch.long) for _ in range(4))
    for at, (tokens, slot, number, begin) in enumerate(built):
        count = len(tokens)
        ids[at, :count] = torch.tensor(tokens)
        slots[at, :count] = torch.tensor(slot)
        own[at, :count] = torch.tensor(number)
        mask[at, :count] = 1
        types[at, begin:count] = 1
    numbers = torch.tensor([row.numbers for row in rows])
    figures = torch.zeros(len(rows), CONCEPTS, 0)
    if similarity is not None:
        figures = similarity.measure([row.concepts for row in rows], [row.text for row in rows])
    return Batch(ids=ids, mask=mask, types=types, slots=slots, own=own, numbers=numbers, figures=figures)


def _tokenize_row(tokenizer: WordPieces, row: NetworkRow) -> tuple[list[int], list[int], list[int], int]:
    """Return token ids, slots, concept numbers, and the index of the text's first token."""
    ids, slots, own = [tokenizer.begin], [0], [0]
    for slot, (concept, number) in enumerate(zip(row.concepts, row.numbers, strict=True), start=1):
        words = tokenizer.encode(concept)[:LONGEST_CONCEPT_TOKENS]
        ids += [*words, tokenizer.end]
        slots += [*[slot] * len(words), 0]
        own += [*[number] * len(words), 0]
    begin = len(ids)
    text = tokenizer.encode(row.text)[:LONGEST_TEXT_TOKENS]
    ids += [*text, tokenizer.end]
    rest = [0] * (len(text) + 1)
    return ids, slots + rest, own + rest, begin


def save_tensors(network: AnswerReader, path: Path) -> None:
    """Write the trained tensors in fp16: the encoder's adapter and norms, heads, concept embeddings."""
    save_file(
        {name: tensor.detach().half().contiguous() for name, tensor in _list_trained(network).items()}, path
    )


def average_with(path: Path, earlier: Path) -> None:
    """Replace stored tensors by the mean of them and those that their training went on from.

    Two points of one training; the mean is better than either on other writers' answers (arXiv:1803.05407).
    """
    after, before = load_file(path), load_file(earlier)
    save_file({name: ((after[name].float() + before[name].float()) / 2).half() for name in after}, path)


def resume_tensors(network: AnswerReader, path: Path) -> None:
    """Copy stored tensors into a network in training, which may know more concepts, or none.

    Raises KeyError when a tensor is missing.
    """
    stored = load_file(path)
    with torch.no_grad():
        for name, tensor in _list_trained(network).items():
            both = tuple(map(min, tensor.shape, stored[name].shape))
            shared = tuple(slice(size) for size in both)
            tensor[shared].copy_(stored[name][shared].float())


def count_known(path: Path) -> int:
    """Count the concepts that a stored network knows."""
    with safe_open(path, framework="pt") as stored:
        return int(stored.get_slice("own.weight").get_shape()[0]) - 1  # the first row is for unknown ones


def _list_trained(network: AnswerReader) -> dict[str, Tensor]:
    """Return the tensors in training by their stored names."""
    adapted = cast(AdaptedEncoder, network.encoder).name_tensors()
    heads = {name: p for name, p in network.named_parameters() if not name.startswith("encoder.")}
    return {f"encoder.{name}": tensor for name, tensor in adapted.items()} | heads


def load_tensors(network: AnswerReader, path: Path, *, alpha_over_rank: float) -> None:
    """Load the trained tensors into a fresh network and merge the adapter: W' = W + (alpha/r) B A."""
    stored = {name: tensor.float() for name, tensor in load_file(path).items()}
    own = dict(network.named_parameters())
    with torch.no_grad():
        for name, tensor in stored.items():
            if name.endswith(".lora_A.weight"):
                other = stored[name.replace("lora_A", "lora_B")]  # (d_out, rank)
                own[name.replace("lora_A.", "")].add_(alpha_over_rank * other @ tensor)
            elif not name.endswith(".lora_B.weight"):
                own[name].copy_(tensor)
