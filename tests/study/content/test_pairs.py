"""The lab's own data set: what is asked and answered in the decks and questions."""

from flashcards.decks.deck import load_decks
from flashcards.decks.note import fill_gaps
from quizzes.bank.bank import load_bank
from study.content.concepts import ConceptMap
from study.content.training_pairs import read_training_pairs


def test_every_written_card_and_single_choice_question_gives_one_pair(concepts: ConceptMap) -> None:
    decks, questions = load_decks(concepts), load_bank(concepts).questions
    pairs = dict(read_training_pairs())
    written = [note for note in decks.notes.values() if note.kind != "numeric"]
    asked = [question.stem for question in questions if question.kind == "single"]
    assert {note.texts["front"] for note in written if note.kind != "cloze"} | set(asked) <= pairs.keys()
    assert len(read_training_pairs()) == len(written) + len(asked)
    assert pairs[decks.cards[0].front] == decks.cards[0].back


def test_a_text_with_gaps_is_asked_with_them_and_answered_without(concepts: ConceptMap) -> None:
    note = next(note for note in load_decks(concepts).notes.values() if note.kind == "cloze")
    answer = fill_gaps(note.texts["text"])
    assert any("…" in prompt and given == answer for prompt, given in read_training_pairs())


def test_a_question_is_answered_by_its_right_option_and_its_idea(concepts: ConceptMap) -> None:
    question = next(q for q in load_bank(concepts).questions if q.kind == "single")
    [right] = [option for option in question.options if option.correct]
    assert dict(read_training_pairs())[question.stem] == f"{right.text} {question.keep}"
