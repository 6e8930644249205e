"""Families about the memory of stored weights."""

from random import Random
from typing import Literal

from quizzes.families.drawn import DrawnNumbers, build_check, compute_tolerance
from quizzes.families.models import choose_model

BITS: tuple[Literal[4, 8, 16, 32], ...] = (4, 8, 16, 32)
BILLIONS = (1, 1.5, 2, 3, 7, 8, 13, 14, 30, 32, 34, 65, 70, 72)


def draw_model_bytes(rng: Random) -> DrawnNumbers:
    """Draw a question about the weights of a catalogue model at one number of bits."""
    model, bits = choose_model(rng), rng.choice(BITS)
    base = build_check("base_parameters", model=model.id).expect
    stored = build_check("weight_bytes", model=model.id, bits=bits)
    return DrawnNumbers(
        right=stored.expect,
        slips={
            "bits-for-bytes": base * bits,
            "one-byte-each": base,
            "half-precision-always": 2 * base,
            "single-precision-always": 4 * base,
            "four-bit-always": base / 2,
        },
        values=dict(model=model.name, base=base, bits=bits, each=bits, in_bytes=bits, width=bits / 8),
        checks=(stored,),
        tolerance=stored.expect / 50,
    )


def draw_saved_gigabytes(rng: Random) -> DrawnNumbers:
    """Draw a question about the memory saved from bf16 to NF4, with or without double quantization."""
    billions, doubled = rng.choice(BILLIONS), rng.choice((False, True))
    scheme: Literal["nf4", "nf4-dq"] = "nf4-dq" if doubled else "nf4"
    after = build_check("bits_per_param", scheme=scheme)
    bits, gigabytes = after.expect, billions * (16 - after.expect) / 8
    return DrawnNumbers(
        right=gigabytes,
        slips={
            "what-remains": billions * bits / 8,
            "bits-for-bytes": billions * (16 - bits),
            "all-of-it": billions * 2,
            "from-fp32": billions * (32 - bits) / 8,
            "half": billions,
        },
        values=dict(
            billions=billions, scheme=scheme, bits=bits, saved_bits=16 - bits, saved_bytes=(16 - bits) / 8
        ),
        checks=(after,),
        tolerance=gigabytes / 50,
    )


def draw_double_saving(rng: Random) -> DrawnNumbers:
    """Draw a question about the GB that double quantization saves."""
    billions = rng.randrange(2, 145) / 2
    saving = build_check("double_quantization_saving_bits")
    gigabytes = billions * saving.expect / 8
    return DrawnNumbers(
        right=gigabytes,
        slips={
            "bits-for-bytes": billions * saving.expect,
            "constants-vanish": billions * 0.5 / 8,
            "what-remains": billions * (0.5 - saving.expect) / 8,
            "weights-halved": billions * 0.25,
        },
        values=dict(billions=billions, remaining=0.5 - saving.expect, saving=saving.expect),
        checks=(saving,),
        tolerance=compute_tolerance(gigabytes, 1),
    )
