"""The lab's own data set: what is asked and answered in the decks and questions."""

from flashcards.decks.deck import load_decks
from flashcards.decks.note import fill_gaps
from quizzes.bank.bank import load_bank
from study.content.concepts import ConceptMap
from study.content.training_pairs import own_pairs


def test_every_written_card_and_single_choice_question_gives_one_pair(concepts: ConceptMap) -> None:
    decks, questions = load_decks(concepts), load_bank(concepts).questions
    pairs = {pair.source_id: pair for pair in own_pairs()}
    written = {note.id for note in decks.notes.values() if note.kind != "numeric"}
    assert set(pairs) == written | {q.id for q in questions if q.kind == "single"}
    assert pairs[decks.cards[0].id].prompt == decks.cards[0].front
    assert pairs[decks.cards[0].id].answer == decks.cards[0].back


def test_a_text_with_gaps_is_asked_with_them_and_answered_without(concepts: ConceptMap) -> None:
    note = next(note for note in load_decks(concepts).notes.values() if note.kind == "cloze")
    pair = next(pair for pair in own_pairs() if pair.source_id == note.id)
    assert "…" in pair.prompt
    assert pair.answer == fill_gaps(note.texts["text"])


def test_a_question_is_answered_by_its_right_option_and_its_idea(concepts: ConceptMap) -> None:
    question = next(q for q in load_bank(concepts).questions if q.kind == "single")
    pair = next(pair for pair in own_pairs() if pair.source_id == question.id)
    [right] = [option for option in question.options if option.correct]
    assert pair.answer == f"{right.text} {question.keep}"
