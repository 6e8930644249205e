"""Families about files and steps: what is saved, what fits, how long a run is."""

from math import ceil
from random import Random

from quizzes.families.answers import (
    build_answers,
    format_digits,
    format_size,
    format_whole,
    one_percent,
    sample_slips,
)
from quizzes.families.drawn import DrawnQuestion, QuestionFamily, build_check, keep_distinct
from quizzes.families.models import TARGETS, draw_model, format_targets

MB, GB = 10**6, 10**9
RANKS = (4, 8, 16, 32, 64)
LOOP = "PyTorch docs, torch.utils.data.DataLoader, drop_last"


def draw_adapter_file(dice: Random) -> DrawnQuestion:
    """Draw a question about the size of an adapter's file in MB."""
    model, parts, rank, bits = (
        draw_model(dice),
        dice.choice(TARGETS),
        dice.choice(RANKS),
        dice.choice((16, 32)),
    )
    trained = build_check("lora_parameters", model=model.id, rank=rank, targets=list(parts)).expect
    stored = build_check("adapter_bytes", model=model.id, rank=rank, targets=list(parts), bits=bits)
    megabytes = stored.expect / MB
    right, slips = build_answers(
        format_digits,
        megabytes,
        f"{trained:,.0f} numbers of {bits // 8} bytes.",
        (
            "other-format",
            trained * (6 - bits // 8) / MB,
            "takes the other format",
            f"That is {6 - bits // 8} bytes per number. {bits} bits are {bits // 8}.",
        ),
        (
            "one-byte-each",
            trained / MB,
            "mistakes numbers for bytes",
            "That is how many numbers the file holds, in millions. Each has more than one byte.",
        ),
        (
            "state-saved",
            16 * trained / MB,
            "thinks that gradients and moments are in the file",
            "Gradients and moments are not part of an adapter. A training checkpoint may keep moments.",
        ),
        (
            "bits-for-bytes",
            trained * bits / MB,
            "mistakes bits for bytes",
            "That is in megabits. Divide by 8.",
        ),
        (
            "base-saved",
            (build_check("base_parameters", model=model.id).expect + trained) * bits / 8 / MB,
            "thinks that the base is in the file",
            "The base is not in the file. That is why the adapter needs it.",
        ),
    )
    return DrawnQuestion(
        kind="numeric",
        stem=f"An adapter on {model.name} ({format_targets(parts)}, rank {rank}) has {trained:,.0f} "
        "parameters. It is"
        f" saved with {bits} bits each. How many MB does its file have, without the header?",
        right=right,
        wrong=keep_distinct(right, slips, tolerance=one_percent(megabytes), limit=5),
        steps=(
            f"bytes per number: {bits} / 8 = {bits // 8}",
            f"{trained:,.0f} × {bits // 8} / 1,000,000 = {format_digits(megabytes)} MB",
        ),
        hint="The file holds A and B and nothing else.",
        keep="An adapter's file holds its A and B: parameters × bytes.",
        checks=(stored,),
        unit="MB",
        tolerance=one_percent(megabytes),
    )


def draw_adapters_that_fit(dice: Random) -> DrawnQuestion:
    """Draw a question about how many adapters fit next to one base."""
    room, base = dice.choice((8, 12, 16, 24)), dice.choice((2.4, 3.6, 4.2, 5.5, 6.8))
    adapter = dice.choice((30, 45, 70, 110, 160, 240))
    free = round(room * 1000 - base * 1000)
    right, slips = build_answers(
        format_whole,
        free // adapter,
        f"The base is loaded once and leaves {free:,} MB.",
        (
            "base-for-each",
            room * 1000 // (base * 1000 + adapter),
            "loads the base again for each adapter",
            "All adapters share one frozen base.",
        ),
        (
            "base-forgotten",
            room * 1000 // adapter,
            "forgets that the base needs memory too",
            "The base has to be loaded too, or the adapters are useless.",
        ),
        (
            "rounded-up",
            ceil(free / adapter),
            "rounds up",
            "The last one would not fit whole.",
        ),
        (
            "base-twice",
            (free - base * 1000) // adapter,
            "keeps a merged copy beside the base",
            "Nothing is merged here. Each adapter stays beside the one base.",
        ),
    )
    slips = tuple(slip for slip in slips if slip.value > 0)
    return DrawnQuestion(
        kind="single",
        stem=f"{room} GB of memory hold a quantized base of {format_digits(base)} GB. Adapters of "
        f"{adapter} MB each"
        " are to be kept beside it, unmerged, to switch between tasks. How many fit, if nothing else needs "
        "memory (1 GB is 1,000 MB)?",
        right=right,
        wrong=sample_slips(dice, right, slips),
        steps=(
            f"free: {room * 1000:,} − {base * 1000:,.0f} = {free:,} MB",
            f"{free:,} / {adapter} is {_count_places(free / adapter)}; whole ones: {free // adapter}",
        ),
        hint="The base is loaded once, however many adapters there are.",
        keep="One frozen base serves many adapters, so a further task costs only its adapter.",
        source="arXiv:2106.09685 section 4.2",
    )


def draw_task_storage(dice: Random) -> DrawnQuestion:
    """Draw a question about the disk space of adapters for many tasks."""
    tasks, base, adapter = (
        dice.choice((5, 8, 10, 20, 50)),
        dice.choice((2.5, 6.4, 13.5, 26)),
        dice.choice((20, 40, 80, 160)),
    )
    base_bytes, adapter_bytes = base * GB, adapter * MB
    total = base_bytes + tasks * adapter_bytes
    right, slips = build_answers(
        format_size,
        total,
        "One base, and one adapter for each task.",
        (
            "copy-each",
            tasks * base_bytes,
            "keeps a whole model for each task",
            "That is what full fine-tuning needs: a whole model for each task.",
        ),
        (
            "base-each",
            tasks * (base_bytes + adapter_bytes),
            "stores the base with each adapter",
            "The base is frozen, so all adapters share one copy of it.",
        ),
        (
            "base-forgotten",
            tasks * adapter_bytes,
            "forgets the base",
            "An adapter is useless without its base.",
        ),
        (
            "one-adapter",
            base_bytes + adapter_bytes,
            "stores one adapter for all tasks",
            "That is one task. Each of them has its own adapter.",
        ),
    )
    return DrawnQuestion(
        kind="single",
        stem=f"A base of {format_digits(base)} GB is tuned with LoRA for {tasks} tasks. Each adapter has "
        f"{adapter} MB. How much disk space do base and adapters need together, unmerged?",
        right=right,
        wrong=sample_slips(dice, right, slips, near=total / 50),
        steps=(
            f"adapters: {tasks} × {adapter} = {tasks * adapter:,} MB",
            f"with the base of {format_digits(base)} GB: {format_size(total)}",
        ),
        hint="What do the tasks share, and what does each task have to itself?",
        keep="With LoRA a further task costs an adapter, not a model.",
        source="arXiv:2106.09685 section 4.2",
    )


def draw_steps_an_epoch(dice: Random) -> DrawnQuestion:
    """Draw a question about the optimizer steps of an epoch whose last batch is smaller."""
    batch, gathered = dice.choice((2, 4, 8, 16)), dice.choice((1, 2, 4, 8))
    together = batch * gathered
    examples = together * dice.randrange(20, 200) + dice.randrange(1, together)
    steps = ceil(examples / together)
    right, slips = build_answers(
        format_whole,
        steps,
        f"{together} examples go into a step, and the last step takes what is left.",
        (
            "gathering-forgotten",
            ceil(examples / batch),
            "counts each batch as a step",
            f"That is the number of batches. The optimizer steps after {gathered} of them.",
        ),
        (
            "rounded-down",
            examples // together,
            "drops the last examples",
            f"What is left at the end, {_examples(examples % together)}, makes one more, smaller step.",
        ),
        (
            "one-each",
            examples,
            "counts each example as a step",
            "That would be a batch of one.",
        ),
        (
            "gathering-multiplies",
            ceil(examples / batch) * gathered,
            "multiplies by the accumulated batches",
            "Accumulating gradients makes fewer steps, not more.",
        ),
    )
    how = (
        "The optimizer steps after each batch"
        if gathered == 1
        else f"Gradients of {gathered} batches are accumulated before each optimizer step"
    )
    return DrawnQuestion(
        kind="numeric",
        stem=f"A data set has {examples:,} examples, and a batch has {batch}. {how}; what is left at the end"
        " makes a smaller step. How many optimizer steps are there per epoch?",
        right=right,
        wrong=keep_distinct(right, slips, limit=4),
        steps=(
            f"examples per step: {batch} × {gathered} = {together}",
            f"{examples:,} / {together} is {_count_places(examples / together)}; rounded up: {steps:,}",
        ),
        hint="How many examples go into one step?",
        keep="Steps in an epoch are examples / (batch × accumulated batches), rounded up.",
        source=LOOP,
        unit="steps",
    )


def draw_tokens_a_step(dice: Random) -> DrawnQuestion:
    """Draw a question about the tokens per optimizer step."""
    batch, length, gathered = (
        dice.choice((1, 2, 4, 8)),
        dice.choice((128, 256, 512, 1024, 2048)),
        dice.choice((2, 4, 8, 16)),
    )
    tokens = batch * length * gathered
    right, slips = build_answers(
        format_whole,
        tokens,
        f"{batch * gathered} examples of {length:,} tokens.",
        (
            "gathering-forgotten",
            batch * length,
            "counts one batch",
            f"That is one batch. {gathered} of them are accumulated for a step.",
        ),
        (
            "batch-forgotten",
            length * gathered,
            "counts one example per batch",
            f"That counts a batch as one example. It has {batch}.",
        ),
        (
            "examples-for-tokens",
            batch * gathered,
            "counts examples instead of tokens",
            f"Those are examples. Each has {length:,} tokens.",
        ),
        (
            "gathering-twice",
            tokens * gathered,
            "counts the accumulated batches twice",
            "The accumulated batches count once.",
        ),
        (
            "batch-twice",
            tokens * batch,
            "counts the batch twice",
            "The batch counts once.",
        ),
    )
    return DrawnQuestion(
        kind="single",
        stem=f"A batch has {batch} {'example' if batch == 1 else 'examples'} of {length:,} tokens, without"
        f" padding. Gradients of {gathered} batches are accumulated before each optimizer step. How many "
        "tokens"
        " does one step see?",
        right=right,
        wrong=sample_slips(dice, right, slips),
        steps=(
            f"examples: {batch} × {gathered} = {batch * gathered}",
            f"tokens: {batch * gathered} × {length:,} = {tokens:,}",
        ),
        hint="Count the examples of a step first.",
        keep="Accumulating gradients enlarges the step, not the memory of a batch.",
        source="PyTorch docs, Automatic Mixed Precision examples, gradient accumulation",
    )


def _examples(number: int) -> str:
    return f"{number} example" if number == 1 else f"{number} examples"


def _count_places(value: float) -> str:
    return f"{value:,.2f}"


FAMILIES = (
    QuestionFamily(
        id="adapter-file",
        title="Size of an adapter's file",
        concepts=("adapter-files",),
        level="beginner",
        draw=draw_adapter_file,
    ),
    QuestionFamily(
        id="adapters-that-fit",
        title="Adapters beside one base",
        concepts=("adapter-files", "frozen-base"),
        level="intermediate",
        draw=draw_adapters_that_fit,
    ),
    QuestionFamily(
        id="task-storage",
        title="Many tasks on disk",
        concepts=("adapter-files", "frozen-base"),
        level="beginner",
        draw=draw_task_storage,
    ),
    QuestionFamily(
        id="steps-an-epoch",
        title="Steps in an epoch",
        concepts=("training-step",),
        level="beginner",
        draw=draw_steps_an_epoch,
    ),
    QuestionFamily(
        id="tokens-a-step",
        title="Tokens in a step",
        concepts=("training-step",),
        level="beginner",
        draw=draw_tokens_a_step,
    ),
)
