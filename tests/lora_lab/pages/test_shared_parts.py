"""The worker's part of Lab and Grid: what its buttons change on either page."""

import re

import pytest

from lora_lab.data.machine import NumberType
from lora_lab.lab import Lab
from lora_lab.pages.grid import GridPage
from lora_lab.pages.train import LabPage
from study.base.errors import LearnerError
from study.ports.context import Context
from tests.lora_lab import run_builders
from tests.lora_lab.pages.grid_visits import fields_of as grid_fields
from tests.lora_lab.pages.lab_visits import LIGHT, asked, fields_of, part
from tests.lora_lab.sweep_builders import tiny_grid
from tests.visits import Visitor


@pytest.fixture(params=["lab", "grid"])
def ana(request: pytest.FixtureRequest, context: Context, lab: Lab) -> Visitor[LabPage | GridPage]:
    """A learner's browser on either page."""
    if request.param == "grid":
        return Visitor(GridPage(context, lab))
    return Visitor(LabPage(context, lab, ask_for_cards=asked))


def test_the_learner_changes_the_machines_number_type(ana: Visitor[LabPage | GridPage], lab: Lab) -> None:
    device = {**run_builders.DEVICE, "processor": "x86_64", "compute_dtype": "bf16"}
    lab.home.write_worker_state(state="ready", device=device)
    lab.home.save_number_type(NumberType(device="x86_64", decided="bf16", why="it has AMX instructions"))
    assert "computing in bf16, because it has AMX instructions" in part(ana.sends("poll"), "worker")

    reply = ana.sends("number-type", type="fp32")

    assert "computing in fp32, because you chose it for this machine" in part(reply, "worker")
    assert reply["then"] == "change"
    with pytest.raises(LearnerError, match="no number type int8"):
        ana.sends("number-type", type="int8")


def test_the_learner_chooses_between_the_machines_devices(ana: Visitor[LabPage | GridPage], lab: Lab) -> None:
    devices = [{"id": "cuda:0", "name": "Small card"}, {"id": "cpu", "name": "Processor"}]
    device = {**run_builders.DEVICE, "type": "cuda", "id": "cuda:0", "devices": devices}
    lab.home.write_worker_state(state="ready", device=device)
    shown = ana.sends("poll")["parts"]["worker"]
    assert 'data-device="cuda:0" aria-pressed="true">Small card (cuda:0)' in shown
    assert 'data-device="cpu" aria-pressed="false">Processor<' in shown

    shown = ana.sends("device", device="cpu")["parts"]["worker"]

    assert 'data-device="cpu" aria-pressed="true">' in shown
    assert lab.home.read_chosen_device() == "cpu"
    with pytest.raises(LearnerError, match="no device cuda:1"):
        ana.sends("device", device="cuda:1")


def test_beside_several_cards_the_way_to_use_all_of_them_is_named(
    ana: Visitor[LabPage | GridPage], lab: Lab
) -> None:
    cards = [{"id": f"cuda:{number}", "name": "Card"} for number in range(2)]
    device = {**run_builders.DEVICE, "type": "cuda", "id": "cuda:0"}
    for used in (1, 2):
        devices = [*cards[:used], {"id": "cpu", "name": "Processor"}]
        lab.home.write_worker_state(state="ready", device={**device, "devices": devices})
        assert ("/docs/guide/several-machines.md" in ana.sends("poll")["parts"]["worker"]) == (used > 1)


def test_a_worker_that_did_not_start_is_started_again(
    ana: Visitor[LabPage | GridPage], lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.home.write_worker_state(state="no-model", text="The disk is full.", do_next="Free some space.")
    assert 'data-act="retry-model"' in ana.sends("poll")["parts"]["worker"]
    started = []
    monkeypatch.setattr(lab.engine, "retry_model", lambda: started.append(True))
    assert ana.sends("retry-model")["say"] == "Trying again."
    assert started == [True]


def test_a_worker_that_starts_after_a_run_is_shown_only_when_something_waits_for_it(
    ana: Visitor[LabPage | GridPage], lab: Lab
) -> None:
    lab.home.write_worker_state(state="ready", device=run_builders.DEVICE)
    ready = ana.sends("poll")["parts"]["worker"]
    for doing in ("Starting the training worker", "Loading the model", "Warming up"):
        lab.home.write_worker_state(state="preparing", text=doing)
        assert "".join(ana.sends("poll")["parts"]["worker"].split()) == "".join(ready.split())
    lab.home.write_worker_state(state="preparing", text="Downloading", done_bytes=1, total_bytes=10**7)
    assert "Downloading" in part(ana.sends("poll"), "worker")

    lab.engine.submit(LIGHT, lab.uploads.find(LIGHT.data), now=run_builders.NOW)

    lab.home.write_worker_state(state="preparing", text="Warming up")
    assert "Warming up …" in part(ana.sends("poll"), "worker")


def test_costs_for_another_device_are_computed_anew(ana: Visitor[LabPage | GridPage], lab: Lab) -> None:
    device = {**run_builders.DEVICE, "type": "cuda", "id": "cuda:0"}
    lab.home.write_worker_state(state="ready", device=device | {"name": "Small card"})
    fields = dict(grid_fields(tiny_grid()) if isinstance(ana.page, GridPage) else fields_of(LIGHT))
    costs = ana.sends("change", fields=fields)["parts"]["cost"]
    fields |= {"machine": re.findall('name="machine" value="([^"]*)"', costs)}
    assert fields["machine"] == ["cuda:0 Small card"]
    assert ana.sends("poll", fields=fields).get("then") != "change"

    lab.home.write_worker_state(state="ready", device=device | {"name": "Large card"})

    assert ana.sends("poll", fields=fields)["then"] == "change"
