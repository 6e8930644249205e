"""Families about the memory of a batch: logits, activations, checkpoints."""

from random import Random

from quizzes.families.answers import build_answers, format_digits, format_size, one_percent, sample_slips
from quizzes.families.drawn import DrawnQuestion, QuestionFamily, build_check, keep_distinct

MB = 10**6
VOCABULARIES = (32_000, 49_152, 50_257, 128_256, 151_936)
BATCHES = (1, 2, 4, 8, 16)
LENGTHS = (128, 256, 512, 1024, 2048)


def draw_logits(dice: Random) -> DrawnQuestion:
    """Draw a question about fp32 logits, one score per token and vocabulary entry."""
    batch, tokens, vocab = dice.choice(BATCHES[1:]), dice.choice(LENGTHS), dice.choice(VOCABULARIES)
    logits = build_check("logits_bytes", batch=batch, tokens=tokens, vocab=vocab, bytes_per_value=4)
    right, slips = build_answers(
        format_size,
        logits.expect,
        "Each token of each example has one score for every entry of the vocabulary.",
        (
            "batch-forgotten",
            logits.expect / batch,
            "counts one example instead of the batch",
            f"That is one example. The batch has {batch}.",
        ),
        (
            "last-token-only",
            4 * batch * vocab,
            "counts the last token only",
            "That is enough to write the next token. In training every position is scored.",
        ),
        (
            "half-precision",
            logits.expect / 2,
            "counts 2 bytes per score",
            "That is 16 bits per score. Here they are fp32, 4 bytes.",
        ),
        (
            "values-for-bytes",
            logits.expect / 4,
            "mistakes the number of scores for bytes",
            "That is how many scores there are. Each has 4 bytes.",
        ),
        (
            "batch-twice",
            logits.expect * batch,
            "counts the batch twice",
            "The batch counts once.",
        ),
        (
            "bits-for-bytes",
            8 * logits.expect,
            "mistakes bits for bytes",
            "That is in bits. fp32 has 32 bits, which are 4 bytes.",
        ),
    )
    return DrawnQuestion(
        kind="single",
        stem=f"A batch of {batch} examples of {tokens:,} tokens goes through a model with a vocabulary of"
        f" {vocab:,}. How much memory does one fp32 tensor of all its logits need?",
        right=right,
        wrong=sample_slips(dice, right, slips, near=logits.expect / 50),
        steps=(
            f"scores: {batch} × {tokens:,} × {vocab:,} = {batch * tokens * vocab:,}",
            f"bytes: {batch * tokens * vocab:,} × 4 = {logits.expect:,.0f}",
            f"that is {format_size(logits.expect)}",
        ),
        hint="The tensor has three axes: batch, sequence and vocabulary.",
        keep="Logits need batch × tokens × vocabulary × bytes, whatever the rank.",
        checks=(logits,),
    )


def draw_batch_growth(dice: Random) -> DrawnQuestion:
    """Draw a question about activations, which grow with the tokens of a batch."""
    batch, length = dice.choice((1, 2, 4, 8)), dice.choice(LENGTHS)
    new_batch = dice.choice([b for b in (1, 2, 4, 8, 16) if b != batch])
    new_length = dice.choice([n for n in LENGTHS if n != length and n * new_batch != length * batch])
    now = dice.choice((1.2, 1.6, 2, 2.4, 3, 4)) * 10**9
    by_batch, by_length = new_batch / batch, new_length / length
    then = now * by_batch * by_length
    right, slips = build_answers(
        format_size,
        then,
        f"The batch is {format_digits(by_batch)} times and the length {format_digits(by_length)} "
        "times what it was.",
        (
            "batch-only",
            now * by_batch,
            "lets only the batch count",
            "That follows the batch alone. Each token keeps its values, so the length counts as well.",
        ),
        (
            "length-only",
            now * by_length,
            "lets only the length count",
            "That follows the length alone. Each example of the batch keeps its values.",
        ),
        (
            "unchanged",
            now,
            "thinks that activations depend on the model only",
            "Weights depend on the model only. Activations are kept for each token.",
        ),
        (
            "length-squared",
            then * by_length,
            "takes activations to grow with the square of the length",
            "That holds for attention that keeps its table of all pairs. Here it does not.",
        ),
        (
            "batch-squared",
            then * by_batch,
            "counts the batch twice",
            "Examples do not see each other, so the batch counts once.",
        ),
    )
    return DrawnQuestion(
        kind="single",
        stem=f"With a batch of {batch} and {length:,} tokens per example, a run keeps {format_size(now)} of"
        f" activations; its attention keeps no table of token pairs. About how much is it with a batch of"
        f" {new_batch} and {new_length:,} tokens?",
        right=right,
        wrong=sample_slips(dice, right, slips, near=then / 50),
        steps=(
            f"tokens before: {batch} × {length:,} = {batch * length:,}",
            f"tokens now: {new_batch} × {new_length:,} = {new_batch * new_length:,}",
            f"growth: {new_batch * new_length:,} / {batch * length:,} = "
            f"{format_digits(by_batch * by_length)}",
            f"{format_digits(by_batch * by_length)} times {format_size(now)} is {format_size(then)}",
        ),
        hint="Compare how many tokens the two batches have.",
        keep="Without a table of token pairs, activations grow with batch × length.",
        source="arXiv:1910.02054 section 3.2; arXiv:2205.14135 for attention without the table",
    )


