"""The layer stacks of models other than plain decoders: encoders, encoder-decoders, vision towers."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from lora_lab.memory.frameworks.families import ALIASES, FAMILIES, TOWER_FAMILIES, ModelFamily
from lora_lab.memory.frameworks.setting import ConfigTraits, StepSetting
from lora_lab.parameters.adapter_config import UnsupportedCase
from lora_lab.parameters.shapes import Linear, ModelShape, Role

VISION_HEAD_DIM = 64
"""The head size of CLIP, SigLIP and ViT at every published width but one (SigLIP so400m: 72)."""

VISION = ("vision", "visual", "image_encoder")
CROSS = ("EncDecAttention", "encoder_attn", "crossattention")

WHOLE = {"t5": "down", "mt5": "down"}
"""Matrices that transformers keeps unquantized in a quantized model (_keep_in_fp32_modules): T5's wo."""

TowerKind = Literal["encoder", "decoder", "text", "vision"]


@dataclass(frozen=True, kw_only=True)
class Tower:
    """One stack of equal layers: its sizes are a shape of its own."""

    kind: TowerKind
    shape: ModelShape
    family: ModelFamily
    positions: int
    """Tokens or patches of one example that pass through it."""

    blocks: dict[tuple[str, Role], Linear]
    """Its matrices by block, `self` or `cross`, and role."""


def stays_whole(model_type: str, role: str) -> bool:
    """Return whether the matrix of that role stays unquantized in a quantized model."""
    return WHOLE.get(model_type) == role


def has_towers(shape: ModelShape, traits: ConfigTraits) -> bool:
    """Return whether a model is simulated stack by stack: no plain decoder, or one that takes images."""
    return shape.model_type in TOWER_FAMILIES or _sees(shape, traits)


def _sees(shape: ModelShape, traits: ConfigTraits) -> bool:
    towers = {linear.name.split(".*")[0] for linear in shape.linears if "*" in linear.name}
    has_vision = any(word in prefix for prefix in towers for word in VISION)
    return has_vision and ALIASES.get(traits.text_type, traits.text_type) in FAMILIES


def list_towers(setting: StepSetting) -> tuple[Tower, ...]:
    """List a model's stacks in the order in which they run.

    Raises UnsupportedCase when its matrices are not those of its family's layers, or those of a language
    model beside a vision tower are not modelled.
    """
    shape = setting.shape
    family = TOWER_FAMILIES.get(shape.model_type, ModelFamily(vision="clip_vision_model"))
    found: dict[str, list[Linear]] = {}
    for linear in shape.linears:
        if "*" in linear.name:
            found.setdefault(linear.name.split(".*")[0], []).append(linear)
    towers = tuple(
        _build(prefix, linears, setting, family)
        for prefix, linears in found.items()
        if not (family.vision and _is_idle(prefix, linears, setting))
    )
    if not towers:
        raise UnsupportedCase(f"the layers of this {shape.model_type} are not those of its published code")
    if family.vision and {tower.kind for tower in towers} - {"vision"} != {"text"}:
        raise UnsupportedCase(
            f"the layers of its language model are not known beside a vision tower ({shape.model_type})"
        )
    return towers


def _is_idle(prefix: str, linears: list[Linear], setting: StepSetting) -> bool:
    """Return whether a tower beside the text model saves nothing, because nothing in it is trained."""
    is_vision = any(word in prefix for word in VISION)
    adapted = {linear.name for linear in setting.adapted}
    untrained = not setting.trains_norms and not any(linear.name in adapted for linear in linears)
    is_text = any(linear.role in ("gate", "gate_up") for linear in linears) and not is_vision
    return untrained and not is_text


