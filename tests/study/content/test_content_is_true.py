"""The app's own content: complete, consistent, and every number it prints computed again."""

import pytest

import lora_lab.quantities  # noqa: F401 - registers what a `check:` may name
from flashcards.decks.deck import load_decks
from quizzes.bank.bank import load_bank
from quizzes.grader.prompts import load_prompts
from study.base.checks import Check, evaluate
from study.base.errors import LearnerError
from study.content.concepts import AREAS, ConceptMap, load_concepts
from study.content.evidence import Evidence, check_claims

CONCEPTS = load_concepts()
CARDS = load_decks(CONCEPTS).cards
QUESTIONS = load_bank(CONCEPTS).questions
SINGLES = [question for question in QUESTIONS if question.kind == "single"]
EVIDENCE = [(card.id, card.evidence) for card in CARDS] + [(q.id, q.evidence) for q in QUESTIONS]
CLAIMS = [(item, check) for item, evidence in EVIDENCE for check in evidence.checks]


@pytest.mark.parametrize(("item", "check"), CLAIMS, ids=[f"{item}-{n}" for n, (item, _) in enumerate(CLAIMS)])
def test_every_number_in_the_content_is_what_the_lab_computes(item: str, check: Check) -> None:
    assert evaluate(check) == pytest.approx(check.expect, abs=check.tolerance, rel=1e-12), item


def test_a_wrong_number_is_named_beside_the_computed_one_as_texts_print_them() -> None:
    wrong = Check(quantity="linear_parameters", arguments={"d_in": 4096, "d_out": 4096}, expect=16777217)
    with pytest.raises(LearnerError, match=r"is 16,777,216, the text says 16,777,217\n"):
        check_claims([("a", Evidence(source="", checks=(wrong,)))])


def test_there_is_enough_to_study(concepts: ConceptMap) -> None:
    assert len(concepts.by_id) >= 44
    assert len(CARDS) >= 240
    assert len(QUESTIONS) >= 260


def test_the_first_twelve_explain_prompts_are_those_of_the_graders_contract(concepts: ConceptMap) -> None:
    about = """
        lora qlora rank alpha-scaling nf4 double-quantization memory-training frozen-base target-modules merge
        paged-optimizers lora-vs-full-ft
    """
    prompts = list(load_prompts(concepts))
    assert prompts[:12] == [f"explain-{subject}" for subject in about.split()]
    assert len(prompts) >= 20


def test_many_items_print_a_number_that_the_lab_computes() -> None:
    assert sum(bool(evidence.checks) for _, evidence in EVIDENCE) >= 60


def test_all_areas_and_levels_are_covered(concepts: ConceptMap) -> None:
    assert {concept.area for concept in concepts.by_id.values()} == set(AREAS)
    for items in (CARDS, QUESTIONS):
        assert {item.level for item in items} == {"beginner", "intermediate", "advanced"}


def test_every_option_gives_a_reason() -> None:
    options = [(question.id, option) for question in QUESTIONS for option in question.options]
    assert [owner for owner, option in options if not option.feedback] == []
    assert [owner for owner, option in options if not option.correct and not option.misconception] == []
