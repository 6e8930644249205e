"""Grid: every combination of some ranks, bit widths, targets, variants, learning rates and seeds."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

from lora_lab.spec import TARGET_SETS, Bits, RunSpec, Variant, parse_object, parse_spec, refuse
from study.base.errors import LearnerError

MAX_CELLS = 200

AXES: dict[str, str] = {
    "bits": "bits",
    "variants": "variant",
    "targets": "targets",
    "seeds": "seed",
    "learning_rates": "learning_rate",
    "ranks": "rank",
}
"""A grid's axes, slowest first, each with the setting of a run that it varies.

Bits are slowest, so cells that share a loaded base model are adjacent; ranks are fastest, so with several
seeds the whole grid is complete for one seed before the next begins.
"""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A base run and the values that replace its own, one cell per combination.

    Raises LearnerError, naming every invalid value, on construction. `parse_grid` fills in omitted axes.
    """

    base: RunSpec
    bits: tuple[Bits, ...]
    variants: tuple[Variant, ...]
    targets: tuple[str, ...]
    seeds: tuple[int, ...]
    learning_rates: tuple[float, ...]
    ranks: tuple[int, ...]
    alpha_per_rank: float | None = None
    """None keeps the base's alpha in every cell, as in arXiv:2106.09685 section 4.1 ("we simply set alpha
    to the first r we try and do not tune it"). A number k sets alpha = k x rank, so the update's scale is the
    same at every rank.
    """

    def __post_init__(self) -> None:
        refuse(_list_problems(self))

    @property
    def count(self) -> int:
        return math.prod(len(getattr(self, axis)) for axis in AXES)

    @property
    def varied(self) -> tuple[str, ...]:
        """The axes with more than one value, as AXES names them, slowest first."""
        return tuple(axis for axis in AXES if len(getattr(self, axis)) > 1)

    def list_specs(self) -> list[RunSpec]:
        """List all cells in order, which is the order of the sweep's runs."""
        return [self._build_cell(values) for values in product(*(getattr(self, axis) for axis in AXES))]

    def label(self, spec: RunSpec) -> str:
        """Return a cell in a few words: rank, bits, and what else the grid varies."""
        named = {
            "ranks": f"r={spec.rank}",
            "bits": spec.bits,
            "targets": spec.targets,
            "variants": spec.variant,
            "learning_rates": f"lr {spec.learning_rate:g}",
            "seeds": f"seed {spec.seed}",
        }
        return " ".join(text for axis, text in named.items() if axis in {"ranks", "bits", *self.varied})

    def to_json(self) -> str:
        """Return one line of JSON that `from_json` parses to an equal grid."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Grid":
        """Parse a grid from JSON. Raises LearnerError on anything that is not a grid."""
        do_next = "Export one with “This grid as JSON” to see its form."
        values = parse_object(text, "A grid", do_next=do_next)
        if not isinstance(values.get("base"), dict):
            raise LearnerError("A grid is a JSON object with a base run.", do_next=do_next)
        return parse_grid(parse_spec(values.pop("base")), values)

    def _build_cell(self, values: tuple[Any, ...]) -> RunSpec:
        cell: dict[str, Any] = dict(zip(AXES.values(), values, strict=True))
        if self.alpha_per_rank is not None:
            cell["alpha"] = self.alpha_per_rank * cell["rank"]
        return replace(self.base, **cell)


def parse_grid(base: RunSpec, values: Mapping[str, Any]) -> Grid:
    """Parse a grid from loosely typed values: lists, or texts such as `1,4,8`.

    An omitted axis has the base's value. Raises LearnerError that names every invalid value.
    """
    unknown = sorted(set(values) - {*AXES, "alpha_per_rank"})
    if unknown:
        raise LearnerError(
            f"A grid has no axis {', '.join(unknown)}.", do_next=f"Use only: {', '.join(AXES)}."
        )
    problems: list[str] = []
    axes = {axis: _read_axis(base, axis, values.get(axis), problems) for axis in AXES}
    alpha_per_rank = values.get("alpha_per_rank")
    if alpha_per_rank is not None:
        (alpha_per_rank,) = _convert_values(base, "alpha", [alpha_per_rank], problems) or (1.0,)
    if problems:
        raise LearnerError(" ".join(problems), do_next="Change that, then try again.")
    return Grid(base=base, **axes, alpha_per_rank=alpha_per_rank)


def _read_axis(base: RunSpec, axis: str, given: Any, problems: list[str]) -> tuple[Any, ...]:
    field = AXES[axis]
    if given is None:
        return (getattr(base, field),)
    if isinstance(given, str):
        given = [part.strip() for part in given.split(",") if part.strip()]
    given = list(given) if isinstance(given, Iterable) else [given]
    if len(given) > MAX_CELLS:  # before each of them is read, which takes .1 ms
        problems.append(f"{axis} has {len(given):,} values; the limit is {MAX_CELLS} cells.")
        return ()
    wrong: list[str] = []
    values = _convert_values(base, field, given, wrong)
    problems += wrong if axis == field else [f"{axis}: {problem}" for problem in wrong]
    return values


def _convert_values(base: RunSpec, field: str, given: Iterable[Any], problems: list[str]) -> tuple[Any, ...]:
    """Convert each value to the type of the run's field; an invalid value is added to `problems`."""
    converted = []
    for value in given:
        try:
            converted.append(getattr(parse_spec(asdict(base) | {field: value}), field))
        except LearnerError as error:
            problems.append(error.what)
    return tuple(converted)


def place_of_targets(targets: str) -> tuple[int, str]:
    """Order named sets as in the form; names or a pattern of the learner's own come after them."""
    names: tuple[str, ...] = TARGET_SETS
    return (names.index(targets) if targets in names else len(names)), targets


def _list_problems(grid: Grid) -> Iterator[tuple[str, str]]:
    """List each problem: what is wrong, and what to do about it."""
    for axis in AXES:
        values = getattr(grid, axis)
        if not values:
            yield f"{axis} has no value.", f"Give {axis} at least one value."
        twice = sorted({str(value) for value in values if values.count(value) > 1})
        if twice:
            yield f"{axis} names {', '.join(twice)} more than once.", f"Name each value of {axis} once."
    if grid.count > MAX_CELLS:
        yield (
            f"The grid has {grid.count:,} cells; the limit is {MAX_CELLS}.",
            f"Shorten the lists until their lengths multiply to at most {MAX_CELLS}.",
        )
    elif grid.count:
        yield from _list_cell_problems(grid)


def _list_cell_problems(grid: Grid) -> Iterator[tuple[str, str]]:
    """List each invalid value once; a grid built directly may hold values that no run can have."""
    found: dict[tuple[str, str], None] = {}
    for values in product(*(getattr(grid, axis) for axis in AXES)):
        try:
            grid._build_cell(values)
        except LearnerError as error:
            found[error.what, error.do_next] = None
    yield from found