def _build(prefix: str, linears: list[Linear], setting: StepSetting, family: ModelFamily) -> Tower:
    shape, traits = setting.shape, setting.traits
    kind = _find_kind(prefix, linears, family)
    if kind == "text":
        text_type = ALIASES.get(traits.text_type, traits.text_type) or "llama"
        if text_type not in FAMILIES:
            raise UnsupportedCase(f"the layers of {text_type} beside a vision tower are not known")
        family = FAMILIES[text_type]
    elif kind == "vision" and family.vision:
        family = TOWER_FAMILIES.get(traits.vision_type or family.vision, TOWER_FAMILIES[family.vision])
    blocks = {(_find_block(linear.name), linear.role): linear for linear in linears}
    query, up = blocks.get(("self", "q")), blocks.get(("self", "up")) or blocks.get(("self", "gate"))
    if query is None or up is None:
        raise UnsupportedCase(f"the layers under {prefix} are not those of the published {shape.model_type}")
    head_dim = _head_dim(kind, shape, traits, query.d_out)
    key = blocks.get(("self", "k"), query)
    own = replace(
        shape,
        linears=tuple(linears),
        layers=shape.layers if family.shares_layers else query.count,
        hidden=query.d_in,
        intermediate=up.d_out,
        heads=max(1, query.d_out // head_dim),
        kv_heads=max(1, key.d_out // head_dim),
        head_dim=head_dim,
    )
    positions = _count_positions(kind, prefix, setting)
    return Tower(kind=kind, shape=own, family=family, positions=positions, blocks=blocks)


def _find_kind(prefix: str, linears: list[Linear], family: ModelFamily) -> TowerKind:
    if any(word in prefix for word in VISION) or family.takes_images:
        return "vision"
    if "decoder" in prefix or any(_find_block(linear.name) == "cross" for linear in linears):
        return "decoder"
    return "text" if family.vision else "encoder"


def _find_block(path: str) -> str:
    return "cross" if any(name in path for name in CROSS) else "self"


def _head_dim(kind: TowerKind, shape: ModelShape, traits: ConfigTraits, width: int) -> int:
    if kind == "vision" and shape.vocab:  # the shape's own heads are the text model's
        return max(1, width // traits.vision_heads) if traits.vision_heads else min(VISION_HEAD_DIM, width)
    return shape.head_dim or max(1, width // max(1, shape.heads))


def _count_positions(kind: TowerKind, prefix: str, setting: StepSetting) -> int:
    tables = tuple(_list_position_tables(setting.shape))
    root = prefix.split(".encoder")[0].split(".layers")[0]
    within = [rows for path, rows in tables if path.startswith((root, prefix.rsplit(".", 1)[0]))]
    match kind:
        case "vision":
            return max(within or [rows for _, rows in tables], default=setting.seq_len)
        case "decoder":
            target = setting.target_len or setting.seq_len
            if setting.shape.model_type != "whisper":
                return target
            most = max((rows for path, rows in tables if "decoder" in path), default=target)
            return min(target, most)  # it decodes 448 tokens at most
        case "text":
            return max(setting.seq_len, count_image_tokens(setting) if runs_vision(setting) else 0)
    if setting.shape.model_type == "whisper":
        return max(rows for path, rows in tables if "encoder" in path)
    return setting.seq_len


def runs_vision(setting: StepSetting) -> bool:
    """Return whether an image is read that keeps anything: text alone trains where no vision matrix does."""
    named = [linear.name for linear in setting.adapted]
    return setting.trains_norms or any(word in name for name in named for word in VISION)


def count_image_tokens(setting: StepSetting) -> int:
    """Return how many positions of the text model one image takes: a patch each, without the class token,
    unless several patches become one (Gemma 3's 4,096 are pooled to 256).
    """
    traits = setting.traits
    return traits.image_tokens or count_patches(setting) // traits.merged_side**2


def count_patches(setting: StepSetting) -> int:
    """Return the patches of one image, without a class token."""
    rows = [count for path, count in _list_position_tables(setting.shape) if any(w in path for w in VISION)]
    side = int(max(rows, default=0) ** 0.5)
    return side * side


def _list_position_tables(shape: ModelShape) -> Iterator[tuple[str, int]]:
    """List the path and the rows of each table of learned positions."""
    for group in shape.modules.groups:
        if group.kind == "embedding" and "position" in group.suffix:
            yield group.path, group.d_in
        for name, sizes in group.tensors:
            if "position" in name and len(sizes) >= 2:
                yield f"{group.path}.{name}", sizes[-2]
