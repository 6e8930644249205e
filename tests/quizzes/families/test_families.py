"""Families: the same question for everyone by its id, computed by the lab, wrong options wrong."""

from collections.abc import Iterator, Mapping
from random import Random

import pytest

import lora_lab.quantities  # noqa: F401 - families compute their numbers
from quizzes import families
from quizzes.bank.bank import load_bank
from quizzes.families.drawn import DrawnAnswer, DrawnQuestion
from quizzes.kinds.choices import Single
from quizzes.kinds.numeric import Numeric
from study.base.checks import check_holds
from study.base.typed_numbers import is_within
from study.content.concepts import ConceptMap, load_concepts

FAMILIES = load_bank(load_concepts()).families


@pytest.mark.parametrize("family", FAMILIES)
def test_the_right_number_is_the_labs_and_the_last_step_shows_it(family: str) -> None:
    for seed in range(50):
        question = families.build_question(FAMILIES[family], seed)
        assert all(check_holds(check) for check in question.evidence.checks)
        assert question.steps
        assert question.hint
        task = question.task
        assert isinstance(task, Numeric | Single)
        text = task.text if isinstance(task, Numeric) else task.right.text
        assert text.split()[0] in question.steps[-1], (question.id, text)


def test_an_id_draws_the_same_question_every_time(concepts: ConceptMap) -> None:
    bank = load_bank(concepts)
    for family in FAMILIES.values():
        question = bank.by_id[families.format_question_id(family.id, 1234)]
        assert question == bank.by_id[question.id]
        assert bank.concepts_of[question.id] == family.concepts
    assert families.build_question(FAMILIES["lora-matrix-count"], 1234).task.answer == {"option": "right"}


@pytest.mark.parametrize(
    "written", ["lora-matrix-count@", "lora-matrix-count@01", "gone@3", "x@1@2", "q-rank"]
)
def test_what_is_no_family_with_a_seed_is_not_found(concepts: ConceptMap, written: str) -> None:
    assert families.find_question(written, FAMILIES) is None
    assert written not in load_bank(concepts).by_id


def test_families_are_in_every_pool_once_and_are_not_listed_as_written(concepts: ConceptMap) -> None:
    bank = load_bank(concepts)
    pool = bank.build_pool(seed=7)
    assert len(pool) == len(bank.questions) + len(FAMILIES)
    assert pool == bank.build_pool(seed=7)
    assert {question.id for question in pool} - set(bank.by_id) == {q.id for q in pool if "@" in q.id}


def test_a_draw_with_a_wrong_option_that_is_right_is_a_bug() -> None:
    right = DrawnAnswer(id="right", value=8, text="8", misconception="", feedback="so")
    slip = DrawnAnswer(id="same", value=8.0, text="eight", misconception="m", feedback="why")
    other = DrawnAnswer(id="other", value=9, text="9", misconception="m", feedback="why")
    with pytest.raises(ValueError, match="a wrong one is right"):
        DrawnQuestion(
            kind="single",
            stem="?",
            right=right,
            wrong=(slip, other),
            steps=("8",),
            hint="h",
            keep="k",
            source="a book",
        )
    assert is_within(right.value, slip.value, tolerance=0)


@pytest.mark.parametrize(
    ("family", "told", "hidden"),
    [("level-spacing", "levels-for-gaps", "doubled-bits"), ("adapter-file", "bits-for-bytes", "state-saved")],
)
def test_two_slips_with_one_number_are_told_as_the_likelier_one(family: str, told: str, hidden: str) -> None:
    alike = [kept for slips, kept in draw_slips(family) if slips[told] == slips[hidden]]
    assert alike
    assert all(told in kept and hidden not in kept for kept in alike)


def test_what_the_codes_need_is_told_in_words_that_fit_both_mistakes() -> None:
    """In blocks of 64, 32 bytes for each constant are as many as the codes have."""
    alike = [
        kept for slips, kept in draw_slips("constant-bytes") if slips["codes"] == slips["bits-for-bytes"]
    ]
    assert alike
    assert all("the 4-bit codes are not asked for" in kept["bits-for-bytes"] for kept in alike)


def draw_slips(family: str) -> Iterator[tuple[Mapping[str, float], dict[str, str]]]:
    """Yield the numbers of all slips, and the feedback of those that are told, of 50 draws."""
    for seed in range(50):
        written = families.format_question_id(family, seed)
        slips = FAMILIES[family].draw_numbers(Random(written)).slips
        yield slips, {slip.id: slip.feedback for slip in FAMILIES[family].draw(Random(written)).wrong}
