"""The run panel's rendered parts, kept for several polls that ask at the same time."""

from collections import OrderedDict
from typing import Any

import pytest

from lora_lab.lab import Lab
from lora_lab.predictions.run_predictions import Predictions
from lora_lab.views import run_panel
from study.ports.context import Context, find_visit
from tests.lora_lab import run_builders
from tests.lora_lab.sweep_builders import finished_sweep, runs_of


class DropsOldest(OrderedDict[Any, Any]):
    """What another poll does between two steps of this one while it is full: it drops the oldest parts."""

    is_full = False

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        if self.is_full:
            self.popitem(last=False)


def test_a_poll_answers_while_another_one_drops_the_oldest_parts(
    context: Context, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_panel, "OrderedDict", DropsOldest)
    guesses = Predictions(context=context, lab=lab, ask_for_cards=lambda *_, **__: 0)
    panel = run_panel.RunPanel(lab, guesses)
    visit = find_visit(context, browser_id="b1", query={})
    run = run_builders.training(lab.settings.runs_dir)
    panel.render_parts(run, visit, narrow=False)
    monkeypatch.setattr(DropsOldest, "is_full", True)
    run_builders.emit_step(run, 4)
    assert 'aria-valuenow="4"' in panel.render_parts(run, visit, narrow=False)["run-head"]


def test_a_cell_of_a_grid_leads_back_to_it(context: Context, lab: Lab) -> None:
    guesses = Predictions(context=context, lab=lab, ask_for_cards=lambda *_, **__: 0)
    panel = run_panel.RunPanel(lab, guesses)
    visit = find_visit(context, browser_id="b1", query={})
    sweep = finished_sweep(lab.settings)
    cell = runs_of(lab.settings, sweep)[0]
    shown = "".join(panel.render_parts(cell, visit, narrow=False).values())
    assert f'<a href="/grid?sweep={sweep.sweep_id}#sweep">Back to its grid</a>' in shown
    alone = run_builders.finished(lab.settings.runs_dir)
    assert "Back to its grid" not in "".join(panel.render_parts(alone, visit, narrow=False).values())


def test_a_tiny_learning_rate_is_written_as_in_a_text(context: Context, lab: Lab) -> None:
    guesses = Predictions(context=context, lab=lab, ask_for_cards=lambda *_, **__: 0)
    panel = run_panel.RunPanel(lab, guesses)
    visit = find_visit(context, browser_id="b1", query={})
    run = run_builders.training(lab.settings.runs_dir)
    run_builders.emit_step(run, 4, learning_rate=1.47e-5)
    assert "<dd>1.47·10⁻⁵</dd>" in panel.render_parts(run, visit, narrow=False)["run-figures"]
