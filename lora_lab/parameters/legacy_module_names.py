"""Module names of earlier transformers releases, which most tutorials use.

Release 5 fused a layer's experts into one tensor and renamed the matrices of vision models; weights and sizes
are the same.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from lora_lab.parameters.adapter_config import ALL_LINEAR, Adaptation, AdapterSetting, NothingMatched
from lora_lab.parameters.module_tree import ModuleGroup, ModuleTree, Names
from lora_lab.parameters.name_selection import select_names
from lora_lab.parameters.shapes import ModelShape
from lora_lab.parameters.target_matching import find_adaptation

_LAYERS = ((r"(?<![\w])layers(?=\.|$)", "encoder.layer"),)
_IN_ATTENTION = (
    (r"\.attention\.q_proj$", ".attention.attention.query"),
    (r"\.attention\.k_proj$", ".attention.attention.key"),
    (r"\.attention\.v_proj$", ".attention.attention.value"),
    (r"\.attention\.o_proj$", ".attention.output.dense"),
)
_IN_SELF = tuple(
    (now, before.replace(".attention.attention.", ".attention.self.")) for now, before in _IN_ATTENTION
)
_IN_MLP = ((r"\.mlp\.fc1$", ".intermediate.dense"), (r"\.mlp\.fc2$", ".output.dense"))
_VIT = (*_LAYERS, *_IN_ATTENTION, *_IN_MLP)

_SPARSE_MOE = ((r"\.mlp(?=\.|$)", ".block_sparse_moe"),)

RENAMED: dict[str, tuple[tuple[str, str], ...]] = {
    "mixtral": _SPARSE_MOE,
    "phimoe": _SPARSE_MOE,
    "qwen2_moe": (),
    "jamba": (),
    "gpt_neox": ((r"^lm_head$", "embed_out"),),
    "mamba": (),
    "vit": _VIT,
    "vit_mae": _VIT,
    "beit": _VIT,
    "audio-spectrogram-transformer": _VIT,
    "dinov2": _IN_ATTENTION,
    "dinov2_with_registers": _IN_ATTENTION,
    "swin": (*_IN_SELF, *_IN_MLP),
    "segformer": (*_IN_SELF, (r"\.mlp\.fc1$", ".mlp.dense1"), (r"\.mlp\.fc2$", ".mlp.dense2")),
}
"""Current path and earlier path, by model type; none where only experts, or what PEFT refuses, changed."""

_W = ("w1", "w3", "w2")
EXPERTS: dict[str, tuple[str, str, str]] = {"mixtral": _W, "phimoe": _W}
"""Earlier names of an expert's gate, up and down matrices, by model type."""

USUAL_EXPERTS = ("gate_proj", "up_proj", "down_proj")

FUSED: dict[str, tuple[tuple[str, str], ...]] = {"phi": (("query_key_value", "dense"), ("Wqkv", "out_proj"))}
"""Names of one matrix for queries, keys and values, and of the output's, in earlier code, by model type:
Phi's in transformers 4.36, and in the code beside its weights on the hub before that.
"""

WITH_INNER_HEAD = frozenset((
    "llava", "llava_next", "llava_next_video", "llava_onevision", "video_llava", "vipllava", "paligemma",
    "blip-2", "instructblip", "mllama",
))  # fmt: skip
"""Types whose head was inside the language model in transformers 4. PEFT up to 0.13 looked for it by its
short name, did not find it there, and adapted it with all-linear.
"""


def build_older_tree(shape: ModelShape) -> ModuleTree | None:
    """Build the same model's tree under its earlier names; return None when the names haven't changed."""
    tree = shape.tree
    if tree is None or not (shape.model_type in RENAMED or tree.renamed):
        return None
    return _rename_older(tree, shape.model_type)


@lru_cache(maxsize=64)
def _rename_older(tree: ModuleTree, model_type: str) -> ModuleTree:
    groups = [each for group in tree.groups for each in _split_fused(group, model_type)]
    groups = [replace(group, path=_find_older_path(group.path, model_type)) for group in groups]
    return replace(tree, groups=tuple(groups), renamed={}, refused=())


