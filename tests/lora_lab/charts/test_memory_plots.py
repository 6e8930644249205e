"""Memory by rank and by bits: bars that are the ledger to the byte, measured peaks, titles from both."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import pytest
from hypothesis import given, settings

from lora_lab.charts import findings
from lora_lab.charts.memory import plot_memory_by_bits, plot_memory_by_rank
from lora_lab.data.batches import RowSize
from lora_lab.memory.ledger import COMPONENTS, Ledger, predict_ledger
from lora_lab.parameters.shapes import find_shape
from lora_lab.spec import Bits, Compute, RunSpec
from study.base.units import MB, as_bytes
from study.plots.plot import Plot
from tests.lora_lab.charts.plot_builders import (
    DRAWN_BITS,
    POWERS,
    ROW,
    all_three,
    column,
    computes,
    line_of_words,
    measured,
    rows,
    specs,
)


@given(specs, rows, computes)
@settings(max_examples=40, deadline=None)
def test_the_rank_table_holds_the_ledger_of_every_bar_to_the_byte(
    spec: RunSpec, row: RowSize, compute: Compute
) -> None:
    shape = find_shape(spec.model)

    plot = plot_memory_by_rank(shape, spec, row, compute, [])

    for rank, line in zip(sorted({*POWERS, spec.rank}), plot.rows, strict=True):
        ledger = predict_ledger(shape, replace(spec, rank=rank), row, compute)
        drawn = [(field, name) for field, name in COMPONENTS if f"{name} (MB)" in plot.header]
        assert line[0] == rank
        assert [round(float(cell) * MB) for cell in line[1:-1]] == [
            getattr(ledger, field) for field, _ in drawn
        ]
        assert round(float(line[-1]) * MB) == ledger.total_bytes == sum(getattr(ledger, f) for f, _ in drawn)


@given(specs, computes)
@settings(max_examples=40, deadline=None)
def test_the_bits_table_holds_the_total_of_every_bar_to_the_byte(spec: RunSpec, compute: Compute) -> None:
    shape = find_shape(spec.model)

    plot = plot_memory_by_bits(shape, spec, ROW, compute, [])

    expected: tuple[Bits, ...] = ("fp32", *DRAWN_BITS) if spec.bits == "fp32" else DRAWN_BITS
    assert column(plot, "weights stored as") == list(expected)
    totals = [predict_ledger(shape, replace(spec, bits=bits), ROW, compute).total_bytes for bits in expected]
    assert [round(float(str(total)) * MB) for total in column(plot, "computed total (MB)")] == totals


def test_components_that_are_zero_in_every_bar_are_not_named() -> None:
    _, by_rank, _ = all_three(RunSpec(rank=8, bits="bf16"))

    assert "weights (MB)" in by_rank.header
    assert "quantization constants (MB)" not in by_rank.header
    assert "fixed (MB)" not in by_rank.header


def test_measured_peaks_stand_on_their_bars_with_their_difference() -> None:
    spec = RunSpec(rank=8)
    odd = measured(replace(spec, rank=24), factor=1.02)

    _, plot, _ = all_three(spec, runs=[measured(spec, factor=0.99), odd])

    by_rank = {row[0]: row[-3:] for row in plot.rows}
    assert sorted(by_rank) == sorted({*POWERS, 24})
    peak, difference, where = by_rank[24]
    assert (peak, where) == (odd.peak_bytes / MB, "CPU, 2 threads, 40 steps")
    assert difference == pytest.approx(2.0, abs=1e-3)
    assert by_rank[16] == ("", "", "")
    assert "1.0 % below computed" in plot.alt
    assert "2.0 % above computed" in plot.alt


def test_two_runs_on_one_bar_have_a_row_each_and_equal_ones_share_one() -> None:
    spec = RunSpec(rank=8)
    runs = [measured(spec), measured(spec), measured(spec, factor=1.1, device="NVIDIA A10")]

    _, plot, _ = all_three(spec, runs=runs)

    assert [row[-1] for row in plot.rows if row[0] == 8] == [
        "CPU, 2 threads, 40 steps",
        "NVIDIA A10, 40 steps",
    ]


def test_runs_in_another_number_type_are_not_drawn() -> None:
    spec = RunSpec(rank=8)

    plot = plot_memory_by_rank(find_shape(spec.model), spec, ROW, "fp32", [measured(spec)])

    assert "measured on" not in plot.header


def test_fp32_is_drawn_when_it_was_measured_even_if_it_is_not_chosen() -> None:
    spec = RunSpec(rank=8)

    _, _, plot = all_three(spec, runs=[measured(replace(spec, bits="fp32"))])

    assert column(plot, "weights stored as") == ["fp32", *DRAWN_BITS]


@given(specs, rows, computes)
@settings(max_examples=80, deadline=None)
def test_every_number_in_a_memory_title_follows_from_the_table(
    spec: RunSpec, row: RowSize, compute: Compute
) -> None:
    shape = find_shape(spec.model)

    for plot in (
        plot_memory_by_rank(shape, spec, row, compute, []),
        plot_memory_by_bits(shape, spec, row, compute, []),
    ):
        totals = [round(float(str(total)) * MB) for total in column(plot, "computed total (MB)")]
        sizes = {as_bytes(total) for total in totals}
        sizes |= {as_bytes(abs(one - other)) for one, other in itertools.combinations(totals, 2)}
        assert set(re.findall(r"[\d.,]+ (?:B|kB|MB|GB)\b", plot.title)) <= sizes
        assert set(re.findall(r"[\d.]+ %", plot.title)) <= set(shares(plot))


def shares(plot: Plot) -> Iterator[str]:
    """Every percentage that a reader could work out of the table."""
    first = plot.header.index("weights (MB)")
    last = plot.header.index("computed total (MB)")
    totals = [float(row[last]) for row in plot.rows]
    yield from (f"{100 * (total / totals[0] - 1):.0f} %" for total in totals)
    for row in plot.rows:
        parts = [float(cell) for cell in row[first:last]]
        for some in itertools.chain.from_iterable(itertools.combinations(parts, n) for n in (1, 2, 3)):
            yield f"{100 * sum(some) / float(row[last]):.0f} %"
            yield f"{100 - 100 * sum(some) / float(row[last]):.0f} %"
    yield from ("99 %", "1 %")  # "over 99 %", "under 1 %"


def ledger(*, weights: int, adapters: int, activations: int) -> Ledger:
    """In MB; gradients as large as the adapters, and an optimizer twice as large."""
    return Ledger(
        weights=weights * MB,
        constants=0,
        adapters=adapters * MB,
        gradients=adapters * MB,
        optimizer=2 * adapters * MB,
        activations=activations * MB,
        logits=0,
        scratch=0,
    )


BY_RANK = {rank: ledger(weights=110, adapters=rank, activations=286) for rank in POWERS}


@pytest.mark.parametrize(
    ("rank", "said"),
    [
        (1, "Rank barely adds memory up to 8 (+7 %): activations and weights are 99 % of 400 MB"),
        (8, "Rank barely adds memory up to 8 (+7 %): activations and weights are 93 % of 428 MB"),
        (
            64,
            "Rank 64 takes 652 MB, 252 MB more than rank 1: adapters, gradients and optimizer are 39 % of it",
        ),
        (
            256,
            "Rank 256 takes 1.42 GB, 3.5 times as much as rank 1: "
            "adapters, gradients and optimizer are 72 % of it",
        ),
    ],
)
def test_the_rank_title_says_whether_the_chosen_rank_costs_anything(rank: int, said: str) -> None:
    assert findings.describe_memory_by_rank(BY_RANK, rank) == said


def test_where_rank_2_already_costs_more_than_a_tenth_the_title_of_rank_1_names_what_it_takes() -> None:
    by_rank = {rank: ledger(weights=2, adapters=rank, activations=4) for rank in POWERS}

    assert (
        findings.describe_memory_by_rank(by_rank, 1)
        == "Rank 1 takes 10.0 MB: activations and weights are 60 % of it"
    )


@pytest.mark.parametrize(
    ("bits", "weights", "said"),
    [
        (
            "nf4",
            110,
            "nf4 saves 160 MB of the 600 MB that bf16 takes; 75 % of the 440 MB left is not weights",
        ),
        (
            "int8",
            210,
            "int8 saves 60.0 MB of the 600 MB that bf16 takes; 61 % of the 540 MB left is not weights",
        ),
        ("bf16", 270, "In bf16, weights are 45 % of 600 MB: nf4-dq would save 165 MB"),
    ],
)
def test_the_bits_title_says_what_is_saved_and_what_is_left(bits: Bits, weights: int, said: str) -> None:
    sizes = {"bf16": 270, "nf4-dq": 105, bits: weights}
    by_bits = {name: ledger(weights=size, adapters=0, activations=330) for name, size in sizes.items()}

    assert findings.describe_memory_by_bits(cast(dict[Bits, Ledger], by_bits), bits) == said


def test_where_weights_are_most_of_what_is_left_the_bits_title_says_so() -> None:
    by_bits: dict[Bits, Ledger] = {
        "bf16": ledger(weights=900, adapters=0, activations=100),
        "int8": ledger(weights=450, adapters=0, activations=100),
    }

    said = "int8 saves 450 MB of the 1.00 GB that bf16 takes; weights are still 82 % of the 550 MB left"
    assert findings.describe_memory_by_bits(by_bits, "int8") == said


def test_where_fewer_bits_save_nothing_the_title_does_not_claim_that_they_do() -> None:
    by_bits: dict[Bits, Ledger] = {
        "bf16": ledger(weights=1, adapters=0, activations=9),
        "nf4": ledger(weights=2, adapters=0, activations=9),
    }

    assert (
        findings.describe_memory_by_bits(by_bits, "nf4")
        == "nf4 saves nothing here: 11.0 MB, against 10.0 MB in bf16"
    )
    assert (
        findings.describe_memory_by_bits(by_bits, "bf16")
        == "In bf16, weights are 10 % of 10.0 MB: fewer bits save nothing here"
    )


def test_a_plot_without_measurements_says_so_and_one_with_them_names_the_device() -> None:
    spec = RunSpec(rank=8)
    run = measured(spec, factor=0.996)
    _, bare, _ = all_three(spec)
    _, seen, _ = all_three(spec, runs=[run])

    peak = as_bytes(run.peak_bytes)
    assert "No run with these settings has been measured yet." in line_of_words(bare)
    assert f"measured on CPU, 2 threads, 40 steps: {peak}, 0.4 % below computed" in line_of_words(seen)


def test_several_runs_are_summed_up_by_their_range() -> None:
    spec = RunSpec(rank=8)
    low, high = measured(replace(spec, rank=4), factor=0.996), measured(replace(spec, rank=2), factor=1.01)

    _, plot, _ = all_three(spec, runs=[low, high])

    assert "40 steps: 2 runs, 0.4 % below to 1.0 % above computed" in line_of_words(plot)
