"""What families draw, over a thousand seeds each: options apart and fair, texts readable, numbers right."""

import hashlib
import math
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from random import Random
from statistics import mean
from typing import get_args

import pytest

import lora_lab.quantities  # noqa: F401 - families compute their numbers
from lora_lab.parameters.shapes import find_shape
from quizzes import families
from quizzes.bank.bank import load_bank
from quizzes.families.drawn import DrawnQuestion
from quizzes.families.models import MODELS, Model, Part
from quizzes.families.wider_field import MODELS as CACHED
from quizzes.families.wider_field import Heads
from quizzes.kinds.choices import Single
from quizzes.kinds.numeric import Numeric
from study.base.checks import evaluate, prints_number
from study.base.typed_numbers import find_unit_size, format_number, is_known_unit, is_within
from study.content.concepts import ConceptMap, load_concepts
from study.content.yaml_reader import LEVELS
from tests.quizzes.stems import SOLUTIONS, equations, solved

ROOT = Path(__file__).parents[3]
FAMILIES = load_bank(load_concepts()).families
SEEDS = 1000
SOME = range(0, SEEDS, 25)
EACH = pytest.mark.parametrize("family", FAMILIES)
SINGLE = pytest.mark.parametrize(
    "family", [f for f in FAMILIES if FAMILIES[f].draw(Random("0")).kind == "single"]
)

# A placeholder never filled in, a float's own spelling, no number, a leftover of a join, "1 bits".
UNREADABLE = re.compile(
    r"[{}$]|\d[eE][-+]?\d|\b(?:nan|inf|None)\b|\d\.\d{10,}|\d\.0\b(?!\d| [GMk]B)|  |\.\.|,,|\(\)| \.| ,"
    r"|(?<![\d.,])1 (?:bits|bytes|blocks|examples|layers|rows|steps|tokens)\b"
)

PRINT_DIGEST = """
import hashlib
import lora_lab.quantities
from quizzes.bank.bank import load_bank
from quizzes.families import build_question
from study.content.concepts import load_concepts
families = load_bank(load_concepts()).families.values()
drawn = [build_question(family, seed) for family in families for seed in range(0, 1000, 97)]
print(hashlib.sha256(repr(drawn).encode()).hexdigest())
"""


@cache
def drawn(family: str) -> tuple[DrawnQuestion, ...]:
    return tuple(
        FAMILIES[family].draw(Random(families.format_question_id(family, seed))) for seed in range(SEEDS)
    )


def texts(question: DrawnQuestion) -> Iterator[str]:
    """All that a learner can read."""
    yield from (question.stem, question.hint, question.keep, question.source, *question.steps)
    yield from (question.right.feedback, format_number(question.tolerance))
    for slip in question.wrong:
        yield from (slip.feedback, slip.misconception)
    yield from options(question) if question.kind == "single" else (format_number(question.right.value),)


def options(question: DrawnQuestion) -> list[str]:
    """The right option first."""
    return [question.right.text, *(slip.text for slip in question.wrong)]


def values(question: DrawnQuestion) -> list[float]:
    """The right number first."""
    return [question.right.value, *(slip.value for slip in question.wrong)]


def alone_at(extreme: Callable[[Sequence[float]], float], right_first: Sequence[float]) -> bool:
    """Whether the right one is the smallest or largest, and no other is."""
    found = extreme(right_first)
    return found == right_first[0] and list(right_first).count(found) == 1


@EACH
def test_no_two_answers_are_equal_and_at_least_two_are_wrong(family: str) -> None:
    for question in drawn(family):
        reach = 2 * question.tolerance if question.kind == "numeric" else 0.0
        right, *wrong = values(question)
        assert len(wrong) >= 2, question.stem
        assert len({right, *wrong}) == len(wrong) + 1, question.stem
        assert not [value for value in wrong if is_within(value, right, tolerance=reach)], question.stem
        if question.kind == "single":
            assert len(set(options(question))) == len(wrong) + 1, question.stem
        feedback = [question.right.feedback, *(slip.feedback for slip in question.wrong)]
        assert len(set(feedback)) == len(wrong) + 1, question.stem
        assert question.tolerance <= 0.05 * abs(right), question.stem