def draw_checkpoints(dice: Random) -> DrawnQuestion:
    """Draw a question about gradient checkpointing, which keeps one vector per token and layer."""
    layers, hidden = dice.choice(((16, 2048), (24, 1024), (28, 3072), (30, 576), (32, 4096), (40, 5120)))
    batch, tokens, width = dice.choice(BATCHES), dice.choice(LENGTHS), dice.choice((2, 4))
    numbers = batch * tokens * hidden * layers
    megabytes = numbers * width / MB
    right, slips = build_answers(
        format_digits,
        megabytes,
        f"{hidden:,} numbers of {width} bytes for each token and layer.",
        (
            "one-layer",
            megabytes / layers,
            "counts one layer instead of all",
            f"That is one layer. The input of each of the {layers} layers is kept.",
        ),
        (
            "values-for-bytes",
            numbers / MB,
            "mistakes numbers for bytes",
            f"That is how many numbers are kept. Each has {width} bytes.",
        ),
        (
            "other-format",
            numbers * (6 - width) / MB,
            "takes the other format",
            f"That is {6 - width} bytes per number. {'bf16' if width == 2 else 'fp32'} has {width}.",
        ),
        (
            "length-squared",
            megabytes * tokens / hidden,
            "counts a table of token pairs",
            "That would be a table of all token pairs. Only the vector that enters a layer is kept.",
        ),
    )
    return DrawnQuestion(
        kind="numeric",
        stem=f"With gradient checkpointing, a run keeps only what enters each of {layers} layers: {hidden:,}"
        f" numbers for each token, in {'bf16' if width == 2 else 'fp32'}. A batch has {batch}"
        f" {'example' if batch == 1 else 'examples'} of {tokens:,} tokens. How many MB are kept?",
        right=right,
        wrong=keep_distinct(right, slips, tolerance=one_percent(megabytes), limit=4),
        steps=(
            f"tokens: {batch} × {tokens:,} = {batch * tokens:,}",
            f"numbers: {batch * tokens:,} × {hidden:,} × {layers} = {numbers:,}",
            f"{numbers:,} × {width} / 1,000,000 = {format_digits(megabytes)} MB",
        ),
        hint="Multiply tokens, width and layers, then turn numbers into bytes.",
        keep="Checkpointing keeps one vector for each token and layer, and computes the rest again.",
        source="arXiv:1604.06174 section 4; one checkpoint for each layer",
        unit="MB",
        tolerance=one_percent(megabytes),
    )


FAMILIES = (
    QuestionFamily(
        id="logits-memory",
        title="Memory of the logits",
        concepts=("activation-memory",),
        level="intermediate",
        draw=draw_logits,
    ),
    QuestionFamily(
        id="batch-growth",
        title="A larger batch, longer examples",
        concepts=("activation-memory",),
        level="beginner",
        draw=draw_batch_growth,
    ),
    QuestionFamily(
        id="checkpoint-memory",
        title="What checkpointing keeps",
        concepts=("gradient-checkpointing", "activation-memory"),
        level="advanced",
        draw=draw_checkpoints,
    ),
)
