"""The introduction's data: its numbers hold, its figures exist, and every phrase sets what its figure has."""

import re
from dataclasses import fields
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from flashcards.decks.deck import load_decks
from lora_lab.figures import FIGURES
from lora_lab.quantities import base_parameters, lora_parameters  # registers what a `check:` may name
from study.base.yaml_loader import load_yaml
from study.content.concepts import ConceptMap
from study.content.evidence import check_claims
from study.figures.controls import list_controls, parse_settings
from study.lessons.introduction import IntroductionStep, order_cards, read_introduction
from study.lessons.lesson import LESSONS_DIR, Lesson, read_lesson
from study.pages.start import IntroductionPlace
from study.text.computed_text import PLACEHOLDER, FigureSetting, fill_numbers, parse_figure_setting

WITH_A_FIGURE = [step for step in read_introduction() if step.figure]


def test_the_introduction_has_six_steps_and_ends_in_a_run() -> None:
    assert len(read_introduction()) == 6
    assert [step.runs for step in read_introduction()] == [False] * 5 + [True]


def test_the_loss_that_is_guessed_is_named_as_the_rest_of_the_app_names_it() -> None:
    said = read_introduction()[-1].text
    assert "The held-out loss is the loss on unseen pairs" in " ".join(said.split())


def test_every_number_of_the_introduction_is_computed() -> None:
    check_claims((step.id, step.evidence) for step in read_introduction())


def test_the_share_without_strips_is_what_its_reason_says_it_is() -> None:
    [whole] = [step for step in read_introduction() if step.id == "whole"]
    [choice] = [choice for choice in whole.choices if "divides by the model without strips" in choice.because]
    strips = lora_parameters("smollm2-135m", rank=16, targets="all-linear")
    assert choice.say == f"{100 * strips / base_parameters('smollm2-135m'):.2f} %"


def test_every_question_has_a_card_that_keeps_its_idea_and_missed_ones_come_first(
    concepts: ConceptMap,
) -> None:
    cards = load_decks(concepts).by_id
    assert [cards[step.card].concepts[0] for step in WITH_A_FIGURE] == [
        "trainable-state", "frozen-base", "lora-rank", "lora-initialization", "qlora",
    ]  # fmt: skip
    assert order_cards("") == tuple(step.card for step in WITH_A_FIGURE)
    assert order_cards("53") == tuple(WITH_A_FIGURE[place - 1].card for place in (3, 5, 1, 2, 4))


def test_the_right_choice_is_not_always_at_the_same_place() -> None:
    assert len({step.right for step in WITH_A_FIGURE}) == 3


@pytest.mark.parametrize("step", WITH_A_FIGURE, ids=lambda step: step.id)
def test_a_wrong_choice_does_not_give_the_explanation_of_the_right_one(step: IntroductionStep) -> None:
    right = step.choices[step.right - 1].because  # stands below it
    wrong = [choice.because for choice in step.choices if choice.because != right]
    assert [because for because in wrong for sentence in right.split(". ") if sentence in because] == []


@pytest.mark.parametrize("step", read_introduction(), ids=lambda step: step.id)
def test_a_step_is_short(step: IntroductionStep) -> None:
    assert 30 <= len(step.text.split()) <= 60


@pytest.mark.parametrize("step", WITH_A_FIGURE, ids=lambda step: step.id)
def test_a_step_and_its_phrases_set_what_the_figure_has(step: IntroductionStep) -> None:
    figure = FIGURES[step.figure]
    of_the_page = {field.name for field in fields(IntroductionPlace)}  # one address holds both
    assert of_the_page.isdisjoint(name for name, _ in list_controls(figure.settings))
    controls = dict(list_controls(figure.settings))
    phrases = [parse_figure_setting(match) for match in PLACEHOLDER.finditer(step.text)]
    asked = [dict(step.settings), *(dict(parse_qsl(each.settings)) for each in phrases if each)]
    for settings in asked:
        assert settings.keys() <= controls.keys()
        parse_settings(figure.settings, settings)
        for name, value in settings.items():
            stops = getattr(controls[name], "stops", ())
            assert not stops or int(value) in stops
    assert not step.play or step.play in controls


@pytest.mark.parametrize("path", sorted(LESSONS_DIR.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_lessons_phrases_set_what_its_figure_has(path: Path) -> None:
    lesson = read_lesson(path, lambda preset: None)
    figure = FIGURES.get(lesson.visualize.figure)
    texts = (lesson.learn.takeaway, *lesson.learn.paragraphs, lesson.visualize.do, lesson.visualize.notice)
    for match in (match for text in texts for match in PLACEHOLDER.finditer(text)):
        if (phrase := parse_figure_setting(match)) is not None:
            assert figure is not None
            settings = dict(parse_qsl(phrase.settings))
            controls = dict(list_controls(figure.settings))
            assert settings.keys() <= controls.keys()
            parse_settings(figure.settings, settings)
            for name, value in settings.items():
                assert not (stops := getattr(controls[name], "stops", ())) or int(value) in stops


def phrases_of(lesson: Lesson) -> list[tuple[FigureSetting, str]]:
    """The phrases of an explanation that set its figure, each with what is said after it in its sentence."""
    found = []
    for text in lesson.learn.paragraphs:
        matches = [(match, parse_figure_setting(match)) for match in PLACEHOLDER.finditer(text)]
        set_by = [(match, setting) for match, setting in matches if setting]
        ends = [*(match.start() for match, _ in set_by), len(text)][1:]
        for (match, setting), end in zip(set_by, ends, strict=True):
            found.append((setting, re.split(r"[.;?] ", text[match.end() : end])[0]))
    return found


LESSONS = [read_lesson(path, lambda preset: None) for path in sorted(LESSONS_DIR.glob("*.yaml"))]


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.concept)
def test_a_number_said_of_a_phrase_is_the_one_that_the_figure_then_shows(lesson: Lesson) -> None:
    for setting, said in phrases_of(lesson):
        shown = FIGURES[lesson.visualize.figure].answer(dict(parse_qsl(setting.settings)))
        for number in PLACEHOLDER.finditer(said):
            assert fill_numbers(number[0]) in shown, f"{setting.phrase}: {number[0]}"


def test_every_lesson_of_the_path_and_twenty_in_all_let_two_phrases_or_more_move_the_figure() -> None:
    moving = {lesson.concept for lesson in LESSONS if len(phrases_of(lesson)) >= 2}
    path = load_yaml((LESSONS_DIR.parent / "content" / "path.yaml").read_text("utf-8"))
    assert set(path) <= moving
    assert len(moving) >= 20
