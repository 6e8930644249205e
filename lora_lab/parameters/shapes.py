"""Model shapes: the sizes of a model's linear layers and of the rest, which decide counts and bytes.

A shape is read once from the model's own code on the meta device (worker/model/read_shape.py) and stored in
`shapes.jsonl`, so every count and every memory estimate is a closed formula without torch.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from lora_lab.parameters.adapter_config import NothingMatched
from lora_lab.parameters.catalogue import map_names_by_id
from lora_lab.parameters.module_tree import ModuleGroup, ModuleTree, find_path_in_layer, parse_tree
from lora_lab.parameters.name_selection import select_names
from lora_lab.parameters.target_syntax import as_targets
from study.base.errors import LearnerError

SHAPES_FILE = Path(__file__).with_name("shapes.jsonl")

NEAREST_NAMES = 5
LONGEST_COMPARED = 100
"""Characters of a wrong name that are compared with the known ones; a long text would take seconds."""

Role = Literal["q", "k", "v", "o", "qkv", "gate", "up", "gate_up", "down", "other"]
SETS = ("q+v", "attention")
ATTENTION_ROLES: tuple[Role, ...] = ("q", "k", "v", "o", "qkv")


@dataclass(frozen=True, kw_only=True)
class Linear:
    """One kind of frozen linear layer, `count` of them: weight (d_out, d_in)."""

    name: str
    """Module path with `*` for the layer number; PEFT matches its last part."""

    role: Role
    d_in: int
    d_out: int
    count: int

    @property
    def suffix(self) -> str:
        """Its name in `target_modules`, such as `q_proj`."""
        return self.name.rsplit(".", 1)[-1]

    @property
    def path_in_layer(self) -> str:
        """The path that distinguishes it where the suffix doesn't: `attn.c_proj` from `mlp.c_proj`."""
        return find_path_in_layer(self.name)

    @property
    def parameters(self) -> int:
        """Weights of all `count` matrices, without biases."""
        return self.d_in * self.d_out * self.count

    def as_group(self) -> ModuleGroup:
        """Return the same layers as modules of a tree."""
        return ModuleGroup(
            path=self.name if "*" in self.name else f"layers.*.{self.name}",
            numbers=(tuple(range(self.count)),),
            kind="linear",
            d_in=self.d_in,
            d_out=self.d_out,
            own=self.d_in * self.d_out,
        )


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """The sizes of a model that counts and memory estimates use."""

    name: str
    model_type: str
    hub_id: str
    licence: str
    linears: tuple[Linear, ...]
    """All linear layers except the output head."""

    embedding_parameters: int
    head_parameters: int
    """0 when the head is the embedding matrix (tied)."""

    other_parameters: int
    """Norms and biases."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    fused_experts: bool = False
    """Whether experts are one tensor of three axes, counted in `other_parameters`, not a linear layer."""

    default_targets: tuple[str, ...] = ()
    """PEFT's own target modules for this model type when none are given."""

    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What its configuration says, the library's defaults included, of what no module shows: dropout,
    activation, experts per token, how an image is pooled.
    """

    tree: ModuleTree | None = field(default=None, hash=False)
    """All modules, for exact counts of any adapter; files of earlier versions have none."""

    @property
    def attention_width(self) -> int:
        """Query heads times head size."""
        return self.heads * self.head_dim

    @property
    def key_width(self) -> int:
        """Key heads times head size."""
        return self.kv_heads * self.head_dim

    @property
    def linear_parameters(self) -> int:
        """Weights that quantization applies to."""
        return sum(linear.parameters for linear in self.linears)

    @property
    def total_parameters(self) -> int:
        """Parameters of the base model."""
        return (
            self.linear_parameters + self.embedding_parameters + self.head_parameters + self.other_parameters
        )

    @cached_property
    def modules(self) -> ModuleTree:
        """All modules; for a shape with linear layers only, those and one module for the rest."""
        if self.tree is not None:
            return self.tree
        linears = tuple(linear.as_group() for linear in self.linears)
        rest = ModuleGroup(path="rest", own=self.total_parameters - self.linear_parameters)
        defaults = {"lora": self.default_targets} if self.default_targets else {}
        return ModuleTree(groups=(*linears, rest), defaults=defaults)

    def select(self, targets: str | Sequence[str] | None) -> tuple[Linear, ...]:
        """Select the linear layers that `targets` adapts: a set, roles (`q`), module names, or PEFT's
        default.

        A string is a set, names separated by commas, or a regular expression for whole module names. A name
        matches as in PEFT: the last parts of the path are equal. Raises LearnerError on a name that matches
        nothing, listing what the model has.
        """
        if targets is None:
            if not self.default_targets:
                raise LearnerError(
                    f"PEFT has no default targets for {self.model_type}.", do_next=self._describe_suffixes()
                )
            targets = self.default_targets
        if targets == "all-linear":
            return self.linears
        wanted = self._expand_names(targets)
        if isinstance(wanted, str):
            chosen, unmatched = self._select_matching(wanted), []
        else:
            chosen = self._select_matching(wanted) if _has_number(wanted) else self._select_named(wanted)
            unmatched = [name for name in wanted if not self.has(name)]
        if unmatched or not chosen:
            missing = ", ".join(unmatched) or str(targets)
            error = LearnerError if chosen else NothingMatched
            raise error(
                f"{self.name} has no linear layer named {missing}.", do_next=self._describe_suffixes()
            )
        return chosen

    def list_target_modules(self, targets: str | Sequence[str] | None) -> list[str]:
        """List what makes PEFT adapt `select`'s choice: short names where they suffice, else each layer's
        own. A pattern itself would also reach blocks, embeddings and the head.
        """
        chosen = self.select(targets)
        if targets is not None and targets != "all-linear":
            wanted = self._expand_names(targets)
            if isinstance(wanted, str) or _has_number(wanted):
                return [name for names in self._match_names(wanted).values() for name in names]
        others = {linear.suffix for linear in self.linears if linear not in chosen}
        short = sorted({m.path_in_layer if m.suffix in others else m.suffix for m in chosen})
        if self._select_named(tuple(short)) == chosen:
            return short
        # BERT's output.dense is also the end of attention.output.dense. A whole name would be adapted even in
        # layers that layers_to_transform leaves out, so its first part is cut off.
        paths = {linear.name for linear in chosen}
        return [
            name.partition(".")[2]
            for group in self.modules.linears
            if group.path in paths
            for name in group.names
        ]

    def _expand_names(self, targets: str | Sequence[str]) -> str | tuple[str, ...]:
        """Expand sets into their roles; a regular expression stays as it is."""
        if isinstance(targets, str) and targets in SETS:
            return self._list_set_names(targets)
        parsed = as_targets(targets)
        return parsed if isinstance(parsed, str) else tuple(parsed or ())

    def _select_named(self, names: tuple[str, ...]) -> tuple[Linear, ...]:
        return tuple(linear for linear in self.linears if any(_matches_name(linear, name) for name in names))

    def _select_matching(self, wanted: str | tuple[str, ...]) -> tuple[Linear, ...]:
        """Select linear layers by their full names, with the count of those that match."""
        return tuple(replace(linear, count=len(names)) for linear, names in self._match_names(wanted).items())

    def _match_names(self, wanted: str | tuple[str, ...]) -> dict[Linear, list[str]]:
        """Return the full names that match, by their layer."""
        wanted_names = set(select_names(wanted, [name for g in self.modules.linears for name in g.names]))
        found: dict[tuple[str, int, int], list[str]] = {}
        for group in self.modules.linears:
            names = found.setdefault((group.path, group.d_in, group.d_out), [])
            names += filter(wanted_names.__contains__, group.names)
        return {
            linear: names
            for linear in self.linears
            if (names := found.get((linear.name, linear.d_in, linear.d_out), []))
        }

    def has(self, name: str) -> bool:
        """Return whether a role or module name means any of its linear layers."""
        if _has_number((name,)):
            return bool(self._select_matching((name,)))
        return any(_matches_name(linear, name) for linear in self.linears)

    def are_roles(self, targets: str | Sequence[str]) -> bool:
        """Return whether targets are a set such as `q+v`, or roles such as `q` that aren't module names."""
        if isinstance(targets, str):
            return targets in SETS
        roles, names = ({linear.role for linear in self.linears}, {linear.suffix for linear in self.linears})
        return bool(targets) and all(name in roles and name not in names for name in targets)

    def _list_set_names(self, targets: str) -> tuple[str, ...]:
        roles = {linear.role for linear in self.linears}
        if targets == "attention":
            return tuple(role for role in ATTENTION_ROLES if role in roles)
        return ("qkv",) if "qkv" in roles else ("q", "v")

    def _describe_suffixes(self) -> str:
        return f"It has: {', '.join(sorted({linear.suffix for linear in self.linears}))}."

    def to_json(self) -> str:
        """Return readable JSON, in which a learner's own models are stored."""
        values = asdict(replace(self, tree=None))
        if self.tree is None:
            return json.dumps(values, indent=1)
        values["tree"] = {
            name: getattr(self.tree, name) for name in ("defaults", "renamed", "has_output_head")
        }
        if self.tree.refused:
            values["tree"]["refused"] = self.tree.refused
        text = json.dumps(values | {"tree": values["tree"] | {"groups": []}}, indent=1)
        groups = ",\n   ".join(self.tree.to_lines())
        return text.replace('"groups": []', f'"groups": [\n   {groups}\n  ]')


