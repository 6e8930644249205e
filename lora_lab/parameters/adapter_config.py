"""The configuration of an adapter, and the parameters it trains.

Every variant's count is linear in the rank, `slope x rank + fixed`, so a configuration is matched once
(target_matching.py) and then counted at any rank.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from lora_lab.parameters.module_tree import ModuleGroup
from study.base.errors import LearnerError

AdapterVariant = Literal["lora", "rslora", "dora", "vera", "adalora", "ia3"]
Bias = Literal["none", "all", "lora_only"]
ADAPTER_VARIANTS: tuple[AdapterVariant, ...] = get_args(AdapterVariant)
BIASES: tuple[Bias, ...] = get_args(Bias)
ALL_LINEAR = "all-linear"

DEFAULT_RANKS = {"vera": 256, "adalora": 12}
"""PEFT's `r` (AdaLoRA's `init_r`) when none is given; 8 for the other variants."""

LORA_RANK = 8
FAMILY: dict[AdapterVariant, str] = {"rslora": "lora", "dora": "lora"}
"""The variant whose defaults a variant takes."""

HEADS: dict[str, tuple[str, ...]] = {
    "SEQ_CLS": ("classifier", "score"),
    "TOKEN_CLS": ("classifier", "score"),
    "QUESTION_ANS": ("qa_outputs",),
}
"""Modules that a task type trains by default, in addition to the adapters."""

KIND_OF_TASK = {"SEQ_CLS": "seqcls", "TOKEN_CLS": "tokencls", "QUESTION_ANS": "qa"}
"""The kind of model that a task type implies by default."""

PLAIN_TASKS = ("CAUSAL_LM", "SEQ_2_SEQ_LM", "FEATURE_EXTRACTION")
CLASSIFIERS = ("score", "classifier")


class UnsupportedCase(Exception):
    """A case the lab does not compute, with the reason."""


class PeftRefusal(LearnerError):
    """The error when PEFT does not accept a configuration, or not on this model."""


class NothingMatched(PeftRefusal):
    """The error when the names match no module of the model."""


@dataclass(frozen=True, kw_only=True)
class AdapterSetting:
    """Everything except the rank that decides how many parameters an adapter trains.

    Raises PeftRefusal on a value that PEFT does not accept.
    """

    targets: str | tuple[str, ...] | None = None
    """Suffixes of module names, one regular expression for whole names, `all-linear`, or PEFT's default."""

    variant: AdapterVariant = "lora"
    task_type: str | None = None
    modules_to_save: tuple[str, ...] = ()
    bias: Bias = "none"
    feedforward: str | tuple[str, ...] | None = None
    """IA3: the targets that are scaled at their input."""

    excluded: str | tuple[str, ...] = ()
    """Modules that the targets don't match, written as targets are: PEFT's `exclude_modules`."""

    layers: tuple[int, ...] = ()
    """The layers that short names match in, all if empty: PEFT's `layers_to_transform`."""

    layers_pattern: tuple[str, ...] = ()
    """Patterns of the list that a layer's number belongs to; empty, it is the first number in a name."""

    parameters: tuple[str, ...] = ()
    """Parameters that get an adapter of their own, by the ends of their names: PEFT's `target_parameters`."""

    has_dropout: bool = False
    """Whether `lora_dropout` is set, with which PEFT adapts no parameter. Counts don't depend on it."""

    token_rows: tuple[tuple[str | None, tuple[int, ...]], ...] = ()
    """The end of a layer's name, None for the input embedding, and the tokens whose rows of it are trained:
    PEFT's `trainable_token_indices`."""

    rank_pattern: tuple[tuple[str, int], ...] = ()
    """Ranks of their own: names or patterns of a name's end, the first one that matches counts."""

    ties_weights: bool = False
    """Whether an adapter of tied embeddings comes to the head as well: PEFT's `ensure_weight_tying`."""

    lora_bias: bool = False
    """Whether each B has a bias, a number per output: PEFT's `lora_bias`."""

    def __post_init__(self) -> None:
        tasks = (None, *PLAIN_TASKS, *HEADS)
        for name, value, allowed in (
            ("variant", self.variant, ADAPTER_VARIANTS),
            ("bias", self.bias, BIASES),
            ("task_type", self.task_type, tasks),
        ):
            if value not in allowed:
                known = ", ".join(str(each) for each in allowed if each)
                raise PeftRefusal(
                    f"{name} must be one of {known}, got {value!r}.",
                    do_next=f"Write one of them, or leave {name} out.",
                )
        if self.variant == "ia3" and self.bias != "none":
            raise PeftRefusal("IA3 has no bias setting.", do_next="Leave bias at none.")
        if self.layers_pattern and not self.layers:
            raise PeftRefusal(
                "PEFT takes layers_pattern only with layers_to_transform.",
                do_next="Name the layers, or leave layers_pattern out.",
            )

    @property
    def trains_output_vector(self) -> bool:
        """Whether a LoRA matrix trains a number per output besides A and B: a magnitude, or B's bias."""
        return self.variant == "dora" or self.lora_bias

    @property
    def family(self) -> str:
        """The variant whose defaults this one takes."""
        return FAMILY.get(self.variant, self.variant)

    @property
    def default_rank(self) -> int:
        """The rank that PEFT takes when none is given."""
        return DEFAULT_RANKS.get(self.variant, LORA_RANK)

    @property
    def saved(self) -> tuple[str, ...]:
        """Modules trained whole, including the task's own head."""
        return (*self.modules_to_save, *HEADS.get(self.task_type or "", ()))

    @property
    def required_targets(self) -> tuple[str, ...]:
        """Names that PEFT wants among any targets: IA3's feed-forward modules where they are listed."""
        listed = self.variant == "ia3" and isinstance(self.feedforward, tuple)
        return tuple(self.feedforward or ()) if listed else ()

    @property
    def is_narrowed(self) -> bool:
        """Whether some of the targets' modules are left out or have a rank of their own."""
        return bool(self.excluded or self.layers or self.rank_pattern)

    @property
    def never_adapted(self) -> tuple[str, ...]:
        """Modules that the targets never match, because they are trained whole.

        Only PeftModelForSequenceClassification adds its head before the adapters are set; with the other
        tasks a target that matches the head adapts it, and then it can't be saved (PEFT 0.21, peft_model.py).
        """
        return self.saved if self.task_type == "SEQ_CLS" else self.modules_to_save


