"""Families about the memory of a batch: logits, activations, checkpoints."""

from random import Random

from quizzes.families.drawn import DrawnNumbers, build_check, compute_tolerance
from study.base.units import MB

VOCABULARIES = (32_000, 49_152, 50_257, 128_256, 151_936)
BATCHES = (1, 2, 4, 8, 16)
LENGTHS = (128, 256, 512, 1024, 2048)


def draw_logits_memory(rng: Random) -> DrawnNumbers:
    """Draw a question about fp32 logits, one score per token and vocabulary entry."""
    batch, tokens, vocab = rng.choice(BATCHES[1:]), rng.choice(LENGTHS), rng.choice(VOCABULARIES)
    logits = build_check("logits_bytes", batch=batch, tokens=tokens, vocab=vocab, bytes_per_value=4)
    return DrawnNumbers(
        right=logits.expect,
        slips={
            "batch-forgotten": logits.expect / batch,
            "last-token-only": 4 * batch * vocab,
            "half-precision": logits.expect / 2,
            "values-for-bytes": logits.expect / 4,
            "batch-twice": logits.expect * batch,
            "bits-for-bytes": 8 * logits.expect,
        },
        values=dict(batch=batch, tokens=tokens, vocab=vocab, scores=batch * tokens * vocab),
        checks=(logits,),
        tolerance=logits.expect / 50,
    )


def draw_batch_growth(rng: Random) -> DrawnNumbers:
    """Draw a question about activations, which grow with the tokens of a batch."""
    batch, length = rng.choice((1, 2, 4, 8)), rng.choice(LENGTHS)
    new_batch = rng.choice([b for b in (1, 2, 4, 8, 16) if b != batch])
    new_length = rng.choice([n for n in LENGTHS if n != length and n * new_batch != length * batch])
    now = rng.choice((1.2, 1.6, 2, 2.4, 3, 4)) * 10**9
    by_batch, by_length = new_batch / batch, new_length / length
    then = now * by_batch * by_length
    return DrawnNumbers(
        right=then,
        slips={
            "batch-only": now * by_batch,
            "length-only": now * by_length,
            "activations-per-model": now,
            "length-squared": then * by_length,
            "batch-squared": then * by_batch,
        },
        values=dict(
            batch=batch,
            length=length,
            now=now,
            new_batch=new_batch,
            new_length=new_length,
            by_batch=by_batch,
            by_length=by_length,
            tokens_before=batch * length,
            tokens_now=new_batch * new_length,
            growth=by_batch * by_length,
        ),
        tolerance=then / 50,
    )


def draw_checkpoint_memory(rng: Random) -> DrawnNumbers:
    """Draw a question about gradient checkpointing, which keeps one vector per token and layer."""
    layers, hidden = rng.choice(((16, 2048), (24, 1024), (28, 3072), (30, 576), (32, 4096), (40, 5120)))
    batch, tokens, width = rng.choice(BATCHES), rng.choice(LENGTHS), rng.choice((2, 4))
    numbers = batch * tokens * hidden * layers
    megabytes = numbers * width / MB
    return DrawnNumbers(
        right=megabytes,
        slips={
            "one-layer": megabytes / layers,
            "values-for-bytes": numbers / MB,
            "other-format": numbers * (6 - width) / MB,
            "length-squared": megabytes * tokens / hidden,
        },
        values=dict(
            layers=layers,
            hidden=hidden,
            precision="bf16" if width == 2 else "fp32",
            batch=batch,
            tokens=tokens,
            width=width,
            other_width=6 - width,
            all_tokens=batch * tokens,
            numbers=numbers,
        ),
        tolerance=compute_tolerance(megabytes, 1),
    )
