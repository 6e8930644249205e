"""The lab's form: conversion of fields and addresses to a RunSpec and back, and the presets."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from lora_lab.settings.urls import LAB, with_query
from lora_lab.spec import OWN_DATA, RunSpec, parse_spec
from study.base.errors import LearnerError
from study.content.declared import read_declared_list
from study.content.yaml_reader import Fields

PRESETS_FILE = Path(__file__).with_name("presets.yaml")
NAMES = tuple(field.name for field in fields(RunSpec))
OTHER = "other"
"""The value of a list's option that opens a text field below it."""


def _read_spec(fields: Fields, name: str) -> RunSpec:
    try:
        return parse_spec(fields.raw(name) or {})
    except LearnerError as error:
        fields.note(f"`{name}` isn't a run: {error.what}")
        return RunSpec()


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A setting with a name and a reason to try it."""

    id: str
    name: str
    about: str
    spec: Annotated[RunSpec, _read_spec]


@cache
def read_presets() -> tuple[Preset, ...]:
    """Read the presets in order; the page opens with the first one. Raises ContentError."""
    return read_declared_list(PRESETS_FILE, Preset, kind="preset")


def check_ready(spec: RunSpec) -> None:
    """Raise LearnerError for a setting that isn't a ready experiment."""
    if all(preset.spec != spec for preset in read_presets()):
        names = ", ".join(preset.name for preset in read_presets())
        raise LearnerError(
            "On this server, only the owner trains with other settings than the ready ones.",
            do_next=f"Choose a ready experiment below Start: {names}.",
        )


def parse_spec_address(query: Mapping[str, str]) -> RunSpec:
    """Parse the setting of an address, as `read_address` does, without what was wrong in it."""
    return read_address(query)[0]


def read_address(query: Mapping[str, str]) -> tuple[RunSpec, list[str]]:
    """Parse the setting of an address: a preset, single fields over it, or the first preset.

    An address may be typed by hand, so this never raises: an unreadable field keeps the preset's value. Also
    returns what was wrong, one sentence each.
    """
    problems = []
    chosen = next((preset for preset in read_presets() if preset.id == query.get("preset")), None)
    if chosen is None and query.get("preset"):
        ids = ", ".join(preset.id for preset in read_presets())
        problems.append(f"preset={_cut(query['preset'])} can't be used: a preset must be one of {ids}.")
    values: dict[str, Any] = asdict((chosen or read_presets()[0]).spec)
    for name in NAMES:
        if name in query:
            try:
                values[name] = getattr(parse_spec({**values, name: query[name]}), name)
            except LearnerError as error:
                problems.append(f"{name}={_cut(query[name])} can't be used: {_cut(error.what, 300)}")
    return RunSpec(**values), problems


def _cut(text: str, longest: int = 40) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def build_address(spec: RunSpec, *, run_id: str = "") -> str:
    """Build the page's address for this setting; fields at the first preset's value are omitted."""
    usual = asdict(read_presets()[0].spec)
    changed = {name: format_value(value) for name, value in asdict(spec).items() if value != usual[name]}
    return with_query(LAB, changed | {"run": run_id})


def format_value(value: object) -> str:
    """Format a setting's value exactly, as a person would type it: 16 for 16.0."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def parse_spec_form(form: Mapping[str, list[str]]) -> RunSpec:
    """Parse the setting of the form. Raises LearnerError that names every field out of its limits."""
    values = {name: form[name][0].strip() for name in NAMES if form.get(name)}
    for name in ("model", "targets"):
        if values.get(name) == OTHER:
            values[name] = _read_typed(form, name)
    empty = [name for name, value in values.items() if not value and name != "data"]
    if empty:
        *others, last = empty
        said = f"{', '.join(others)} and {last} are empty." if others else f"{last} is empty."
        raise LearnerError(said, do_next="Enter a value." if len(empty) == 1 else "Enter a value for each.")
    return parse_spec(values | {"data": values.get("data") or OWN_DATA})


def describe_missing_name(form: Mapping[str, list[str]]) -> str:
    """Say what to type where a text field has just been opened; empty for nothing."""
    wanted = (
        ("model", "Type the folder or the hub id of a model. Its numbers appear here."),
        ("targets", "Type names of modules, or a regular expression. Their numbers appear here."),
    )
    opened = (
        text for name, text in wanted if (form.get(name) or [""])[0] == OTHER and not _read_typed(form, name)
    )
    return next(opened, "")


def _read_typed(form: Mapping[str, list[str]], name: str) -> str:
    return (form.get(f"{name}_other") or [""])[0].strip()


def format_command(spec: RunSpec, *, data_file: str = "") -> str:
    """Format the run as a command line; settings at their default are omitted."""
    return shlex.join(["python", "-m", "lora_lab", "train", *list_changed_flags(spec, NAMES, data_file)])


def list_changed_flags(spec: RunSpec, names: Iterable[str], data_file: str) -> list[str]:
    """Return the command line's flags for those settings that are not at their default, and for the data."""
    words = []
    for name in names:
        value = getattr(spec, name)
        if name != "data" and value != getattr(RunSpec, name):
            words += [f"--{name.replace('_', '-')}", format_value(value)]
    return words + (["--data", data_file] if spec.data != OWN_DATA else [])
