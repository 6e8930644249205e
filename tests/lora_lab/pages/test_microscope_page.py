"""The Microscope page's handlers: choose, guess, look, be told, stop."""

import threading
from dataclasses import replace
from typing import Any

import pytest

from lora_lab.engine.inspections import Inspection
from lora_lab.lab import Lab
from lora_lab.microscope.query import KIND, MicroscopeQuestion, QuantizationScheme, build_microscope_address
from lora_lab.pages.microscope import PANELS, MicroscopePage
from lora_lab.pages.train import LabPage
from study.base.errors import LearnerError
from study.ports.context import Context, Visit
from study.web.frame import Reply
from tests import visits
from tests.lora_lab.microscope_findings import FOUND, TINY
from tests.visits import words


class Visitor(visits.Visitor[MicroscopePage]):
    """One browser on the page."""

    def moves(self, question: MicroscopeQuestion, **fields: str) -> Reply:
        return self.sends("change", fields=_form(question) | {name: [text] for name, text in fields.items()})


def _form(question: MicroscopeQuestion) -> dict[str, list[str]]:
    return {name: [value] for name, value in question.address.items()}


class Asked:
    """Notes what cards were asked for."""

    def __init__(self) -> None:
        self.concepts: list[tuple[str, ...]] = []

    def __call__(self, visit: Visit, concepts: tuple[str, ...], *, because: str) -> int:
        self.concepts.append(concepts)
        return 1


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def ana(context: Context, lab: Lab, asked: Asked) -> Visitor:
    return Visitor(MicroscopePage(context, lab, ask_for_cards=asked))


ADDRESS = build_microscope_address("/microscope", TINY)


def finds(lab: Lab, question: MicroscopeQuestion = TINY, **how: Any) -> Inspection:
    """As if the worker had found it."""
    look = lab.inspections.derive_id(KIND, question.order)
    found = Inspection(id=look, kind=KIND, order=question.order, **({"status": "done", "found": FOUND} | how))
    with lab.inspections._changed:
        lab.inspections.put(found)
    return found


def test_the_page_opens_with_a_guess_to_make_and_shows_nothing_yet(ana: Visitor, lab: Lab) -> None:
    finds(lab)  # somebody else has looked
    html = ana.opens(ADDRESS)
    assert "Which has the smaller error on layer 0, self_attn.q_proj?" in words(html)
    assert "10.0 %" not in words(html)
    assert "panel-weights" not in html
    assert html.count("<h1") == 1


def test_a_look_that_measures_losses_counts_examples_and_says_the_share_of_the_whole(
    ana: Visitor, lab: Lab
) -> None:
    doing = "Held-out loss, as it is: 8 of 55 examples"
    look = finds(lab, status="working", doing=doing, done=1, total=35)
    shown = words(ana.opens(build_microscope_address("/microscope", TINY, look=look.id)))
    assert f"{doing} … 3 % of all losses" in shown


def test_choices_follow_the_model_and_come_back_with_the_address(ana: Visitor) -> None:
    ana.opens("/microscope")
    moved = ana.moves(replace(TINY, layer=99, second=QuantizationScheme(bits="hqq2")))
    assert "Layer, 0 to 1" in words(moved["parts"]["places"])
    assert "HQQ 2-bit, blocks of 64" in words(moved["parts"]["look"])
    assert "layer=1" in moved["url"]
    assert 'value="hqq2" selected' in ana.opens(f"/microscope{ana.query}")


def test_int8_has_no_choice_of_a_block_size(ana: Visitor) -> None:
    html = ana.opens("/microscope?first=int8")
    assert 'id="first_block"' not in html
    assert 'id="second_block"' in html
    parts = ana.moves(replace(TINY, second=QuantizationScheme(bits="int8")))["parts"]
    assert 'id="first_block"' in parts["first_block"]
    assert words(parts["second_block"]) == "int8 has no block size: each row has one constant."


def test_equal_sides_and_blocks_that_can_not_be_are_said_in_place_of_the_guess(ana: Visitor) -> None:
    ana.opens(ADDRESS)
    assert "Both sides are NF4" in words(ana.moves(replace(TINY, second=TINY.first))["parts"]["look"])
    refused = ana.moves(replace(TINY, first=QuantizationScheme(bits="hqq1", block=4096)))["parts"]["look"]
    assert "can't pack" in words(refused)
    assert "Choose a smaller block" in words(refused)


