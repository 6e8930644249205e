"""Parsing of numbers as learners type them: `1.2e6`, `1,200,000`, `1.2 million`, `412 MB`, `1/32`, `2^10`."""

import math
import re
from dataclasses import dataclass
from decimal import Decimal

from study.base.errors import LearnerError

# The size of each unit in the smallest of its kind, under every accepted spelling. A question that asks for
# bits per weight accepts `4.5 bits`.
_BYTES: dict[tuple[str, ...], float] = {
    ("B", "byte", "bytes"): 1.0,
    ("bytes per parameter", "bytes/parameter", "bytes/param", "bytes per weight", "bytes/weight"): 1.0,
    ("kB", "KB", "kilobyte", "kilobytes"): 1e3,
    ("MB", "megabyte", "megabytes"): 1e6,
    ("GB", "gigabyte", "gigabytes"): 1e9,
    ("TB", "terabyte", "terabytes"): 1e12,
    ("KiB", "kibibyte", "kibibytes"): 2.0**10,
    ("MiB", "mebibyte", "mebibytes"): 2.0**20,
    ("GiB", "gibibyte", "gibibytes"): 2.0**30,
}
_BITS: dict[tuple[str, ...], float] = {
    ("bits", "bit"): 1.0,
    ("bits per weight", "bits per parameter", "bits/weight", "bits/parameter", "bits/param", "bpw"): 1.0,
}
_KINDS: tuple[dict[tuple[str, ...], float], ...] = (
    _BYTES,
    _BITS,
    {("parameters", "parameter", "params", "param", "weights", "weight", "values", "numbers"): 1.0},
    {("%", "percent", "per cent", "pct", "percentage points", "percentage point", "pp"): 1.0},
    {("times", "x", "×", "fold"): 1.0},
    {("tokens", "token"): 1.0},
    {("steps", "step"): 1.0},
    {("examples", "example", "sequences", "sequence"): 1.0},
    {("blocks", "block"): 1.0},
)
_WORTH = {
    spelling: (kind, worth)
    for kind, units in enumerate(_KINDS)
    for spellings, worth in units.items()
    for spelling in spellings
}
_WHOLE = ("", "B", "parameters", "tokens", "steps", "examples", "blocks")
"""Units of large whole numbers."""

_COUNTS = {"k": 1e3, "thousand": 1e3, "m": 1e6, "million": 1e6, "bn": 1e9, "billion": 1e9, "trillion": 1e12}
_CASELESS = {spelling.lower(): spelling for spelling in reversed(_WORTH)}

