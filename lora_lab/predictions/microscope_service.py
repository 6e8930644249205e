"""Predict, observe, explain on the microscope: a guess is stored first, and judged by the measurement."""

from collections.abc import Mapping
from dataclasses import dataclass

from lora_lab.engine.inspections import Inspection, InspectionDesk
from lora_lab.microscope.query import KIND, Question, Scheme
from lora_lab.predictions.judging import Verdict
from lora_lab.predictions.of_microscope import RISE_LEAST, RISE_SHARE, TIE, Guess, guess_of, verdicts
from lora_lab.predictions.of_runs import settle
from study.ports.activities import AskForCards
from study.ports.context import Context, Visit
from study.store.predictions import Prediction
from study.text.templates import render

LABELS = {
    "error-nf4": "Smaller error",
    "error-levels": "Smaller error",
    "error-block": "Smaller error",
    "error-double": "Smaller error",
    "loss-rise": "Rise of the loss",
}


@dataclass(frozen=True, kw_only=True)
class MicroscopePredictions:
    """The service for guesses about inspections, on the learner's store and the lab."""

    context: Context
    desk: InspectionDesk
    ask_for_cards: AskForCards

    def commit(self, visit: Visit, question: Question, fields: Mapping[str, str]) -> None:
        """Store a guess; the first one per question counts. Raises LearnerError when it is empty."""
        guess, log = guess_of(fields), self.context.store.predictions
        look = self.desk.id_of(KIND, question.order)
        if log.of_run(visit.profile.id, look) is None:
            kept = {"smaller": guess.smaller, "rise": guess.rise}
            made = log.make(visit.profile.id, setting=question.order, guess=kept, at=visit.now)
            log.start(made, look, at=visit.now)

    def settle(self, visit: Visit) -> None:
        """Judge every guess whose inspection has ended."""
        settle(self.context, visit, self._verdicts, ask_for_cards=self.ask_for_cards)

    def _verdicts(self, prediction: Prediction) -> list[Verdict]:
        """Return the verdicts; empty while the inspection runs, or for a guess about something else."""
        look = self.desk.find(prediction.run_id)
        if look is None or look.kind != KIND or not look.ended:
            return []
        return verdicts(Guess(**prediction.guess), _question(prediction), look.found)

    def part(self, visit: Visit, look: Inspection, question: Question) -> str:
        """Render the guess next to the result; empty when this learner has not guessed about it."""
        prediction = self.context.store.predictions.of_run(visit.profile.id, look.id)
        if prediction is None:
            return ""
        guess = Guess(**prediction.guess)
        return render(
            "lora_lab/microscope_verdicts.html",
            guess=guess,
            question=question,
            verdicts=verdicts(guess, question, look.found),
            labels=LABELS,
            ended=look.ended,
            concepts=self.context.concepts,
            tie=100 * TIE,
            rise_share=100 * RISE_SHARE,
            rise_least=RISE_LEAST,
        )


def _question(prediction: Prediction) -> Question:
    """Rebuild the question that was stored with the guess."""
    setting = prediction.setting
    return Question(
        model=setting["model"],
        layer=setting["layer"],
        matrix=setting["matrix"],
        first=Scheme(**setting["first"]),
        second=Scheme(**setting["second"]),
    )
