"""The verdicts of a learner who ticks what their explanation says."""

import pytest

from quizzes.grader.prompts import load_prompts
from quizzes.grader.verdicts import count_covered, judge_ticks
from study.base.errors import LearnerError
from study.content.concepts import ConceptMap


def test_what_the_learner_ticks_is_covered_and_the_rest_is_missing(concepts: ConceptMap) -> None:
    prompt = load_prompts(concepts)["explain-lora"]
    verdicts = judge_ticks(prompt, {"frozen-base", "low-rank-update"})
    assert set(verdicts) == {concept.id for concept in prompt.concepts}
    assert verdicts["frozen-base"] == "covered"
    assert verdicts["less-training-memory"] == "missing"
    assert count_covered(verdicts.values()) == 2


def test_a_tick_that_is_not_on_the_list_is_refused(concepts: ConceptMap) -> None:
    prompt = load_prompts(concepts)["explain-lora"]
    with pytest.raises(LearnerError, match="This prompt has no concept capacity"):
        judge_ticks(prompt, {"capacity"})
