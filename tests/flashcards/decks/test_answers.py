"""Typed answers: what counts as right, what the difference is, and numbers within their tolerance."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lora_lab.quantities  # noqa: F401 - numbers are computed
from flashcards.decks.note import CardNumber
from flashcards.decks.typed_answers import TypedAnswerVerdict, compare_typed
from study.base.checks import Quantity
from tests.flashcards.builders import card

WORD = replace(card("w"), kind="typed", back="`target_modules`", accept=("target modules",))
COUNT = CardNumber(
    quantity=Quantity(
        quantity="lora_parameters", arguments={"model": "smollm2-135m", "rank": 8, "targets": "all-linear"}
    )
)
WEIGHTS = CardNumber(
    quantity=Quantity(quantity="weight_bytes", arguments={"model": "smollm2-135m", "bits": 16}),
    unit="MB",
    tolerance_percent=1,
)


@pytest.mark.parametrize(
    ("typed", "verdict"),
    [
        ("target_modules", "right"),
        ("  Target   modules. ", "right"),
        ("target_module", "close"),
        ("rank", "different"),
        ("", "nothing"),
    ],
)
def test_a_word_is_right_whatever_its_case_and_close_with_a_slip(
    typed: str, verdict: TypedAnswerVerdict
) -> None:
    assert compare_typed(WORD, typed).verdict == verdict


def test_the_difference_says_what_is_missing_and_what_is_too_much() -> None:
    changes = compare_typed(WORD, "targt_modulees").changes
    assert ("missing", "e") in changes
    assert ("extra", "e") in changes


@given(typed=st.text(max_size=30), expected=st.text(min_size=1, max_size=30))
def test_the_difference_spells_out_both_texts(typed: str, expected: str) -> None:
    shown = compare_typed(replace(WORD, back=expected, accept=()), typed)
    if shown.changes:
        assert "".join(piece for change, piece in shown.changes if change != "missing") == shown.typed
        assert "".join(piece for change, piece in shown.changes if change != "extra").casefold() == (
            shown.expected.casefold()
        )


@pytest.mark.parametrize(
    ("number", "typed", "verdict"),
    [
        (COUNT, "2,442,240", "right"),
        (COUNT, "2442240 parameters", "right"),
        (COUNT, "2 442 240", "right"),
        (COUNT, "2,442,241", "different"),
        (COUNT, "2.44M", "different"),
        (WEIGHTS, "269", "right"),
        (WEIGHTS, "0.269 GB", "right"),
        (WEIGHTS, "0,269 GB", "right"),
        (WEIGHTS, "275 MB", "different"),
        (WEIGHTS, "many", "different"),
        (COUNT, "2.44224e6 parameters", "right"),
        (COUNT, "2.44224e-6 mio", "different"),
        (WEIGHTS, "256.6 MiB", "right"),
        (WEIGHTS, "269000000 bytes", "right"),
        (WEIGHTS, "269 megabytes", "right"),
        (WEIGHTS, "2.69e2", "right"),
        (WEIGHTS, "about 269 MB on disk", "right"),
        (WEIGHTS, "269 KB", "different"),
        (replace(WEIGHTS, unit=""), "269060000 of something", "right"),
        (replace(WEIGHTS, unit="layers"), "269060000 layers", "right"),
        (WEIGHTS, "", "nothing"),
    ],
)
def test_a_number_is_right_within_its_tolerance_in_any_unit(
    number: CardNumber, typed: str, verdict: TypedAnswerVerdict
) -> None:
    asked = replace(card("n"), kind="numeric", back="{answer}", number=number)
    assert compare_typed(asked, typed).verdict == verdict
