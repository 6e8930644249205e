"""Predict, observe, explain on runs: a guess is stored before the figures show, and judged after the run."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lora_lab.charts import run_view
from lora_lab.lab import Lab
from lora_lab.predictions.judging import (
    EndedRun,
    GuessVerdict,
    RunGuess,
    judge_guess,
    parse_guess_form,
)
from lora_lab.runs.folder import RunFolder
from lora_lab.spec import RunSpec
from study.base.errors import LearnerError
from study.base.units import as_bytes, as_percent
from study.ports.context import Context, Visit
from study.ports.review import AskForCards
from study.store.logs.predictions import Prediction

RIVALS = 8
"""The number of earlier runs that a guess can be compared with."""


def settle_guesses(
    context: Context,
    visit: Visit,
    verdicts_on: Callable[[Prediction], list[GuessVerdict]],
    *,
    ask_for_cards: AskForCards,
) -> None:
    """Judge every pending guess: cards of wrong ones become due, and the verdicts are stored."""
    log = context.store.predictions
    for prediction in log.unjudged(visit.profile.id):
        found = verdicts_on(prediction)
        for verdict in found:
            if not verdict.right:
                ask_for_cards(visit, verdict.concepts, because=f"prediction-{verdict.quantity}")
        if found:
            log.judge(prediction.id, {verdict.quantity: verdict.right for verdict in found}, at=visit.now)


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """The service for guesses about runs, on the lab's runs and the learner's store."""

    context: Context
    lab: Lab
    ask_for_cards: AskForCards

    def commit(self, visit: Visit, spec: RunSpec, form: Mapping[str, str]) -> str:
        """Store a guess about `spec` and return its id.

        Raises LearnerError when it is empty, or when its earlier run was trained on other data.
        """
        guess = parse_guess_form(form)
        if guess.rival and guess.rival not in dict(self.list_rivals(spec)):
            raise LearnerError(
                "That earlier run was trained on other data, so the two can't be compared.",
                do_next="Show the figures, then predict again.",
            )
        log = self.context.store.predictions
        return log.make(visit.profile.id, setting=asdict(spec), guess=asdict(guess), at=visit.now)

    def find_waiting(self, visit: Visit, prediction_id: str) -> Prediction | None:
        """Find a guess of this learner that has no run yet, whatever setting it is about; else None."""
        found = (
            self.context.store.predictions.find(visit.profile.id, prediction_id) if prediction_id else None
        )
        return found if found and not found.run_id else None

    def find_about(self, visit: Visit, prediction_id: str, spec: RunSpec) -> Prediction | None:
        """Find a guess of this learner if it is about this setting and has no run yet; else None."""
        found = self.find_waiting(visit, prediction_id)
        return found if found and _is_about(found, spec) else None

    def link_run(self, visit: Visit, prediction_id: str, run: RunFolder) -> None:
        """Link a guess to the run that was started with its setting."""
        if self.find_about(visit, prediction_id, run.spec):
            self.context.store.predictions.start(prediction_id, run.run_id, at=visit.now)

    def settle(self, visit: Visit) -> None:
        """Judge every guess whose run has ended."""
        settle_guesses(self.context, visit, self._judge, ask_for_cards=self.ask_for_cards)

    def judge_run(self, visit: Visit, run: RunFolder) -> tuple[RunGuess, list[GuessVerdict]] | None:
        """Return this learner's guess about a run with its verdicts; None without a guess.

        There are no verdicts before the run has ended.
        """
        found = self.context.store.predictions.find_by_run(visit.profile.id, run.run_id)
        return (RunGuess(**found.guess), self._judge(found)) if found else None

    def read_guess_about(self, visit: Visit, run_id: str) -> RunGuess | None:
        """Return what this learner guessed about a run; None without a guess."""
        found = self.context.store.predictions.find_by_run(visit.profile.id, run_id)
        return RunGuess(**found.guess) if found else None

    def _judge(self, prediction: Prediction) -> list[GuessVerdict]:
        """Return the verdicts; empty while the run is at work, or when it was deleted."""
        ended = self._find_ended(prediction.run_id)
        if ended is None:  # it may also be about an inspection (predictions/microscope_service.py)
            return []
        guess = RunGuess(**prediction.guess)
        return judge_guess(guess, ended, self._find_ended(guess.rival))

    def _find_ended(self, run_id: str) -> EndedRun | None:
        run = self.lab.find_run(run_id)
        return EndedRun(spec=run.spec, state=run.state()) if run and run.state().ended else None

    def list_rivals(self, spec: RunSpec) -> list[tuple[str, str]]:
        """List evaluated runs of the same model on the same data, newest first: id and name."""
        wanted = (spec.model, spec.data)
        same = (run for run in self.lab.runs() if (run.spec.model, run.spec.data) == wanted)
        evaluated = [run for run in same if run.state().loss_after is not None]
        return [(run.run_id, run_view.build_full_name(run, run.state())) for run in evaluated[:RIVALS]]

    def summarize(self, prediction: Prediction, spec: RunSpec) -> dict[str, Any]:
        """Summarize a stored guess for the cost sheet of a setting, which may be about another one."""
        return {
            "id": prediction.id,
            "guessed": say_guess(RunGuess(**prediction.guess)),
            "elsewhere": "" if _is_about(prediction, spec) else _name_other_settings(prediction, spec),
        }


def _is_about(prediction: Prediction, spec: RunSpec) -> bool:
    return dict(prediction.setting) == asdict(spec)


def _name_other_settings(prediction: Prediction, spec: RunSpec) -> str:
    """Return the settings that a guess is about where they differ from `spec`, such as `rank 8, steps 10`."""
    guessed_rows = run_view.list_setting_rows(RunSpec(**prediction.setting))
    asked_rows = run_view.list_setting_rows(spec)
    differing = [
        f"{name} {guessed}"
        for (name, guessed), (_, asked) in zip(guessed_rows, asked_rows, strict=True)
        if guessed != asked
    ]
    return ", ".join(differing) or "other settings"


def say_guess(guess: RunGuess) -> str:
    parts = []
    if guess.course:
        parts.append(f"a held-out loss that {guess.course}")
    if guess.percent is not None:
        parts.append(f"{as_percent(guess.percent)} trainable")
    if guess.peak_bytes is not None:
        parts.append(f"a peak of {as_bytes(guess.peak_bytes)}")
    if guess.lower:
        where = "this run" if guess.lower == "this" else "the earlier run"
        parts.append(f"the lower held-out loss in {where}")
    return ", ".join(parts)
