"""Families about a run as a whole: everything trained, or a 4-bit base and its adapter."""

from random import Random

from quizzes.families.answers import build_answers, format_digits, format_size, four_digits, sample_slips
from quizzes.families.drawn import DrawnQuestion, QuestionFamily, build_check

MB, GB = 10**6, 10**9
PAPER = "arXiv:2305.14314 section 1"


def draw_full_finetuning(dice: Random) -> DrawnQuestion:
    """Draw a question about full fine-tuning at the paper's 12 bytes per parameter."""
    billions = dice.randrange(2, 145) / 2
    parameters = round(billions * GB)
    total = build_check("full_finetuning_bytes", parameters=parameters)
    right, slips = build_answers(
        format_size,
        total.expect,
        "2 bytes of weight, 2 of gradient and 8 of Adam's moments.",
        (
            "weights-only",
            2 * parameters,
            "counts the weights alone",
            "That is enough to run the model. Training keeps gradients and moments as well.",
        ),
        (
            "moments-forgotten",
            4 * parameters,
            "forgets the optimizer",
            "Adam's two fp32 moments are the largest part, 8 bytes per parameter.",
        ),
        (
            "gradients-forgotten",
            10 * parameters,
            "forgets the gradients",
            "Each trained parameter has a gradient, 2 bytes in 16-bit training.",
        ),
        (
            "all-fp32",
            16 * parameters,
            "counts weights and gradients in fp32",
            "Weights and gradients have 16 bits here, so 2 bytes each. A recipe with an fp32 copy of the "
            "weights also comes to 16 bytes.",
        ),
        (
            "one-moment",
            8 * parameters,
            "counts one of the two moments",
            "Adam keeps two moments of 4 bytes each.",
        ),
    )
    return DrawnQuestion(
        kind="single",
        stem=f"All {format_digits(billions)} billion parameters of a model are trained: weights and "
        "gradients in 16"
        " bits, Adam's two moments in 32. There is no fp32 copy of the weights. How much memory do these "
        "need, without activations?",
        right=right,
        wrong=sample_slips(dice, right, slips, near=total.expect / 50),
        steps=(
            "each parameter: 2 + 2 + 8 = 12 bytes",
            f"{format_digits(billions)} billion × 12 bytes: {format_size(total.expect)}",
        ),
        hint="Add up the bytes of one parameter.",
        keep="Full 16-bit fine-tuning with Adam needs 12 bytes per parameter, 780 GB for 65 billion; with "
        "an fp32 copy it is 16.",
        checks=(total,),
        source=PAPER,
    )


def draw_resident(dice: Random) -> DrawnQuestion:
    """Draw a question about what QLoRA keeps in memory between two steps."""
    billions = dice.choice((1, 3, 7, 8, 13, 14, 30, 32, 65, 70))
    millions = billions * dice.choice((1, 2, 5, 10, 20))
    bits = build_check("bits_per_param", scheme="nf4-dq")
    state = build_check("trainable_state_bytes", parameters=millions * MB)
    base = billions * GB * bits.expect / 8
    total = base + state.expect
    right, slips = build_answers(
        format_size,
        total,
        f"{format_size(base)} of base and {format_size(state.expect)} of trained state.",
        (
            "base-alone",
            base,
            "forgets what training keeps",
            f"That is the base. {format_size(state.expect)} for weights, gradients and moments of the adapter"
            " come on top.",
        ),
        (
            "base-trained",
            base + 16 * billions * GB,
            "gives the frozen base gradients and moments",
            "The base is frozen: it has neither gradients nor moments.",
        ),
        (
            "base-in-16-bits",
            2 * billions * GB + state.expect,
            "stores the base in 16 bits",
            "That is LoRA on a 16-bit base. QLoRA stores it in 4 bits with their constants.",
        ),
        (
            "everything-in-4-bits",
            (billions * GB + millions * MB) * bits.expect / 8,
            "stores the adapter in 4 bits as well",
            "The adapter is trained in fp32 here, with gradient and moments. Only the base has 4 bits.",
        ),
        (
            "bits-for-bytes",
            8 * base + state.expect,
            "mistakes bits for bytes",
            "That counts the bits of the base as bytes.",
        ),
    )
    return DrawnQuestion(
        kind="single",
        stem=f"QLoRA keeps {billions} billion frozen weights at {four_digits(bits.expect)} bits each and "
        "trains"
        f" {millions} million adapter parameters at 16 bytes each (weight, gradient and moments). How much "
        "memory do both need, without activations?",
        right=right,
        wrong=sample_slips(dice, right, slips, near=total / 50),
        steps=(
            f"base: {billions} billion × {four_digits(bits.expect)} / 8 bytes, {format_size(base)}",
            f"trained: {millions} million × 16 bytes, {format_size(state.expect)}",
            f"together {format_size(total)}",
        ),
        hint="Compute the base in bytes and the adapter in bytes, then add.",
        keep="In QLoRA even the 4-bit base usually needs more than all that training keeps for the adapter.",
        checks=(bits, state),
    )


FAMILIES = (
    QuestionFamily(
        id="full-finetuning",
        title="Training everything",
        concepts=("trainable-state", "fine-tuning", "weight-memory"),
        level="intermediate",
        draw=draw_full_finetuning,
    ),
    QuestionFamily(
        id="qlora-resident",
        title="Base and adapter in QLoRA",
        concepts=("qlora", "weight-memory", "trainable-state"),
        level="advanced",
        draw=draw_resident,
    ),
)
