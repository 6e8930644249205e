"""Predict, observe, explain on the Lab page: figures hidden, guess kept, cards due before it shows."""

from dataclasses import dataclass, field, replace

import pytest

import lora_lab.quantities  # noqa: F401 - registers what the cards of a wrong guess check
from lora_lab.lab import Lab
from lora_lab.pages.train import LabPage
from lora_lab.runs.folder import RunFolder
from lora_lab.spec import RunSpec
from study.base.errors import LearnerError
from study.ports.context import Context, Visit
from study.web.frame import Reply
from tests.exercises import build_card_exercise
from tests.lora_lab import run_builders
from tests.lora_lab.pages.lab_visits import LIGHT, Form, Visitor, fields_of
from tests.visits import words

TRAINABLE = "16,384"  # of tiny-random at rank 8


@dataclass
class RequestedCards:
    """Who is asked for cards, and for which."""

    asked: list[tuple[tuple[str, ...], str]] = field(default_factory=list)

    def ask_for(self, visit: Visit, concepts: tuple[str, ...], *, because: str) -> int:
        self.asked.append((concepts, because))
        return 1


@pytest.fixture
def requested() -> RequestedCards:
    return RequestedCards()


@pytest.fixture
def learner(context: Context, lab: Lab, requested: RequestedCards) -> Visitor:
    return Visitor(LabPage(context, lab, ask_for_cards=requested.ask_for))


def guessing(learner: Visitor, **guessed: str) -> Reply:
    return learner.sends("commit", fields=fields_of(LIGHT, predicting="yes", **guessed))


def kept_id(reply: Reply) -> str:
    return kept_id_in(reply["parts"]["notes"])


def kept_id_in(notes: str) -> str:
    return Form(notes).values["prediction"][0]


def predicted_run(learner: Visitor, lab: Lab, **guessed: str) -> RunFolder:
    """Started after a guess was kept."""
    kept = kept_id(guessing(learner, **guessed))
    learner.sends("start", fields=fields_of(LIGHT, prediction=kept))
    return lab.runs()[0]


def end(run: RunFolder) -> None:
    """As a worker would."""
    run_builders.train(run)
    run.emit("evaluated", loss_before=5.5, loss_after=2.25, examples=20)
    run.emit("finished", step=3)


# ---- hidden until the guess is kept


def test_figures_and_plots_are_hidden_while_one_guesses(learner: Visitor) -> None:
    assert TRAINABLE in words(learner.opens("/lab?preset=instant"))
    hidden = learner.sends("predict")["parts"]
    assert TRAINABLE not in hidden["cost"]
    assert "<svg" not in hidden["plots"]
    form = fields_of(replace(LIGHT, rank=16), predicting="yes")
    changed = learner.sends("change", fields=form)
    assert "parts" not in changed  # what is typed there stays
    assert "rank=16" in changed["url"]
    parts = learner.sends("draw", fields=form)["parts"]
    assert "32,768" not in " ".join(parts.values())
    assert "<figure" not in parts["plots"]


def test_a_kept_guess_brings_the_figures_back_beside_it(learner: Visitor) -> None:
    parts = guessing(learner, guess_percent="2.5", guess_mb="40")["parts"]
    shown = words(parts["cost"] + parts["notes"])
    assert "Your guess is kept: 2.50 % trainable, a peak of 40.0 MB." in shown
    assert TRAINABLE in shown


def test_figures_can_be_shown_without_a_guess(learner: Visitor) -> None:
    shown = learner.sends("unpredict", fields=fields_of(LIGHT, predicting="yes"))["parts"]["cost"]
    assert TRAINABLE in words(shown)
    assert "Your guess is kept" not in shown


def test_an_empty_or_unreadable_guess_is_said_and_nothing_is_shown(learner: Visitor) -> None:
    with pytest.raises(LearnerError, match="Nothing is guessed yet"):
        guessing(learner)
    with pytest.raises(LearnerError, match="at most 100, got '200'"):
        guessing(learner, guess_percent="200")


