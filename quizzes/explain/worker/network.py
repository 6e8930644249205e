"""The network that reads a concept and a text and says: missing, partial, covered or contradicted.

A cross-encoder: MiniLM reads `concept [SEP] text` at once, so that every word of the text is compared with the
definition. What [CLS] and the text's words came to goes through one linear head, plus a second one of the
concept's own where training has met that concept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer

from quizzes.explain.weights import TENSORS

LONGEST_TOKENS = 224
"""Concept and text together; about 150 words of text. Longer texts are scored in parts (evidence.py)."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Token ids (pairs, seq), their mask and segment, and each pair's concept number (pairs); 0 is unknown."""

    tokens: dict[str, Tensor]
    concepts: Tensor


class ConceptReader(nn.Module):
    """Logits (pairs, 4) in the order of SCORES."""

    def __init__(self, encoder: nn.Module, hidden: int, *, known_concepts: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(2 * hidden, 4)
        self.own_heads = nn.Embedding(known_concepts + 1, 4 * (2 * hidden + 1), padding_idx=0)
        nn.init.zeros_(self.own_heads.weight)

    def forward(self, batch: Batch) -> Tensor:
        """Read the pairs of a batch."""
        hidden = self.encoder(**batch.tokens).last_hidden_state.float()  # (pairs, seq, hidden)
        said = (batch.tokens["token_type_ids"] * batch.tokens["attention_mask"]).unsqueeze(-1)
        mean = (hidden * said).sum(1) / said.sum(1).clamp(min=1)  # over the text's words
        read = self.dropout(torch.cat([hidden[:, 0], mean], dim=-1))  # (pairs, 2 hidden)
        own = self.own_heads(batch.concepts).view(-1, 4, read.shape[-1] + 1)
        second = torch.einsum("pkh,ph->pk", own[..., :-1], read) + own[..., -1]
        return self.head(read) + second


def build(base: Path, *, known_concepts: int) -> tuple[ConceptReader, Any]:
    """An untrained reader on MiniLM, and its tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
    encoder = AutoModel.from_pretrained(
        base, local_files_only=True, dtype=torch.float32, add_pooling_layer=False
    )
    return ConceptReader(encoder, encoder.config.hidden_size, known_concepts=known_concepts), tokenizer


def save_tensors(network: ConceptReader, folder: Path) -> None:
    """What training changed, in 16 bits: the encoder's adapter and norms, and the heads."""
    changed = {
        name.replace("base_model.model.", "").replace(".default", ""): parameter.detach().half().contiguous()
        for name, parameter in network.named_parameters()
        if parameter.requires_grad
    }
    save_file(changed, folder / TENSORS)


def load_tensors(network: ConceptReader, folder: Path, *, alpha_over_rank: float) -> None:
    """Put what training changed into a fresh reader; the adapter is merged: W' = W + (alpha/r) B A."""
    stored = {name: tensor.float() for name, tensor in load_file(folder / TENSORS).items()}
    own = dict(network.named_parameters())
    with torch.no_grad():
        for name, tensor in stored.items():
            if name.endswith(".lora_A.weight"):
                other = stored[name.replace("lora_A", "lora_B")]  # (d_out, rank)
                own[name.replace("lora_A.", "")] += alpha_over_rank * other @ tensor
            elif not name.endswith(".lora_B.weight"):
                own[name.replace("base_layer.", "")].copy_(tensor)


def encode(tokenizer: Any, pairs: Sequence[tuple[str, str]], numbers: Sequence[int]) -> Batch:
    """Tokens of (concept, text) pairs; a text that is too long is cut."""
    tokens = tokenizer(
        [concept for concept, _ in pairs],
        [text for _, text in pairs],
        truncation="longest_first",
        max_length=LONGEST_TOKENS,
        padding=True,
        return_tensors="pt",
        return_token_type_ids=True,
    )
    return Batch(tokens=dict(tokens), concepts=torch.tensor(numbers))
