"""A learner's first run, on the page that introduces LoRA: started by one click, shown as one curve."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lora_lab.charts import run_view
from lora_lab.engine.queue import count_ahead
from lora_lab.lab import Lab
from lora_lab.predictions.judging import judge_course
from lora_lab.predictions.run_predictions import Predictions
from lora_lab.runs.cost_preview import PredictedStep, build_preview, estimate_training_seconds
from lora_lab.runs.predicted_vs_measured import may_have_met_heaviest
from lora_lab.runs.state import RunState
from lora_lab.settings.run_form import build_address, read_presets
from lora_lab.spec import RunSpec
from lora_lab.views.outcome import change_rank
from study.base.errors import LearnerError
from study.base.units import as_bytes, as_duration
from study.ports.context import Visit
from study.ports.introduction import FirstRunView
from study.text.templates import render

RUN_SECONDS = 20
"""What a learner's own run keeps to, from the moment a worker begins with it. One that the learners of a
server share does all its steps."""

INTRODUCTION_WORDS = {"held-out loss": "loss on unseen pairs", "examples": "pairs"}


@dataclass(frozen=True)
class FirstRun:
    """Starts the lab's first preset and shows its progress beside what the learner guessed."""

    lab: Lab
    predictions: Predictions

    def start(self, visit: Visit, *, anew: bool, guess: Mapping[str, str]) -> str:
        """Store the guess, submit the run and return its id. Raises LearnerError on an unreadable guess.

        Without `anew`, one that has been started already is shown instead: learners of a server share it.
        """
        made = self.predictions.commit(visit, self._spec, guess)
        run_id = self._submit(visit, anew=anew)
        self.predictions.link_run(visit, made, self.lab.run(run_id))
        return run_id

    def _submit(self, visit: Visit, *, anew: bool) -> str:
        spec = self._spec
        if not anew:
            for run in self.lab.runs():
                if run.spec == spec and run.state().status not in ("failed", "stopped"):
                    return run.run_id
        dataset = self.lab.uploads.find(spec.data)
        return self.lab.engine.submit(spec, dataset, now=visit.now, within_seconds=self.keeps_to).run_id

    def has(self, run_id: str) -> bool:
        return self.lab.find_run(run_id) is not None

    def show(self, visit: Visit, run_id: str) -> FirstRunView:
        run = self.lab.run(run_id)
        state = run.state()
        guess = self.predictions.read_guess_about(visit, run_id)
        if state.ended:
            self.predictions.settle(visit)
        is_measured = state.ended or state.loss_after is not None
        html = render(
            "lora_lab/lab/first_run.html",
            state=state,
            doing=_reword_for_introduction(state.doing),
            spec=run.spec,
            figures=run_view.read_progress(state, run.spec),
            loss=run_view.render_first_loss(state, run.spec) if state.steps else "",
            stopping=run.stop_path.exists(),
            paused=self.lab.engine.is_paused,
            ahead=count_ahead([run_id], self.lab.engine.list_waiting(), self.lab.engine.find_current()),
            note=_reword_for_introduction(state.note),
            in_time=bool(run.within_seconds) and not run.stop_path.exists(),
            may_stop=self._may_stop,
            has_answers=bool(run.samples()),
            address=build_address(run.spec, run_id=run.run_id),
        )
        return FirstRunView(
            html=html,
            ended=state.ended,
            loss_before=state.loss_before,
            loss_after=state.loss_after,
            outcome=judge_course(state.loss_before, state.loss_after),
            steps=len(state.steps),
            pairs=state.held_out_examples or 0,
            guessed=guess.course if guess else "",
            peak=as_bytes(state.peak_bytes) if is_measured and state.peak_bytes else "",
            guessed_peak=as_bytes(guess.peak_bytes) if guess and guess.peak_bytes else "",
            missed_peak=_find_missed_peak(state),
            again=build_address(change_rank(run.spec, 1)),
        )

    def stop(self, run_id: str) -> None:
        if not self._may_stop:
            raise LearnerError(
                "The learners of this server share this run.", do_next="Leave it: it ends by itself."
            )
        self.lab.engine.stop(run_id)

    @property
    def _may_stop(self) -> bool:
        return not self.predictions.context.shared

    @property
    def keeps_to(self) -> int:
        """The seconds that a run ends within; 0 where the learners of a server share it."""
        return 0 if self.predictions.context.shared else RUN_SECONDS

    def describe_duration(self) -> str:
        """Estimate how long the steps take here, from earlier runs of the model; empty without any."""
        spec = self._spec
        found = build_preview(self.lab.home, spec, self.lab.uploads.find(spec.data).digest)
        seconds = estimate_training_seconds(found, self.lab.runs())
        return "" if seconds is None else as_duration(seconds)

    @property
    def _spec(self) -> RunSpec:
        return read_presets()[0].spec


def _find_missed_peak(state: RunState) -> str:
    """Return the computed peak that a run ended too early to reach; empty if it may have reached it."""
    if not state.ended or state.started is None or may_have_met_heaviest(state):
        return ""
    return as_bytes(state.started["predicted_bytes"])


def _reword_for_introduction(text: str) -> str:
    """Return a sentence of the lab in the words that the introduction has explained."""
    for term, words in INTRODUCTION_WORDS.items():
        text = text.replace(term, words)
    return text


def predict_step(lab: Lab, rank: int, targets: str) -> PredictedStep:
    """Predict the memory of the first preset at a rank and on target matrices, as the Lab page shows it.

    Before a worker has counted the examples' tokens, every example counts at full length, which takes more.
    """
    spec = replace(read_presets()[0].spec, rank=rank, targets=targets)
    found = build_preview(lab.home, spec, lab.uploads.find(spec.data).digest)
    return PredictedStep(ledger=found.ledger, provisional=found.provisional)
