"""The controls of live figures, and the figure that a question unfolds."""

import pytest

from lora_lab.figures import FIGURES
from study.base.errors import LearnerError
from study.figures.controls import ChoiceControl, SliderControl, TextControl
from study.figures.figure import build_figure_lookup


def test_controls_refuse_in_words_a_learner_understands() -> None:
    slider = SliderControl(label="Block", low=32, high=128, stops=(32, 64, 128), only_stops=True)
    with pytest.raises(LearnerError, match=r"Block can't be 65 here\. Pick one of 32, 64, 128"):
        slider.read("65")
    with pytest.raises(LearnerError, match="Block must be a whole number, got 'x'"):
        slider.read("x")
    with pytest.raises(LearnerError, match="Pick one of a, b"):
        ChoiceControl(label="Scheme", options=[("a", "A"), ("b", "B")]).read("c")
    text = TextControl(label="Prompt", most=3)
    with pytest.raises(LearnerError, match=r"Prompt has 4 characters\. Shorten it to at most 3"):
        text.read("four")
    assert text.read("one") == "one"
    assert slider.position(64) == 1


def test_what_unfolds_below_an_answer_is_the_figure_that_is_most_about_its_concept() -> None:
    find = build_figure_lookup(FIGURES)
    assert 'data-figure-of="double-quantization"' in find(["double-quantization"])
    assert 'data-figure-of="merging"' in find(["no-such-concept", "adapter-merging"])
    assert find(["no-such-concept"]) == ""
