"""Figures as `figures.yaml` describes them, each with the function that shows it at one setting."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from study.base.yaml_loader import load_yaml
from study.figures.figure import Figure, FigureView

FILE = Path(__file__).with_name("figures.yaml")

S = TypeVar("S")


@cache
def _read_descriptions() -> Mapping[str, Mapping[str, Any]]:
    return {entry["id"]: entry for entry in load_yaml(FILE.read_text("utf-8"))}


def build_figure(figure_id: str, show: Callable[[S], FigureView]) -> Figure[S]:
    """Build a described figure; its settings are of the class that `show` takes."""
    described: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in _read_descriptions()[figure_id].items()
    }
    return Figure(**described, settings=get_type_hints(show)["settings"], show=show)
