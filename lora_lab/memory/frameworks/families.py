"""How the decoder layers of each model family are built, as far as it matters for memory."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ModelFamily:
    """The norms, activation and operator order of one family's decoder layer in transformers."""

    norm: Literal["rms", "gemma", "layer"] = "rms"
    activation: Literal["silu", "gelu", "gelu_new", "relu"] = "silu"
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
    """Whether its configuration applies dropout to residuals and attention during training."""

    experts_used: int = 1


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
    "gpt2": ModelFamily(norm="layer", activation="gelu_new", gated=False, rotary=False, dropout=True),
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
