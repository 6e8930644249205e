"""X-ray of an adapter: the spectrum of each learnt update, as worker/inspect/xray.py measured it.

    found = read_xray(inspection.found)
    found.find(layer="3", kind="self_attn.q_proj").used      # directions that carry 90 % of it

Measures on singular values s: `used` is the least k for which s_1² + ... + s_k² reaches 90 % of the sum,
which is the squared Frobenius norm. The stable rank is that sum over s_1²: at most the rank, near 1 if one
direction dominates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from statistics import median
from typing import Any, Literal, get_args

from lora_lab.runs.folder import RunFolder

SHARE = 0.9
"""The share of the squared norm that defines `used`."""

KIND = "adapter"
"""The kind of these inspections in the job queue."""

Side = Literal["A", "B", "inputs", "outputs"]
SIDES: tuple[Side, ...] = get_args(Side)
ALWAYS_SHOWN = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
NO_LAYER = "-"


def build_xray_order(run: RunFolder, beside: RunFolder | None = None) -> dict[str, str]:
    """Build the inspection's order: one run, or two runs' overlap."""
    order = {"run": str(run.path.resolve())}
    return order | {"beside": str(beside.path.resolve())} if beside else order


def count_directions(values: Sequence[float]) -> int:
    """Return the least number of singular values that carry SHARE of the sum of squares; 0 if all are 0."""
    total, carried = sum(value * value for value in values), 0.0
    if total == 0:
        return 0
    for number, value in enumerate(values, start=1):
        carried += value * value
        if carried >= SHARE * total:
            return number
    return len(values)


def stable_rank(values: Sequence[float]) -> float:
    """Compute ||dW||² / s_1², one kind of effective rank.

    It is 1 if one direction dominates, the rank if all are equal, and 0 for zero.
    """
    return sum(value * value for value in values) / values[0] ** 2 if values and values[0] else 0.0


def list_stops(rank: int) -> tuple[int, ...]:
    """Return the numbers of directions to show an overlap for: all small ones, then fewer, and the rank."""
    return tuple(dict.fromkeys((*(stop for stop in ALWAYS_SHOWN if stop < rank), rank)))


def compute_expected_overlap(first: int, second: int, size: int) -> float:
    """Compute phi(i, j) of two independent random subspaces of R^d, on average: max(i, j) / d.

    A random unit vector has i/d of its squared length in any subspace of i dimensions, so j of them have
    i j / d together, and phi divides that by min(i, j).
    """
    return max(first, second) / size


def format_each(first: int, second: int) -> str:
    """Return `4 and 16 directions`, or `4 directions of each`."""
    return f"{first} directions of each" if first == second else f"{first} and {second} directions"


@dataclass(frozen=True, kw_only=True)
class WholeChange:
    """DoRA's whole change of a weight, magnitudes included: not of low rank."""

    norm: float
    used: int
    stable_rank: float


@dataclass(frozen=True, kw_only=True)
class SeenDirections:
    """||Uᵀ W V|| for `directions` directions on each side: how much of W lies in them."""

    directions: int
    update: float
    """In the update's strongest directions."""

    own: float
    """In W's own strongest directions."""

    random: float
    """In a drawn pair of random subspaces."""


@dataclass(frozen=True, kw_only=True)
class Module:
    """One matrix with its update."""

    name: str
    d_out: int
    d_in: int
    rank: int
    values: tuple[float, ...]
    """Singular values of the low-rank update, scale included, largest first."""

    weight_norm: float
    seen: SeenDirections | None
    """None for an update of zero, which has no directions."""

    whole: WholeChange | None
    """Only for DoRA."""

    @property
    def layer(self) -> str:
        """The first number in its name."""
        return next((part for part in self.name.split(".") if part.isdigit()), NO_LAYER)

    @property
    def kind(self) -> str:
        """The part of the name after that number, such as `self_attn.q_proj`."""
        parts = self.name.split(".")
        return ".".join(parts[parts.index(self.layer) + 1 :]) if self.layer in parts else self.name

    @property
    def norm(self) -> float:
        """||dW||, the Frobenius norm of the low-rank update."""
        return sqrt(sum(value * value for value in self.values))

    @property
    def change(self) -> float:
        """Norm of the whole change of W; for DoRA with its magnitudes."""
        return self.whole.norm if self.whole else self.norm

    @property
    def relative_percent(self) -> float:
        """100 · ||dW|| / ||W||, in percent."""
        return 100 * self.change / self.weight_norm if self.weight_norm else 0.0

    @cached_property
    def used(self) -> int:
        """Directions that carry 90 % of the squared norm."""
        return count_directions(self.values)

    @property
    def stable_rank(self) -> float:
        return stable_rank(self.values)

    @property
    def is_zero(self) -> bool:
        """Whether nothing was learnt here: B still has its initial value."""
        return not self.values or self.values[0] == 0

    @property
    def amplification(self) -> float | None:
        """||dW|| / ||Uᵀ W V|| (LoRA section 7.3): how many times W's part in these directions it adds."""
        return self.norm / self.seen.update if self.seen and self.seen.update else None

    @property
    def random_expected(self) -> float:
        """||Uᵀ W V|| of as many random directions, root mean square: k ||W|| / sqrt(d_in d_out)."""
        directions = self.seen.directions if self.seen else self.rank
        return directions * self.weight_norm / sqrt(self.d_in * self.d_out)


