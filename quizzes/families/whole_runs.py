"""Families about a run as a whole: everything trained, or a 4-bit base and its adapter."""

from random import Random

from quizzes.families.drawn import DrawnNumbers, build_check
from study.base.units import GB, MB


def draw_full_finetuning(rng: Random) -> DrawnNumbers:
    """Draw a question about full fine-tuning at the paper's 12 bytes per parameter."""
    billions = rng.randrange(2, 145) / 2
    parameters = round(billions * GB)
    total = build_check("full_finetuning_bytes", parameters=parameters)
    return DrawnNumbers(
        right=total.expect,
        slips={
            "weights-only": 2 * parameters,
            "moments-forgotten": 4 * parameters,
            "gradients-forgotten": 10 * parameters,
            "all-fp32": 16 * parameters,
            "one-moment": 8 * parameters,
        },
        values=dict(billions=billions),
        checks=(total,),
        tolerance=total.expect / 50,
    )


def draw_qlora_resident(rng: Random) -> DrawnNumbers:
    """Draw a question about what QLoRA keeps in memory between two steps."""
    billions = rng.choice((1, 3, 7, 8, 13, 14, 30, 32, 65, 70))
    millions = billions * rng.choice((1, 2, 5, 10, 20))
    bits = build_check("bits_per_param", scheme="nf4-dq")
    state = build_check("trainable_state_bytes", parameters=millions * MB)
    base = billions * GB * bits.expect / 8
    total = base + state.expect
    return DrawnNumbers(
        right=total,
        slips={
            "base-alone": base,
            "base-trained": base + 16 * billions * GB,
            "base-in-16-bits": 2 * billions * GB + state.expect,
            "bits-for-bytes": 8 * base + state.expect,
        },
        values=dict(billions=billions, bits=bits.expect, millions=millions, base=base, state=state.expect),
        checks=(bits, state),
        tolerance=total / 50,
    )
