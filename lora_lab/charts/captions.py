"""Captions: the conditions under which a plot's numbers hold, in one line."""

from lora_lab.data.batches import RowSize
from lora_lab.parameters.shapes import ModelShape
from lora_lab.spec import TARGET_LABELS, Compute, RunSpec
from study.plots.sheet import shorten_text

NAME_POINTS = 190.0  # about 27 characters: hub ids are longer than a title can take


def shorten_model_name(name: str) -> str:
    """Shorten a catalogue name, or the last part of a path or hub id, to fit in a line."""
    return shorten_text(name.rstrip("/").rsplit("/", 1)[-1] or name, NAME_POINTS)


def describe_conditions(
    shape: ModelShape, spec: RunSpec, row: RowSize, compute: Compute, *, fixed: str
) -> str:
    """Return what memory depends on besides the free axis; `fixed` is the other axis's value."""
    return (
        f"{shorten_model_name(shape.name)}, {fixed}, {TARGET_LABELS[spec.targets]}, batch {spec.batch}, "
        f"longest row {row.tokens:,} tokens, computing in {compute}"
    )
