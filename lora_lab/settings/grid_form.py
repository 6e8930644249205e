"""The Grid page's form: conversion of lists and addresses to a Grid and back, and the preset grids."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from lora_lab.settings.grid import AXES, Grid, parse_grid, place_of_targets
from lora_lab.settings.run_form import NAMES, OTHER, format_value, list_changed_flags
from lora_lab.settings.urls import GRID, with_query
from lora_lab.spec import BITS, OWN_DATA, VARIANTS, RunSpec, parse_spec
from study.base.errors import LearnerError
from study.content.declared import read_declared_list
from study.content.yaml_reader import Fields

PRESETS_FILE = Path(__file__).with_name("grid_presets.yaml")
BASE_NAMES = tuple(name for name in NAMES if name not in AXES.values())
"""Settings that all cells share."""

AXIS_LABELS = {
    "ranks": "Ranks",
    "bits": "Weights stored in",
    "targets": "Adapted matrices",
    "variants": "Variants",
    "learning_rates": "Learning rates",
    "seeds": "Seeds",
}
"""The axes in the order of the form."""

RATIO = "alpha_per_rank"
NO_RATIO = "none"
"""In an address: one alpha for all cells, where the first preset has a ratio."""

RATE_STEPS = (1 / 4, 1.0, 4.0)
"""Factors of a learning-rate sweep, wide enough to show on which side of the chosen rate the best one is."""


def read_grid(fields: Fields, _name: str) -> Grid:
    """Read the grid of a mapping's `base` and `axes`; note why they don't make one."""
    try:
        return normalize_grid(parse_grid(parse_spec(fields.raw("base") or {}), fields.raw("axes") or {}))
    except LearnerError as error:
        fields.note(f"isn't a grid: {error.what}")
        return parse_grid(parse_spec({}), {})


@dataclass(frozen=True, kw_only=True)
class GridPreset:
    id: str
    name: str
    about: str
    grid: Annotated[Grid, read_grid]


@cache
def read_grid_presets() -> tuple[GridPreset, ...]:
    """Read the preset grids in order; the page opens with the first one. Raises ContentError."""
    return read_declared_list(PRESETS_FILE, GridPreset, kind="grid")


def normalize_grid(grid: Grid) -> Grid:
    """Return the same cells with lists in the form's order and the first cell as base.

    Equal grids become equal values.
    """
    grid = replace(
        grid,
        bits=tuple(sorted(grid.bits, key=BITS.index)),
        targets=tuple(sorted(grid.targets, key=place_of_targets)),
        variants=tuple(sorted(grid.variants, key=VARIANTS.index)),
    )
    first = {field: getattr(grid, axis)[0] for axis, field in AXES.items()}
    if grid.alpha_per_rank is not None:
        first["alpha"] = RunSpec().alpha  # no cell uses it
    return replace(grid, base=replace(grid.base, **first))


def parse_grid_address(query: Mapping[str, str]) -> Grid:
    """Parse the grid of an address: a preset, single fields over it, or the first preset.

    An address may be typed by hand, so this never raises: an unreadable field keeps the preset's value.
    """
    presets = read_grid_presets()
    grid = next((preset.grid for preset in presets if preset.id == query.get("preset")), presets[0].grid)
    for name in (*BASE_NAMES, *AXES, "alpha_per_rank"):
        if name in query:
            try:
                grid = _replace_field(grid, name, query[name])
            except LearnerError:
                continue
    return normalize_grid(grid)


def _replace_field(grid: Grid, name: str, text: str) -> Grid:
    base = asdict(grid.base)
    lists: dict[str, Any] = {axis: getattr(grid, axis) for axis in AXES}
    lists["alpha_per_rank"] = grid.alpha_per_rank
    if name in AXES:
        lists[name] = _split_parts(text)
    elif name in lists:
        lists[name] = None if text == NO_RATIO else text
    else:
        base[name] = text
    return parse_grid(parse_spec(base), lists)


def build_grid_query(grid: Grid) -> dict[str, str]:
    """Return the query parameters in which a grid differs from the first preset."""
    usual = _list_texts(read_grid_presets()[0].grid)
    return {name: text for name, text in _list_texts(normalize_grid(grid)).items() if text != usual.get(name)}


def build_grid_address(grid: Grid, **more: str) -> str:
    """Build the page's address for this grid, with the other non-empty parameters."""
    return with_query(GRID, build_grid_query(grid) | more, safe=",")


def _list_texts(grid: Grid) -> dict[str, str]:
    texts = {name: str(getattr(grid.base, name)) for name in BASE_NAMES}
    texts |= {axis: format_list(getattr(grid, axis)).replace(" ", "") for axis in AXES}
    ratio = NO_RATIO if grid.alpha_per_rank is None else format_value(grid.alpha_per_rank)
    return texts | {"alpha_per_rank": ratio}


def format_list(values: tuple[Any, ...]) -> str:
    """Format a list as a person would type it: `2, 8, 32`."""
    return ", ".join(format_value(value) for value in values)


def parse_grid_form(form: Mapping[str, list[str]]) -> Grid:
    """Parse the grid of the form. Raises LearnerError that names every empty or invalid list."""
    values = {name: form[name][0].strip() for name in BASE_NAMES if form.get(name)}
    if values.get("model") == OTHER:
        values["model"] = (form.get("model_other") or [""])[0].strip()
    lists = {axis: _split_parts(",".join(form.get(axis) or [])) for axis in AXES}
    ratio = (form.get(RATIO) or [""])[0].strip()
    by_ratio = (form.get("scale") or [RATIO if ratio else "alpha"])[0] == RATIO
    if by_ratio:
        values.pop("alpha", None)  # no cell uses it
    empty = [label for axis, label in AXIS_LABELS.items() if not lists[axis]]
    empty += [name for name, value in values.items() if not value and name != "data"]
    empty += ["alpha / r"] if by_ratio and not ratio else []
    if empty:
        raise LearnerError(
            f"{', '.join(empty)}: nothing is chosen.", do_next="Give each at least one value; one is enough."
        )
    # Browsers don't send unticked checkboxes.
    base = parse_spec({"checkpointing": "false"} | values | {"data": values.get("data") or OWN_DATA})
    return normalize_grid(parse_grid(base, lists | ({RATIO: ratio} if by_ratio else {})))


def _split_parts(text: str) -> list[str]:
    """Split at commas, semicolons or spaces."""
    return [part for part in re.split(r"[,;\s]+", text) if part]


def list_rates_around(grid: Grid) -> tuple[float, ...]:
    """Return the grid's learning rates and a quarter and four times each, sorted."""
    return tuple(sorted({float(f"{rate * step:.2g}") for rate in grid.learning_rates for step in RATE_STEPS}))


def with_rate_sweep(grid: Grid) -> Grid:
    """Return the same grid with those learning rates. Raises LearnerError above the cell limit."""
    return normalize_grid(replace(grid, learning_rates=list_rates_around(grid)))


def format_grid_command(grid: Grid, *, data_file: str = "") -> str:
    """Format the grid as a command line; settings at their default are omitted."""
    words = ["python", "-m", "lora_lab", "sweep"]
    for axis in AXES:
        words += [f"--{axis.replace('_', '-')}", format_list(getattr(grid, axis)).replace(" ", "")]
    if grid.alpha_per_rank is not None:
        words += ["--alpha-per-rank", format_value(grid.alpha_per_rank)]
    return shlex.join(words + list_changed_flags(grid.base, BASE_NAMES, data_file))
