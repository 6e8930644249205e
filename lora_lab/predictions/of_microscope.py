"""A learner's prediction about two schemes, compared with the measurement, with the reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lora_lab.microscope.panel import format_finely, format_percent
from lora_lab.microscope.query import NAMES, SIDES, MicroscopeQuestion, Side
from lora_lab.predictions.judging import QUANTITY_CONCEPTS, GuessVerdict, parse_guess
from study.base.errors import LearnerError

RELATIVE_TIE = 0.01
"""Errors that differ by less than a hundredth of the larger count as equal, and either answer as right."""

RISE_SHARE, RISE_LEAST = 0.25, 0.02
"""A guessed rise of the loss counts as right within a quarter of it, or within 0.02."""


@dataclass(frozen=True, kw_only=True)
class MicroscopeGuess:
    """The guesses made before anything is shown; an empty one is not judged."""

    smaller: Side | Literal[""] = ""
    """Which scheme has the smaller error on this matrix."""

    rise: float | None = None
    """How much the held-out loss rises with every matrix in the first scheme."""


def parse_guess_form(fields: Mapping[str, str]) -> MicroscopeGuess:
    """Parse the fields of the form. Raises LearnerError when nothing, or nothing readable, is guessed."""
    smaller = fields.get("smaller", "")
    expected = "The loss rises by a number such as 0.1"
    rise = parse_guess(fields.get("rise", ""), "", above=-100, most=100, expected=expected)
    guess = MicroscopeGuess(smaller=smaller if smaller in SIDES else "", rise=rise)
    if guess == MicroscopeGuess():
        raise LearnerError(
            "Nothing is guessed yet.", do_next="Choose one of the two, or look without a guess."
        )
    return guess


def name_error_quantity(question: MicroscopeQuestion) -> str:
    """Return what a comparison of errors is about: block size, double quantization, NF4, or levels."""
    first, second = question.first, question.second
    if first.bits == second.bits:
        return "error-block"
    is_double = {first.bits, second.bits} == {"nf4", "nf4-dq"} and first.block == second.block
    if is_double:
        return "error-double"
    return "error-nf4" if {first.bits, second.bits} & {"nf4", "nf4-dq"} else "error-levels"


def judge_microscope_guess(
    guess: MicroscopeGuess, question: MicroscopeQuestion, found: Mapping[str, Any]
) -> list[GuessVerdict]:
    """Judge what can be judged so far."""
    return [
        one
        for one in (_judge_error(guess, question, found), _judge_loss(guess, question, found))
        if one is not None
    ]


def _judge_error(
    guess: MicroscopeGuess, question: MicroscopeQuestion, found: Mapping[str, Any]
) -> GuessVerdict | None:
    if not guess.smaller or not {"first", "second"} <= found.keys():
        return None
    errors = {side: found[side]["error"] for side in SIDES}
    smaller = min(SIDES, key=lambda side: errors[side])
    equal = abs(errors["first"] - errors["second"]) < RELATIVE_TIE * max(errors.values())
    quantity = name_error_quantity(question)
    return GuessVerdict(
        quantity=quantity,
        guess=question.side(guess.smaller).name,
        result=(
            f"{'practically equal' if equal else question.side(smaller).name} "
            f"({format_finely(errors['first'])} against {format_finely(errors['second'])})"
        ),
        right=equal or guess.smaller == smaller,
        reason=_explain_reason(quantity, question, found),
        concepts=QUANTITY_CONCEPTS[quantity],
    )


def _explain_reason(quantity: str, question: MicroscopeQuestion, found: Mapping[str, Any]) -> str:
    if quantity == "error-block":
        return (
            "In a smaller block the largest weight is closer in size to the others, so the levels lie closer "
            f"together. That costs bits: {question.first.stored_bits:.4g} per weight against "
            f"{question.second.stored_bits:.4g}."
        )
    if quantity == "error-double":
        return (
            "Both have the same sixteen levels; double quantization rounds only the constants, which are "
            f"then off by {format_percent(found['double']['constants_error'])}."
            if "double" in found
            else "Both have the same sixteen levels; double quantization rounds only the constants."
        )
    counts = [len(found[side]["levels"]) for side in SIDES]
    if abs(counts[0] - counts[1]) > 1:
        first, second = NAMES[question.first.bits], NAMES[question.second.bits]
        return f"{first} has {counts[0]} levels, and {second} has {counts[1]}."
    return f"With {max(counts)} levels or one fewer, what counts is where they lie: see them below."


def _judge_loss(
    guess: MicroscopeGuess, question: MicroscopeQuestion, found: Mapping[str, Any]
) -> GuessVerdict | None:
    losses = found.get("losses", {})
    if guess.rise is None or not {"base", "all_first"} <= losses.keys():
        return None
    rise = losses["all_first"] - losses["base"]
    return GuessVerdict(
        quantity="loss-rise",
        guess=f"{guess.rise:+.3g}",
        result=f"{rise:+.3f}",
        right=abs(guess.rise - rise) <= max(RISE_LEAST, RISE_SHARE * abs(rise)),
        reason=(
            f"With every linear matrix in {question.first.name}, the loss goes from {losses['base']:.3f} to "
            f"{losses['all_first']:.3f} on {losses['answers']:,} answer tokens."
        ),
        concepts=QUANTITY_CONCEPTS["loss-rise"],
    )
