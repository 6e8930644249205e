"""Panels on the matrix itself: its weights against the levels, where the error is, other schemes."""

import math
from collections.abc import Mapping

from lora_lab.microscope import pictures
from lora_lab.microscope.panel import Found, Panel, build_measured, describe_both, format_percent
from lora_lab.microscope.query import MAP_CELLS, NAMES, SIDES, MicroscopeQuestion
from lora_lab.spec import EMBEDDED_MODEL, HQQ_BITS, TINY_MODEL
from study.figures.figure import FigureTable, FigureView, build_computed_origin


def compute_signal_to_noise_db(error: float) -> float:
    """Compute 10 log10 of the weights' energy over the error's from the relative error, in dB."""
    return -20 * math.log10(error) if error else math.inf


def render_weights_panel(question: MicroscopeQuestion, found: Found) -> Panel:
    """Build the histograms of scaled weights with their quantization levels."""
    matrix = found["matrix"]
    errors = {side: found[side]["error"] for side in SIDES}
    rows = [
        ("stored bits per weight", *(f"{question.side(side).stored_bits:.4g}" for side in SIDES)),
        ("values a code can name", *(f"{len(found[side]['levels']):,}" for side in SIDES)),
        ("weights that share a constant", *(f"{found[side]['block']:,}" for side in SIDES)),
        ("relative error", *(format_percent(errors[side]) for side in SIDES)),
        ("signal to noise", *(f"{compute_signal_to_noise_db(errors[side]):.1f} dB" for side in SIDES)),
        ("largest miss, standard deviations",
         *(f"{found[side]['largest_miss_stds']:.3g}" for side in SIDES)),
    ]  # fmt: skip
    drawn = [
        pictures.render_histogram(
            question.side(side).name, found[side], in_codes=question.side(side).bits in HQQ_BITS
        )
        for side in SIDES
    ]
    return Panel(
        id="weights",
        title="Weights against the levels",
        shown=FigureView(
            finding=(
                f"Rounding moves these {matrix['d_out']:,} × {matrix['d_in']:,} weights by "
                f"{describe_both(question, {side: format_percent(errors[side]) for side in SIDES})}."
            ),
            numbers=tuple(
                (
                    question.side(side).name,
                    f"{format_percent(errors[side])}, {rows[4][at]}, {rows[0][at]} bits",
                )
                for at, side in enumerate(SIDES, start=1)
            ),
            picture=pictures.render_pair(*drawn),
            alt="Two histograms of weights on the scale of their block, with the levels: "
            + "; ".join(
                f"{question.side(side).name} has {len(found[side]['levels'])} values from "
                f"{found[side]['levels'][0]:g} to {found[side]['levels'][-1]:g}"
                for side in SIDES
            )
            + ".",
            origins=(
                build_measured(question, found, "Histograms and errors"),
                build_computed_origin(
                    text=f"stored bits, constants included{_describe_left_out(question)}; signal to noise",
                    formula="error = ||W − decoded|| / ||W||, signal to noise = −20 log10(error) dB",
                ),
            ),
            table=FigureTable(
                columns=("", question.first.name, question.second.name),
                rows=tuple(tuple(map(str, row)) for row in rows),
            ),
        ),
        limit=_limit_of_weights(question),
    )


def _describe_left_out(question: MicroscopeQuestion) -> str:
    has_int8 = "int8" in (question.first.bits, question.second.bits)
    return " (but for int8's, one for a whole row)" if has_int8 else ""


def _limit_of_weights(question: MicroscopeQuestion) -> str:
    if question.model == EMBEDDED_MODEL:
        return (
            "It can't show what rounding does to untouched weights: those in this file were once rounded to "
            "4 bits before, and the error measured here comes on top of that."
        )
    if question.model == TINY_MODEL:
        return "It can't show what training does to weights: these are random and were never trained."
    return "A small error here says nothing yet about the model's answers: see the last two panels."


