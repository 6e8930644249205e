"""Short answers: forgiving about spelling by the rule that learners read, and about nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quizzes.kinds.words import Blank, Cloze, ShortText, TextMistake, match_text

LETTERS = st.sampled_from("abcdefghijklmnopqrstuvwxyz")


@pytest.mark.parametrize(
    ("given_text", "accepted"),
    [
        ("Double-Quantization", "double quantization"),
        ("  doublequantization ", "double quantization"),
        ("the frozen", "frozen"),
        ("quantisation", "quantization"),
        ("quantiaztion", "quantization"),
        ("quantizaton", "quantization"),
        ("Normál Float", "normal float"),
        ("1,024", "1024"),
        ("64.0", "64"),
        ("d_in", "d in"),
        ("500 MB", "0.5 GB"),
        ("16", "16 bits"),
        ("0.5 bits", "0.5"),
        ("1/2", "0.5"),
    ],
)
def test_spelling_is_forgiven(given_text: str, accepted: str) -> None:
    assert match_text(given_text, accepted)


@pytest.mark.parametrize(
    ("given_text", "accepted"),
    [
        ("lora", "qlora"),
        ("fp4", "nf4"),
        ("nf8", "nf4"),
        ("llama2-7b", "llama3-7b"),
        ("quantzatin", "quantization"),
        ("65", "64"),
        ("0.5", "5"),
        ("16 bytes", "16 bits"),
        ("0.5 MB", "0.5 GB"),
        ("", "frozen"),
        ("double", "double quantization"),
    ],
)
def test_another_word_or_number_is_not(given_text: str, accepted: str) -> None:
    assert not match_text(given_text, accepted)


@given(word=st.text(LETTERS, min_size=5, max_size=12), at=st.integers(1, 11), letter=LETTERS)
def test_one_changed_letter_after_the_first_is_forgiven(word: str, at: int, letter: str) -> None:
    changed = word[: at % len(word) or 1] + letter + word[(at % len(word) or 1) + 1 :]
    assert match_text(changed, word)


def test_a_known_mistake_is_explained_even_if_it_is_spelled_like_the_answer() -> None:
    mistake = TextMistake(id="pages", texts=("pages",), misconception="m", feedback="why")
    task = ShortText(accept=("paged",), feedback="so", mistakes=(mistake,))
    assert task.grade({"text": "Paged"}).correct
    assert task.grade({"text": "pagd"}).correct
    grade = task.grade({"text": "pages"})
    assert (grade.fraction, grade.parts[0].id) == (0, "pages")


def test_blanks_count_one_by_one_and_an_empty_one_is_not_marked_as_given() -> None:
    blanks = tuple(Blank(accept=(word,), feedback="why") for word in ("alpha", "rank"))
    grade = Cloze(segments=("", " over ", ""), blanks=blanks).grade({"blanks": ["alpha", ""]})
    assert grade.fraction == 0.5
    assert [(part.about, part.state) for part in grade.parts] == [("Blank 1", "right"), ("Blank 2", "missed")]


def test_a_known_mistake_that_is_a_number_is_that_number_with_its_sign() -> None:
    mistake = TextMistake(id="minus-one", texts=("-1",), misconception="m", feedback="why")
    task = ShortText(accept=("-100",), feedback="so", mistakes=(mistake,))
    for text in ("-1", "−1", "-1.0"):
        assert task.grade({"text": text}).parts[0].id == "minus-one"
    for text in ("1", "100", "1.0"):
        assert task.grade({"text": text}).parts[0].id == "other"
    assert task.grade({"text": "-100"}).correct
