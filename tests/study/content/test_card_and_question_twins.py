"""Cards ask one thing each, and no card is a question over again with the same numbers."""

import re
from itertools import product

import lora_lab.quantities  # noqa: F401 - registers what a `check:` may name
from flashcards.decks.deck import load_decks
from flashcards.decks.note import Card
from quizzes.__main__ import as_item
from quizzes.bank.bank import load_bank
from quizzes.kinds.question import Question
from study.content.concepts import load_concepts

CONCEPTS = load_concepts()
CARDS = load_decks(CONCEPTS).cards
QUESTIONS = load_bank(CONCEPTS).questions

NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?!-bit)")
SECOND_ASK = re.compile(r", and (?:how|what|where|which|why)\b|\band (?:what|which|why) (?:do|does|did|is)\b")
SAME_WORDS = 0.75
"""Share of the words of four letters and more that make two askings one, if their numbers are the same."""


def numbers(text: str) -> set[str]:
    return {found.replace(",", "") for found in NUMBER.findall(text)}


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]{4,}", text.lower()))


def are_twins(card: Card, question: Question) -> bool:
    """Whether both ask with the same numbers, for one result or in nearly the same words."""
    asked, stem = numbers(card.front), numbers(as_item(question).asks)
    if not set(card.concepts) & set(question.concepts) or not asked & stem:
        return False
    here, there = words(card.front), words(as_item(question).asks)
    if len(here & there) >= SAME_WORDS * len(here | there):
        return asked <= stem or stem <= asked
    return asked == stem and bool(numbers(card.back) & numbers(as_item(question).answers))


def test_no_card_asks_two_things() -> None:
    assert [card.id for card in CARDS if SECOND_ASK.search(card.front)] == []


def test_no_card_and_question_are_twins_in_numbers() -> None:
    assert [(c.id, q.id) for c, q in product(CARDS, QUESTIONS) if are_twins(c, q)] == []
