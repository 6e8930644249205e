"""How the decoder layers of each model family are built, as far as it matters for memory."""

from dataclasses import dataclass, replace
from typing import Literal

from lora_lab.parameters.shapes import ModelShape, Role


@dataclass(frozen=True, kw_only=True)
class ModelFamily:
    """The norms, activation and operator order of one family's decoder layer in transformers."""

    norm: Literal["rms", "gemma", "layer"] = "rms"
    activation: Literal["silu", "gelu", "gelu_new", "quick_gelu", "relu"] = "silu"
    gated: bool = True
    parallel: bool = False
    """Whether attention and MLP read the same residual, and both are added to it."""

    norms: int = 2
    """Separate norms per layer; 1 where attention and MLP share one; 4 where their results are normed too."""

    rotary: bool = True
    rotates_all: bool = True
    """Whether every number of a head is rotated."""

    head_norms: bool = False
    """Whether queries and keys are normed per head."""

    writes_attention: bool = False
    """Whether transformers has no fused attention for it, or calls it in a way that PyTorch can't fuse."""

    softcap: bool = False
    dropout: bool = False
    """Whether its usual configuration applies dropout to residuals during training."""

    attention_dropout: bool = False
    """Whether its usual configuration applies dropout to attention's weights."""

    experts_used: int = 1

    # ---- what decoders don't have

    post_norm: bool = False
    """Whether each sum is normed, as in BERT, instead of each block's input."""

    norm_in_own_type: bool = False
    """T5's norm: the residual itself is scaled, only its squares are fp32."""

    embedding_norm: bool = False
    final_norm: bool = False
    inner_dropout: bool = False
    """Whether the MLP's hidden numbers get the residual's dropout too."""

    drops_attention: bool = True
    """Whether the residual's dropout applies to attention's result."""

    splits_heads: bool = False
    """Whether queries, keys and values are copied head by head, so that attention's result is copied back."""

    takes_audio: bool = False
    """Whether the encoder's input is sound, which two convolutions shorten to half."""

    relative: Literal["", "bias", "disentangled"] = ""
    """A learned number per pair of positions (T5), or DeBERTa's products with position vectors."""

    shares_layers: bool = False
    """Whether all layers share one module (ALBERT)."""

    takes_images: bool = False
    """Whether its input is an image."""

    vision: str = ""
    """The type of the vision tower beside a text model."""


FAMILIES: dict[str, ModelFamily] = {
    "llama": ModelFamily(),
    "mistral": ModelFamily(),
    "granite": ModelFamily(),
    "qwen2": ModelFamily(),
    "qwen2_moe": ModelFamily(experts_used=4),
    "qwen3": ModelFamily(head_norms=True),
    "smollm3": ModelFamily(),
    "olmo2": ModelFamily(head_norms=True),
    "cohere": ModelFamily(norm="layer", parallel=True, norms=1),
    "starcoder2": ModelFamily(norm="layer", activation="gelu", gated=False),
    "gpt_bigcode": ModelFamily(norm="layer", activation="gelu", gated=False, rotary=False),
    "mpt": ModelFamily(norm="layer", activation="gelu", gated=False, rotary=False, writes_attention=True),
    "phi3": ModelFamily(),
    "mixtral": ModelFamily(experts_used=2),
    "qwen3_moe": ModelFamily(head_norms=True, experts_used=8),
    "gemma": ModelFamily(norm="gemma", activation="gelu"),
    "gemma2": ModelFamily(norm="gemma", activation="gelu", norms=4, softcap=True, writes_attention=True),
    "gemma3": ModelFamily(norm="gemma", activation="gelu", norms=4, head_norms=True),
    "gemma3_text": ModelFamily(norm="gemma", activation="gelu", norms=4, head_norms=True),
    "stablelm": ModelFamily(norm="layer", rotates_all=False),
    "gpt2": ModelFamily(
        norm="layer",
        activation="gelu_new",
        gated=False,
        rotary=False,
        dropout=True,
        attention_dropout=True,
    ),
    "gptj": ModelFamily(
        norm="layer",
        activation="gelu_new",
        gated=False,
        parallel=True,
        norms=1,
        rotates_all=False,
        writes_attention=True,
    ),
    "gpt_neox": ModelFamily(norm="layer", activation="gelu", gated=False, parallel=True, rotates_all=False),
    "phi": ModelFamily(
        norm="layer", activation="gelu_new", gated=False, parallel=True, norms=1, rotates_all=False
    ),
    "opt": ModelFamily(norm="layer", activation="relu", gated=False, rotary=False, dropout=True),
    "bloom": ModelFamily(norm="layer", activation="gelu", gated=False, rotary=False, writes_attention=True),
    "falcon": ModelFamily(
        norm="layer", activation="gelu", gated=False, parallel=True, norms=1, writes_attention=True
    ),
}

