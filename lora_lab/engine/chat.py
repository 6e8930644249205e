"""Chat with base and tuned models side by side: questions wait in a job queue, one worker answers."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lora_lab.engine.job_queue import Job, JobQueue
from lora_lab.runs.folder import RunFolder
from lora_lab.spec import SEED_LIMITS
from study.base.errors import LearnerError

BASE = "base"
NEW_TOKENS = 96
MOST_RUNS = 4
PROMPT_LIMIT = 2000
TEMPERATURE_LIMITS = (0.0, 2.0)


@dataclass(frozen=True, kw_only=True)
class ChatQuestion(Job):
    runs: tuple[RunFolder, ...]
    prompt: str
    seed: int
    temperature: float
    texts: dict[str, str] = field(default_factory=dict)
    """Answers by run id, and under `base` the base model's."""


class ChatQueue(JobQueue[ChatQuestion]):
    """The job queue of chat questions. Answers are kept in memory. A run waits for the current answer."""

    name = "lab-chat"
    worker_option = "--chat"
    waits_for = "Waiting for a chat answer to end"
    patience_seconds = 120
    starting = "Starting the process that answers, about 10 s, and longer on a busy machine"
    lost = "The chat process ended. Ask again."

    def ask(
        self, runs: Sequence[RunFolder], prompt: str, *, seed: int, temperature: float, learner: str = ""
    ) -> ChatQuestion:
        """Enqueue a learner's question. Raises LearnerError when it is invalid, or too many wait."""
        _check_request(runs, prompt, seed, temperature)
        return self.enqueue(
            ChatQuestion(
                id=uuid.uuid4().hex[:12],
                runs=tuple(runs),
                prompt=prompt.strip(),
                seed=seed,
                temperature=temperature,
                asked_by=learner,
            )
        )

    def build_order(self, job: ChatQuestion) -> dict[str, Any]:
        folders = [str(run.path) for run in job.runs]
        return {"runs": folders, "prompt": job.prompt, "seed": job.seed, "temperature": job.temperature}

    def update_from(self, job: ChatQuestion, said: dict[str, Any]) -> ChatQuestion:
        """Return the question with what is loaded, or with the texts so far."""
        return replace(job, doing=said.get("doing", ""), texts=said.get("texts", job.texts))

    def stop_working(self, job: ChatQuestion) -> None:
        """Stop after the current token: the answer so far stays, and so does the loaded model."""
        self.tell({"stop": job.id})


def _check_request(runs: Sequence[RunFolder], prompt: str, seed: int, temperature: float) -> None:
    low, high = TEMPERATURE_LIMITS
    if not runs:
        raise LearnerError(
            "None of these runs has an adapter to ask.", do_next="Tick a run that has trained."
        )
    if not prompt.strip():
        raise LearnerError("There is nothing to ask yet.", do_next="Type a prompt.")
    if len(prompt) > PROMPT_LIMIT:
        raise LearnerError(
            f"The prompt has {len(prompt):,} characters.", do_next=f"Shorten it to at most {PROMPT_LIMIT:,}."
        )
    if not low <= temperature <= high:
        raise LearnerError(
            f"The temperature must be {low:g} to {high:g}, got {temperature:g}.",
            do_next=f"Choose {low:g}, which is greedy, or more.",
        )
    if not SEED_LIMITS[0] <= seed <= SEED_LIMITS[1]:
        raise LearnerError(
            f"The seed must be {SEED_LIMITS[0]} to {SEED_LIMITS[1]}.", do_next="Type a seed in that range."
        )


def select_shared_base(runs: Sequence[RunFolder]) -> list[RunFolder]:
    """Select up to four runs that can be asked together: with an adapter, and one base and bits."""
    able = [run for run in runs if run.has_adapter]
    same = [run for run in able if (run.spec.model, run.spec.bits) == (able[0].spec.model, able[0].spec.bits)]
    return same[:MOST_RUNS]


def explain_left_out(run: RunFolder, runs: Sequence[RunFolder]) -> str:
    """Say why a run isn't among those of `runs` that `select_shared_base` selects."""
    if not run.has_adapter:
        return "no adapter"
    first = next(each for each in runs if each.has_adapter).spec
    if run.spec.model != first.model:
        return "another base model"
    return "another bit width" if run.spec.bits != first.bits else f"beyond the first {MOST_RUNS}"
