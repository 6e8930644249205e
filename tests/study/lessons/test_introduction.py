"""The introduction's data: its numbers hold, its figures exist, and every phrase sets what its figure has."""

from urllib.parse import parse_qsl

import pytest

import lora_lab.quantities  # noqa: F401 - registers what a `check:` may name
from lora_lab.figures import FIGURES
from study.content.evidence import broken_claims
from study.figures.controls import controls_of, settings_from
from study.lessons.introduction import IntroductionStep, introduction
from study.text.computed_text import PLACEHOLDER, figure_setting

WITH_A_FIGURE = [step for step in introduction() if step.figure]


def test_the_introduction_has_six_steps_and_ends_in_a_run() -> None:
    assert len(introduction()) == 6
    assert [step.runs for step in introduction()] == [False] * 5 + [True]


def test_every_number_of_the_introduction_is_computed() -> None:
    assert broken_claims((step.id, step.evidence) for step in introduction()) == []


def test_the_right_choice_is_not_always_at_the_same_place() -> None:
    assert len({step.right for step in WITH_A_FIGURE}) == 3


@pytest.mark.parametrize("step", introduction(), ids=lambda step: step.id)
def test_a_step_is_short(step: IntroductionStep) -> None:
    assert 30 <= len(step.text.split()) <= 60


@pytest.mark.parametrize("step", WITH_A_FIGURE, ids=lambda step: step.id)
def test_a_step_and_its_phrases_set_what_the_figure_has(step: IntroductionStep) -> None:
    figure = FIGURES[step.figure]
    controls = dict(controls_of(figure.settings))
    phrases = [figure_setting(match) for match in PLACEHOLDER.finditer(step.text)]
    asked = [dict(step.settings), *(dict(parse_qsl(each.settings)) for each in phrases if each)]
    for settings in asked:
        assert settings.keys() <= controls.keys()
        settings_from(figure.settings, settings)
        for name, value in settings.items():
            stops = getattr(controls[name], "stops", ())
            assert not stops or int(value) in stops
    assert not step.play or step.play in controls
