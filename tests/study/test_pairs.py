"""The lab's own data set: what is asked and answered in the decks and questions."""

from flashcards.deck import load_decks
from quizzes.bank import load_bank
from study.concepts import ConceptMap
from study.pairs import own_pairs


def test_every_card_and_single_choice_question_gives_one_pair(concepts: ConceptMap) -> None:
    cards, questions = load_decks(concepts).cards, load_bank(concepts).questions
    pairs = {pair.source_id: pair for pair in own_pairs()}
    assert set(pairs) == {card.id for card in cards} | {q.id for q in questions if q.kind == "single"}
    assert pairs[cards[0].id].prompt == cards[0].front
    assert pairs[cards[0].id].answer == cards[0].back


def test_a_question_is_answered_by_its_right_option_and_its_idea(concepts: ConceptMap) -> None:
    question = next(q for q in load_bank(concepts).questions if q.kind == "single")
    pair = next(pair for pair in own_pairs() if pair.source_id == question.id)
    assert pair.answer == f"{question.right.text} {question.keep}"
