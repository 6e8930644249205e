"""What families draw, over a thousand seeds each: answers apart, options fair, readable, and the lab's."""

import hashlib
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from random import Random
from statistics import mean

import pytest

import lora_lab.quantities  # noqa: F401 - families compute their numbers
from lora_lab.shapes import find_shape
from quizzes import families
from quizzes.families import FAMILIES
from quizzes.families.drawn import distinct
from quizzes.families.models import MODELS, NAMES, Model
from quizzes.kinds.choices import Single
from quizzes.kinds.numbers import known, within, worth
from quizzes.kinds.numeric import Numeric
from quizzes.question import Question
from study.checks import evaluate, prints
from study.concepts import ConceptMap
from study.content import LEVELS
from study.markup import to_html

ROOT = Path(__file__).parents[2]
SEEDS = 1000
EACH = pytest.mark.parametrize("family", FAMILIES)

# A placeholder that was never filled in, a float's own spelling, a number that is none, a leftover of a join.
UNREADABLE = re.compile(
    r"[{}]|\d[eE][-+]?\d|\b(?:nan|inf|None)\b|\d\.\d{10,}|\d\.0\b(?![.\d])|  |\.\.|,,|\(\)"
)

PRINT_DIGEST = """
import hashlib
import lora_lab.quantities
from quizzes import families
seeds = range(0, 1000, 97)
drawn = [families.question(family, seed) for family in families.FAMILIES for seed in seeds]
print(hashlib.sha256(repr(drawn).encode()).hexdigest())
"""


@cache
def drawn(family: str) -> tuple[Question, ...]:
    return tuple(families.question(family, seed) for seed in range(SEEDS))


def texts(question: Question) -> Iterator[str]:
    """All that a learner can read."""
    yield from (question.stem, question.hint, question.keep, *question.steps, question.evidence.source)
    if isinstance(question.task, Numeric):
        task = question.task
        yield from (task.text, task.rule, task.feedback, *(slip.feedback for slip in task.slips))
        yield from (slip.misconception for slip in task.slips)
    for option in question.options:
        yield from (option.text, option.feedback, option.misconception)


def answers(question: Question) -> list[float]:
    """The right number first, then the wrong ones, before they are written."""
    family, seed = question.id.split("@")
    draw = FAMILIES[family].draw(Random(families.question_id(family, int(seed))))
    return [draw.right.value, *(slip.value for slip in draw.wrong)]


@EACH
def test_no_two_answers_are_equal_and_at_least_two_are_wrong(family: str) -> None:
    for question in drawn(family):
        values = answers(question)
        assert len(values) == len(set(values)) >= 3, question.id
        shown = [option.text for option in question.options]
        assert len(shown) == len(set(shown)), question.id
        task = question.task
        feedback = [o.feedback for o in question.options]
        if isinstance(task, Numeric):
            feedback = [task.feedback, *(slip.feedback for slip in task.slips)]
            near = [v for v in values[1:] if within(v, values[0], tolerance=2 * task.tolerance)]
            assert not near, question.id
            assert task.grade({"text": task.text}).correct, question.id
            assert task.tolerance <= 0.05 * abs(task.value), question.id
        assert len(feedback) == len(set(feedback)), question.id


@EACH
def test_the_right_number_is_in_the_last_step_and_every_check_is_printed_and_holds(family: str) -> None:
    for question in drawn(family):
        task = question.task
        right = task.text if isinstance(task, Numeric) else question.right.text
        number = right.split()[0] if right[0].isdigit() else right
        assert re.search(rf"(?<![\d.,]){re.escape(number)}(?![\d]|[.,]\d)", question.steps[-1]), question.id
        printed = " ".join(texts(question))
        for check in question.evidence.checks:
            assert prints(printed, check), (question.id, check.call, check.expect)
        assert question.evidence.checks or question.evidence.source


@EACH
def test_checks_evaluate_to_what_they_expect_and_the_last_one_to_the_answer(family: str) -> None:
    for question in drawn(family)[::20]:
        checks = question.evidence.checks
        assert all(evaluate(check) == check.expect for check in checks), question.id
        if checks and family not in DERIVED:
            unit = question.task.unit if isinstance(question.task, Numeric) else ""
            assert within(checks[-1].expect / worth(unit), answers(question)[0], tolerance=0), question.id


DERIVED: frozenset[str] = frozenset()
"""Families whose answer follows from their checks in one more step, which the steps show."""


@EACH
def test_texts_are_whole_and_their_numbers_readable(family: str) -> None:
    for question in drawn(family):
        for text in texts(question):
            found = UNREADABLE.search(text)
            assert not found, (question.id, text)
            assert "<math" not in to_html(text) or "$" in text
        unit = question.task.unit if isinstance(question.task, Numeric) else ""
        assert known(unit)
        assert question.steps
        assert question.hint
        assert question.stem.endswith("?"), question.stem
        assert len(question.stem) < 420, (len(question.stem), question.stem)


@EACH
def test_nothing_but_knowing_gives_the_right_option_away(family: str) -> None:
    singles = [question for question in drawn(family) if isinstance(question.task, Single)]
    if not singles:
        return
    for extreme in (min, max):
        share = mean(alone_at(extreme, [len(o.text) for o in q.options]) for q in singles)
        assert share < 0.6, f"the right option has the {extreme.__name__} length in {share:.0%}"
        share = mean(alone_at(extreme, answers(q)) for q in singles)
        assert share < 0.75, f"the right number is the {extreme.__name__} in {share:.0%}"
    places = Counter(letter for q in singles for letter, o in q.task.offered(q.id) if o.id == "right")
    assert max(places.values()) < 0.4 * len(singles), places


def alone_at(extreme: Callable[[list[float]], float], first_is_right: Sequence[float]) -> bool:
    """Whether the right one is the smallest or largest, and no other is."""
    found = extreme(list(first_is_right))
    return found == first_is_right[0] and list(first_is_right).count(found) == 1


def test_right_options_are_on_the_whole_as_long_as_wrong_ones() -> None:
    singles = [q for family in FAMILIES for q in drawn(family)[::10] if isinstance(q.task, Single)]
    right = mean(len(question.right.text) for question in singles)
    wrong = mean(len(o.text) for question in singles for o in question.options if not o.correct)
    assert 0.9 < right / wrong < 1.1, right / wrong


@EACH
def test_a_family_asks_at_least_20_different_questions(family: str) -> None:
    assert len({question.stem for question in drawn(family)}) >= 20


@EACH
def test_a_family_is_about_concepts_that_exist(family: str, concepts: ConceptMap) -> None:
    assert FAMILIES[family].concepts
    assert set(FAMILIES[family].concepts) <= set(concepts.by_id)
    assert FAMILIES[family].level in LEVELS


def test_another_process_draws_the_same_questions() -> None:
    here = [drawn(family)[seed] for family in FAMILIES for seed in range(0, SEEDS, 97)]
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
    assert {part: model.sides(part) for part in NAMES} == {part: sides[part] for part in NAMES}
    assert model.layers == shape.layers


def test_distinct_keeps_the_first_of_two_equal_mistakes() -> None:
    draw = FAMILIES["times-fewer"].draw(Random("1"))
    assert distinct(draw.right, [*draw.wrong, *draw.wrong], tolerance=draw.tolerance, limit=9) == draw.wrong
