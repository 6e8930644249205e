"""Families about the memory of stored weights."""

from random import Random
from typing import Literal

from quizzes.families.answers import build_answers, format_digits, format_size, one_percent, sample_slips
from quizzes.families.drawn import DrawnQuestion, QuestionFamily, build_check, keep_distinct
from quizzes.families.models import draw_model

GB = 10**9
BITS: tuple[Literal[4, 8, 16, 32], ...] = (4, 8, 16, 32)
_BYTES = {4: "half a byte", 8: "1 byte", 16: "2 bytes", 32: "4 bytes"}
BILLIONS = (1, 1.5, 2, 3, 7, 8, 13, 14, 30, 32, 34, 65, 70, 72)


def draw_weight_bytes(dice: Random) -> DrawnQuestion:
    """Draw a question about the weights of a catalogue model at one number of bits."""
    model, bits = draw_model(dice), dice.choice(BITS)
    base = build_check("base_parameters", model=model.id).expect
    stored = build_check("weight_bytes", model=model.id, bits=bits)
    right, slips = build_answers(
        format_size,
        stored.expect,
        f"{bits} bits are {_BYTES[bits]} for each parameter.",
        (
            "bits-for-bytes",
            base * bits,
            "mistakes bits for bytes",
            f"That counts {bits} bytes per parameter. 8 bits make a byte.",
        ),
        (
            "one-byte-each",
            base,
            "counts one byte per parameter",
            f"That is one byte per parameter, which is 8 bits. Here it is {bits}.",
        ),
        (
            "half-precision-always",
            2 * base,
            "assumes 16 bits",
            f"That is 16 bits per parameter. Here it is {bits}.",
        ),
        (
            "single-precision-always",
            4 * base,
            "assumes 32 bits",
            f"That is 32 bits per parameter. Here it is {bits}.",
        ),
        (
            "four-bit-always",
            base / 2,
            "assumes 4 bits",
            f"That is 4 bits per parameter. Here it is {bits}.",
        ),
    )
    return DrawnQuestion(
        kind="single",
        stem=f"{model.name} has {base:,.0f} parameters. How much memory do they need at {bits} bits each"
        f"{', block constants left out' if bits == 4 else ''}?",
        right=right,
        wrong=sample_slips(dice, right, slips, near=stored.expect / 50),
        steps=(
            f"bytes per parameter: {bits} / 8 = {format_digits(bits / 8)}",
            f"bytes: {base:,.0f} × {format_digits(bits / 8)} = {stored.expect:,.0f}",
            f"that is {format_size(stored.expect)}",
        ),
        hint="Turn bits into bytes first. A GB is 1,000,000,000 bytes here.",
        keep="Weights need parameters × bits / 8 bytes.",
        checks=(stored,),
    )


def draw_saved_gigabytes(dice: Random) -> DrawnQuestion:
    """Draw a question about the memory saved from bf16 to NF4, with or without double quantization."""
    billions, doubled = dice.choice(BILLIONS), dice.choice((False, True))
    after = build_check("bits_per_param", scheme="nf4-dq" if doubled else "nf4")
    bits, gigabytes = after.expect, billions * (16 - after.expect) / 8
    right, slips = build_answers(
        _format_gb,
        gigabytes,
        f"Each weight gives up {format_digits(16 - bits)} of its 16 bits.",
        (
            "what-remains",
            billions * bits / 8,
            "gives what remains",
            "That is what the 4-bit weights need. The rest of the 16 bits is saved.",
        ),
        (
            "bits-for-bytes",
            billions * (16 - bits),
            "mistakes bits for bytes",
            "That is in gigabits. Divide by 8.",
        ),
        (
            "all-of-it",
            billions * 2,
            "gives the size in 16 bits",
            "That is the size of the weights in bf16. Some of it remains.",
        ),
        (
            "from-fp32",
            billions * (32 - bits) / 8,
            "starts from 32 bits",
            "That starts from fp32. bf16 has 16 bits.",
        ),
        (
            "half",
            billions,
            "assumes that 4 bits save half",
            "That is one byte of two. Weights of 8 bits would save that, but these have about 4.",
        ),
    )
    how = "NF4 with double quantization" if doubled else "NF4 in blocks of 64"
    return DrawnQuestion(
        kind="single",
        stem=f"The linear layers of a model hold {format_digits(billions)} billion weights in bf16. "
        "They are stored"
        f" in {how} instead, {format_digits(bits)} bits per weight, constants included. How much "
        "memory is saved?",
        right=right,
        wrong=sample_slips(dice, right, slips, near=gigabytes / 50),
        steps=(
            f"saved per weight: 16 − {format_digits(bits)} = {format_digits(16 - bits)} bits",
            f"in bytes: {format_digits(16 - bits)} / 8 = {format_digits((16 - bits) / 8)}",
            f"{format_digits(billions)} billion × {format_digits((16 - bits) / 8)} bytes: "
            f"{_format_gb(gigabytes)}",
        ),
        hint="Work out how many bits each weight gives up.",
        keep="From bf16 to NF4 each weight gives up about 11.5 to 11.9 of its 16 bits.",
        checks=(after,),
    )


