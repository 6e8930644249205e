"""Every kind of question: right answers score 1, none scores beyond 0 to 1, forms say what was meant."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lora_lab.quantities  # noqa: F401 - families and charts compute their numbers
from quizzes import families
from quizzes.bank.bank import load_bank
from quizzes.kinds import KINDS
from quizzes.kinds.arranging import ArrangedItem, Matching, MatchingPair, Ordering
from quizzes.kinds.choices import Multiple, Option, TrueFalse
from quizzes.kinds.numeric import Numeric, NumericMistake
from quizzes.kinds.question import Question
from quizzes.session.session import offer_choices
from study.base.errors import LearnerError
from study.content.concepts import load_concepts
from tests.quizzes.answering import fields_for, right_fields, wrong_response

BANK = load_bank(load_concepts())
DRAWN = families.build_variants(BANK.families.values(), count=5)
QUESTIONS = [*BANK.questions, *DRAWN]
ONE_OF_EACH = [next(q for q in BANK.questions if q.kind == kind) for kind in KINDS]

WORDS = st.text(max_size=12)
RESPONSES: st.SearchStrategy[Mapping[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "option": WORDS,
        "options": st.lists(WORDS, max_size=4),
        "verdict": st.booleans(),
        "text": WORDS,
        "blanks": st.lists(WORDS, max_size=5),
        "pairs": st.dictionaries(WORDS, WORDS, max_size=4),
        "order": st.lists(WORDS, max_size=5),
        "line": WORDS,
    },
)


def option(name: str, *, right: bool = False) -> Option:
    return Option(id=name, text=name, feedback="why", misconception="" if right else "a slip")


def test_the_bank_has_every_kind() -> None:
    assert {question.kind for question in BANK.questions} == set(KINDS)
    for kind in KINDS:
        assert sum(question.kind == kind for question in BANK.questions) >= 3, kind


@pytest.mark.parametrize("question", QUESTIONS, ids=[question.id for question in QUESTIONS])
def test_the_right_answer_of_every_question_scores_1_and_a_wrong_one_0(question: Question) -> None:
    right, wrong = question.task.grade(question.task.answer), question.task.grade(wrong_response(question))
    assert right.fraction == 1
    assert {part.state for part in right.parts} <= {"right", "left"}
    assert wrong.fraction == 0
    assert question.task.grade({}).fraction == 0


@pytest.mark.parametrize("question", QUESTIONS, ids=[question.id for question in QUESTIONS])
def test_what_a_form_sends_is_read_as_it_was_meant(question: Question) -> None:
    for response in (question.task.answer, wrong_response(question)):
        form = fields_for(question, response, seed=3)
        assert question.task.read(form, offer_choices(question, seed=3)) == response


@given(response=RESPONSES, number=st.integers(0, len(ONE_OF_EACH) - 1))
def test_whatever_the_log_holds_scores_from_0_to_1(response: Mapping[str, Any], number: int) -> None:
    assert 0 <= ONE_OF_EACH[number].task.grade(response).fraction <= 1


@given(seed=st.integers(0, 9999), number=st.integers(0, len(ONE_OF_EACH) - 1))
def test_the_right_answer_is_found_in_every_order(seed: int, number: int) -> None:
    question = ONE_OF_EACH[number]
    given_back = question.task.read(right_fields(question, seed=seed), offer_choices(question, seed=seed))
    assert question.task.grade(given_back).correct


@pytest.mark.parametrize("question", ONE_OF_EACH, ids=KINDS)
def test_an_empty_form_asks_for_an_answer(question: Question) -> None:
    with pytest.raises(LearnerError, match="yet"):
        question.task.read({}, offer_choices(question, seed=1))


@given(chosen=st.sets(st.sampled_from(["a", "b", "x", "y"])))
def test_each_wrong_choice_takes_away_what_a_right_one_gives(chosen: set[str]) -> None:
    task = Multiple(options=(option("a", right=True), option("b", right=True), option("x"), option("y")))
    score = len(chosen & {"a", "b"}) - len(chosen & {"x", "y"})
    assert task.grade({"options": sorted(chosen)}).fraction == max(0, score / 2)


@pytest.mark.parametrize(
    ("verdict", "reason", "fraction"),
    [(True, "why", 1), (True, "slip", 0.5), (False, "why", 0), (False, "slip", 0)],
)
def test_a_reason_counts_only_with_the_right_verdict(verdict: bool, reason: str, fraction: float) -> None:
    task = TrueFalse(truth=True, feedback="so", options=(option("why", right=True), option("slip")))
    assert task.grade({"verdict": verdict, "option": reason}).fraction == fraction


@pytest.mark.parametrize(
    ("text", "right"),
    [("150.9 MB", True), ("0.151 GB", True), ("151", True), ("151,000 kB", True), ("152", False)],
)
def test_a_number_counts_in_any_unit_and_within_its_tolerance(text: str, right: bool) -> None:
    task = Numeric(value=150.994944, feedback="so", unit="MB", tolerance=0.6)
    assert task.grade({"text": text}).correct is right


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("216,3 MB", "216,3 MB (exactly 216.2688 MB)"),
        ("216.3", "216.3 MB (exactly 216.2688 MB)"),
        ("216.2688", "216.2688 MB"),
    ],
)
def test_a_right_number_is_shown_as_it_was_typed(typed: str, shown: str) -> None:
    task = Numeric(value=216.2688, feedback="so", unit="MB", tolerance=0.6)
    [part] = task.grade({"text": typed}).parts
    assert (part.state, part.text) == ("right", shown)


def test_a_known_slip_is_explained_and_any_other_says_how_far_off() -> None:
    slip = NumericMistake(id="half", value=4, misconception="forgets B", feedback="That is A alone.")
    task = Numeric(value=8, feedback="so", unit="parameters", slips=(slip,))
    known, other = task.grade({"text": "4"}).parts[0], task.grade({"text": "80"}).parts[0]
    assert (known.id, known.feedback, known.misconception) == ("half", "That is A alone.", "forgets B")
    assert other.feedback == "That is 10 times too large."


def test_another_kind_of_unit_is_asked_about_and_does_not_count() -> None:
    task = Numeric(value=8, feedback="so", unit="MB")
    with pytest.raises(LearnerError, match="asks for MB, not params"):
        task.read({"number": ["8 params"]}, ())


def test_pairs_and_places_count_one_by_one() -> None:
    items = tuple(ArrangedItem(id=name, text=name, feedback="why") for name in "abcd")
    pairs = tuple(MatchingPair(id=item.id, left=item.id.upper(), choice=item.id) for item in items)
    matching, ordering = Matching(pairs=pairs, choices=items), Ordering(items=items)
    assert matching.grade({"pairs": {"a": "a", "b": "c"}}).fraction == 0.25
    assert ordering.grade({"order": ["a", "b", "d", "c"]}).fraction == 0.5


def test_a_choice_that_belongs_nowhere_says_why_and_one_that_belongs_elsewhere_says_it_there() -> None:
    items = tuple(ArrangedItem(id=name, text=name, feedback=f"why {name}") for name in "abx")
    pairs = tuple(MatchingPair(id=name, left=name.upper(), choice=name) for name in "ab")
    parts = Matching(pairs=pairs, choices=items).grade({"pairs": {"a": "x", "b": "a"}}).parts
    wrong = [(part.text, part.feedback) for part in parts if part.state == "wrong"]
    assert wrong == [("x", "why x"), ("a", "")]


def test_one_item_in_two_places_is_asked_about() -> None:
    task = Ordering(items=tuple(ArrangedItem(id=name, text=name, feedback="why") for name in "abc"))
    form = {"place-1": ["A"], "place-2": ["A"], "place-3": ["B"]}
    with pytest.raises(LearnerError, match="A stands in two places"):
        task.read(form, task.offer("1"))


def test_a_factor_is_not_asked_for_in_times() -> None:
    factor = Numeric(value=384, feedback="so", unit="times", tolerance=0.01)
    size = Numeric(value=8, feedback="so", unit="MB", tolerance=0.6)
    assert (factor.measure, factor.rule, factor.text) == ("", "Within 0.01 counts as right.", "384 times")
    assert (size.measure, size.rule) == ("MB", "Within 0.6 MB counts as right.")
