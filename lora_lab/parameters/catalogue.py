"""The catalogue's source: the config.json of each known model, and the model's names."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from study.base.yaml_loader import load_yaml

FILE = Path(__file__).with_name("catalogue.yaml")


@dataclass(frozen=True, kw_only=True)
class CatalogueEntry:
    """A model in the catalogue: the configuration that decides its shapes, and where its weights are."""

    name: str
    licence: str
    config: Mapping[str, Any]
    hub_id: str = ""
    kind: str | None = None
    """The kind of model that the configuration is built as, unless it is a causal language model."""

    parameters: int | None = None
    """Its size as the owner of the weights publishes it."""

    also: tuple[str, ...] = ()
    """Hub ids with the same shapes."""

    source: str = ""
    """Where its configuration and size are published, if it is not only its page on the hub."""


@cache
def read_entries() -> tuple[CatalogueEntry, ...]:
    """Read all entries, in the file's order."""
    rows = load_yaml(FILE.read_text("utf-8"))
    return tuple(CatalogueEntry(**row | {"also": tuple(row.get("also", ()))}) for row in rows)


@cache
def map_names_by_id() -> dict[str, str]:
    """Map every hub id in lower case to the name of its shape."""
    return {
        hub_id.lower(): entry.name
        for entry in read_entries()
        for hub_id in (entry.hub_id, *entry.also)
        if hub_id
    }
