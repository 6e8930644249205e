"""How the layers of each model family are built, as far as it matters for memory (families.yaml)."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from lora_lab.memory.frameworks.setting import ConfigTraits
from lora_lab.parameters.module_tree import ModuleGroup
from lora_lab.parameters.shapes import ModelShape, Role
from study.base.yaml_loader import load_yaml


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

    copies_heads: bool = False
    """Whether queries, keys and values are copied to one of each per query head before they are rotated."""

    softmax_in_own_type: bool = False
    """Whether `eager` leaves its scores in the type of the queries (Falcon)."""

    always_masks: bool = False
    """Whether `sdpa` is always given a mask, which each layer converts to its own type (Falcon)."""

    scores_in_fp32: bool = False
    """Whether queries and keys are cast to fp32 for their product (GPT-J)."""

    softcap: bool = False
    dropout: bool = False
    """Whether its usual configuration applies dropout to residuals during training."""

    attention_dropout: bool = False
    """Whether its usual configuration applies dropout to attention's weights."""

    experts_used: int = 0
    """Experts per token where the configuration doesn't say; 0 in a family without experts."""

    clamps_gate: bool = False
    """Whether the gate is clamped and scaled as in gpt-oss."""

    has_sinks: bool = False
    """Whether a learned number per head joins the scores of attention, as in gpt-oss."""

    # ---- what decoders don't have

    post_norm: bool = False
    """Whether each sum is normed, as in BERT, instead of each block's input."""

    norm_in_own_type: bool = False
    """T5's norm: the residual itself is scaled, only its squares are fp32."""

    embedding_norm: bool = False
    """Whether what enters the first layer is normed: BERT's words, CLIP's patches."""

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
    """The usual type of the vision tower beside a text model."""

    masks_images: bool = False
    """Whether an image's tokens see each other: a mask of its own, for which keys are repeated."""

    reads_last_but_one: bool = False
    """Whether the text model reads the image as it is before the tower's last layer (LLaVA)."""


_TABLE = load_yaml(Path(__file__).with_name("families.yaml").read_text("utf-8"))
FAMILIES = {name: ModelFamily(**traits) for name, traits in _TABLE["decoders"].items()}
TOWER_FAMILIES = {name: ModelFamily(**traits) for name, traits in _TABLE["towers"].items()}
"""Encoders, encoder-decoders and vision models; each of their stacks is simulated by itself."""

ALIASES: dict[str, str] = _TABLE["aliases"]
"""Types whose layers save what those of another type do."""

_ATTENTION: tuple[tuple[Role, ...], ...] = (("q", "k", "v", "o"), ("qkv", "o"))
_MLP: tuple[tuple[Role, ...], ...] = (("gate", "up", "down"), ("gate_up", "down"), ("up", "down"))


def with_traits(family: ModelFamily, traits: ConfigTraits) -> ModelFamily:
    """Return the family as a configuration changes it."""
    return replace(
        family,
        dropout=family.dropout if traits.residual_dropout is None else traits.residual_dropout,
        attention_dropout=(
            family.attention_dropout if traits.attention_dropout is None else traits.attention_dropout
        ),
        gated=family.gated if traits.gated is None else traits.gated,
        experts_used=traits.experts_per_token or family.experts_used,
        activation=traits.activation or family.activation,
    )


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
        return _as_built(FAMILIES[name], shape) if name == "falcon" else FAMILIES[name]
    if shape.model_type in TOWER_FAMILIES or not (shape.heads and shape.hidden and shape.vocab):
        return None
    if find_unknown_part(shape):
        return None
    roles = {linear.role for linear in shape.linears if linear.count == shape.layers}
    mlp = next((kind for kind in _MLP if roles.issuperset(kind)), None)
    if mlp is None or not any(roles.issuperset(kind) for kind in _ATTENTION):
        return None
    groups = shape.modules.groups
    norms = [group for group in groups if _is_norm(group)]
    of_heads = [group for group in norms if _norms_heads(group, shape)]
    in_layers = [group for group in norms if "*" in group.path and group.own and group not in of_heads]
    has_positions = any(group.kind == "embedding" and _means_position(group.suffix) for group in groups)
    return ModelFamily(
        norm="layer" if any(group.bias for group in norms) else "rms",
        activation="gelu" if mlp == ("up", "down") else "silu",
        gated=mlp != ("up", "down"),
        norms=4 if len([group for group in in_layers if group.own >= shape.hidden]) >= 4 else 2,
        head_norms=bool(of_heads),
        rotary=not has_positions,
    )


def _as_built(falcon: ModelFamily, shape: ModelShape) -> ModelFamily:
    """Return Falcon's family as its matrices and norms show its architecture.

    The first one shares one key among all heads, which PyTorch can't fuse; the newer one has several.
    """
    names = {group.suffix for group in shape.modules.groups}
    width = next((linear.d_out for linear in shape.linears if linear.role == "qkv"), 0)
    key_heads = (width // max(1, shape.head_dim) - shape.heads) // 2
    return replace(
        falcon,
        parallel="post_attention_layernorm" not in names,
        norms=2 if names & {"ln_attn", "post_attention_layernorm"} else 1,
        writes_attention=key_heads == 1,
        copies_heads=1 < key_heads < shape.heads,
    )


def find_unknown_part(shape: ModelShape) -> str:
    """Return what in an unlisted decoder's layers saves more than its matrices show; "" if nothing does.

    Without that, every known decoder that is read from its matrices is within 5 % of its real step.
    """
    groups = [group for group in shape.modules.groups if "*" in group.path]
    stacks = {linear.name.split(".*")[0] for linear in shape.linears if "*" in linear.name}
    activation = next((str(shape.settings[name]) for name in ACTIVATIONS if name in shape.settings), "silu")
    widths = {shape.hidden, shape.head_dim, shape.attention_width, shape.key_width}
    if shape.modules.refused or any(group.kind == "convolution" for group in groups):
        return "a convolution or a state-space layer"
    if any(len(sizes) > 2 for group in groups for _, sizes in group.tensors) or any(
        "expert" in linear.name and linear.count > shape.layers for linear in shape.linears
    ):
        return "experts"
    if len(stacks) > 1:
        return "a second stack of layers"
    if activation not in KNOWN_ACTIVATIONS:
        return f"the activation {activation}"
    if any(_is_norm(group) and group.own and group.own - group.bias not in widths for group in groups):
        return "a norm inside its MLP"
    if any(group.kind == "other" and group.own and not _is_norm(group) for group in groups):
        return "parameters that are neither a matrix nor a norm"
    return ""


ACTIVATIONS = ("hidden_act", "hidden_activation", "activation_function", "activation")
KNOWN_ACTIVATIONS = ("silu", "swish", "gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "relu", "relu2")
"""Activations that save one number each, but for gelu_new, which only listed families write out."""


def _is_norm(group: ModuleGroup) -> bool:
    return "norm" in group.suffix.lower() or group.suffix.startswith("ln_")


def _norms_heads(group: ModuleGroup, shape: ModelShape) -> bool:
    """Return whether a norm is one of queries or keys, head by head or all heads at once (OLMo 3)."""
    is_of_one = group.suffix.lower().startswith(("q_", "k_", "query_", "key_"))
    is_short = group.own == shape.head_dim != shape.hidden
    return "*" in group.path and (is_of_one or is_short)


def _means_position(name: str) -> bool:
    return "position" in name or name == "wpe"
