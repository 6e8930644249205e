"""Answers worked out again from nothing but the text of a question, as a careful learner would."""

import re
from collections.abc import Callable
from fractions import Fraction
from math import ceil

from tests.arithmetic import value_of

_NUMBER = re.compile(r"(?<![\w.])[-−]?\d[\d,]*(?:\.\d+)?")
_ARROW = re.compile(r"\(([\d,]+) → ([\d,]+)\)")
Solve = Callable[[str, list[float]], float]


def numbers(text: str) -> list[float]:
    """All numbers of a text in their order."""
    return [_read(found) for found in _NUMBER.findall(text)]


def solved(family: str, stem: str) -> float:
    """The answer to a stem of one of the families below."""
    return SOLUTIONS[family](stem, numbers(stem))


def _read(text: str) -> float:
    return float(text.replace(",", "").replace("−", "-"))


def _printed_rank(stem: str, _n: list[float]) -> float:
    one = sum(_read(d_in) + _read(d_out) for d_in, d_out in _ARROW.findall(stem))
    layers, trained = (re.search(rf"{before} ([\d,]+)", stem) for before in ("each of", "trainable params:"))
    assert layers
    assert trained
    return _read(trained[1]) / (_read(layers[1]) * one)


def _sum_rank(_stem: str, n: list[float]) -> float:
    return min(n[0], n[1], n[2] + n[3])


def _factor_shape(stem: str, n: list[float]) -> float:
    d_out, d_in, rank = n
    return rank * 1e6 + d_in if "shape of A" in stem else d_out * 1e6 + rank


def _nearest(_stem: str, n: list[float]) -> float:
    return min(n[:4], key=lambda level: abs(level - n[4]))


def _rounding(_stem: str, n: list[float]) -> float:
    largest, weight = (Fraction(str(number)) for number in (n[2], n[4]))
    code = round(weight / largest * 7)
    return float(abs(weight - largest * code / 7))


def _adapters(_stem: str, n: list[float]) -> float:
    return (Fraction(str(n[0])) - Fraction(str(n[1]))) * 1000 // Fraction(str(n[2]))


def _steps(_stem: str, n: list[float]) -> float:
    return ceil(n[0] / (n[1] * (n[2] if len(n) > 2 else 1)))


def _checkpoints(stem: str, n: list[float]) -> float:
    return n[0] * n[1] * n[2] * n[3] * (2 if "bf16" in stem else 4) / 1e6


SOLUTIONS: dict[str, Solve] = {
    "printed-rank": _printed_rank,
    "times-fewer": lambda _, n: n[0] * n[1] / (n[2] * (n[0] + n[1])),
    "break-even-rank": lambda _, n: n[0] * n[1] / (n[0] + n[1]),
    "same-budget-rank": lambda _, n: n[4] / (n[0] * n[5] * 2 * n[1]),
    "rank-of-sum": _sum_rank,
    "factor-shape": _factor_shape,
    "product-shape": lambda _, n: n[0] * 1e6 + n[3],
    "merged-entry": lambda _, n: n[2] + n[1] / n[0] * (n[3] * n[5] + n[4] * n[6]),
    "kept-scale": lambda _, n: n[1] / n[0] * n[2],
    "block-absmax": lambda _, n: max(map(abs, n)),
    "nearest-level": _nearest,
    "dequantized-weight": lambda _, n: n[1] * n[2],
    "rounding-error": _rounding,
    "level-spacing": lambda _, n: (n[2] - n[1]) / (2 ** n[0] - 1),
    "nested-overhead": lambda _, n: n[2] / n[1] + n[4] / (n[1] * n[3]),
    "percent-saved": lambda _, n: 100 * (n[0] - n[-2]) / n[0],
    "block-count": lambda _, n: n[0] * n[1] / n[2],
    "constant-bytes": lambda _, n: n[0] * n[1] / n[3] * 4 / 1000,
    "nested-bytes": lambda _, n: n[0] * n[1] / n[3] * (n[2] / 8 + n[4] / 8 / n[5]),
    "saved-gigabytes": lambda _, n: n[0] * (16 - n[-1]) / 8,
    "double-saving": lambda _, n: n[0] * (32 / n[1] - 8 / n[1] - 32 / (n[1] * 256)) / 8,
    "eight-bit-moments": lambda _, n: n[0] * (2 + 2 * 4 / n[3]) / 1e6,
    "qlora-resident": lambda _, n: n[0] * 1e9 * n[1] / 8 + n[2] * 1e6 * n[3],
    "batch-growth": lambda _, n: n[2] * 1e9 * n[3] * n[4] / (n[0] * n[1]),
    "checkpoint-memory": _checkpoints,
    "adapters-that-fit": _adapters,
    "task-storage": lambda _, n: n[0] * 1e9 + n[1] * n[2] * 1e6,
    "steps-an-epoch": _steps,
    "tokens-a-step": lambda _, n: n[0] * n[1] * n[2],
}
"""Families whose answer is not the value of one lab function; of the others it is the last check's."""


_EQUATION = re.compile(r"(?<![\w.,])([(−\d][−\d(),. ×·/+]*[\d)]) = ([−-]?\d[\d,]*(?:\.\d+)?)(?! ×)")


def equations(step: str) -> list[tuple[float, float]]:
    """What each `3 × 4 = 12` of a step comes to, and what it says."""
    return [(_computed(left), _read(right)) for left, right in _EQUATION.findall(step)]


def _computed(arithmetic: str) -> float:
    plain = arithmetic.replace(",", "").replace("−", "-").replace("×", "*").replace("·", "*")
    assert re.fullmatch(r"[-\d(). */+]+", plain)
    return float(value_of(plain))