def test_a_guess_is_kept_judged_by_what_is_found_and_asks_for_cards(
    ana: Visitor, lab: Lab, asked: Asked, context: Context
) -> None:
    finds(lab)
    ana.opens(ADDRESS)
    reply = ana.sends("look", fields=_form(TINY) | {"smaller": ["second"], "rise": ["0.1"]})
    shown = words(reply["parts"]["look"])
    assert (
        "✗ Not quite. Smaller error. Your guess: FP4, blocks of 64. Result: NF4, blocks of 64 (10 %" in shown
    )
    assert "✓ Right. Rise of the loss. Your guess: +0.1. Result: +0.100" in shown
    assert reply["focus"] == "#found"
    assert asked.concepts == [("nf4", "quantization-levels")]
    profile = context.store.profiles.open_for_browser("browser-of-ana", now=context.clock()).id
    judged = {one.quantity: one.correct for one in context.store.predictions.judged(profile)}
    assert judged == {"error-nf4": False, "loss-rise": True}

    ana.sends("look", fields=_form(TINY) | {"smaller": ["first"]})  # the first guess stands
    assert "Your guess: FP4" in words(ana.opens(f"/microscope{ana.query}"))
    assert len(asked.concepts) == 1


def test_the_lab_leaves_guesses_about_inspections_alone(
    ana: Visitor, lab: Lab, asked: Asked, context: Context
) -> None:
    finds(lab, status="working", found={})
    ana.opens(ADDRESS)
    ana.sends("look", fields=_form(TINY) | {"smaller": ["second"]})
    assert "Train" in words(LabPage(context, lab, ask_for_cards=asked).load(ana))
    assert asked.concepts == []
    finds(lab)
    ana.opens("/microscope")  # without the inspection in the address
    assert asked.concepts == [("nf4", "quantization-levels")]


def test_nothing_guessed_is_said_and_one_may_look_without(ana: Visitor, lab: Lab) -> None:
    finds(lab)
    ana.opens(ADDRESS)
    with pytest.raises(LearnerError, match="Nothing is guessed yet"):
        ana.sends("look", fields=_form(TINY))
    looked = ana.sends("skip", fields=_form(TINY))["parts"]["look"]
    assert [name for name in PANELS if f'id="panel-{name}"' in looked] == list(PANELS)
    assert "Your prediction" not in words(looked)
    assert "data-poll" not in looked
    assert "microscope" in ana.moves(replace(TINY, layer=1))["url"]
    assert "look=" not in ana.query  # another matrix asks for another guess


def test_results_stream_into_parts_of_their_own_until_all_is_there(ana: Visitor, lab: Lab) -> None:
    some = {name: FOUND[name] for name in ("where", "matrix", "first", "second")}
    finds(lab, status="working", doing="Running the layer", done=3, total=30, found=some)
    ana.opens(ADDRESS)
    look = ana.sends("look", fields=_form(TINY) | {"smaller": ["first"], "rise": ["1"]})["parts"]["look"]
    assert "Running the layer … 10 % of all losses" in words(look)
    assert "✓ Right. Smaller error" in words(look)
    assert "The result will appear here once it is measured" in words(look)
    polled = ana.sends("poll", fields=_form(TINY))["parts"]
    assert 'data-poll="1000"' in polled["progress"]
    assert "panel-map" in polled["map"]
    assert polled["losses"] == ""
    finds(lab)
    done = ana.sends("poll", fields=_form(TINY))
    assert done["say"] == "All is measured."
    assert "panel-losses" in done["parts"]["losses"]
    assert "data-poll" not in done["parts"]["progress"]


def test_stopping_keeps_what_was_found_and_failing_says_why(ana: Visitor, lab: Lab) -> None:
    looked = finds(lab, status="waiting", found={})
    ana.opens(ADDRESS)
    ana.query = f"{ana.query}&look={looked.id}"
    assert "Waiting for its turn" in words(ana.sends("poll")["parts"]["progress"])
    stopped = ana.sends("stop", look=looked.id)
    assert "Begin again" in words(stopped["parts"]["progress"])
    finds(lab, status="failed", problem="The model is gone. Choose another.")
    failed = ana.sends("poll")["parts"]["progress"]
    assert "The model is gone. Choose another." in words(failed)
    assert 'role="alert"' in failed


def test_an_address_that_names_no_inspection_or_no_model_opens_the_page(ana: Visitor) -> None:
    assert "Predict first" in words(ana.opens("/microscope?look=../../etc&layer=x&matrix=no"))
    with pytest.raises(LearnerError, match="Reload the page"):
        ana.sends("explode")


def test_a_model_without_ordinary_layers_is_said_where_the_guess_would_be(ana: Visitor) -> None:
    ana.opens(ADDRESS)
    moved = ana.moves(replace(TINY, model="t5-small"))
    assert "no linear matrices that every layer has once" in words(moved["parts"]["look"])


def test_a_model_that_can_not_be_read_is_said_where_the_guess_would_be(ana: Visitor) -> None:
    typed = _form(TINY) | {"model": ["other"], "model_other": ["/no/such/folder"]}
    ana.opens(ADDRESS)
    reading = ana.sends("change", fields=typed)
    assert "Reading the shape of /no/such/folder" in words(reading["parts"]["look"])
    assert "data-poll" in reading["parts"]["look"]
    for _ in range(600):
        said = words(ana.sends("poll", fields=typed)["parts"]["look"])
        if "Reading" not in said:
            break
        threading.Event().wait(0.1)
    assert "/no/such/folder could not be read" in said
    assert "Predict first" not in said