@dataclass(frozen=True, kw_only=True)
class Xray:
    method: str
    beside: tuple[str, ...]
    """What else was trained: copies of modules, biases."""

    modules: tuple[Module, ...]

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(module.layer for module in self.modules))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The matrices of a layer, in order."""
        return tuple(dict.fromkeys(module.kind for module in self.modules))

    def find(self, layer: str, kind: str) -> Module:
        """Find the requested matrix; else the first of that kind, or the first of all."""
        same = [module for module in self.modules if module.kind == kind]
        return next((module for module in same if module.layer == layer), (same or self.modules)[0])

    def at(self, layer: str, kind: str) -> Module | None:
        """Return the matrix at this place, or None."""
        return self._places.get((layer, kind))

    @cached_property
    def _places(self) -> dict[tuple[str, str], Module]:
        return {(module.layer, module.kind): module for module in self.modules}

    @property
    def moved(self) -> tuple[Module, ...]:
        """The matrices whose update is not zero."""
        return tuple(module for module in self.modules if not module.is_zero)

    @property
    def rank(self) -> int:
        """The largest rank of any matrix."""
        return max(module.rank for module in self.modules)

    @property
    def median_used(self) -> float:
        """The median of `used` over the nonzero updates; 0 without any."""
        return median(module.used for module in self.moved) if self.moved else 0.0


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """The subspace overlap phi(i, j) of one matrix in two runs, on one side."""

    side: Side
    size: int
    """Dimension of the space in which the directions lie: d_in or d_out."""

    firsts: tuple[int, ...]
    seconds: tuple[int, ...]
    phi: tuple[tuple[float | None, ...], ...]
    """One row per entry of `firsts`; None where an update has fewer directions."""

    random: tuple[tuple[float | None, ...], ...]
    """The same for a drawn pair of random subspaces; None beyond `size`."""

    @property
    def ends(self) -> tuple[int, int] | None:
        """The largest known numbers of directions, one per run; None if a run has no directions."""
        return self._find_largest_known(self.phi)

    @property
    def random_ends(self) -> tuple[int, int]:
        """The same for the random pair, whose subspaces have at most `size` directions each."""
        ends = self._find_largest_known(self.random)
        assert ends is not None  # one direction is always drawn
        return ends

    def _find_largest_known(self, rows: Sequence[Sequence[float | None]]) -> tuple[int, int] | None:
        known = [
            (i, j)
            for i, row in zip(self.firsts, rows, strict=True)
            for j, value in zip(self.seconds, row, strict=True)
            if value is not None
        ]
        return max(known, default=None)

    @property
    def sizes(self) -> str:
        """`ends` in words."""
        return format_each(*(self.ends or (0, 0)))

    def at(self, first: int, second: int, *, random: bool = False) -> float:
        """Return one known phi, of the two runs or of the drawn random pair."""
        rows = self.random if random else self.phi
        value = rows[self.firsts.index(first)][self.seconds.index(second)]
        assert value is not None
        return value


@dataclass(frozen=True, kw_only=True)
class RunOverlap:
    """Two runs' overlap, matrix by matrix."""

    overlaps: Mapping[tuple[str, Side], Overlap]
    only_one: tuple[str, ...]
    """Matrices that only one of the runs adapts."""

    def find(self, name: str, side: Side) -> Overlap | None:
        """Find one matrix's overlap; None if it is not adapted in both runs."""
        return self.overlaps.get((name, side))


def read_xray(found: Mapping[str, Any]) -> Xray:
    """Parse a worker's answer to an order of one run."""
    modules = tuple(
        Module(
            **{
                **values,
                "values": tuple(values["values"]),
                "seen": SeenDirections(**values["seen"]) if values["seen"] else None,
                "whole": WholeChange(**values["whole"]) if values["whole"] else None,
            }
        )
        for values in found["modules"]
    )
    return Xray(method=found["method"], beside=tuple(found["beside"]), modules=modules)


def read_pair(found: Mapping[str, Any]) -> RunOverlap:
    """Parse a worker's answer to an order of two runs."""
    firsts, seconds = tuple(found["firsts"]), tuple(found["seconds"])
    overlaps: dict[tuple[str, Side], Overlap] = {}
    for values in found["modules"]:
        for side in SIDES:
            size = values["d_out"] if side in ("B", "outputs") else values["d_in"]
            overlaps[values["name"], side] = Overlap(
                side=side,
                size=size,
                firsts=firsts,
                seconds=seconds,
                phi=tuple(map(tuple, values[side])),
                random=tuple(map(tuple, found["random"][str(size)])),
            )
    return RunOverlap(overlaps=overlaps, only_one=tuple(found["only_one"]))
