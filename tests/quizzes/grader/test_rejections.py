"""Statements rejected as a whole: the frame is taken off, and what stays is what was rejected."""

import pytest

from quizzes.grader.grading import grade_answer
from quizzes.grader.rejections import LONGEST_CHARACTERS, Rejection, find_rejection
from tests.quizzes.toy_grader import LIMITS, TOY, toy_score


@pytest.mark.parametrize(
    ("text", "statement", "instead"),
    [
        ("It's a myth that the base is retrained.", "the base is retrained", ""),
        ("It is not true that alpha is learned; it is set.", "alpha is learned", "it is set."),
        ("The idea that r is a learning rate is simply wrong.", "r is a learning rate", ""),
        ("That merging slows inference is false.", "merging slows inference", ""),
        ("People say the chip computes in 4 bits, this is wrong.", "the chip computes in 4 bits", ""),
        ("Anyone claiming the weights drift is mistaken.", "the weights drift", ""),
        ("Don't believe that activations vanish!", "activations vanish", ""),
        ('"The scales cost nothing" is nonsense.', "The scales cost nothing", ""),
        ("My notes said the levels are even. Wrong, they crowd.", "the levels are even", "they crowd."),
        ("first i thought alpha is learned but no, you set it", "alpha is learned", "you set it"),
        ("The allegation that memory stays the same is unfounded.", "memory stays the same", ""),
        (
            "Myth: frozen weights keep Adam states. Busted: none do.",
            "frozen weights keep Adam states",
            "none do.",
        ),
        (
            '"parameters grow quadratically" nope, linearly it is',
            "parameters grow quadratically",
            "linearly it is",
        ),
        (
            "Does the base change? No, neither now nor later.",
            "Does the base change",
            "neither now nor later.",
        ),
        ("To claim that r limits nothing is an error.", "r limits nothing", ""),
        ("Its wrong that the base is retrained.", "the base is retrained", ""),
        ("its a common mistake to think alpha is learned", "alpha is learned", ""),
        ("The notes say alpha is learned. Mistake! It is set.", "alpha is learned", "It is set."),
        ('"The base takes part." Wrong, the error flows on.', "The base takes part", "the error flows on."),
        ("Some expect a 4-bit step to be faster. It isn't.", "a 4-bit step to be faster", ""),
    ],
)
def test_what_is_rejected_is_found(text: str, statement: str, instead: str) -> None:
    assert find_rejection(text) == Rejection(statement=statement, instead=instead)


@pytest.mark.parametrize(
    "text",
    [
        "The base is not updated.",
        "It is wrong.",
        "I would say the parameters grow with r, but I might be wrong.",
        "I think the base is frozen, so no gradients are kept for it.",
        "It says which layers get an adapter. No others get one.",
        "Memory shrinks because gradients are not stored.",
        "This error stays small because each block of weights has its own scale.",
        "Its error grows with the largest weight of the block.",
        "That mistake would cost more with one scale for all weights.",
        "The paper says NF4 uses blocks. Its error stays small.",
        "It's a myth that " + "x" * LONGEST_CHARACTERS,
    ],
)
def test_an_ordinary_sentence_rejects_nothing_as_a_whole(text: str) -> None:
    assert find_rejection(text) is None


def test_rejecting_a_statement_turns_its_verdict_round() -> None:
    assert (
        grade_answer(TOY, "It's a myth that we say apple.", toy_score, LIMITS).verdicts["concept-1"]
        == "contradicted"
    )
    assert (
        grade_answer(TOY, "It's a myth that we do not apple.", toy_score, LIMITS).verdicts["concept-1"]
        == "covered"
    )


def test_what_is_said_instead_counts_as_well() -> None:
    found = grade_answer(TOY, "It's a myth that we do not apple; we say brick.", toy_score, LIMITS).verdicts
    assert list(found.values()) == ["covered", "covered", "missing", "missing"]
