"""What holds for every live figure: it stands without JavaScript and says where its numbers come from."""

import re
from html import unescape
from typing import Any, get_args

import pytest

from lora_lab.figures import FIGURES
from lora_lab.figures.recorded import Recording, read_recording
from study.base.errors import LearnerError
from study.content.concepts import ConceptMap
from study.figures.controls import ChoiceControl, SliderControl, list_controls
from study.figures.figure import Figure
from tests.visits import words

EVERY = pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)


def other_values(figure: Figure[Any]) -> dict[str, str]:
    """Every control moved away from its default."""
    moved = {}
    for name, control in list_controls(figure.settings):
        if isinstance(control, SliderControl):
            moved[name] = str(control.low)
        elif isinstance(control, ChoiceControl):
            moved[name] = control.listed[-1][0]
    return moved


def test_the_figures_of_the_concept_pages_and_of_the_introduction_are_there() -> None:
    assert list(FIGURES) == [
        "lora-to-scale", "singular-values", "scaling-over-ranks", "first-steps", "number-lines",
        "block-step-by-step", "block-size", "double-quantization", "training-memory", "forward-types",
        "backward-graph", "paged-optimizer", "checkpointing", "merging", "kv-cache", "rate-schedule",
        "relatives", "four-bit-formats", "error-bars", "split-over-gpus", "trained-tokens",
        "lora-at-a-glance", "full-fine-tuning-state", "adapter-of-a-model",
    ], "A new figure stands in this list, too, at its place in lora_lab/figures/__init__.py."  # fmt: skip


@EVERY
def test_a_figure_is_drawn_with_its_finding_and_its_alternative_text(figure: Figure[Any]) -> None:
    html = figure.render_fragment({})
    shown = figure.show(figure.settings())
    assert shown.finding in words(html)
    assert f'aria-label="{figure.title}"' in unescape(html)
    alternative = unescape(re.findall(r'class="fig-picture" role="img" aria-label="([^"]*)"', html)[0])
    assert alternative == shown.alt
    assert len(re.findall(r"\d", alternative)) >= 3
    assert not re.search(r"\bnan\b|\binf\b", html)


@EVERY
def test_every_number_says_where_it_comes_from(figure: Figure[Any]) -> None:
    origins = figure.show(figure.settings()).origins
    assert origins
    for origin in origins:
        if origin.kind == "measured":
            assert re.search(r"CPU|GPU", origin.text)
            assert "torch 2." in origin.conditions  # behind a press: most readers want the numbers
            assert "torch" not in origin.text
            assert re.search(r"\d{1,2} [A-Z][a-z]+ \d{4}", origin.text)


@EVERY
def test_a_figure_can_be_moved_to_its_ends(figure: Figure[Any]) -> None:
    shown = words(figure.answer(other_values(figure)))
    assert figure.show(figure.settings()).finding not in shown


@EVERY
def test_a_figure_may_stand_twice_on_a_page_or_inside_the_form_of_a_question(figure: Figure[Any]) -> None:
    html = figure.render_fragment({})
    assert not re.search(r"\s(id|name)=|<form|<script|\son[a-z]+=", html)


@EVERY
def test_every_control_has_a_label_and_says_its_value(figure: Figure[Any]) -> None:
    html = figure.render_fragment({})
    controls = list(list_controls(figure.settings))
    assert html.count("<label") == len(controls) == html.count("data-setting=")
    sliders = [control for _, control in controls if isinstance(control, SliderControl)]
    assert html.count("aria-valuetext=") == len(sliders)
    for control in sliders:
        assert not control.stops or (control.stops[0], control.stops[-1]) == (control.low, control.high)


@EVERY
def test_a_setting_outside_its_limits_gets_a_sentence_and_the_default_is_shown(figure: Figure[Any]) -> None:
    name, control = next(iter(list_controls(figure.settings)))
    wrong = (
        str(control.high + 1)
        if isinstance(control, SliderControl)
        else ""
        if name == "prompt"
        else "nonsense"
    )
    with pytest.raises(LearnerError, match=control.label):
        figure.answer({name: wrong})
    html = words(figure.render_fragment({name: wrong}))
    assert control.label in html
    assert figure.show(figure.settings()).finding in html


@EVERY
def test_a_figure_belongs_to_concepts_of_the_map(figure: Figure[Any], concepts: ConceptMap) -> None:
    assert figure.concepts
    assert set(figure.concepts) <= set(concepts.by_id)
    assert 1 <= figure.minutes <= 5


@pytest.mark.parametrize("what", get_args(Recording))
def test_recorded_data_says_how_it_was_measured(what: Any) -> None:
    kept = read_recording(what)
    provenance = kept["provenance"]
    assert provenance["command"] == f"python -m lora_lab.worker.record {what}"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", provenance["date"])
    assert provenance["device"]
    assert {"torch", "transformers", "peft", "bitsandbytes"} <= set(provenance["versions"])
    assert kept["model"] == "smollm2-135m"