@EACH
def test_one_option_is_right_and_no_slip_is_graded_right(family: str) -> None:
    for seed, question in enumerate(drawn(family)):
        task = families.build_drawn_question(FAMILIES[family], seed, question).task
        if isinstance(task, Single):
            assert len({option.text for option in task.options}) == len(task.options) >= 3
            assert sum(option.correct for option in task.options) == 1
        else:
            assert isinstance(task, Numeric)
            assert not [slip for slip in task.slips if task.grade({"text": str(slip.value)}).correct]


@EACH
def test_no_mistake_that_a_family_knows_counts_as_right(family: str) -> None:
    if FAMILIES[family].kind == "single":
        return
    for seed in range(SEEDS):
        numbers = FAMILIES[family].draw_numbers(Random(families.format_question_id(family, seed)))
        wrong = [
            value for value in numbers.slips.values() if not is_within(value, numbers.right, tolerance=0)
        ]
        assert not [v for v in wrong if is_within(v, numbers.right, tolerance=numbers.tolerance)], numbers


@pytest.mark.parametrize("family", ["trainable-percent", "nested-overhead"])
def test_a_number_rounded_or_cut_to_the_decimals_asked_for_is_right(family: str) -> None:
    for seed in range(SEEDS):
        question = families.build_question(FAMILIES[family], seed)
        assert isinstance(question.task, Numeric)
        found = re.search(r"to (\d) decimals?\?$", question.stem)
        assert found is not None
        places, right = int(found[1]), question.task.value
        for typed in (f"{right:.{places}f}", str(math.floor(right * 10**places) / 10**places)):
            assert question.task.grade({"text": typed}).correct, (question.stem, typed)


@EACH
def test_the_right_number_is_in_the_last_step(family: str) -> None:
    for question in drawn(family):
        right = format_number(question.right.value) if question.kind == "numeric" else question.right.text
        number = right.removesuffix(" bits per weight")
        assert re.search(rf"(?<![\d.,]){re.escape(number)}(?!\d|[.,]\d)", question.steps[-1]), question.steps


@EACH
def test_what_the_steps_compute_is_what_they_say(family: str) -> None:
    for question in drawn(family)[::10]:
        for step in question.steps:
            for computed, said in equations(step):
                assert math.isclose(computed, said, rel_tol=1e-4, abs_tol=1e-7), step


@EACH
def test_checks_are_printed_and_evaluate_to_the_answer(family: str) -> None:
    for seed in SOME:
        question = drawn(family)[seed]
        assert question.checks or question.source
        assert all(evaluate(check) == check.expect for check in question.checks), question.stem
        printed = " ".join(texts(question))
        assert all(prints_number(printed, check) for check in question.checks), question.checks
        if family not in SOLUTIONS:
            answer = question.checks[-1].expect / find_unit_size(question.unit)
            assert is_within(answer, question.right.value, tolerance=0), question.stem


@pytest.mark.parametrize("family", SOLUTIONS)
def test_an_answer_that_is_no_single_check_follows_from_the_text(family: str) -> None:
    for question in drawn(family):
        answer, right = solved(family, question.stem), question.right.value
        # Texts round levels and bits to four digits.
        rounding = 1e-3 if family in ("nearest-level", "qlora-resident", "saved-gigabytes") else 1e-6
        assert math.isclose(answer, right, rel_tol=rounding), question.stem


@EACH
def test_texts_are_whole_and_their_numbers_readable(family: str) -> None:
    read: set[str] = set()  # hints, sources and feedback come again with the next numbers
    for question in drawn(family):
        for text in set(texts(question)) - read:
            assert not UNREADABLE.search(text), text
            read.add(text)
        assert question.hint
        assert question.keep
        assert question.stem.endswith("?"), question.stem
        assert len(question.stem) < 420, question.stem
        assert is_known_unit(question.unit)


