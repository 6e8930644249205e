"""Questions for a class's plan are found by words in any of their texts."""

from quizzes.bank.bank import load_bank
from quizzes.session.class_questions import MOST_FOUND, search_class_questions
from study.content.concepts import ConceptMap


def test_questions_are_found_by_all_words_in_any_order(concepts: ConceptMap) -> None:
    questions = load_bank(concepts).by_id
    found = search_class_questions(questions, "BLOCKS nf4")
    assert "q-bits-nf4" in [question.id for question in found]
    assert [each.id for each in search_class_questions(questions, "nf4 blocks")] == [q.id for q in found]
    assert all(question.right for question in found)
    assert len(search_class_questions(questions, "a")) == MOST_FOUND
    assert search_class_questions(questions, "  ") == []
    assert search_class_questions(questions, "nf4 xyzzy") == []