def render_map_panel(question: MicroscopeQuestion, found: Found) -> Panel:
    """Build the map of the error over rows and columns of the matrix."""
    maps = {side: found[side]["map"] for side in SIDES}
    d_out, d_in = found["matrix"]["d_out"], found["matrix"]["d_in"]
    cell = f"{-(-d_out // MAP_CELLS)} × {-(-d_in // MAP_CELLS)} weights"
    worst = {side: 100 * max(max(row) for row in maps[side]) for side in SIDES}
    most = max(max(map(max, cells)) for cells in maps.values())
    usual = {side: 100 * _compute_mean(maps[side]) for side in SIDES}
    drawn = [
        pictures.draw_error_map(question.side(side).name, maps[side], most, d_out, d_in) for side in SIDES
    ]
    said = describe_both(
        question, {side: f"{usual[side]:.3g} on average and {worst[side]:.3g} at most" for side in SIDES}
    )
    return Panel(
        id="map",
        title="Where the error is",
        shown=FigureView(
            finding=f"In percent of a standard deviation, cells of {cell} are off by {said}.",
            numbers=(),
            picture=pictures.render_pair(*drawn) + pictures.draw_heat_legend(most),
            alt=f"Two maps of the mean absolute error over rows and columns, darker for more. A cell "
            f"averages {cell}; the darkest is {100 * most:.3g} % of a standard deviation.",
            origins=(build_measured(question, found, "Mean of |W − decoded| in each cell"),),
        ),
        limit=f"It can't show single weights: what stands out in {cell} is averaged into one colour.",
    )


def _compute_mean(cells: list[list[float]]) -> float:
    values = [value for row in cells for value in row]
    return sum(values) / len(values)


def render_errors_panel(question: MicroscopeQuestion, found: Found) -> Panel:
    """Build the errors of every scheme and block size on this matrix."""
    sweep, rows = found["sweep"]["errors"], found["sweep"]["rows"]
    d_out, d_in = found["matrix"]["d_out"], found["matrix"]["d_in"]
    budget = max(question.first.stored_bits, question.second.stored_bits)
    within = [
        (error, bits, size)
        for bits, by_size in sweep.items()
        for size, error in by_size.items()
        if pictures.draw_stored_bits(bits, size) <= budget
    ]
    error, bits, size = min(within)
    name = NAMES[bits] + (f" in blocks of {int(size):,}" if bits != "int8" else "")
    sampled = next(iter(rows.values()), d_out)
    waits = "" if rows else " HQQ's rows follow."
    return Panel(
        id="errors",
        title="Error by scheme and block size",
        shown=FigureView(
            finding=f"With no more than {budget:.4g} bits per weight, {name} has the smallest error on this "
            f"matrix: {format_percent(error)}, in {pictures.draw_stored_bits(bits, size):.4g} bits.{waits}",
            numbers=(),
            picture=pictures.render_errors(question, sweep, d_in),
            alt="Relative error against stored bits, a line for each scheme and a point for each block size: "
            + "; ".join(_format_range(bits, by_size) for bits, by_size in sweep.items() if by_size)
            + ".",
            origins=(build_measured(question, found, "Relative errors"),),
            table=FigureTable(
                columns=("scheme", "block", "bits per weight", "relative error"),
                rows=tuple(
                    (
                        NAMES[bits] + _mark_chosen(question, bits, size),
                        f"{int(size):,}",
                        f"{pictures.draw_stored_bits(bits, size):.4g}",
                        format_percent(error),
                    )
                    for bits, by_size in sweep.items()
                    for size, error in by_size.items()
                ),
            ),
        ),
        limit=_limit_of_errors(question, sweep, sampled, d_out),
    )


def _mark_chosen(question: MicroscopeQuestion, bits: str, size: str) -> str:
    """Return a mark for the rows of the chosen schemes, else an empty text."""
    asked = [(question.side(side).bits, str(question.side(side).block)) for side in SIDES]
    is_asked = (bits, size) in asked or (bits == "int8" and "int8" in [one for one, _ in asked])
    return " (chosen)" if is_asked else ""


def _format_range(bits: str, by_size: Mapping[str, float]) -> str:
    low, high = min(by_size.values()), max(by_size.values())
    return f"{NAMES[bits]} {format_percent(low)}" + (f" to {format_percent(high)}" if high > low else "")


def _limit_of_errors(
    question: MicroscopeQuestion, sweep: Mapping[str, Mapping[str, float]], sampled: int, d_out: int
) -> str:
    said = "Blocks that HQQ can't pack are left out."
    if sampled < d_out:
        said += f" HQQ's search takes long: its errors are those of the first {sampled} of {d_out:,} rows."
    if question.model == EMBEDDED_MODEL and "32" in sweep.get("hqq4", {}):
        said += (
            " The embedded file kept blocks of 32 with sixteen even steps, so HQQ 4-bit in blocks of 32 "
            f"finds those values again, with an error of {format_percent(sweep['hqq4']['32'])}. Weights that "
            "were never rounded give it no such steps to find."
        )
    return said
