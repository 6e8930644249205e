"""MiniLM, a BERT of six layers, in plain PyTorch, with its weights and its tokenizer from their files.

To import transformers takes longer than all else that the grader loads. The parameters have the names of the
stored file, and the operations are those of transformers' BertModel in its order, so the states are the same.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class EncoderShape:
    """The sizes in a BERT's config.json that its parameters follow from."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12


class Encoder(nn.Module):
    """A BERT without its pooling layer and without dropout; hidden states of shape (rows, seq, hidden)."""

    def __init__(self, shape: EncoderShape, *, fused: bool = True, device: str = "cpu") -> None:
        super().__init__()
        self.hidden, self._heads, self._fused = shape.hidden_size, shape.num_attention_heads, fused
        hidden, inner, eps = shape.hidden_size, shape.intermediate_size, shape.layer_norm_eps
        self.embeddings = nn.ModuleDict(
            {
                "word_embeddings": _build_embedding(shape.vocab_size, hidden, device),
                "position_embeddings": _build_embedding(shape.max_position_embeddings, hidden, device),
                "token_type_embeddings": _build_embedding(shape.type_vocab_size, hidden, device),
                "LayerNorm": nn.LayerNorm(hidden, eps=eps, device=device),
            }
        )
        layers = [_build_layer(hidden, inner, eps, device) for _ in range(shape.num_hidden_layers)]
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(layers)})

    def get_input_embeddings(self) -> nn.Module:
        """Return the word embeddings."""
        return self.embeddings["word_embeddings"]

    def forward(self, inputs_embeds: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Compute the hidden states of word embeddings (rows, seq, hidden) under a mask of ones and zeros."""
        places = torch.arange(inputs_embeds.shape[1], device=inputs_embeds.device).unsqueeze(0)
        states: Tensor = inputs_embeds + self.embeddings["token_type_embeddings"](token_type_ids)
        states = self.embeddings["LayerNorm"](states + self.embeddings["position_embeddings"](places))
        mask = self._build_mask(attention_mask, states)
        for layer in cast(Any, self.encoder["layer"]):
            attention = layer["attention"]
            attended = attention["output"]["dense"](self._attend(attention["self"], states, mask))
            states = attention["output"]["LayerNorm"](attended + states)
            inner = functional.gelu(layer["intermediate"]["dense"](states))
            states = layer["output"]["LayerNorm"](layer["output"]["dense"](inner) + states)
        return states

    def _build_mask(self, kept: Tensor, states: Tensor) -> Tensor | None:
        """Return which tokens may be read, or for attention multiplied out, what is added to its scores."""
        if bool(kept.all()):
            return None
        rows, seq = kept.shape
        readable = kept.bool()[:, None, None, :].expand(rows, 1, seq, seq)
        if self._fused:
            return readable
        return torch.zeros_like(readable, dtype=states.dtype).masked_fill(
            ~readable, torch.finfo(states.dtype).min
        )

    def _attend(self, layer: nn.ModuleDict, states: Tensor, mask: Tensor | None) -> Tensor:
        rows, seq, hidden = states.shape
        query, key, value = (
            layer[name](states).view(rows, seq, self._heads, -1).transpose(1, 2)
            for name in ("query", "key", "value")
        )  # (rows, heads, seq, head width)
        scale = (hidden // self._heads) ** -0.5
        if self._fused:
            read = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)
        else:
            scores = query @ key.transpose(2, 3) * scale
            read = (scores if mask is None else scores + mask).softmax(-1) @ value
        return read.transpose(1, 2).reshape(rows, seq, hidden)


def _build_embedding(count: int, hidden: int, device: str) -> nn.Embedding:
    """Build an embedding of zeros: drawing its numbers on the meta device imports 800 modules, 1.5 s."""
    zeros = torch.zeros(count, hidden, device=device)
    return cast(nn.Embedding, nn.Embedding.from_pretrained(zeros, freeze=False))


def _build_layer(hidden: int, inner: int, eps: float, device: str) -> nn.ModuleDict:
    projections = {name: nn.Linear(hidden, hidden, device=device) for name in ("query", "key", "value")}
    return nn.ModuleDict(
        {
            "attention": nn.ModuleDict(
                {"self": nn.ModuleDict(projections), "output": _build_output(hidden, hidden, eps, device)}
            ),
            "intermediate": nn.ModuleDict({"dense": nn.Linear(hidden, inner, device=device)}),
            "output": _build_output(inner, hidden, eps, device),
        }
    )


def _build_output(wide: int, hidden: int, eps: float, device: str) -> nn.ModuleDict:
    return nn.ModuleDict(
        {
            "dense": nn.Linear(wide, hidden, device=device),
            "LayerNorm": nn.LayerNorm(hidden, eps=eps, device=device),
        }
    )


def load_encoder(base: Path, *, fused: bool = True) -> Encoder:
    """Load the encoder from a folder; its tensors stay in the mapped file until one of them is changed."""
    config = json.loads((base / "config.json").read_text("utf-8"))
    sizes = {name: config[name] for name in EncoderShape.__dataclass_fields__}
    encoder = Encoder(EncoderShape(**sizes), fused=fused, device="meta")  # draws no numbers to throw away
    stored = load_file(base / "model.safetensors")
    encoder.load_state_dict({name: stored[name] for name in encoder.state_dict()}, assign=True)
    return encoder


class WordPieces:
    """MiniLM's tokenizer."""

    def __init__(self, base: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.begin, self.end, self.padding = map(self._find_id, ("[CLS]", "[SEP]", "[PAD]"))

    def _find_id(self, token: str) -> int:
        return cast(int, self._tokenizer.token_to_id(token))

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text's tokens, without those that mark its begin and end."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def encode_all(self, texts: Sequence[str], *, longest: int) -> tuple[Tensor, Tensor]:
        """Return ids and mask, (texts, seq), of marked texts, cut to `longest` tokens with their marks."""
        rows = [[self.begin, *self.encode(text)[: longest - 2], self.end] for text in texts]
        seq = max(map(len, rows))
        ids = torch.tensor([row + [self.padding] * (seq - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (seq - len(row)) for row in rows])
        return ids, mask
