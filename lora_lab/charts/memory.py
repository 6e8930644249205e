"""Plots 2 and 3: memory by rank and by bit width, computed per component, with measured peaks on the bars."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from lora_lab.charts import findings
from lora_lab.charts.bars import StackedBars
from lora_lab.charts.captions import describe_conditions
from lora_lab.charts.parameters import DRAWN_RANKS
from lora_lab.charts.stack import StackedBar
from lora_lab.data.batches import RowSize
from lora_lab.memory.ledger import COMPONENTS, Ledger, bits_per_param, predict_ledger
from lora_lab.parameters.shapes import ModelShape
from lora_lab.runs.predicted_vs_measured import MeasuredPeak, percent_above
from lora_lab.spec import BITS, Bits, Compute, RunSpec
from study.base.units import MB, as_bytes
from study.plots.plot import Cell, Plot

KEY_NAMES = {"constants": "constants", "logits": "logits, loss"}  # the table has the full names
MEASURED_HEADER = ("measured peak (MB)", "measured against computed (%)", "measured on")


PlottedField = Literal["rank", "bits"]
"""The field of a setting that a plot goes through."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One bar before it is drawn: its value on the free axis, its ledger and the runs measured there."""

    value: int | Bits
    ledger: Ledger
    measured: tuple[MeasuredPeak, ...]

    def build_bar(self, *, chosen: bool, lower: bool) -> StackedBar:
        """Build the bar to draw; names of bit widths are long and take two rows."""
        label: tuple[str, ...] = (str(self.value),)
        if isinstance(self.value, str):
            label = (self.value, f"{bits_per_param(self.value):.3g}")
        peaks = tuple(run.peak_bytes for run in self.measured)
        return StackedBar(
            label=label,
            ledger=self.ledger,
            chosen=chosen,
            lower=lower and isinstance(self.value, str),
            measured_bytes=peaks,
        )


def plot_memory_by_rank(
    shape: ModelShape, spec: RunSpec, row: RowSize, compute: Compute, measured: Iterable[MeasuredPeak]
) -> Plot:
    """Plot peak memory for ranks 1 to 256 at the chosen bit width; `measured` runs differ in rank only."""
    fitting = _keep_distinct(measured, compute)
    ranks = sorted({*DRAWN_RANKS, spec.rank, *(run.spec.rank for run in fitting)})
    columns = _build_columns(shape, spec, row, compute, fitting, "rank", ranks)
    by_rank = {rank: column.ledger for rank, column in zip(ranks, columns, strict=True)}
    return _build_plot(
        columns,
        free="rank",
        chosen=spec.rank,
        title=findings.describe_memory_by_rank(by_rank, spec.rank),
        subtitle=describe_conditions(shape, spec, row, compute, fixed=spec.bits),
        x_label="rank",
    )


def plot_memory_by_bits(
    shape: ModelShape, spec: RunSpec, row: RowSize, compute: Compute, measured: Iterable[MeasuredPeak]
) -> Plot:
    """Plot peak memory for each way to store the weights; `measured` runs differ in bits only."""
    fitting = _keep_distinct(measured, compute)
    seen = {spec.bits, *(run.spec.bits for run in fitting)}
    # fp32 weights don't save memory, so they are drawn only when chosen or measured.
    widths = [bits for bits in BITS if bits != "fp32" or bits in seen]
    widths.sort(key=bits_per_param, reverse=True)
    columns = _build_columns(shape, spec, row, compute, fitting, "bits", widths)
    by_bits = {bits: column.ledger for bits, column in zip(widths, columns, strict=True)}
    return _build_plot(
        columns,
        free="bits",
        chosen=spec.bits,
        title=findings.describe_memory_by_bits(by_bits, spec.bits),
        subtitle=describe_conditions(shape, spec, row, compute, fixed=f"rank {spec.rank}"),
        x_label="format, and stored bits per weight",
    )


def _build_columns(
    shape: ModelShape,
    spec: RunSpec,
    row: RowSize,
    compute: Compute,
    measured: Iterable[MeasuredPeak],
    free: PlottedField,
    values: Sequence[Any],
) -> list[Column]:
    return [
        Column(
            value=value,
            ledger=predict_ledger(shape, replace(spec, **{free: value}), row, compute),
            measured=tuple(run for run in measured if getattr(run.spec, free) == value),
        )
        for value in values
    ]


