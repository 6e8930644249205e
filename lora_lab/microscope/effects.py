"""Panels on the effects of the error: outliers and their blocks, constants, the layer's output, the loss."""

import math
from collections.abc import Mapping

from lora_lab.memory.ledger import NESTED_BLOCK_SIZE, compute_overhead_bits
from lora_lab.microscope import pictures
from lora_lab.microscope.panel import (
    Found,
    Panel,
    build_measured,
    describe_both,
    format_finely,
    format_percent,
)
from lora_lab.microscope.pictures import LabelledBar
from lora_lab.microscope.query import OUTLIER_STDS, SIDES, MicroscopeQuestion, Side
from study.base.units import write_minus
from study.figures.figure import FigureTable, FigureView, build_computed_origin


def render_outliers_panel(question: MicroscopeQuestion, found: Found) -> Panel:
    """Build the panel of weights far from the rest, and their effect on their blocks."""
    out = found["outliers"]
    numbers = found["matrix"]["d_out"] * found["matrix"]["d_in"]
    normal = numbers * math.erfc(OUTLIER_STDS / math.sqrt(2))
    farthest, columns = out["largest"][0], out["columns"]
    shares = {side: out[side]["with_outliers"] / out[side]["blocks"] for side in SIDES}
    most = ", ".join(f"{one['column']} ({one['count']})" for one in columns[:3])
    held = (
        f" Column {columns[0]['column']} holds {columns[0]['count']} of them, the most; {out['with_any']:,} "
        f"of {found['matrix']['d_in']:,} columns hold any."
        if columns
        else ""
    )
    held_errors = {side: out[side]["error_share"] for side in SIDES}
    said = describe_both(question, {side: format_percent(held_errors[side]) for side in SIDES})
    return Panel(
        id="outliers",
        title="Outliers",
        shown=FigureView(
            finding=f"Beyond {OUTLIER_STDS} standard deviations: {out['count']:,} of {numbers:,} weights "
            f"({normal:.3g} if they were normal). Of the squared error, their blocks hold {said}.{held}",
            numbers=(
                ("farthest weight", f"{farthest['value']:.3g}"),
                ("standard deviations", f"{farthest['stds']:.3g}"),
                ("row, column", f"{farthest['row']}, {farthest['column']}"),
                ("columns with most", most or "none"),
            ),
            picture=pictures.render_bars(
                _pair_shares(question, {"of all blocks": shares, "of the squared error": held_errors}), most=1
            ),
            alt="Blocks with an outlier: "
            + "; ".join(
                f"{question.side(side).name}: {format_percent(shares[side])} of the blocks, "
                f"{format_percent(held_errors[side])} of the squared error"
                for side in SIDES
            )
            + ".",
            origins=(
                build_measured(
                    question, found, f"|w| over their standard deviation, {found['matrix']['std']}"
                ),
            ),
            table=FigureTable(
                columns=("largest weights", "row", "column", "standard deviations"),
                rows=tuple(
                    (f"{one['value']:.4g}", str(one["row"]), str(one["column"]), f"{one['stds']:.4g}")
                    for one in out["largest"]
                ),
            ),
        ),
        limit="It can't show which outliers matter to the model: what they are multiplied by decides that.",
    )


def render_double_panel(question: MicroscopeQuestion, found: Found) -> Panel:
    """Build the panel of double quantization's effect on the constants, and through them on the weights."""
    double = found["double"]
    block = double["block"]
    plain, nested = (
        compute_overhead_bits(double_quantization=twice, block_size=block) for twice in (False, True)
    )
    groups = [
        (title, [LabelledBar(label="for constants", value=bits, words=f"{bits:.3g} bits")])
        for title, bits in (("Constants in 32 bits", plain), ("Double quantization", nested))
    ]
    return Panel(
        id="double",
        title="What double quantization changes",
        shown=FigureView(
            finding=f"In blocks of {block:,}, {double['constants']:,} constants in 8 bits instead of 32 are "
            f"off by {format_percent(double['constants_error'])}. NF4's error goes from "
            f"{format_finely(double['error_plain'])} to {format_finely(double['error_double'])}, and "
            f"{plain - nested:.3g} bits per weight are saved.",
            numbers=(
                ("bits saved per weight", f"{plain - nested:.3g}"),
                ("farthest constant is off by", format_percent(double["largest_share_off"])),
                ("weights move by", format_percent(double["weights_moved"])),
            ),
            picture=pictures.render_bars(groups),
            alt=f"Bits per weight for constants: {plain:.4g} in 32 bits, {nested:.4g} doubly quantized.",
            origins=(
                build_measured(question, found, "Errors of constants and weights, in NF4"),
                build_computed_origin(
                    text="bits per weight for constants, as arXiv:2305.14314 section 3 has them",
                    formula=f"32 / {block} becomes 8 / {block} + 32 / ({block} × {NESTED_BLOCK_SIZE}): the "
                    f"mean of the constants is subtracted, and blocks of {NESTED_BLOCK_SIZE} get 8-bit codes "
                    "with one fp32 constant",
                ),
            ),
        ),
        limit="The error can also fall a little: a constant that is off moves some levels nearer to weights.",
    )


