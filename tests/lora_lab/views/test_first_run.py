"""The introduction's first run: shared by the learners of a server, and shown beside each one's guess."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from lora_lab.data.batches import Length, compute_row_sizes
from lora_lab.data.datasets import build_own_dataset
from lora_lab.figures.adapters.whole_model import (
    GlanceSettings,
    WholeSettings,
    build_glance_figure,
    build_whole_figure,
)
from lora_lab.lab import Lab
from lora_lab.pages.train_parts import SettingParts
from lora_lab.predictions.run_predictions import Predictions
from lora_lab.runs.folder import RunFolder
from lora_lab.settings.run_form import read_presets
from lora_lab.views.first_run import RUN_SECONDS, FirstRun, predict_step
from lora_lab.views.run_panel import render_last_run
from study.base.errors import LearnerError
from study.base.units import as_duration
from study.ports.context import Context, Visit, find_visit
from tests.lora_lab import run_builders
from tests.visits import words

YEARS = 10**8  # seconds: later than any run that is started here
GUESS = {"course": "falls", "guess_mb": "500"}


@pytest.fixture
def first_run(context: Context, lab: Lab) -> FirstRun:
    def ask_for_nothing(*_: Any, **__: Any) -> int:
        return 0

    return FirstRun(lab, Predictions(context=context, lab=lab, ask_for_cards=ask_for_nothing))


@pytest.fixture
def visit(context: Context) -> Visit:
    return find_visit(context, browser_id="b1", query={})


def end(run: RunFolder, *, after: float) -> None:
    run_builders.train(run, steps=3)
    run.emit("saved", step=3)
    run.emit("evaluated", loss_before=4.4, loss_after=after, examples=20)
    run.emit("finished", step=3)


def test_a_first_run_that_a_paused_queue_holds_back_leads_to_the_button(
    first_run: FirstRun, visit: Visit
) -> None:
    begun = first_run.start(visit, anew=True, guess=GUESS)
    assert "The training process is getting ready …" in words(first_run.show(visit, begun).html)
    second = first_run.start(visit, anew=True, guess=GUESS)
    assert "Waiting for the run before it." in words(first_run.show(visit, second).html)
    first_run.lab.engine.pause()
    shown = first_run.show(visit, begun).html
    assert "The queue of runs is paused. Let it go on in the Lab ." in words(shown)
    assert f"run={begun}" in shown
    first_run.lab.engine.resume()
    assert "The training process is getting ready …" in words(first_run.show(visit, begun).html)


def test_a_first_run_is_shown_to_the_next_learner_unless_somebody_has_stopped_it(
    first_run: FirstRun, visit: Visit
) -> None:
    begun = first_run.start(visit, anew=False, guess=GUESS)
    assert first_run.start(visit, anew=False, guess=GUESS) == begun
    first_run.lab.engine.stop(begun)
    assert first_run.start(visit, anew=False, guess=GUESS) != begun


def test_the_guess_is_kept_with_the_run_and_judged_when_it_has_ended(
    first_run: FirstRun, visit: Visit, context: Context
) -> None:
    with pytest.raises(LearnerError, match="Peak memory must be a number above 0"):
        first_run.start(visit, anew=True, guess=GUESS | {"guess_mb": "much"})
    assert first_run.lab.runs() == []
    begun = first_run.start(visit, anew=True, guess=GUESS)
    view = first_run.show(visit, begun)
    assert (view.guessed, view.guessed_peak, view.peak) == ("falls", "500 MB", "")
    end(first_run.lab.run(begun), after=3.5)
    view = first_run.show(visit, begun)
    assert (view.outcome, view.guessed) == ("falls", "falls")
    assert view.peak
    assert context.store.predictions.find_by_run(visit.profile.id, begun)
    judged = context.store.predictions.judged(visit.profile.id)
    assert [each.correct for each in judged if each.quantity == "course"] == [True]


def test_after_the_last_step_it_says_what_is_measured_and_can_be_stopped(
    first_run: FirstRun, visit: Visit
) -> None:
    begun = first_run.start(visit, anew=True, guess=GUESS)
    run = first_run.lab.run(begun)
    run_builders.train(run, steps=run.spec.steps)
    run.emit("status", text="Measuring the held-out loss with the adapter: 8 of 55 examples")
    said = words(first_run.show(visit, begun).html)
    assert (
        "All 10 steps are done. Measuring the loss on unseen pairs with the adapter: 8 of 55 pairs …" in said
    )
    assert "Stop the run" in said
    assert "The line jumps because each step trains on a different set of 4 pairs" in said
    assert "the two orange dots" not in said
    run.emit("evaluated", loss_before=4.4, loss_after=3.5, examples=55)
    view = first_run.show(visit, begun)
    assert (view.ended, view.outcome) == (False, "falls")
    assert view.peak
    assert "training loss 2.75 unseen, before 4.40 unseen, after 3.50" in words(view.html)
    assert "compare the two orange dots: the loss on the same unseen pairs, before and after." in words(
        view.html
    )
    first_run.stop(begun)
    assert run.state().status == "stopped"


def test_a_learners_own_run_keeps_to_a_time_and_a_shared_one_does_all_its_steps(
    first_run: FirstRun, visit: Visit
) -> None:
    own = first_run.lab.run(first_run.start(visit, anew=True, guess=GUESS))
    assert own.within_seconds == first_run.keeps_to == RUN_SECONDS
    shared = replace(first_run.predictions.context, shared=True)
    others = replace(first_run, predictions=replace(first_run.predictions, context=shared))
    assert others.keeps_to == 0
    assert others.lab.run(others.start(visit, anew=True, guess=GUESS)).within_seconds == 0


def test_a_run_that_ended_for_its_time_says_what_it_did(first_run: FirstRun, visit: Visit) -> None:
    run = first_run.lab.run(first_run.start(visit, anew=True, guess=GUESS))
    run_builders.train(run, steps=6)
    run.emit("saved", step=6)
    run.emit("status", text="Measuring the held-out loss of both models: 8 of 56 examples")
    said = words(first_run.show(visit, run.run_id).html)
    assert "6 steps are done. Measuring the loss on unseen pairs of both models: 8 of 56 pairs …" in said
    run.emit("evaluated", loss_before=4.4, loss_after=3.5, examples=24)
    run.emit("stopped", step=6, what="To end within about 20 seconds, it measured 24 of 56 unseen examples.")
    view = first_run.show(visit, run.run_id)
    said = words(view.html)
    assert "Ended after 6 steps. To end within about 20 seconds, it measured 24 of 56 unseen pairs." in said
    assert "answers before and after" not in said
    assert (view.steps, view.pairs, view.outcome) == (6, 24, "falls")
    assert view.missed_peak == ""


def test_a_run_that_ended_before_its_longest_pairs_says_what_they_were_computed_to_need(
    first_run: FirstRun, visit: Visit
) -> None:
    run = first_run.lab.run(first_run.start(visit, anew=True, guess=GUESS))
    run_builders.emit_started(
        run, row={"lengths": [30] * 4, "answer_tokens": 12}, predicted_bytes=369_000_000
    )
    run_builders.emit_step(run, 1, tokens=100, live_bytes=700_000, peak_bytes=338_000_000)
    run.emit("evaluated", loss_before=4.4, loss_after=3.5, examples=24)
    assert first_run.show(visit, run.run_id).missed_peak == ""
    run.emit("stopped", step=1, what="")
    view = first_run.show(visit, run.run_id)
    assert (view.peak, view.missed_peak) == ("338 MB", "369 MB")


def test_learners_who_share_a_server_cannot_stop_each_others_first_run(
    first_run: FirstRun, visit: Visit
) -> None:
    begun = first_run.start(visit, anew=False, guess=GUESS)
    shared = replace(first_run.predictions.context, shared=True)
    others = replace(first_run, predictions=replace(first_run.predictions, context=shared))
    assert "Stop the run" not in others.show(visit, begun).html
    with pytest.raises(LearnerError, match="share this run"):
        others.stop(begun)


def test_today_prefers_the_learners_own_run_and_says_the_guess_and_the_next_step(
    first_run: FirstRun, visit: Visit
) -> None:
    lab, guesses = first_run.lab, first_run.predictions
    assert render_last_run(lab, guesses, visit) is None
    begun = first_run.start(visit, anew=True, guess=GUESS)
    end(first_run.lab.run(begun), after=3.5)
    other = replace(run_builders.TINY, rank=2)
    run_builders.finished(lab.settings.runs_dir, other, after_seconds=YEARS)
    own = render_last_run(lab, guesses, visit)
    assert own is not None
    assert own.is_own
    line = words(own.html)
    assert "held-out loss 4.40 → 3.50" in line
    assert "you predicted a held-out loss that falls, a peak of 500 MB" in line
    assert "a peak of 500 MB. " in line
    assert "what do you expect?" in line
    stranger = find_visit(guesses.context, browser_id="b2", query={})
    others = render_last_run(lab, guesses, stranger)
    assert others is not None
    assert not others.is_own
    assert "r=2" in others.html
    assert "predicted" not in others.html


def test_a_step_is_called_a_first_estimate_until_a_worker_has_counted_tokens_and_seen_the_machine(
    lab: Lab,
) -> None:
    glance = build_glance_figure(partial(predict_step, lab))
    first = glance.show(GlanceSettings(rank=8))
    assert first.finding.endswith(
        "A first estimate, until the training worker has counted the tokens of its examples and looked at "
        "this machine."
    )
    cards = build_own_dataset()
    lab.home.save_lengths(
        "smollm2-135m", cards.digest, [Length(tokens=60, answer_tokens=20)] * len(cards.train)
    )
    counted = glance.show(GlanceSettings(rank=8))
    assert counted.finding.endswith("A first estimate, until the training worker has looked at this machine.")
    assert dict(counted.numbers)["memory"] != dict(first.numbers)["memory"]
    lab.home.write_worker_state(state="ready", text="", device={"name": "CPU", "compute_dtype": "bf16"})
    final = glance.show(GlanceSettings(rank=8))
    assert "estimate" not in final.finding
    assert final.numbers == counted.numbers
    whole = build_whole_figure(partial(predict_step, lab)).show(WholeSettings(rank=8))
    assert dict(whole.numbers)["peak of a step"] == dict(final.numbers)["memory"]


def test_the_estimated_time_is_that_of_the_tokens_of_all_steps_as_on_the_lab_page(
    first_run: FirstRun,
) -> None:
    lab, spec = first_run.lab, read_presets()[0].spec
    assert first_run.describe_duration() == ""
    run_builders.finished(lab.settings.runs_dir, spec)  # 3 steps of 40 tokens, half a second each
    lengths = [Length(tokens=20 + number, answer_tokens=10) for number in range(100)]
    lab.home.save_lengths(spec.model, build_own_dataset().digest, lengths)
    trained_tokens = sum(row.tokens for row in compute_row_sizes(lengths, spec))
    expected = as_duration(trained_tokens / 80)
    assert first_run.describe_duration() == expected
    parts = SettingParts(lab, first_run.predictions).render_cost_sheet(spec, browser_id="")
    assert f"About {expected} of training, from the last runs on this machine" in words(parts["notes"])