def _keep_distinct(measured: Iterable[MeasuredPeak], compute: Compute) -> list[MeasuredPeak]:
    """Return the runs in this compute type; of runs that would overlap exactly, the first."""
    found: dict[tuple[int, Bits, str, int], MeasuredPeak] = {}
    for run in measured:
        if run.compute == compute:
            found.setdefault((run.spec.rank, run.spec.bits, run.device_name, run.peak_bytes), run)
    return list(found.values())


def _build_plot(
    columns: Sequence[Column],
    *,
    free: PlottedField,
    chosen: int | Bits,
    title: str,
    subtitle: str,
    x_label: str,
) -> Plot:
    drawn = _list_drawn_components(columns)
    here = next(column for column in columns if column.value == chosen)
    where = f"rank {chosen}" if free == "rank" else str(chosen)
    return Plot(
        name=f"memory-by-{free}",
        title=title,
        subtitle=subtitle,
        header=_write_header(columns, drawn, free),
        rows=tuple(_list_rows(columns, drawn)),
        alt=_write_alt(columns, here, where, free),
        drawing=StackedBars(
            bars=tuple(
                column.build_bar(chosen=column is here, lower=i % 2 == 1) for i, column in enumerate(columns)
            ),
            components=tuple((field, KEY_NAMES.get(field, name)) for field, name in drawn),
            x_label=x_label,
            key_title=f"{where}, computed",
            footnote=_write_footnote(columns, here),
        ),
    )


def _list_drawn_components(columns: Sequence[Column]) -> tuple[tuple[str, str], ...]:
    """List the components that are nonzero in any column, in the order of the stack."""
    return tuple(
        (field, name)
        for field, name in COMPONENTS
        if any(getattr(column.ledger, field) for column in columns)
    )


def _write_header(
    columns: Sequence[Column], drawn: Sequence[tuple[str, str]], free: PlottedField
) -> tuple[str, ...]:
    axis = ("rank",) if free == "rank" else ("weights stored as", "bits per weight")
    parts = tuple(f"{name} (MB)" for _, name in drawn)
    measured = MEASURED_HEADER if any(column.measured for column in columns) else ()
    return (*axis, *parts, "computed total (MB)", *measured)


def _list_rows(columns: Sequence[Column], drawn: Sequence[tuple[str, str]]) -> Iterator[tuple[Cell, ...]]:
    """Yield one row per bar, or one per run measured on it."""
    nothing = ("",) * len(MEASURED_HEADER) if any(column.measured for column in columns) else ()
    for column in columns:
        axis: tuple[Cell, ...] = (column.value,)
        if isinstance(column.value, str):
            axis = (column.value, bits_per_param(column.value))
        total = column.ledger.total_bytes
        computed = (*axis, *(getattr(column.ledger, field) / MB for field, _ in drawn), total / MB)
        for run in column.measured:
            where = f"{run.device_name}, {run.steps} steps"
            yield (*computed, run.peak_bytes / MB, percent_above(run.peak_bytes, total), where)
        if not column.measured:
            yield (*computed, *nothing)


def _write_footnote(columns: Sequence[Column], here: Column) -> str:
    pairs = [(column, run) for column in columns for run in column.measured]
    return findings.write_footnote(
        [run for _, run in pairs],
        computed=[column.ledger.total_bytes for column, _ in pairs],
        chosen=[i for i, (column, _) in enumerate(pairs) if column is here],
    )


def _write_alt(columns: Sequence[Column], here: Column, where: str, free: PlottedField) -> str:
    low, high = (pick(columns, key=_sum_bytes) for pick in (min, max))
    axis = {"rank": "rank", "bits": "the way weights are stored"}[free]
    measured = [
        f"{_place_column(column)} {as_bytes(run.peak_bytes)}, "
        f"{findings.format_gap(percent_above(run.peak_bytes, _sum_bytes(column)))}"
        for column in columns
        for run in column.measured
    ]
    said = f" Measured: {'; '.join(measured[:3])}." if measured else ""
    return (
        f"Stacked bars of computed peak memory by {axis}: {as_bytes(_sum_bytes(low))} ({_place_column(low)}) "
        f"to {as_bytes(_sum_bytes(high))} ({_place_column(high)}). At {where} it is "
        f"{as_bytes(_sum_bytes(here))}, most of it {findings.list_largest(here.ledger)}.{said}"
    )


def _sum_bytes(column: Column) -> int:
    return column.ledger.total_bytes


def _place_column(column: Column) -> str:
    return f"rank {column.value}" if isinstance(column.value, int) else column.value
