"""Question families: generators of one idea with new numbers per seed.

A module draws the numbers of its families, and the file of the same name in `texts` has what they say.
An id such as `lora-count@1234` (family and seed) is the same question for every learner: sessions, the log
and feedback refer to it by this id. Its right answer stays; a better wrong option may replace another.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from random import Random
from types import ModuleType

from quizzes.families import (
    activations,
    bits,
    blocks,
    counting,
    practice,
    ranks,
    rounding,
    scaling,
    shapes,
    trained,
    weights,
    whole_runs,
    wider_field,
)
from quizzes.families.drawn import DrawnQuestion
from quizzes.families.family import DrawNumbers, QuestionFamily
from quizzes.families.family_reader import read_file
from quizzes.kinds.choices import Option, Single
from quizzes.kinds.numeric import Numeric, NumericMistake
from quizzes.kinds.question import Question
from study.content.concepts import ConceptMap
from study.content.evidence import Evidence
from study.content.yaml_reader import ContentError, Problem

TOPIC = "families"
TOPIC_TITLE = "Arithmetic with drawn numbers"
VARIANTS = 10_000
MOST_TRIED = 20
"""Variants, to find one with other numbers."""

TEXTS_DIR = Path(__file__).with_name("texts")
SUBJECTS = (
    counting, ranks, shapes, scaling, rounding, bits, blocks, weights, trained, whole_runs, activations,
    practice, wider_field,
)  # fmt: skip
"""In the order in which the families are listed."""

_ID = re.compile(r"(?P<family>[a-z0-9]+(?:-[a-z0-9]+)*)@(?P<seed>0|[1-9]\d{0,5})")


def read_families(concepts: ConceptMap, problems: list[Problem]) -> Mapping[str, QuestionFamily]:
    """Read the texts of all families, by family id, and note their problems."""
    return {
        family.id: family
        for subject in SUBJECTS
        for family in read_file(
            TEXTS_DIR / f"{name_texts(subject)}.yaml", collect_draws(subject), concepts, problems
        )
    }


def name_texts(subject: ModuleType) -> str:
    """Name the file of a module's families' texts: its own name."""
    return subject.__name__.rpartition(".")[2]


def collect_draws(subject: ModuleType) -> dict[str, DrawNumbers]:
    """Return the draw functions of a module by family id: `draw_kv_cache_size` draws `kv-cache-size`."""
    return {
        name.removeprefix("draw_").replace("_", "-"): draw
        for name, draw in vars(subject).items()
        if name.startswith("draw_")
    }


def format_question_id(family_id: str, seed: int) -> str:
    """Format the id that the log stores: `family@seed`."""
    return f"{family_id}@{seed}"


def build_question(family: QuestionFamily, seed: int) -> Question:
    """Build the question that a seed draws from a family."""
    # A string seeds the same in every process.
    return build_drawn_question(family, seed, family.draw(Random(format_question_id(family.id, seed))))


def build_drawn_question(family: QuestionFamily, seed: int, drawn: DrawnQuestion) -> Question:
    """Return what a seed drew from a family as a question."""
    return Question(
        id=format_question_id(family.id, seed),
        topic=TOPIC,
        concepts=family.concepts,
        level=family.level,
        stem=drawn.stem,
        task=_build_single(drawn) if drawn.kind == "single" else _build_numeric(drawn),
        keep=drawn.keep,
        evidence=Evidence(source=drawn.source, checks=drawn.checks),
        hint=drawn.hint,
        steps=drawn.steps,
        shape=drawn.shape,
    )


def build_variants(families: Iterable[QuestionFamily], *, count: int) -> list[Question]:
    """Build the first variants of each family. Raises ContentError with the problems of all families."""
    built: list[Question] = []
    problems: dict[Problem, None] = {}  # a problem of several seeds is listed once
    for family in families:
        try:
            built += (build_question(family, seed) for seed in range(count))
        except ContentError as error:
            problems.update(dict.fromkeys(error.problems))
    if problems:
        raise ContentError(problems)
    return built


def match_family(written_id: str, families: Mapping[str, QuestionFamily]) -> QuestionFamily | None:
    """Return the family that an id belongs to; None for other questions."""
    found = _ID.fullmatch(written_id)
    return families.get(found["family"]) if found else None


def find_question(written_id: str, families: Mapping[str, QuestionFamily]) -> Question | None:
    """Return the question with an id such as `lora-count@1234`; None when it isn't a family's."""
    family = match_family(written_id, families)
    return build_question(family, int(written_id.partition("@")[2])) if family else None


def find_fresh_variant(written_id: str, families: Mapping[str, QuestionFamily]) -> str:
    """Return the id of the next variant with other numbers; empty for a question that isn't a family's."""
    family = match_family(written_id, families)
    if family is None:
        return ""
    seed = int(written_id.partition("@")[2])
    stem = build_question(family, seed).stem
    others = (build_question(family, (seed + step) % VARIANTS) for step in range(1, MOST_TRIED + 1))
    return next((other.id for other in others if other.stem != stem), "")


def choose_variant(family: QuestionFamily, *, seed: int) -> str:
    """Return the id of the variant that a quiz with this seed asks."""
    return format_question_id(family.id, Random(f"{seed}/{family.id}").randrange(VARIANTS))


def _build_single(drawn: DrawnQuestion) -> Single:
    options = (
        Option(id=a.id, text=a.text, feedback=a.feedback, misconception=a.misconception)
        for a in (drawn.right, *drawn.wrong)
    )
    return Single(options=tuple(options))


def _build_numeric(drawn: DrawnQuestion) -> Numeric:
    return Numeric(
        value=drawn.right.value,
        feedback=drawn.right.feedback,
        unit=drawn.unit,
        tolerance=drawn.tolerance,
        slips=tuple(
            NumericMistake(id=s.id, value=s.value, misconception=s.misconception, feedback=s.feedback)
            for s in drawn.wrong
        ),
    )
