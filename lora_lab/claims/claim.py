"""A claim: a model, a setting that may leave rank or targets open, and the line it is said to print."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from lora_lab.parameters.adapter_config import AdapterSetting, PeftRefusal
from lora_lab.parameters.json_fields import parse_digits
from lora_lab.parameters.module_tree import ModuleTree
from lora_lab.parameters.shapes import ModelShape
from lora_lab.parameters.target_matching import find_adaptation
from study.base.errors import LearnerError

Quantization = Literal["none", "8bit", "4bit", "4bit_partial", "gptq", "aqlm"]
QUANTIZATIONS: tuple[Quantization, ...] = get_args(Quantization)
LARGEST_RANK = 512


@dataclass(frozen=True, kw_only=True)
class Printed:
    """The numbers of the line; None for a missing one."""

    trainable: int | None = None
    total: int | None = None
    percent: str | None = None
    """As text, because its digits say how far it was rounded."""

    def to_record(self) -> dict[str, Any]:
        """Return the JSON record that `parse_printed` parses."""
        return {"trainable": self.trainable, "all": self.total, "pct": self.percent}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What is stated and what was printed. Raises LearnerError when there is nothing to check."""

    shape: ModelShape
    setting: AdapterSetting
    """`setting.targets` is None when the text doesn't name them."""

    printed: Printed
    rank: int | None = None
    """None when it is not stated."""

    targets_are_known: bool = True
    quantization: Quantization = "none"
    layouts: tuple[ModuleTree, ...] = ()
    """Module names to try, likeliest first."""

    base_parameters: int | None = None
    """The base model's size, if it is not what its configuration builds."""

    saved_parameters: int | None = None
    """Size of the head that is trained whole, if the configuration does not build it."""

    def __post_init__(self) -> None:
        if self.quantization not in QUANTIZATIONS:
            raise LearnerError(
                f"quantisation must be one of {', '.join(QUANTIZATIONS)}, got {self.quantization!r}.",
                do_next="Write one of them, or leave quantisation out.",
            )
        if self.printed == Printed():
            raise LearnerError(
                "There is no printed number to check.",
                do_next="Add a line such as `trainable params: 4,194,304 || all params: 6,742,609,920`.",
            )

    @property
    def is_rank_open(self) -> bool:
        """Whether the rank is left open. IA3 has none."""
        return self.rank is None and self.setting.variant != "ia3"

    @property
    def is_open(self) -> bool:
        """Whether rank or targets are left open."""
        return not self.targets_are_known or self.is_rank_open

    def count_base(self, tree: ModuleTree) -> int:
        """Count the parameters of the base model: the stated ones, or those of its modules."""
        return self.base_parameters or tree.base_parameters

    def can_apply_to(self, tree: ModuleTree) -> bool:
        """Return whether PEFT accepts the setting under these module names.

        Raises MatchingRefused where that is not known.
        """
        try:
            find_adaptation(tree, self.setting)
        except PeftRefusal:
            return False
        return True


def parse_printed(values: Mapping[str, Any]) -> Printed:
    """Parse the numbers of a JSON record. Raises LearnerError for a field that isn't a number."""
    return Printed(
        trainable=_require_whole(values.get("trainable"), "trainable"),
        total=_require_whole(values.get("all"), "all"),
        percent=_require_percent(values.get("pct")),
    )


def _require_percent(value: object) -> str | None:
    """Return a percentage as it is written, with a point where it has a decimal comma."""
    if value is None:
        return None
    digits = str(value).strip().rstrip("%").strip().replace(",", ".")
    if isinstance(value, bool) or not re.fullmatch(
        r"(\d++(?:\.\d*+)?|\.\d++)([eE][+-]?\d{1,3})?", digits, re.ASCII
    ):
        raise LearnerError(
            f"printed.pct must be a percentage, got {value!r}.", do_next='Write printed.pct as "0.0622".'
        )
    return digits


def _require_whole(value: object, name: str) -> int | None:
    if value is None:
        return None
    digits = str(value).replace(",", "").replace("_", "").strip()
    if isinstance(value, float) and value.is_integer():  # neither NaN nor infinity
        digits = str(int(value))
    number = parse_digits(digits)
    if number is None:
        raise LearnerError(
            f"printed.{name} must be a whole number, got {value!r}.",
            do_next=f"Write printed.{name} as digits only.",
        )
    return number
