"""One simulated student: joins, follows the stream, answers after a while, drops and comes back."""

import asyncio
import contextlib
import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml

from classroom.activities.activity import Activity
from classroom.activities.wall import LONGEST_TEXT
from classroom.simulation.http_client import Client
from study.ports.classes import ClassKinds, ClassPrompt
from study.store.logs.quizzes import CONFIDENCES

RIGHT_RATES = {1: 0.45, 2: 0.70, 3: 0.65}
"""By round: about what peer instruction reports before and after discussion (Crouch and Mazur 2001)."""

LEVEL_SHIFT = {"beginner": 0.2, "advanced": -0.2}
"""What a question's level adds to that."""

GUESS_SPREAD = 0.6
"""Standard deviation of ln(guess / value)."""

EASIEST_SAID_RATE, HARDEST_SAID_RATE = 0.8, 0.3
"""Of the first and of the last concept of an explanation; prompts begin with their main idea."""

UNSURE_RATE = 0.08
"""Of having nothing to write."""

SENTENCES = Path(__file__).parent / "sentences.yaml"
RETRY_SECONDS = 0.3


@dataclass(frozen=True, kw_only=True)
class StudentBehaviour:
    think_seconds: tuple[float, float] = (1.0, 12.0)
    drop_rate: float = 0.1
    """Of leaving after an answer, and coming back after `away_seconds`."""

    away_seconds: tuple[float, float] = (2.0, 8.0)
    silent_rate: float = 0.08
    """Of not answering at all."""

    late_rate: float = 0.1
    """Of joining only after `late_seconds`."""

    late_seconds: tuple[float, float] = (20.0, 60.0)


@dataclass
class Student:
    """A student with a browser of its own. `heard` is told how long each answer took, and its outcome."""

    address: str
    code: str
    plan: Sequence[Activity]
    rng: Random
    behaviour: StudentBehaviour = field(default_factory=StudentBehaviour)
    heard: Callable[[float, str, Mapping[str, Any]], object] = lambda *_: None
    saw: Callable[[Mapping[str, Any]], object] = lambda _: None
    came_back: Callable[[float], object] = lambda _: None
    """Told how many seconds after waking the phone was in the class again."""

    kinds: ClassKinds | None = None
    """Fill in the forms of questions that aren't answered by one option; needed where a plan has some."""

    client: Client = field(init=False)
    name: str = ""
    _answered: set[tuple[int, int]] = field(default_factory=set)
    _last_id: str = ""
    _woke_at: float | None = None

    def __post_init__(self) -> None:
        self.client = Client(self.address, f"simulated-{uuid.UUID(int=self.rng.getrandbits(128)).hex}")

    async def play(self) -> None:
        """Take part until the class has ended or the task is cancelled."""
        try:
            if self.rng.random() < self.behaviour.late_rate:
                await asyncio.sleep(self.rng.uniform(*self.behaviour.late_seconds))
            await self.join()
            while not await self._follow():
                if self._woke_at is None:  # the stream broke; a phone that wakes asks at once
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            self.client.close()

    async def join(self) -> None:
        """Join; again until the server answers. Raises PermissionError when the class takes nobody."""
        while True:
            with contextlib.suppress(ConnectionError):
                status, told = await self.client.post(f"/class/{self.code}/join", {})
                if status == 200:
                    self.name = told["name"]
                    return
                if status < 429:
                    raise PermissionError(told["error"])
            await asyncio.sleep(RETRY_SECONDS)

    async def answer(self, position: int, round_number: int) -> str:
        """Send one answer under one id until it is acknowledged or refused; returns the outcome."""
        given = {"id": uuid.uuid4().hex, "position": position, "round": round_number}
        given |= answer_to(self.plan[position], round_number, self.rng, self.kinds)
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                status, told = await self.client.post(f"/class/{self.code}/answer", given)
            except (ConnectionError, TimeoutError):
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if status in (429, 503):
                await asyncio.sleep(RETRY_SECONDS)
                continue
            outcome = told.get("outcome", "refused")
            self.heard(loop.time() - began, outcome, given)
            return str(outcome)

    async def _follow(self) -> bool:
        """Follow the stream until it breaks or the student leaves; True when the class has ended."""
        states = self.client.stream_states(
            f"/class/{self.code}/events", last_event_id=self._last_id, heard=self._is_back
        )
        with contextlib.suppress(OSError, ValueError):
            async for state in states:
                self._last_id = state["id"]
                self.saw(state)
                if state["status"] == "ended":
                    return True
                asked = (state["position"], state["round"])
                if not asked[1] or state["answered"] or asked in self._answered:
                    continue
                self._answered.add(asked)
                if self.rng.random() < self.behaviour.silent_rate:
                    continue
                await self._answer_all(*asked)
                if self.rng.random() < self.behaviour.drop_rate:
                    await states.aclose()  # type: ignore[attr-defined]
                    await asyncio.sleep(self.rng.uniform(*self.behaviour.away_seconds))
                    self._woke_at = asyncio.get_running_loop().time()
                    return False
        return False

    async def _answer_all(self, position: int, round_number: int) -> None:
        """Answer what is asked; a quiz question after question, until the teacher closes it."""
        activity = self.plan[position]
        for number in activity.rounds if activity.questions else (round_number,):
            await asyncio.sleep(self.rng.uniform(*self.behaviour.think_seconds))
            if await self.answer(position, number) == "late":
                return

    def _is_back(self) -> None:
        if self._woke_at is not None:
            self.came_back(asyncio.get_running_loop().time() - self._woke_at)
            self._woke_at = None