_DIGITS = r"\d[\d,. _'\u00a0\u202f]*|\.\d+"
_NUMBER = re.compile(
    rf"(?P<sign>[-+−]?)\s*(?P<digits>{_DIGITS})"
    rf"(?:\s*/\s*(?P<divisor>{_DIGITS})|\s*(?:\^|\*\*)\s*(?P<exponent>[-−]?\d{{1,2}})(?!\d)"
    r"|\s*(?:e|[x×*·]\s*10\s*(?:\^|\*\*))\s*(?P<power>[-+−]?\d+))?\s*(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_GROUPED = re.compile(r"[1-9]\d{0,2}(,\d{3})+(\.\d*)?")
_SUPERSCRIPT = re.compile(r"[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_LOWERED = str.maketrans("⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹", "-+0123456789")
_SPACES = re.compile(r"[ _'\u00a0\u202f]")


@dataclass(frozen=True)
class TypedNumber:
    """A number as it was typed, and its unit as the table spells it; empty if none was typed."""

    value: float
    unit: str
    scale: float = 1.0
    """What a word such as `million` has multiplied the value with."""


def is_known_unit(unit: str) -> bool:
    """Return whether a question may ask for this unit; an empty unit is fine."""
    return unit == "" or unit in _WORTH


def find_unit_size(unit: str) -> float:
    """Return a unit's size in the smallest of its kind: 1,000,000 for MB, 1 for a unit without multiples."""
    return _WORTH[unit][1] if unit in _WORTH else 1.0


def read_number(text: str, *, unit: str = "") -> TypedNumber:
    """Parse the number in a text. Raises LearnerError, with an example that fits `unit`, when it can't."""
    # As the app itself writes small numbers: 1.2·10⁻⁵.
    written = _SUPERSCRIPT.sub(lambda power: f"^{power[0].translate(_LOWERED)}", text.strip())
    found = _NUMBER.fullmatch(written)
    value = _parse_term(found) if found else None
    if found is None or value is None:
        raise LearnerError(
            f"{text.strip()[:40]!r} is not a number." if text.strip() else "No number is typed yet.",
            do_next="Write digits, such as 1200000, 1,200,000 or 1.2e6, and a unit if you like."
            if unit in _WHOLE
            else f"Write digits, such as 2.5 for 2.5 {unit}.",
        )
    power = int((found["power"] or "0").replace("−", "-")[:6])  # six characters are out of range already
    scale, unit = _scale_and_unit(found["rest"].strip())
    if abs(power) > 30 or not math.isfinite(value):
        raise LearnerError("That number is out of range.", do_next="Write it in another unit.")
    sign = -1.0 if found["sign"] in ("-", "−") else 1.0
    return TypedNumber(sign * value * float(f"1e{power}") * scale, unit, scale)


def parse_in_unit(text: str, unit: str) -> float:
    """Parse a number into the unit that a question asks for; a bare number is taken to be in it.

    The unit may be a word such as `million`: then `2.4`, `2.4 million` and `2400 thousand` are equal.
    """
    typed = read_number(text, unit=unit)
    if not typed.unit:
        return typed.value / (_COUNTS.get(unit, 1.0) if typed.scale != 1.0 else 1.0)
    asked, given = _WORTH.get(unit), _WORTH[typed.unit]
    if asked is None:
        raise LearnerError("This question asks for a plain number.", do_next="Leave the unit out.")
    if asked[0] != given[0]:
        raise LearnerError(
            f"This question asks for {unit}, not {typed.unit}.", do_next=f"Give the number in {unit}."
        )
    return typed.value * given[1] / asked[1]


def is_within(value: float, expected: float, *, tolerance: float) -> bool:
    """Return whether a value is the expected one; without tolerance it may differ by float rounding only."""
    return math.isclose(value, expected, rel_tol=1e-9, abs_tol=tolerance)


def format_number(value: float) -> str:
    """Format with as many digits as there are, at most seven after the point: `1,179,648`, `4.127`.

    A smaller number has six digits: `0.00001`, and an exponent only if it has more than seven zeros.
    """
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{value:,.0f}"
    if abs(value) >= 1e-3:
        return f"{value:,.7f}".rstrip("0")
    return f"{Decimal(f'{value:.6g}'):f}" if abs(value) >= 1e-8 else f"{value:.6g}"


def is_same(given: TypedNumber, right: TypedNumber) -> bool:
    """Return whether two numbers are the same; their units count if both have one."""
    if not (given.unit and right.unit):
        return is_within(given.value, right.value, tolerance=0.0)
    (kind, worth), (right_kind, right_worth) = _WORTH[given.unit], _WORTH[right.unit]
    return kind == right_kind and is_within(given.value * worth, right.value * right_worth, tolerance=0.0)


def _parse_term(found: re.Match[str]) -> float | None:
    """Return the value of the digits, divided or raised as written; None if they aren't a number."""
    value = _parse_value(found["digits"])
    if value is None:
        return None
    if found["divisor"]:
        divisor = _parse_value(found["divisor"])
        return value / divisor if divisor else None
    try:
        return value ** int((found["exponent"] or "1").replace("−", "-"))
    except (OverflowError, ZeroDivisionError):
        return math.inf


def _parse_value(digits: str) -> float | None:
    plain = _SPACES.sub("", digits).rstrip(",")
    if "," in plain:
        whole, _, decimals = plain.partition(",")
        # One comma that does not separate thousands is a decimal comma: 0,5.
        if _GROUPED.fullmatch(plain):
            plain = plain.replace(",", "")
        elif decimals.isdecimal() and (whole.isdecimal() or not whole):
            plain = f"{whole}.{decimals}"
    try:
        return float(plain)
    except ValueError:
        return None


def _scale_and_unit(rest: str) -> tuple[float, str]:
    """Parse what follows the digits: a unit, `million`, or both."""
    if not rest or (unit := _normalize_unit(rest)):
        return 1.0, unit if rest else ""
    word, _, after = rest.partition(" ")
    scale = _COUNTS.get(word.lower())
    unit = _normalize_unit(after.strip())
    if scale is None or (after.strip() and not unit):
        raise LearnerError(
            f"The unit {rest[:40]!r} is not known here.", do_next="Leave it out, or use the one asked for."
        )
    return scale, unit


def _normalize_unit(written: str) -> str:
    """Return the unit in the table's spelling; case matters only where the table has both."""
    return written if written in _WORTH else _CASELESS.get(written.lower(), "")
