"""`check:` entries of content: a named quantity, its arguments, and the number that the text prints."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from study.base.errors import LearnerError

_QUANTITIES: dict[str, Callable[..., float]] = {}
_FORMULAS: dict[str, str] = {}
_MEASURED: set[str] = set()

# A text may print 37.7M or 780 GB for the exact number.
_SCALES = {"k": 1e3, "kB": 1e3, "M": 1e6, "MB": 1e6, "B": 1e9, "GB": 1e9, "TB": 1e12}
_SCALES |= {"million": 1e6, "billion": 1e9}
_UNITS = "|".join(sorted(_SCALES, key=len, reverse=True))
_NUMBER = re.compile(rf"((?:(?<![\w.])[-−])?\d[\d,]*(?:\.\d+)?)(?:\s*({_UNITS})\b)?")


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number that the lab can compute: a registered function and its arguments."""

    quantity: str
    arguments: Mapping[str, Any]

    @property
    def measured(self) -> bool:
        """Whether the number is read from a measurement."""
        return self.quantity in _MEASURED

    @property
    def call(self) -> str:
        """The call as a learner reads it: `lora_parameters(model=gpt3-175b, rank=8)`."""
        arguments = ", ".join(f"{name}={_as_word(value)}" for name, value in self.arguments.items())
        return f"{self.quantity}({arguments})"

    @property
    def formula(self) -> str:
        """The formula in a learner's words, such as `α / r`; empty if none was registered."""
        return _FORMULAS.get(self.quantity, "")

    @property
    def given(self) -> str:
        """The arguments in words: `model gpt3-175b, rank 8`; `d_in` and `d_out` stay as in formulas."""
        return ", ".join(
            f"{name if name.startswith('d_') else name.replace('_', ' ')} {_as_word(value)}"
            for name, value in self.arguments.items()
        )


@dataclass(frozen=True, kw_only=True)
class Check(Quantity):
    """A claim that the test suite evaluates: `quantity(**arguments)` equals `expect` within `tolerance`."""

    expect: float
    tolerance: float = 0.0


def register_quantity(
    name: str, function: Callable[..., float], *, formula: str = "", measured: bool = False
) -> None:
    """Let content name this function; pages show its formula. Only registered functions are ever called.

    `measured`: the number was measured once and is read, not computed; learners are told so.

    Raises ValueError when another function has this name already.
    """
    if _QUANTITIES.setdefault(name, function) is not function:
        raise ValueError(f"two quantities are registered as {name!r}")
    _FORMULAS[name] = formula
    if measured:
        _MEASURED.add(name)


def list_quantities() -> tuple[str, ...]:
    """Return the names that content may use, sorted."""
    return tuple(sorted(_QUANTITIES))


def evaluate(asked: Quantity) -> float:
    """Compute the quantity's value now. Raises LearnerError when no such quantity is registered."""
    function = _QUANTITIES.get(asked.quantity)
    if function is None:
        known = ", ".join(list_quantities()) or "none"
        raise LearnerError(f"No quantity is called {asked.quantity!r}.", do_next=f"Name one of: {known}.")
    return float(function(**asked.arguments))


def check_holds(check: Check) -> bool:
    """Return whether the computed value is the expected one. Equality allows for float rounding only."""
    return math.isclose(evaluate(check), check.expect, rel_tol=1e-12, abs_tol=check.tolerance)


def prints_number(text: str, check: Check) -> bool:
    """Return whether a text shows the expected number, in full or rounded as printed (37.7M, 780 GB)."""
    return any(_is_printed_as(check, digits, unit) for digits, unit in _NUMBER.findall(text))


def find_scale(unit: str) -> float | None:
    """Find the value of one unit: 10^9 for GB; None for an unknown unit."""
    return _SCALES.get(unit)


def _is_printed_as(check: Check, digits: str, unit: str) -> bool:
    scale = _SCALES.get(unit, 1.0)
    decimals = len(digits.partition(".")[2])
    # A whole number without a unit is exact; the last digit of any other number may be rounded.
    rounding = 0.5 * scale * 10.0**-decimals * (1 + 1e-9) if decimals or unit else 0.0
    difference = abs(float(digits.replace(",", "").replace("−", "-")) * scale - check.expect)
    return difference <= max(rounding, check.tolerance, 1e-12 * abs(check.expect))


def _as_word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "+".join(str(part) for part in value) if isinstance(value, list) else str(value)