@dataclass(frozen=True)
class LinearCount:
    """A parameter count as `slope x rank + fixed`."""

    slope: int = 0
    fixed: int = 0

    def __add__(self, other: "LinearCount") -> "LinearCount":
        return LinearCount(self.slope + other.slope, self.fixed + other.fixed)

    def __mul__(self, times: int) -> "LinearCount":
        return LinearCount(self.slope * times, self.fixed * times)

    def at(self, rank: int) -> int:
        return self.slope * rank + self.fixed


@dataclass(frozen=True, kw_only=True)
class Match:
    """The modules of one group that a configuration adapts."""

    group: ModuleGroup
    names: tuple[str, ...]
    each: LinearCount
    """What the adapter of one of these modules trains."""

    own_rank: int | None = None
    """Their rank, where a rank pattern gives them another than the setting's."""

    parameter: tuple[int, ...] = ()
    """The shape of the parameter that the setting names in each of them; empty for the module itself."""

    @property
    def modules(self) -> tuple[str, ...]:
        """The names of the modules; those of a parameter end with its own name."""
        return tuple(name.rpartition(".")[0] for name in self.names) if self.parameter else self.names


@dataclass(frozen=True, kw_only=True)
class SavedModule:
    """A module that is copied, and the copy trained whole."""

    name: str
    parameters: int
    frozen: int = 0
    """Parameters of a first copy that a second one replaces."""


@dataclass(frozen=True, kw_only=True)
class TrainedRows:
    """Rows of an embedding or of a linear layer that are trained, one for each token."""

    name: str
    rows: int
    width: int

    @property
    def parameters(self) -> int:
        return self.rows * self.width


@dataclass(frozen=True, kw_only=True)
class Adaptation:
    """One configuration on one model: what is adapted, what is saved whole, what else is trained."""

    matches: tuple[Match, ...]
    saved: tuple[SavedModule, ...]
    biases: int
    """Base biases that are trained in place."""

    frozen_extra: int
    """Numbers that are added without being trained: AdaLoRA's current rank of each matrix, and what is copied
    once more inside a saved module."""

    rows: tuple[TrainedRows, ...] = ()
    unmatched: tuple[str, ...] = ()
    """Names of parameters that the model doesn't have, and that PEFT passes over."""

    @cached_property
    def adapters(self) -> LinearCount:
        """What the adapters train, and the rows of tokens, which PEFT trains by an adapter too."""
        rows = LinearCount(0, sum(each.parameters for each in self.rows))
        return sum((match.each * len(match.names) for match in self.matches), rows)

    @property
    def saved_parameters(self) -> int:
        return sum(module.parameters for module in self.saved)

    @property
    def trainable(self) -> LinearCount:
        """The trainable parameters, which PEFT prints first."""
        return self.adapters + LinearCount(0, self.saved_parameters + self.biases)

    @property
    def added(self) -> LinearCount:
        """The parameters that the model has in addition to its base."""
        return self.adapters + LinearCount(0, self.saved_parameters + self.frozen_extra)