def test_a_guess_is_about_its_setting_only(learner: Visitor) -> None:
    kept = kept_id(guessing(learner, guess_percent="2"))
    same = learner.sends("change", fields=fields_of(LIGHT, prediction=kept))["parts"]["notes"]
    changed = fields_of(replace(LIGHT, rank=2), prediction=kept)
    other = learner.sends("change", fields=changed)["parts"]["notes"]
    assert "Your guess is kept" in same
    assert "Your guess is kept" not in other


def test_a_guess_about_another_setting_says_so_and_counts_again_when_that_is_set_again(
    learner: Visitor, lab: Lab
) -> None:
    kept = kept_id(guessing(learner, guess_percent="2"))
    elsewhere = replace(LIGHT, steps=LIGHT.steps + 1, rank=LIGHT.rank + 1)
    moved = learner.sends("change", fields=fields_of(elsewhere, prediction=kept))["parts"]["notes"]
    assert f"Your guess (2.00 % trainable) was for rank {LIGHT.rank}, " in words(moved)
    assert f"steps {LIGHT.steps}. Set them again, or predict anew" in words(moved)
    assert "Predict first" in words(moved)
    back = learner.sends("change", fields=fields_of(LIGHT, prediction=kept_id_in(moved)))["parts"]["notes"]
    assert "Your guess is kept" in words(back)
    learner.sends("start", fields=fields_of(elsewhere, prediction=kept))
    assert "Your prediction" not in words(learner.opens(f"/lab?run={lab.runs()[0].run_id}"))
    after = learner.sends("start", fields=fields_of(LIGHT, prediction=kept))
    assert "Your guess" not in words(after["parts"]["notes"])


def test_earlier_runs_of_the_model_on_the_same_data_can_be_guessed_against(
    learner: Visitor, lab: Lab
) -> None:
    run_builders.finished(lab.settings.runs_dir, replace(LIGHT, model="smollm2-135m"))
    assert "lower held-out loss" not in learner.sends("predict")["parts"]["cost"]
    rival = run_builders.finished(lab.settings.runs_dir, replace(LIGHT, rank=2))
    run_builders.training(lab.settings.runs_dir, replace(LIGHT, rank=3), after_seconds=1)
    form = learner.sends("predict")["parts"]["cost"]
    assert Form(form).values["rival"] == [rival.run_id]
    assert (
        f">r=2 nf4-dq on tiny-random · 3 of 20 steps · lr 0.002 · seed 0 · {rival.started_at}</option>"
        in form
    )
    with pytest.raises(LearnerError, match="trained on other data"):
        guessing(learner, lower="this", rival=lab.runs()[0].run_id)


# ---- judged once the run has ended


def test_right_guesses_are_told_with_the_reason_and_no_cards(
    learner: Visitor, lab: Lab, requested: RequestedCards
) -> None:
    run = predicted_run(learner, lab, guess_percent="4.5", guess_mb="1")
    assert "The result will appear here when the run has ended" in words(
        learner.opens(f"/lab?run={run.run_id}")
    )
    end(run)
    shown = words(learner.opens(f"/lab?run={run.run_id}"))
    assert (
        "✓ Right. Percent trainable. Your guess: 4.50 %. Result: 4.48 %. Rank 8 gives the adapters 448"
        in shown
    )
    assert "✓ Right. Peak memory. Your guess: 1.00 MB. Result: 990 kB." in shown
    assert requested.asked == []


def test_a_wrong_guess_asks_for_its_cards_once(learner: Visitor, lab: Lab, requested: RequestedCards) -> None:
    run = predicted_run(learner, lab, guess_percent="50", guess_mb="1")
    end(run)
    html = learner.opens(f"/lab?run={run.run_id}")
    assert "✗ Not quite. Percent trainable. Your guess: 50.0 %. Result: 4.48 %." in words(html)
    assert 'href="/concept?id=counting-parameters"' in html
    assert requested.asked == [(("counting-parameters", "lora-rank"), "prediction-percent")]
    learner.opens(f"/lab?run={run.run_id}")
    assert len(requested.asked) == 1