@SINGLE
def test_neither_length_nor_size_nor_place_gives_the_right_option_away(family: str) -> None:
    for extreme in (min, max):
        share = mean(alone_at(extreme, [len(text) for text in options(q)]) for q in drawn(family))
        assert share < 0.6, f"the right option has the {extreme.__name__} length in {share:.0%}"
        share = mean(alone_at(extreme, values(q)) for q in drawn(family))
        assert share < 0.75, f"the right number is the {extreme.__name__} in {share:.0%}"
    places: Counter[str] = Counter()
    for seed in SOME:
        task = families.build_question(FAMILIES[family], seed).task
        assert isinstance(task, Single)
        for quiz in range(10):
            offered = task.offer(f"{quiz}/{family}@{seed}")
            places.update(letter for letter, choice in offered if choice.id == "right")
    assert max(places.values()) < 0.45 * places.total(), places


def test_each_option_of_the_nearest_level_is_one_of_the_levels_in_the_question() -> None:
    for question in drawn("nearest-level"):
        listed = re.findall(r"−?\d\.\d{4}", question.stem)[:4]
        assert sorted(options(question)) == sorted(listed)


@pytest.mark.parametrize("family", ["nested-bytes", "rslora-scale", "lora-matrix-count"])
def test_no_place_in_the_order_of_size_gives_the_right_option_away(family: str) -> None:
    """These had it in one place in four draws of five, or in all."""
    places = Counter(sorted(values(question)).index(question.right.value) for question in drawn(family))
    assert max(places.values()) < 0.7 * SEEDS


def test_an_adapter_of_the_same_budget_is_at_most_half_of_its_matrix() -> None:
    for question in drawn("same-budget-rank"):
        width = re.search(r"of width ([\d,]+)", question.stem)
        assert width
        assert 4 * question.right.value <= int(width[1].replace(",", "")), question.stem


def test_right_options_are_on_the_whole_as_long_as_wrong_ones() -> None:
    singles = [q for family in FAMILIES for q in drawn(family)[::10] if q.kind == "single"]
    right = mean(len(question.right.text) for question in singles)
    wrong = mean(len(slip.text) for question in singles for slip in question.wrong)
    assert 0.9 < right / wrong < 1.1, right / wrong


@EACH
def test_a_numeric_answer_is_graded_right_and_a_slip_by_its_name(family: str) -> None:
    for seed in SOME:
        task = families.build_question(FAMILIES[family], seed).task
        if isinstance(task, Numeric):
            assert task.grade({"text": task.text}).correct, task
            for slip in task.slips:
                assert task.grade({"text": format_number(slip.value)}).parts[0].id == slip.id, (seed, slip)


@EACH
def test_a_family_asks_at_least_20_different_questions(family: str) -> None:
    assert len({question.stem for question in drawn(family)}) >= 20


@EACH
def test_a_family_is_about_concepts_that_exist(family: str, concepts: ConceptMap) -> None:
    assert FAMILIES[family].concepts
    assert set(FAMILIES[family].concepts) <= set(concepts.by_id)
    assert FAMILIES[family].level in LEVELS


def test_another_process_draws_the_same_questions() -> None:
    here = [
        families.build_question(family, seed) for family in FAMILIES.values() for seed in range(0, SEEDS, 97)
    ]
    there = subprocess.run(
        [sys.executable, "-c", PRINT_DIGEST], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == hashlib.sha256(repr(here).encode()).hexdigest()


def test_there_are_families_of_every_level_and_both_kinds() -> None:
    assert len(FAMILIES) >= 26
    levels = Counter(family.level for family in FAMILIES.values())
    kinds = Counter(drawn(family)[0].kind for family in FAMILIES)
    assert min(levels[level] for level in LEVELS) >= 6, levels
    assert min(kinds.values()) >= 8, kinds


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_a_model_has_the_sides_that_the_lab_knows(model: Model) -> None:
    shape = find_shape(model.id)
    sides = {linear.role: (linear.d_in, linear.d_out) for linear in shape.linears}
    parts: tuple[Part, ...] = get_args(Part)
    assert {part: model.sides(part) for part in parts} == {part: sides[part] for part in parts}
    assert model.layers == shape.layers


@pytest.mark.parametrize("model", CACHED, ids=lambda model: model.id)
def test_a_models_heads_are_those_of_the_lab(model: Heads) -> None:
    shape = find_shape(model.id)
    assert (model.layers, model.heads, model.kv_heads, model.head_dim) == (
        shape.layers,
        shape.heads,
        shape.kv_heads,
        shape.head_dim,
    )
