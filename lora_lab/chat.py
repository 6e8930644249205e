"""Asking base and tuned models side by side: questions wait in line, one worker answers, idle it is ended.

The worker computes, so it and a training run would slow each other. A question that comes while a run trains
waits and says so; a run that comes while a question is answered waits for that answer.
"""

import contextlib
import json
import os
import subprocess
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import IO, Any, Literal, cast

from lora_lab.runs.folder import RunFolder
from lora_lab.runs.local import LocalEngine
from lora_lab.runs.process import start_worker
from lora_lab.spec import SEED_LIMITS
from study.errors import LearnerError
from study.settings import Settings

BASE = "base"
NEW_TOKENS = 96
MOST_RUNS = 4
PROMPT_LIMIT = 2000
TEMPERATURE_LIMITS = (0.0, 2.0)
IDLE_SECONDS = 180
GIVE_WAY_SECONDS = 120
LOOK_SECONDS = 0.3
KEPT_ANSWERS = 50

Status = Literal["waiting", "answering", "done", "stopped", "failed"]


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One question and what was answered so far."""

    id: str
    runs: tuple[RunFolder, ...]
    prompt: str
    seed: int
    temperature: float
    status: Status = "waiting"
    doing: str = ""
    texts: dict[str, str] = field(default_factory=dict)
    """By run id, and `base`."""

    problem: str = ""

    @property
    def ended(self) -> bool:
        """Nothing more will come."""
        return self.status in ("done", "stopped", "failed")


class ChatDesk:
    """Takes questions from any thread. Answers are kept in memory, the last fifty."""

    def __init__(self, settings: Settings, engine: LocalEngine) -> None:
        self._settings, self._engine = settings, engine
        self._changed = threading.Condition()
        self._asks: dict[str, Ask] = {}
        self._worker: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._closing = False
        engine.before_run = self.give_way

    def ask(self, runs: Sequence[RunFolder], prompt: str, *, seed: int, temperature: float) -> Ask:
        """Put a question in line. Raises LearnerError when it can't be asked."""
        _check(runs, prompt, seed, temperature)
        asked = Ask(
            id=uuid.uuid4().hex[:12],
            runs=tuple(runs),
            prompt=prompt.strip(),
            seed=seed,
            temperature=temperature,
        )
        with self._changed:
            self._asks[asked.id] = asked
            for old in list(self._asks)[:-KEPT_ANSWERS]:
                if self._asks[old].ended:
                    del self._asks[old]
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="lab-chat", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return asked

    def find(self, ask_id: str) -> Ask | None:
        """A question by its id, while it is remembered."""
        with self._changed:
            return self._asks.get(ask_id)

    def stop(self, ask_id: str) -> None:
        """End an answer after the token it is at, or take a waiting question back."""
        with self._changed:
            ask = self._asks.get(ask_id)
            if ask is None or ask.ended:
                return
            if ask.status == "waiting":
                self._put(replace(ask, status="stopped"))
            elif self._worker is not None:
                _tell(self._worker, {"stop": ask_id})

    def give_way(self, run: RunFolder) -> None:
        """Called before a run is worked on: let the answer in hand end, then give its memory back."""
        with self._changed:
            if self._answering():
                run.emit("status", text="Waiting for a chat answer to end")
                self._changed.wait_for(lambda: not self._answering(), GIVE_WAY_SECONDS)
            self._end_worker()

    def close(self) -> None:
        """End the worker; questions in hand are lost."""
        with self._changed:
            self._closing = True
            self._end_worker()
            self._changed.notify_all()

    def _answering(self) -> bool:
        return any(ask.status == "answering" for ask in self._asks.values())

    def _put(self, ask: Ask) -> None:
        """With the lock held."""
        self._asks[ask.id] = ask
        self._changed.notify_all()

    def _serve(self) -> None:
        while (ask := self._next()) is not None:
            self._answer(ask)

    def _next(self) -> Ask | None:
        """The next question once no run trains; None when the app closes. An idle worker is ended."""
        with self._changed:
            while not self._closing:
                waiting = [ask for ask in self._asks.values() if ask.status == "waiting"]
                if waiting and self._engine.current() is None:
                    chosen = replace(waiting[0], status="answering", doing="Starting the chat worker")
                    self._put(chosen)
                    return chosen
                if waiting:
                    self._changed.wait(LOOK_SECONDS)  # the engine does not say when it is free
                elif not self._changed.wait(IDLE_SECONDS):
                    self._end_worker()
            return None

    def _answer(self, ask: Ask) -> None:
        with self._changed:
            if self._closing:
                return
            if self._worker is None or self._worker.poll() is not None:
                self._worker = start_worker(self._settings, ["--chat"], 0, answers=True)
            worker = self._worker
            folders = [str(run.path) for run in ask.runs]
            order = {"ask": ask.id, "runs": folders, "prompt": ask.prompt}
            _tell(worker, order | {"seed": ask.seed, "temperature": ask.temperature})
        for line in cast(IO[bytes], worker.stdout):
            ask = _after(ask, json.loads(line))
            with self._changed:
                self._put(ask)
            if ask.ended:
                return
        with self._changed:
            self._put(replace(ask, status="failed", problem="The chat process ended. Ask again."))

    def _end_worker(self) -> None:
        """With the lock held."""
        if self._worker is not None:
            self._worker.kill()
            self._worker.wait()
            with contextlib.suppress(OSError):
                cast(IO[bytes], self._worker.stdin).close()
            self._worker = None


def _check(runs: Sequence[RunFolder], prompt: str, seed: int, temperature: float) -> None:
    low, high = TEMPERATURE_LIMITS
    if not runs:
        raise LearnerError(
            "None of these runs has an adapter to ask.", do_next="Tick a run that has trained."
        )
    if not prompt.strip():
        raise LearnerError("There is nothing to ask yet.", do_next="Type a prompt.")
    if len(prompt) > PROMPT_LIMIT:
        raise LearnerError(
            f"The prompt has {len(prompt):,} characters.", do_next=f"Keep it under {PROMPT_LIMIT:,}."
        )
    if not low <= temperature <= high:
        raise LearnerError(
            f"The temperature must be {low:g} to {high:g}, got {temperature:g}.", do_next="0 is greedy."
        )
    if not SEED_LIMITS[0] <= seed <= SEED_LIMITS[1]:
        raise LearnerError(f"The seed must be {SEED_LIMITS[0]} to {SEED_LIMITS[1]}.", do_next="Correct it.")


def shared_base(runs: Sequence[RunFolder]) -> list[RunFolder]:
    """Those that can be asked together, four at most: with an adapter, on the first one's base and bits."""
    able = [run for run in runs if (run.adapter_path / "adapter_config.json").is_file()]
    same = [run for run in able if (run.spec.model, run.spec.bits) == (able[0].spec.model, able[0].spec.bits)]
    return same[:MOST_RUNS]


def _after(ask: Ask, said: dict[str, Any]) -> Ask:
    if said.get("ask") != ask.id:  # the rest of an answer that nobody waits for
        return ask
    if "doing" in said:
        return replace(ask, doing=said["doing"])
    if "texts" in said:
        return replace(ask, doing="", texts=said["texts"])
    problem = f"{said['what']} {said['do_next']}" if said["end"] == "failed" else ""
    return replace(ask, status=said["end"], problem=problem)


def _tell(worker: "subprocess.Popen[bytes]", order: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError, ValueError):
        stdin = cast(IO[bytes], worker.stdin)
        stdin.write((json.dumps(order) + os.linesep).encode())
        stdin.flush()