_BERT = ModelFamily(
    norm="layer", activation="gelu", gated=False, rotary=False, dropout=True, attention_dropout=True,
    post_norm=True, embedding_norm=True,
)  # fmt: skip
_BART = ModelFamily(
    norm="layer", activation="gelu", gated=False, rotary=False, dropout=True, post_norm=True,
    embedding_norm=True,
)  # fmt: skip
_VIT = ModelFamily(
    norm="layer", activation="gelu", gated=False, rotary=False, takes_images=True, final_norm=True
)
_T5 = ModelFamily(
    activation="relu", gated=False, rotary=False, dropout=True, attention_dropout=True, norm_in_own_type=True,
    final_norm=True, inner_dropout=True, relative="bias",
)  # fmt: skip

TOWER_FAMILIES: dict[str, ModelFamily] = {
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "camembert": _BERT,
    "electra": _BERT,
    "distilbert": replace(_BERT, drops_attention=False),
    "albert": replace(
        _BERT, activation="gelu_new", dropout=False, attention_dropout=False, shares_layers=True
    ),
    "deberta-v2": replace(_BERT, relative="disentangled", writes_attention=True),
    "vit": _VIT,
    "deit": _VIT,
    "clip_vision_model": replace(_VIT, activation="quick_gelu"),
    "t5": _T5,
    "mt5": _T5,
    "bart": _BART,
    "mbart": replace(_BART, post_norm=False, final_norm=True),
    "whisper": replace(
        _BART,
        post_norm=False,
        embedding_norm=False,
        final_norm=True,
        dropout=False,
        splits_heads=True,
        takes_audio=True,
    ),
    "llava": ModelFamily(vision="clip_vision_model"),
}
"""Encoders, encoder-decoders and vision models; each of their stacks is simulated by itself."""

ALIASES = {
    "qwen2_vl_text": "qwen2",
    "qwen2_5_vl_text": "qwen2",
    "qwen3_vl_text": "qwen3",
    "ministral": "mistral",
    "codegen": "gptj",
}
"""Types whose layers save what those of another type do."""

_ATTENTION: tuple[tuple[Role, ...], ...] = (("q", "k", "v", "o"), ("qkv", "o"))
_MLP: tuple[tuple[Role, ...], ...] = (("gate", "up", "down"), ("gate_up", "down"), ("up", "down"))


def is_listed(shape: ModelShape) -> bool:
    """Return whether a decoder's family is known, and not read from its matrices."""
    return ALIASES.get(shape.model_type, shape.model_type) in FAMILIES


def find_family(shape: ModelShape) -> ModelFamily | None:
    """Return a decoder's family: the known one, or what its modules show; None where they don't.

    A gated MLP goes with silu and another one with gelu; a norm with a bias is a LayerNorm; without a table
    of positions, queries and keys are rotated. Whether attention and MLP run in parallel can't be seen, and
    most families run them one after the other.
    """
    name = ALIASES.get(shape.model_type, shape.model_type)
    if is_listed(shape):
        return FAMILIES[name]
    if shape.model_type in TOWER_FAMILIES or not (shape.heads and shape.hidden and shape.vocab):
        return None
    roles = {linear.role for linear in shape.linears if linear.count == shape.layers}
    mlp = next((kind for kind in _MLP if roles.issuperset(kind)), None)
    if mlp is None or not any(roles.issuperset(kind) for kind in _ATTENTION):
        return None
    groups = shape.modules.groups
    norms = [group for group in groups if "norm" in group.suffix.lower() or group.suffix.startswith("ln_")]
    in_layers = [group for group in norms if "*" in group.path and group.own]
    has_positions = any(group.kind == "embedding" and _means_position(group.suffix) for group in groups)
    return ModelFamily(
        norm="layer" if any(group.bias for group in norms) else "rms",
        activation="gelu" if mlp == ("up", "down") else "silu",
        gated=mlp != ("up", "down"),
        norms=4 if len([group for group in in_layers if group.own >= shape.hidden]) >= 4 else 2,
        head_norms=any(group.own == shape.head_dim for group in in_layers),
        rotary=not has_positions,
    )


def _means_position(name: str) -> bool:
    return "position" in name or name == "wpe"
