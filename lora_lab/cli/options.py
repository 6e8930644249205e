"""The commands and their flags, as options.yaml lists them."""

import argparse
from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from lora_lab.claims.claim import QUANTIZATIONS
from lora_lab.engine.shape_reader import MODEL_KINDS
from lora_lab.memory.frameworks import contract
from lora_lab.microscope.query import SCHEMES
from lora_lab.parameters.adapter_config import ADAPTER_VARIANTS, BIASES
from lora_lab.parameters.shapes import load_catalogue
from lora_lab.settings.grid import AXES
from lora_lab.spec import BITS, OPTIMIZERS, VARIANTS, ComputeType, RunSpec
from study.base.command_line import build_module_parser
from study.base.yaml_loader import load_yaml

TYPES = {"int": int, "path": Path}
CHOICES: Mapping[str, Collection[str | None]] = {
    "kind": MODEL_KINDS,
    "adapter_variant": ADAPTER_VARIANTS,
    "bias": BIASES,
    "quantization": QUANTIZATIONS,
    "bits": BITS,
    "method": contract.METHODS,
    "number_type": contract.NUMBER_TYPES,
    "device": contract.DEVICES,
    "attention": contract.ATTENTIONS,
    "loss": contract.LOSSES,
    "measure": contract.MEASURES,
    "phase": contract.PHASES,
    "variant": VARIANTS,
    "optimizer": OPTIMIZERS,
    "compute_dtype": get_args(ComputeType),
}

SHARED_FLAGS = ("bits", "targets")
"""A grid's axes that have the same flag as a run's setting."""

Flags = Mapping[str, Mapping[str, Any]]
"""Names of a flag, separated by blanks, and the keywords of `add_argument`."""


def build_parser(description: str) -> argparse.ArgumentParser:
    """Build the parser of all commands."""
    tables = load_yaml(Path(__file__).with_name("options.yaml").read_text("utf-8"))
    settings, shared = _list_settings(tables["settings"]), [_name_flag(name) for name in SHARED_FLAGS]
    groups: Mapping[str, Flags] = tables["groups"] | {
        "axes": _list_axes(),
        "settings": settings,
        "unshared settings": {flag: keywords for flag, keywords in settings.items() if flag not in shared},
    }
    listed = {"models": ", ".join(load_catalogue()), "schemes": ", ".join(SCHEMES)}
    parser = build_module_parser("lora_lab", description)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, command in tables["commands"].items():
        added = commands.add_parser(name, help=command["help"])
        for flags in map(groups.__getitem__, command["groups"]):
            for names, keywords in flags.items():
                resolved = _resolve_names(keywords) | {"help": keywords["help"].format(**listed)}
                added.add_argument(*names.split(), **resolved)
        added.set_defaults(**command.get("defaults", {}))
    return parser


def _resolve_names(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the name of a type and of a list of choices."""
    found = dict(keywords)
    if "type" in found:
        found["type"] = TYPES[found["type"]]
    if isinstance(found.get("choices"), str):
        found["choices"] = [choice for choice in CHOICES[found["choices"]] if choice]
    return found


def _list_axes() -> Flags:
    """Return a flag for each axis of a grid."""
    return {
        _name_flag(axis): {
            "help": f"comma-separated values of {setting}"
            + ("" if setting in SHARED_FLAGS else f"; {_name_flag(setting)} sets one for all")
        }
        for axis, setting in AXES.items()
    }


def _list_settings(help_texts: Mapping[str, str]) -> Flags:
    """Return a flag for each setting of a run; it is None without the flag, and RunSpec has the default."""
    return {
        _name_flag(field.name): {"help": f"{help_texts[field.name]} (default: {field.default})"}
        | ({"choices": field.name} if field.name in CHOICES else {})
        for field in fields(RunSpec)
        if field.name in help_texts
    }


def _name_flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