def draw_double_saving(dice: Random) -> DrawnQuestion:
    """Draw a question about the GB that double quantization saves."""
    billions = dice.randrange(2, 145) / 2
    saving = build_check("double_quantization_saving_bits")
    gigabytes = billions * saving.expect / 8
    right, slips = build_answers(
        format_digits,
        gigabytes,
        "The constants shrink from 0.5 to 0.127 bits per weight.",
        (
            "bits-for-bytes",
            billions * saving.expect,
            "mistakes bits for bytes",
            "That is in gigabits. Divide by 8.",
        ),
        (
            "constants-vanish",
            billions * 0.5 / 8,
            "thinks that the constants vanish",
            "That is the full size of the constants. About a quarter of it stays.",
        ),
        (
            "what-remains",
            billions * (0.5 - saving.expect) / 8,
            "gives what remains",
            "That is what the constants still need.",
        ),
        (
            "weights-halved",
            billions * 0.25,
            "thinks that double quantization makes the codes smaller",
            "Only the constants of the blocks are quantized again. The codes keep their 4 bits.",
        ),
    )
    return DrawnQuestion(
        kind="numeric",
        stem=f"A model has {format_digits(billions)} billion weights in NF4, in blocks of 64. Double "
        "quantization"
        " takes their constants from 0.5 to 0.127 bits per weight. How many GB does that save?",
        right=right,
        wrong=keep_distinct(right, slips, tolerance=one_percent(gigabytes), limit=4),
        steps=(
            "before: 32 / 64 = 0.5 bits per weight",
            f"after: 8 / 64 + 32 / (64 × 256) = {format_digits(0.5 - saving.expect)}",
            f"saved: 0.5 − {format_digits(0.5 - saving.expect)} = {format_digits(saving.expect)} bits",
            f"{format_digits(billions)} × {format_digits(saving.expect)} / 8 = {format_digits(gigabytes)} GB",
        ),
        hint="A billion weights times one bit are an eighth of a GB.",
        keep="Double quantization saves 0.373 bits per weight, about 3 GB for 65 billion.",
        checks=(saving,),
        source="arXiv:2305.14314 section 3, double quantization",
        unit="GB",
        tolerance=one_percent(gigabytes),
    )


def _format_gb(gigabytes: float) -> str:
    return format_size(gigabytes * GB)


FAMILIES = (
    QuestionFamily(
        id="model-bytes",
        title="Memory of a model's weights",
        concepts=("weight-memory", "number-formats"),
        level="beginner",
        draw=draw_weight_bytes,
    ),
    QuestionFamily(
        id="saved-gigabytes",
        title="From 16 bits to 4",
        concepts=("weight-memory", "nf4"),
        level="intermediate",
        draw=draw_saved_gigabytes,
    ),
    QuestionFamily(
        id="double-saving",
        title="What double quantization saves",
        concepts=("double-quantization", "weight-memory"),
        level="advanced",
        draw=draw_double_saving,
    ),
)