def answer_to(
    activity: Activity, round_number: int, rng: Random, kinds: ClassKinds | None = None
) -> dict[str, Any]:
    """A plausible answer: right at the rate of round and level, guesses spread around the value."""
    asked = activity.find_question(round_number)
    if activity.crowd is not None:
        return {
            "cell": rng.choice(activity.crowd.cells),
            "number": f"{5.0 * math.exp(rng.gauss(0, 0.1)):.3g}",
        }
    if activity.wanted is not None:
        return {"text": _write(activity.wanted, rng)}
    if asked is None:
        value = activity.guessed.value if activity.guessed else None
        return {"number": f"{(value or 5.0) * math.exp(rng.gauss(0, GUESS_SPREAD)):.3g}"}
    if not asked.right:
        return {"option": rng.choice(asked.options).id}
    rate = RIGHT_RATES[1 if activity.questions else round_number] + LEVEL_SHIFT.get(asked.level, 0.0)
    is_right = rng.random() < rate
    wrong = [option.id for option in asked.options if not option.correct]
    # Those who are right are surer, yet not always.
    confidence = rng.choices(CONFIDENCES, weights=(1, 2, 4) if is_right else (3, 3, 2))[0]
    if asked.task:
        assert kinds is not None
        return {
            "fields": kinds.fill_in_example(asked.task, right=is_right, rng=rng),
            "confidence": confidence,
        }
    return {"option": asked.right if is_right else rng.choice(wrong), "confidence": confidence}


def _write(wanted: ClassPrompt, rng: Random) -> str:
    sentences = _read_sentences()
    if rng.random() < UNSURE_RATE:
        return rng.choice(sentences["unsure"])
    if not wanted.concepts:
        return rng.choice(sentences["surprises"])
    fall = (EASIEST_SAID_RATE - HARDEST_SAID_RATE) / max(1, len(wanted.concepts) - 1)
    said = [
        concept.definition
        for place, concept in enumerate(wanted.concepts)
        if rng.random() < EASIEST_SAID_RATE - place * fall
    ]
    return " ".join(said)[:LONGEST_TEXT] or rng.choice(sentences["vague"])


@cache
def _read_sentences() -> Mapping[str, Sequence[str]]:
    found: Mapping[str, Sequence[str]] = yaml.safe_load(SENTENCES.read_text("utf-8"))
    return found
