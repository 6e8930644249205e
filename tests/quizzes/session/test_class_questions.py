"""Questions for a class's plan are found by words in any of their texts, families and twins among them."""

import re
from random import Random

import lora_lab.quantities  # noqa: F401 - registers what a chart is drawn of
from quizzes.bank.bank import Bank, load_bank
from quizzes.kinds import KINDS
from quizzes.kinds.grade import LETTERS
from quizzes.session.class_questions import (
    MOST_FOUND,
    MOST_TWINS,
    find_class_question,
    list_class_twins,
    search_class_questions,
)
from quizzes.session.session import offer_choices
from study.content.concepts import ConceptMap
from tests.visits import words


def ids(bank: Bank, words: str, *, seed: int = 1) -> list[str]:
    return [question.id for question in search_class_questions(bank, words, rng=Random(seed))]


def test_questions_are_found_by_all_words_in_any_order(concepts: ConceptMap) -> None:
    bank = load_bank(concepts)
    assert "q-bits-nf4" in ids(bank, "BLOCKS nf4")
    assert ids(bank, "nf4 blocks") == ids(bank, "BLOCKS nf4")
    assert len(ids(bank, "a")) == MOST_FOUND
    assert ids(bank, "  ") == []
    assert ids(bank, "nf4 xyzzy") == []


def test_questions_with_the_whole_words_in_their_text_come_first(concepts: ConceptMap) -> None:
    bank = load_bank(concepts)
    found = search_class_questions(bank, "rank", rng=Random(1))
    has_word = [bool(re.search(r"\brank", question.text, re.IGNORECASE)) for question in found]
    assert has_word[0]
    assert has_word == sorted(has_word, reverse=True)
    assert len(found) == MOST_FOUND


def test_each_kind_is_found_by_its_name(concepts: ConceptMap) -> None:
    bank = load_bank(concepts)
    for kind in KINDS:
        found = ids(bank, kind)
        assert any(bank.by_id[each].kind == kind for each in found), kind


def test_what_is_matched_has_numbers_in_a_quiz_and_in_a_class_and_what_is_ordered_letters(
    concepts: ConceptMap,
) -> None:
    bank = load_bank(concepts)
    for question in bank.questions:
        names = [name for name, _ in offer_choices(question, seed=1)]
        if question.kind == "matching":
            assert names == [str(number) for number in range(1, len(names) + 1)]
            asked = find_class_question(bank, question.id)
            assert asked is not None
            assert re.findall(r'<span class="letter">(\w+)</span>', asked.listed) == names
            assert re.search(r'<option value="1">1: ', asked.fields)
            assert re.match(r"\d(, \d)+ · ", words(asked.answer))
        elif question.kind == "ordering":
            assert names == list(LETTERS[: len(names)])


def test_a_family_is_found_once_with_numbers_of_its_own_and_a_twin_with_others(concepts: ConceptMap) -> None:
    bank = load_bank(concepts)
    [one] = [each for each in ids(bank, "numbers drawn lora-matrix-count") if "@" in each]
    [other] = [each for each in ids(bank, "numbers drawn lora-matrix-count", seed=2) if "@" in each]
    assert one.startswith("lora-matrix-count@")
    assert one != other
    asked = find_class_question(bank, one)
    assert asked is not None
    twin = find_class_question(bank, asked.fresh)
    assert twin is not None
    assert twin.id.startswith("lora-matrix-count@")
    assert twin.html != asked.html


def test_each_family_has_a_variant_with_other_numbers(concepts: ConceptMap) -> None:
    bank = load_bank(concepts)
    for family in bank.families:
        asked = find_class_question(bank, f"{family}@3")
        assert asked is not None
        assert asked.fresh, family


def test_twins_ask_about_the_same_concepts_and_other_numbers_come_first(concepts: ConceptMap) -> None:
    bank = load_bank(concepts)
    family = list_class_twins(bank, "lora-matrix-count@3")
    assert family[0].id == "lora-matrix-count@4"
    assert all(not each.id.startswith("lora-matrix-count") for each in family[1:])
    written = list_class_twins(bank, "q-init-output")
    assert 1 < len(written) <= MOST_TWINS
    asked = find_class_question(bank, "q-init-output")
    assert asked is not None
    assert asked.fresh == ""
    assert all({*each.concepts} & {*asked.concepts} for each in written)
    assert "q-init-output" not in [each.id for each in written]
    assert list_class_twins(bank, "no-such") == []
