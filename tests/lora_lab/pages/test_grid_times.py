"""What the Grid page says before a grid starts and while it runs: its time, and what is exact already."""

import re
from dataclasses import replace

import pytest

from lora_lab.grids.reference_paces import read_reference
from lora_lab.lab import Lab
from lora_lab.pages.grid import GridPage
from lora_lab.parameters.shapes import find_shape
from lora_lab.settings.grid import parse_grid
from lora_lab.settings.grid_form import read_grid_presets
from lora_lab.views.sweep_view import describe_exact_counts
from study.ports.context import Context
from tests.lora_lab.pages.grid_visits import TickForm, Visitor, fields_of
from tests.lora_lab.pages.lab_visits import part
from tests.lora_lab.sweep_builders import finished_sweep, runs_of, tiny_grid
from tests.visits import words


@pytest.fixture
def ana(context: Context, lab: Lab) -> Visitor:
    """A learner's browser."""
    return Visitor(GridPage(context, lab))


def test_every_preset_says_its_time_or_what_will_tell_it(ana: Visitor, context: Context) -> None:
    chips = re.compile(r'<a class="chip" href="/grid\?preset=([^"]+)".*?<span class="badge">(.*?)</span>')
    tells = "While the grid runs, the first cell in each format gives this machine's own time."
    html = ana.opens("/grid")
    said = dict(chips.findall(html))
    assert said.keys() == {preset.id for preset in read_grid_presets()}
    assert all(re.fullmatch(r"about \d+ (s|min|h) †", time) for time in said.values()), said
    reference = read_reference()
    measured = f"On one core of another machine ({reference.compute_dtype}, {reference.date})"
    assert measured in words(html)
    assert tells in words(html)
    finished_sweep(context.settings, parse_grid(read_grid_presets()[0].grid.base, {"ranks": "8"}))
    html = ana.opens("/grid?preset=what-do-bits-cost")
    said = dict(chips.findall(html))
    assert re.fullmatch(r"about \d+ (s|min)", said["first"])
    assert re.fullmatch(r"about \d+ (s|min|h) †", said["what-do-bits-cost"])
    assert tells in words(html)
    cost = words(html)
    assert "not known yet for 12 of the cells: no similar run has finished on this machine in " in cost
    [formats] = re.findall(r"similar run has finished on this machine in ([\w, -]+)\.", cost)
    assert set(formats.split(", ")) == {"nf4", "fp4", "int8", "bf16"}
    assert f"The first cell in each of {formats} gives its estimate while the grid runs" in cost


def test_processor_times_of_another_machine_say_nothing_of_a_gpu(ana: Visitor, lab: Lab) -> None:
    lab.home.write_worker_state(state="ready", device={"type": "cuda", "name": "a GPU"})
    html = ana.opens("/grid?preset=instant")
    assert "one core" not in html
    assert "4 cells, no time yet" in html
    assert "this machine has not finished runs like all of these cells" in words(html)


def test_time_comes_from_runs_that_have_finished_here(ana: Visitor, context: Context) -> None:
    finished_sweep(context.settings)
    assert re.search(r"about \d+ s , by what similar runs took here", part(ana.sends("change"), "cost"))


def test_the_time_is_told_as_soon_as_a_similar_run_has_ended(ana: Visitor, context: Context) -> None:
    html = ana.opens("/grid?preset=instant")
    assert "not known yet" in html
    unpaced = {"paces": TickForm(html).values["paces"]}
    assert ana.sends("poll", fields=fields_of(tiny_grid()) | unpaced).get("then") != "change"
    finished_sweep(context.settings)
    assert ana.sends("poll", fields=fields_of(tiny_grid()) | unpaced)["then"] == "change"


def test_two_hundred_cells_are_estimated_as_fast_as_one_types(ana: Visitor) -> None:
    """Not timed here (benchmarks/pages.py is): every cell is in the answer."""
    grid = tiny_grid(ranks=[1, 2, 4, 8, 16], bits=["nf4", "nf4-dq", "int8", "bf16"], seeds=list(range(10)))
    assert "200 cells" in part(ana.sends("change", grid), "cost")


def test_what_is_exact_is_said_before_the_first_cell_has_ended(ana: Visitor) -> None:
    reply = ana.sends("start", read_grid_presets()[0].grid)
    said = words(reply["parts"]["sweep-findings"])
    assert "r=32 trains 16 times as many parameters as r=2, 9,768,960 against 610,560" in said


def test_what_is_exact_is_said_of_the_variant_that_is_trained() -> None:
    grid, shape = read_grid_presets()[0].grid, find_shape("smollm2-135m")
    dora = replace(grid, variants=("dora",))
    assert "r=32 trains 13 times as many parameters as r=2, 9,924,480" in describe_exact_counts(dora, shape)
    assert describe_exact_counts(replace(grid, variants=("lora", "dora")), shape) == ""


def test_the_time_is_said_first(ana: Visitor) -> None:
    cost = words(ana.sends("change", read_grid_presets()[0].grid)["parts"]["cost"])
    assert cost.startswith("Time")
    assert "The first cell runs alone and gives it" in cost
    assert "First comes r=2 in nf4-dq: its peak memory is measured from its first step on" in cost


def test_what_comes_first_is_said_until_a_cell_is_measured(ana: Visitor, context: Context, lab: Lab) -> None:
    ana.opens("/grid")
    assert "First comes r=2 in bf16: its peak" in part(ana.sends("start"), "sweep-findings")
    ana.sends("move", run=runs_of(context.settings, lab.sweep(ana.asked["sweep"]))[1].run_id, by="up")
    assert "First comes" not in part(ana.sends("poll"), "sweep-findings")
