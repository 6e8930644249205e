"""The seam for graders: a function from a prompt and an answer to one verdict per concept."""

import pytest

from quizzes.grader.prompts import load_prompts
from quizzes.grader.verdicts import Grader, SelfGrader, count_covered
from study.base.errors import LearnerError
from study.content.concepts import ConceptMap


def test_the_learners_ticks_are_a_grader_like_any_other(concepts: ConceptMap) -> None:
    prompt = load_prompts(concepts)["explain-lora"]
    grader: Grader = SelfGrader(ticked=frozenset({"frozen-base", "low-rank-update"}))
    verdicts = grader(prompt, "any text")
    assert set(verdicts) == {concept.id for concept in prompt.concepts}
    assert verdicts["frozen-base"] == "covered"
    assert verdicts["less-training-memory"] == "missing"
    assert count_covered(verdicts.values()) == 2


def test_a_tick_that_is_not_on_the_list_is_refused(concepts: ConceptMap) -> None:
    prompt = load_prompts(concepts)["explain-lora"]
    with pytest.raises(LearnerError, match="capacity is not part of this prompt"):
        SelfGrader(ticked=frozenset({"capacity"}))(prompt, "text")
