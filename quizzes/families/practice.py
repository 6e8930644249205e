"""Families about files and steps: what is saved, what fits, how long a run is."""

from math import ceil
from random import Random

from quizzes.families.drawn import DrawnNumbers, build_check, compute_tolerance
from quizzes.families.models import TARGETS, choose_model, format_targets
from study.base.units import GB, MB

RANKS = (4, 8, 16, 32, 64)


def draw_adapter_file(rng: Random) -> DrawnNumbers:
    """Draw a question about the size of an adapter's file in MB."""
    model, parts = choose_model(rng), rng.choice(TARGETS)
    rank, bits = rng.choice(RANKS), rng.choice((16, 32))
    trained = build_check("lora_parameters", model=model.id, rank=rank, targets=list(parts)).expect
    stored = build_check("adapter_bytes", model=model.id, rank=rank, targets=list(parts), bits=bits)
    megabytes = stored.expect / MB
    return DrawnNumbers(
        right=megabytes,
        slips={
            "other-format": trained * (6 - bits // 8) / MB,
            "one-byte-each": trained / MB,
            "bits-for-bytes": trained * bits / MB,
            "state-saved": 16 * trained / MB,  # with 16 bits the same number
            "base-saved": (build_check("base_parameters", model=model.id).expect + trained) * bits / 8 / MB,
        },
        values=dict(
            model=model.name,
            targets=format_targets(parts),
            rank=rank,
            trained=trained,
            bits=bits,
            width=bits // 8,
            other_width=6 - bits // 8,
        ),
        checks=(stored,),
        tolerance=compute_tolerance(megabytes, 1),
    )


def draw_adapters_that_fit(rng: Random) -> DrawnNumbers:
    """Draw a question about how many adapters fit next to one base."""
    room, base = rng.choice((8, 12, 16, 24)), rng.choice((2.4, 3.6, 4.2, 5.5, 6.8))
    adapter = rng.choice((30, 45, 70, 110, 160, 240))
    free = round(room * 1000 - base * 1000)
    slips = {
        "base-for-each": room * 1000 // (base * 1000 + adapter),
        "base-forgotten": room * 1000 // adapter,
        "rounded-up": ceil(free / adapter),
        "base-twice": (free - base * 1000) // adapter,
    }
    return DrawnNumbers(
        right=free // adapter,
        slips={slip: value for slip, value in slips.items() if value > 0},
        values=dict(
            room=room,
            base=base,
            adapter=adapter,
            free=free,
            room_mb=room * 1000,
            base_mb=base * 1000,
            quotient=free / adapter,
        ),
    )


def draw_task_storage(rng: Random) -> DrawnNumbers:
    """Draw a question about the disk space of adapters for many tasks."""
    tasks, base = rng.choice((5, 8, 10, 20, 50)), rng.choice((2.5, 6.4, 13.5, 26))
    adapter = rng.choice((20, 40, 80, 160))
    base_bytes, adapter_bytes = base * GB, adapter * MB
    total = base_bytes + tasks * adapter_bytes
    return DrawnNumbers(
        right=total,
        slips={
            "copy-each": tasks * base_bytes,
            "base-each": tasks * (base_bytes + adapter_bytes),
            "base-forgotten": tasks * adapter_bytes,
            "one-adapter": base_bytes + adapter_bytes,
        },
        values=dict(base=base, tasks=tasks, adapter=adapter, adapters=tasks * adapter),
        tolerance=total / 50,
    )


def draw_steps_an_epoch(rng: Random) -> DrawnNumbers:
    """Draw a question about the optimizer steps of an epoch whose last batch is smaller."""
    batch, gathered = rng.choice((2, 4, 8, 16)), rng.choice((1, 2, 4, 8))
    together = batch * gathered
    examples = together * rng.randrange(20, 200) + rng.randrange(1, together)
    steps = ceil(examples / together)
    return DrawnNumbers(
        right=steps,
        slips={
            "gathering-forgotten": ceil(examples / batch),
            "rounded-down": examples // together,
            "one-each": examples,
            "gathering-multiplies": ceil(examples / batch) * gathered,
        },
        values=dict(
            examples=examples,
            batch=batch,
            how="each" if gathered == 1 else "accumulated",
            together=together,
            gathered=gathered,
            rest=examples % together,
            quotient=examples / together,
        ),
    )


def draw_tokens_a_step(rng: Random) -> DrawnNumbers:
    batch, length = rng.choice((1, 2, 4, 8)), rng.choice((128, 256, 512, 1024, 2048))
    gathered = rng.choice((2, 4, 8, 16))
    tokens = batch * length * gathered
    return DrawnNumbers(
        right=tokens,
        slips={
            "gathering-forgotten": batch * length,
            "batch-forgotten": length * gathered,
            "examples-for-tokens": batch * gathered,
            "gathering-twice": tokens * gathered,
            "batch-twice": tokens * batch,
        },
        values=dict(batch=batch, length=length, gathered=gathered, together=batch * gathered),
    )
