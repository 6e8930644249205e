"""Models that a learner adds: one can be deleted again, unless a run needs its numbers."""

from dataclasses import replace

import pytest

from lora_lab.engine.local import LocalEngine
from lora_lab.engine.shape_reader import ShapeReader
from lora_lab.lab import Lab
from lora_lab.pages.models import ModelsPage
from lora_lab.parameters.shapes import find_shape
from lora_lab.runs.folder import delete_run
from study.base.errors import LearnerError
from study.base.settings import Settings
from tests.lora_lab import run_builders
from tests.visits import Visitor, build_event

NAME = "ana/a & b"


@pytest.fixture
def lab(settings: Settings) -> Lab:
    """A lab with one added model."""
    lab = Lab(settings, LocalEngine(settings, warm=False))
    lab.home.save_shape(replace(find_shape("tiny-random"), name=NAME, hub_id=NAME))
    return lab


@pytest.fixture
def ana(lab: Lab) -> Visitor[ModelsPage]:
    return Visitor(ModelsPage(lab, ShapeReader()))


def test_an_added_model_is_deleted_after_a_question(ana: Visitor[ModelsPage], lab: Lab) -> None:
    button = build_event(ana.opens("/models"), "delete")
    assert button["confirm"] == f"Delete {NAME}? Its config.json brings it back."
    reply = ana.sends("delete", name=button["name"])
    assert lab.home.read_shapes() == []
    assert 'data-act="delete"' not in reply["html"]


def test_a_model_that_a_run_needs_stays_and_says_so(ana: Visitor[ModelsPage], lab: Lab) -> None:
    run = run_builders.finished(lab.settings.runs_dir, replace(run_builders.TINY, model=NAME))
    with pytest.raises(LearnerError, match=r"A run of ana/a & b needs its numbers\. Delete that run"):
        ana.sends("delete", name=NAME)
    assert [shape.name for shape in lab.home.read_shapes()] == [NAME]
    delete_run(run)
    ana.sends("delete", name=NAME)
    assert lab.home.read_shapes() == []


def test_each_model_whose_memory_is_computed_leads_to_whether_it_fits(ana: Visitor[ModelsPage]) -> None:
    html = ana.opens("/models")
    assert (
        html.index("About 1B to 73B parameters")
        < html.index("Under 1B parameters")
        < html.index("Counted only")
    )
    assert '<a href="/memory?model=llama-3.1-8b">llama-3.1-8b</a>' in html
    assert '<a href="/memory?model=ana%2Fa+%26+b">' in html
    assert ">whisper-tiny</th>" in html