def build_rarer_trees(
    shape: ModelShape, targets: Names | None, *, positions: int = 0
) -> Iterator[ModuleTree]:
    """Yield the same model's tree as other releases had it, where that makes a difference for these targets.

    `positions`: its configuration's max_position_embeddings. ESM built a matrix of them in transformers 4
    also where it uses rotary positions.
    """
    tree = shape.tree
    if tree is None:
        return
    named = {targets} if isinstance(targets, str) else set(targets or ())
    for fused, out in FUSED.get(shape.model_type, ()):
        if not {fused, out} & named <= set(tree.linear_names):
            yield _fuse_attention(tree, fused, out)
    if shape.model_type in WITH_INNER_HEAD and targets == ALL_LINEAR:
        yield replace(tree, groups=tuple(replace(group, is_head=False) for group in tree.groups))
    if shape.model_type == "esm" and all(group.suffix != "position_embeddings" for group in tree.groups):
        unused = ModuleGroup(path="esm.embeddings.position_embeddings", own=positions * shape.hidden)
        yield replace(tree, groups=(*tree.groups, unused))


def _fuse_attention(tree: ModuleTree, fused: str, out: str) -> ModuleTree:
    """Fuse q_proj, k_proj and v_proj into one matrix; no parameter is won or lost."""
    parts = {(group.path.rpartition(".")[0], group.suffix): group for group in tree.groups}
    groups = []
    for (within, suffix), group in parts.items():
        of_attention = (within, "q_proj") in parts
        if of_attention and suffix == "q_proj":
            three = [parts[within, name] for name in ("q_proj", "k_proj", "v_proj")]
            sizes = {name: sum(getattr(each, name) for each in three) for name in ("d_out", "own", "bias")}
            groups.append(replace(group, path=f"{within}.{fused}", **sizes))
        elif of_attention and suffix == "dense":
            groups.append(replace(group, path=f"{within}.{out}"))
        elif not of_attention or suffix not in ("k_proj", "v_proj"):
            groups.append(group)
    return replace(tree, groups=tuple(groups))


def _find_older_path(path: str, model_type: str) -> str:
    for now, before in RENAMED.get(model_type, ()):
        path = re.sub(now, before, path)
    return path


def find_current_names(shape: ModelShape, earlier: Sequence[str]) -> list[str]:
    """Return today's names of the linear layers that earlier ones mean; none where a type kept its names."""
    found = []
    for linear in shape.linears:
        before = _find_older_path(linear.name, shape.model_type)
        if before != linear.name and select_names(tuple(earlier), (before,)):
            found.append(linear.suffix)
    return list(dict.fromkeys(found))


def _split_fused(group: ModuleGroup, model_type: str) -> Iterator[ModuleGroup]:
    """Yield one linear layer per matrix of each expert, and the router as a linear layer."""
    shapes = dict(group.tensors)
    if "gate_up_proj" in shapes and len(shapes["gate_up_proj"]) == 3:
        experts, both, hidden = shapes["gate_up_proj"]
        inner = (*group.numbers, tuple(range(experts)))
        yield replace(group, own=0, tensors=(), kind="container")
        yield ModuleGroup(path=f"{group.path}.*", numbers=inner)
        sizes = ((hidden, both // 2), (hidden, both // 2), (both // 2, hidden))
        for name, (d_in, d_out) in zip(EXPERTS.get(model_type, USUAL_EXPERTS), sizes, strict=True):
            yield ModuleGroup(
                path=f"{group.path}.*.{name}", numbers=inner, kind="linear", d_in=d_in, d_out=d_out,
                own=d_in * d_out,
            )  # fmt: skip
    elif group.suffix in ("gate", "router") and group.kind == "other" and "weight" in shapes:
        d_out, d_in = shapes["weight"]
        yield replace(group, kind="linear", d_in=d_in, d_out=d_out, tensors=())
    else:
        yield group


def adapt_shape(shape: ModelShape, setting: AdapterSetting) -> Adaptation:
    """Find what PEFT adapts, by current names or, where those match nothing, by the earlier ones.

    Raises LearnerError where PEFT raises under both; it lists the current names.
    """
    try:
        return find_adaptation(shape.modules, setting)
    except NothingMatched as nothing:
        older = build_older_tree(shape)
        if older is None:
            raise
        try:
            return find_adaptation(older, setting)
        except NothingMatched:
            raise nothing from None
