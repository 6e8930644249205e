"""Predict, observe, explain on the microscope: a guess is stored first, and judged by the measurement."""

from collections.abc import Mapping
from dataclasses import dataclass

from lora_lab.engine.inspections import Inspection, InspectionQueue
from lora_lab.microscope.query import KIND, SIDES, MicroscopeQuestion, QuantizationScheme
from lora_lab.predictions.judging import GuessVerdict
from lora_lab.predictions.of_microscope import (
    MicroscopeGuess,
    judge_microscope_guess,
    parse_guess_form,
)
from lora_lab.predictions.run_predictions import settle_guesses
from study.ports.context import Context, Visit
from study.ports.review import AskForCards
from study.store.logs.predictions import Prediction


@dataclass(frozen=True, kw_only=True)
class MicroscopePredictions:
    """The service for guesses about inspections, on the learner's store and the lab."""

    context: Context
    inspections: InspectionQueue
    ask_for_cards: AskForCards

    def commit(self, visit: Visit, question: MicroscopeQuestion, fields: Mapping[str, str]) -> None:
        """Store a guess; the first one per question counts. Raises LearnerError when it is empty."""
        guess, log = parse_guess_form(fields), self.context.store.predictions
        look = self.inspections.derive_id(KIND, question.order)
        if log.find_by_run(visit.profile.id, look) is None:
            kept = {"smaller": guess.smaller, "rise": guess.rise}
            made = log.make(visit.profile.id, setting=question.order, guess=kept, at=visit.now)
            log.start(made, look, at=visit.now)

    def settle(self, visit: Visit) -> None:
        """Judge every guess whose inspection has ended."""
        settle_guesses(self.context, visit, self._judge, ask_for_cards=self.ask_for_cards)

    def _judge(self, prediction: Prediction) -> list[GuessVerdict]:
        """Return the verdicts; empty while the inspection runs, or for a guess about something else."""
        look = self.inspections.find(prediction.run_id)
        if look is None or look.kind != KIND or not look.ended:
            return []
        return judge_microscope_guess(
            MicroscopeGuess(**prediction.guess), _rebuild_question(prediction), look.found
        )

    def judge_inspection(
        self, visit: Visit, look: Inspection, question: MicroscopeQuestion
    ) -> tuple[MicroscopeGuess, list[GuessVerdict]] | None:
        """Return this learner's guess about an inspection and its verdicts; None without a guess."""
        found = self.context.store.predictions.find_by_run(visit.profile.id, look.id)
        if found is None:
            return None
        guess = MicroscopeGuess(**found.guess)
        return guess, judge_microscope_guess(guess, question, look.found)


def _rebuild_question(prediction: Prediction) -> MicroscopeQuestion:
    setting = prediction.setting
    first, second = (QuantizationScheme(**setting[side]) for side in SIDES)
    return MicroscopeQuestion(
        model=setting["model"], layer=setting["layer"], matrix=setting["matrix"], first=first, second=second
    )