def test_the_verdict_is_on_disk_before_it_is_shown(context: Context, learner: Visitor, lab: Lab) -> None:
    """Also when another run is looked at, and when the page is not opened anew but polls."""
    run = predicted_run(learner, lab, guess_percent="50")
    other = run_builders.finished(lab.settings.runs_dir, after_seconds=-60)
    learner.opens(f"/lab?run={other.run_id}")
    end(run)
    learner.sends("poll", fields=fields_of(LIGHT, drawn=other.run_id))
    ana = context.store.profiles.open_for_browser("browser-of-ana", now=context.clock())
    prediction = context.store.predictions.find_by_run(ana.id, run.run_id)
    assert prediction is not None
    assert context.store.predictions.verdicts(prediction.id) == {"percent": False}


def test_the_cards_of_a_wrong_guess_are_due(context: Context, lab: Lab) -> None:
    cards = build_card_exercise(context)
    learner = Visitor(LabPage(context, lab, ask_for_cards=cards.ask_for))
    run = predicted_run(learner, lab, guess_percent="50")
    end(run)
    ana = context.store.profiles.open_for_browser("browser-of-ana", now=context.clock())
    assert cards.reviews.count_due(ana.id, now=context.clock()).due == 0
    learner.opens(f"/lab?run={run.run_id}")
    requested = context.store.cards.requests(ana.id)
    assert requested
    for card_id in requested:
        assert {"counting-parameters", "lora-rank"} & set(cards.subjects[card_id])


def test_which_run_ends_lower_is_judged_against_the_earlier_one(
    learner: Visitor, lab: Lab, requested: RequestedCards
) -> None:
    rival = run_builders.finished(lab.settings.runs_dir, replace(LIGHT, rank=2), after_seconds=-60)
    run = predicted_run(learner, lab, lower="that", rival=rival.run_id)
    run_builders.train(run)
    run.emit("evaluated", loss_before=5.5, loss_after=1.5, examples=20)
    run.emit("finished", step=3)
    shown = words(learner.opens(f"/lab?run={run.run_id}"))
    assert "Your guess: the earlier run. Result: this run (1.50 here, 2.25 there)." in shown
    assert "They differ in: rank 8 here, 2 there" in shown
    assert [because for _, because in requested.asked] == ["prediction-lower"]


def test_a_guess_that_was_typed_but_not_kept_counts_when_start_is_pressed(learner: Visitor, lab: Lab) -> None:
    learner.sends("start", fields=fields_of(LIGHT, predicting="yes", guess_percent="50"))
    end(lab.runs()[0])
    assert "Your guess: 50.0 %" in words(learner.opens("/lab"))


def test_a_start_without_a_guess_keeps_none(context: Context, learner: Visitor, lab: Lab) -> None:
    learner.sends("start", fields=fields_of(LIGHT, predicting="yes"))
    end(lab.runs()[0])
    assert "Your prediction" not in words(learner.opens("/lab"))


def test_a_learner_sees_only_their_own_prediction(context: Context, learner: Visitor, lab: Lab) -> None:
    run = predicted_run(learner, lab, guess_percent="50")
    end(run)
    ben = replace(learner, cookies=dict.fromkeys(learner.cookies, "browser-of-ben"))
    assert "Your prediction" in words(learner.opens(f"/lab?run={run.run_id}"))
    assert "Your prediction" not in words(ben.opens(f"/lab?run={run.run_id}"))


def test_a_run_that_died_at_once_is_not_held_against_anyone(
    learner: Visitor, lab: Lab, requested: RequestedCards
) -> None:
    run = predicted_run(learner, lab, guess_percent="50")
    run.emit("failed", step=0, cause="killed", what="Killed.", do_next="Start again.")
    assert "ended before it could be judged" in words(learner.opens(f"/lab?run={run.run_id}"))
    assert requested.asked == []


def test_the_specs_that_are_judged_are_those_that_ran(lab: Lab, learner: Visitor) -> None:
    kept = kept_id(guessing(learner, guess_percent="50"))
    learner.sends("start", fields=fields_of(replace(LIGHT, rank=4), prediction=kept))
    assert lab.runs()[0].spec == RunSpec(model="tiny-random", steps=20, rank=4)
    end(lab.runs()[0])
    assert "Your prediction" not in words(learner.opens("/lab"))