def render_output_panel(question: MicroscopeQuestion, found: Found) -> Panel:
    """Build the panel of the output's relative error on real hidden states."""
    output = found["output"]
    errors = {side: found[side]["error"] for side in SIDES}
    said = describe_both(question, {side: format_percent(output[side]) for side in SIDES})
    return Panel(
        id="output",
        title="The layer's output",
        shown=FigureView(
            finding=f"On {output['tokens']:,} tokens of {output['examples']} held-out examples, the output "
            f"x·Wᵀ moves by {said}.",
            numbers=(),
            picture=pictures.render_bars(_pair_shares(question, {"weights": errors, "output": output})),
            alt="Relative errors: "
            + "; ".join(
                f"{question.side(side).name}: weights {format_percent(errors[side])}, output "
                f"{format_percent(output[side])}"
                for side in SIDES
            )
            + ".",
            origins=(
                build_measured(question, found, "Output error"),
                build_computed_origin(
                    text="Relative error; x is what enters this layer when the model reads those examples",
                    formula="||x·Wᵀ − x·decodedᵀ|| / ||x·Wᵀ||",
                ),
            ),
        ),
        limit="It can't show what later layers make of it: they may damp it or amplify it.",
    )


def render_losses_panel(question: MicroscopeQuestion, found: Found) -> Panel:
    """Build the panel of held-out losses with one matrix rounded, and with all of them rounded."""
    losses = found["losses"]
    base = losses["base"]
    rows = [("model as it is", base)]
    rises = []
    for how, words in (("only", "this matrix"), ("all", "every matrix")):
        for side in SIDES:
            if f"{how}_{side}" in losses:
                name, loss = question.side(side).name, losses[f"{how}_{side}"]
                rows.append((f"{words}: {name}", loss))
                rises.append(f"{_format_rise(loss - base)} with {words} in {name}")
    missing = " ".join(
        f"Every matrix in {question.side(side).name} could not be measured: {losses[f'cannot_{side}']}."
        for side in SIDES
        if f"cannot_{side}" in losses
    )
    return Panel(
        id="losses",
        title="The held-out loss",
        shown=FigureView(
            finding=f"The model as it is has a loss of {base:.3f}"
            + (f". It changes by {'; '.join(rises)}." if rises else "; the others follow."),
            numbers=(),
            picture=pictures.render_losses(rows, base),
            alt="Held-out losses: " + "; ".join(f"{label} {value:.4f}" for label, value in rows) + ".",
            origins=(
                build_measured(
                    question,
                    found,
                    f"Mean loss over {losses['answers']:,} answer tokens of {losses['examples']} examples "
                    "that the app holds out of its own cards",
                ),
            ),
            table=FigureTable(
                columns=("weights", "loss", "against the model as it is"),
                rows=tuple((label, f"{value:.4f}", _format_rise(value - base)) for label, value in rows),
            ),
        ),
        limit=(
            f"{missing} One set of {losses['examples']} short examples can't tell differences of a "
            "few thousandths from chance, and says nothing about other texts. Only weights are rounded here; "
            "int8 in use rounds what enters a layer too."
        ).strip(),
    )


def _pair_shares(
    question: MicroscopeQuestion, shares: Mapping[str, Mapping[Side, float]]
) -> list[tuple[str, list[LabelledBar]]]:
    """Build two bars for each side; `shares` maps their labels to the sides' shares."""
    return [
        (
            question.side(side).name,
            [
                LabelledBar(label=label, value=of[side], words=format_percent(of[side]), look=look)
                for (label, of), look in zip(shares.items(), ("w", "good"), strict=True)
            ],
        )
        for side in SIDES
    ]


def _format_rise(rise: float) -> str:
    return write_minus(f"{rise:+.4f}")