def _has_number(names: Sequence[str]) -> bool:
    """Return whether any name means one layer: `layers.0.self_attn.q_proj`."""
    return any(part.isdecimal() for name in names for part in name.split("."))


def _matches_name(linear: Linear, name: str) -> bool:
    if name in get_args(Role):
        return linear.role == name
    return linear.name == name or linear.name.endswith(f".{name}")


def parse_shape(text: str) -> ModelShape:
    """Parse a shape from the JSON of `ModelShape.to_json`."""
    values: dict[str, Any] = json.loads(text)
    values["linears"] = tuple(Linear(**linear) for linear in values["linears"])
    values["default_targets"] = tuple(values["default_targets"])
    values["tree"] = parse_tree(values["tree"]) if values.get("tree") else None
    return ModelShape(**values)


@lru_cache(maxsize=1)
def load_catalogue() -> dict[str, ModelShape]:
    """Load every model of the catalogue by name, smallest first."""
    shapes = [parse_shape(line) for line in SHAPES_FILE.read_text("utf-8").splitlines()]
    return {shape.name: shape for shape in sorted(shapes, key=lambda shape: shape.total_parameters)}


def keep_in_catalogue(shapes: Iterable[ModelShape]) -> None:
    """Write shapes into the catalogue's file; shapes with other names stay as they are."""
    kept = {**load_catalogue(), **{shape.name: shape for shape in shapes}}
    lines = [json.dumps(json.loads(kept[name].to_json()), separators=(",", ":")) for name in sorted(kept)]
    SHAPES_FILE.write_text("\n".join(lines) + "\n", "utf-8")
    load_catalogue.cache_clear()


def find_shape(name: str) -> ModelShape:
    """Find a catalogue model by name or any of its hub ids. Raises LearnerError that lists the nearest."""
    models = load_catalogue()
    found = models.get(name) or models.get(map_names_by_id().get(name.lower(), ""))
    if found is None:
        raise LearnerError(f"{name!r} is not in the catalogue.", do_next=_list_known(name, models))
    return found


def _list_known(name: str, models: Collection[str]) -> str:
    """List the catalogue models whose names are nearest to a wrong one; all models if none is near."""
    written = name.lower().rpartition("/")[2][:LONGEST_COMPARED]
    near = get_close_matches(written, models, n=NEAREST_NAMES)
    if not near:
        return f"Known models: {', '.join(models)}."
    others = len(models) - len(near)
    return f"Known models: {', '.join(near)} and {others} others, which `--help` and the Models page list."
