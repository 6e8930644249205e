"""What a held-out loss can't say: too few examples, and rows that were learnt by heart."""

from dataclasses import replace
from pathlib import Path

import pytest

from lora_lab.data.datasets import Example, split_examples
from lora_lab.lab import Lab
from lora_lab.predictions.run_predictions import Predictions
from lora_lab.runs.folder import RunFolder, create_run
from lora_lab.runs.state import RunState
from lora_lab.spec import TINY_MODEL, RunSpec
from lora_lab.views.held_out import FEW_EXAMPLES, did_harm, say_by_heart, say_too_few, trains_on_same_rows
from lora_lab.views.outcome import describe_outcome
from lora_lab.views.run_panel import RunPanel
from study.ports.context import Context, find_visit
from tests.lora_lab import run_builders
from tests.visits import words

OWN = RunSpec(steps=10, batch=4, data="e74047659319")


def own_run(
    folder: Path, losses: tuple[float, float], *, rows: int = 4, last: float = 0.006, spec: RunSpec = OWN
) -> RunFolder:
    """A run on a learner's five lines, whose training loss ends at `last`."""
    lines = [Example(prompt=f"What is {number}?", answer=str(number)) for number in range(5)]
    data = replace(split_examples(lines, label="facts.csv"), digest=spec.data)
    run = create_run(folder, spec, data, now=run_builders.NOW)
    run.emit("queued")
    run_builders.emit_started(run, train_examples=rows)
    for number, loss in enumerate((4.0, 1.0, last, last, last), start=1):
        run_builders.emit_step(run, number, loss=loss, live_bytes=700_000, peak_bytes=990_000)
    run.emit("evaluated", loss_before=losses[0], loss_after=losses[1], examples=1)
    run.emit("finished", step=5)
    return run


def sentence_of(run: RunFolder) -> str:
    outcome = describe_outcome(run.spec, run.state(), [])
    assert outcome is not None
    return outcome.sentence


def test_one_held_out_example_is_too_few_to_conclude(tmp_path: Path) -> None:
    said = sentence_of(own_run(tmp_path, (4.02, 3.95)))
    assert "the next word of the answer of your held-out example a little better" in said
    assert said.endswith("4 rows to train on, 1 held out: too few to conclude.")


@pytest.mark.parametrize(("held_out", "few"), [(1, True), (FEW_EXAMPLES - 1, True), (FEW_EXAMPLES, False)])
def test_few_held_out_examples_are_said_to_be_few(held_out: int, few: bool) -> None:
    assert bool(say_too_few(RunState(held_out_examples=held_out))) is few
    assert say_too_few(RunState()) == ""


@pytest.mark.parametrize(
    ("losses", "last", "said"),
    [
        ((3.5, 3.95), 0.006, "the training loss fell to 0.006, while the held-out loss rose, 3.50 → 3.95."),
        ((4.02, 3.95), 0.006, "while the held-out loss hardly changed, 4.02 → 3.95."),
        ((4.4, 2.0), 0.006, ""),
        ((3.5, 3.95), 2.5, ""),
        ((3.5, float("nan")), 0.006, ""),
    ],
)
def test_rows_learnt_by_heart_are_called_that(
    tmp_path: Path, losses: tuple[float, float], last: float, said: str
) -> None:
    found = say_by_heart(own_run(tmp_path, losses, last=last).state())
    assert found == (f"The rows were learnt by heart: {found.partition(': ')[2]}" if said else "")
    assert said in found
    assert say_by_heart(RunState(loss_before=3.5, loss_after=3.95)) == ""


@pytest.mark.parametrize(
    ("rows", "batch", "same"), [(4, 4, True), (2, 4, True), (6, 4, False), (3, 4, False)]
)
def test_every_step_is_on_the_same_rows_when_the_batch_holds_all_of_them_equally_often(
    tmp_path: Path, rows: int, batch: int, same: bool
) -> None:
    run = own_run(tmp_path, (4.0, 3.9), rows=rows)
    assert trains_on_same_rows(replace(OWN, batch=batch), run.state()) is same
    assert trains_on_same_rows(OWN, RunState()) is False


def test_the_panel_says_which_rows_a_step_is_on_and_of_which_file(context: Context, lab: Lab) -> None:
    panel = RunPanel(lab, Predictions(context=context, lab=lab, ask_for_cards=lambda *_, **__: 0))
    visit = find_visit(context, browser_id="b1", query={})
    few = panel.render_parts(own_run(lab.settings.runs_dir, (4.02, 3.95)), visit, narrow=False)
    assert "Each step trains on the same 4 examples" in words(few["run-curves"])
    assert "jumps because" not in words(few["run-curves"])
    assert "4.02 → 3.95 on 1 example that was not trained on." in words(few["run-outcome"])
    assert "facts.csv: 4 examples to train on, 1 held out" in words(few["run-results"])
    cards = panel.render_parts(run_builders.finished(lab.settings.runs_dir), visit, narrow=False)
    assert "jumps because each step trains on different examples" in words(cards["run-curves"])
    assert "on 20 examples that were not trained on." in words(cards["run-outcome"])


@pytest.mark.parametrize(
    ("before", "after", "examples", "harm"),
    [
        (4.55, 10.8, 20, True),
        (4.0, 4.3, 20, True),
        (4.0, 4.1, 20, False),
        (4.0, 3.0, 20, False),
        (4.0, float("nan"), 20, True),
        (3.5, 3.95, 1, False),
        (3.5, 10.8, 1, True),
    ],
)
def test_a_held_out_loss_that_ends_clearly_above_the_base_models_is_harm(
    before: float, after: float, examples: int, harm: bool
) -> None:
    state = RunState(loss_before=before, loss_after=after, held_out_examples=examples)
    assert did_harm(RunSpec(), state) is harm
    assert did_harm(RunSpec(model=TINY_MODEL), state) is False
    assert did_harm(RunSpec(), RunState(loss_before=before)) is False


def test_a_run_that_did_harm_is_not_praised(context: Context, lab: Lab) -> None:
    panel = RunPanel(lab, Predictions(context=context, lab=lab, ask_for_cards=lambda *_, **__: 0))
    visit = find_visit(context, browser_id="b1", query={})
    run = run_builders.training(lab.settings.runs_dir, RunSpec(steps=5, learning_rate=50), steps=5)
    run.emit("evaluated", loss_before=4.55, loss_after=10.8, examples=20)
    run.emit("finished", step=5)
    parts = panel.render_parts(run, visit, narrow=False)
    assert "status-finished" not in parts["run-head"]
    assert "Finished: training did harm" in words(parts["run-head"])
    assert "jumps" not in words(parts["run-curves"])
    assert "look at the held-out loss" in words(parts["run-curves"])
    assert "the loss of guessing, 10.80 = ln 49,152" in words(parts["run-outcome"])
    assert "Now a learning rate of 0.002, same seed" in words(parts["run-outcome"])
