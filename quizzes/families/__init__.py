"""Question families: generators of one idea with new numbers per seed. A new family goes into `FAMILIES`.

An id such as `lora-count@1234` (family and seed) is the same question for every learner at any time:
sessions, the log and feedback refer to it by this id.
"""

import re
from collections.abc import Mapping
from random import Random

from quizzes.families import (
    activations,
    bits,
    blocks,
    catalogue_counts,
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
from quizzes.families.drawn import DrawnQuestion, QuestionFamily
from quizzes.kinds.choices import RIGHT, Option, Single
from quizzes.kinds.numeric import KnownSlip, Numeric
from quizzes.kinds.question import Question
from study.content.evidence import Evidence

TOPIC = "families"
TOPIC_TITLE = "Arithmetic, drawn anew"
VARIANTS = 10_000

_SUBJECTS = (
    counting,
    catalogue_counts,
    ranks,
    shapes,
    scaling,
    rounding,
    bits,
    blocks,
    weights,
    trained,
    whole_runs,
    activations,
    practice,
    wider_field,
)
FAMILIES: Mapping[str, QuestionFamily] = {
    family.id: family for subject in _SUBJECTS for family in subject.FAMILIES
}

_ID = re.compile(r"(?P<family>[a-z0-9]+(?:-[a-z0-9]+)*)@(?P<seed>0|[1-9]\d{0,5})")


def question_id(family_id: str, seed: int) -> str:
    """Return the id that the log stores: `family@seed`."""
    return f"{family_id}@{seed}"


def build_question(
    family_id: str, seed: int, *, families: Mapping[str, QuestionFamily] = FAMILIES
) -> Question:
    """Build the question that a seed draws from a family."""
    family = families[family_id]
    drawn = family.draw(Random(question_id(family_id, seed)))  # a string seeds the same in every process
    return Question(
        id=question_id(family_id, seed),
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


def family_of(written_id: str, families: Mapping[str, QuestionFamily] = FAMILIES) -> QuestionFamily | None:
    """Return the family that an id belongs to; None for other questions."""
    found = _ID.fullmatch(written_id)
    return families.get(found["family"]) if found else None


def find_question(written_id: str, families: Mapping[str, QuestionFamily] = FAMILIES) -> Question | None:
    """Return the question with an id such as `lora-count@1234`; None when it isn't a family's."""
    found = _ID.fullmatch(written_id)
    if found is None or found["family"] not in families:
        return None
    return build_question(found["family"], int(found["seed"]), families=families)


def choose_variant(family: QuestionFamily, *, seed: int) -> str:
    """Return the id of the variant that a quiz with this seed asks."""
    return question_id(family.id, Random(f"{seed}/{family.id}").randrange(VARIANTS))


def _build_single(drawn: DrawnQuestion) -> Single:
    right = Option(id=RIGHT, text=drawn.right.text, feedback=drawn.right.feedback, misconception="")
    wrong = (
        Option(id=slip.id, text=slip.text, feedback=slip.feedback, misconception=slip.misconception)
        for slip in drawn.wrong
    )
    return Single(options=(right, *wrong))


def _build_numeric(drawn: DrawnQuestion) -> Numeric:
    return Numeric(
        value=drawn.right.value,
        feedback=drawn.right.feedback,
        unit=drawn.unit,
        tolerance=drawn.tolerance,
        slips=tuple(
            KnownSlip(id=s.id, value=s.value, misconception=s.misconception, feedback=s.feedback)
            for s in drawn.wrong
        ),
    )
