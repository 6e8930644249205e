"""Fits each learner's FSRS parameters by itself, in the background, once there is enough to learn from."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from flashcards.review.operations import Reviews
from flashcards.scheduling.metrics import Measures, better
from flashcards.scheduling.replay import after_a_day
from study.store.cards import CardReview
from study.store.fits import ParameterFit

NEEDED = 512  # reviews; FSRS's own optimizer asks for as many before it moves away from the defaults
GROWTH = 1.25  # a fit is made anew when there is a quarter more to learn from
LOOK_EVERY = 16  # ratings, so that hardly any press counts the whole log
LIMIT_SECONDS = 1800

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FitState:
    """What the page says about a learner's parameters."""

    have: int
    newest: ParameterFit | None
    kept: ParameterFit | None
    running: bool

    @property
    def next_at(self) -> int:
        """How many reviews start the next fit."""
        return round(GROWTH * self.newest.reviews) if self.newest else NEEDED


class Fitting:
    """Starts fits, one at a time for a learner. Asking whether one is due costs one count.

    A fit is dated by `clock` when it is stored: buttons shown before that keep their intervals.
    """

    def __init__(self, reviews: Reviews, *, clock: Callable[[], datetime]) -> None:
        self._reviews = reviews
        self._clock = clock
        self._looked_at: dict[str, int] = {}  # profile -> how many ratings there were
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._threads: list[Thread] = []
        self._lock = Lock()

    def consider(self, profile_id: str) -> bool:
        """Start a fit if one is due; returns at once, and whether one was started."""
        total = self._reviews.store.cards.count(profile_id)
        if total < NEEDED or total < self._looked_at.get(profile_id, -LOOK_EVERY) + LOOK_EVERY:
            return False
        self._looked_at[profile_id] = total
        state = self.state(profile_id)
        if state.running or state.have < state.next_at:
            return False
        return self._start(profile_id)

    def state(self, profile_id: str) -> FitState:
        """How far this learner is."""
        fits = self._reviews.store.fits
        return FitState(
            have=sum(1 for _ in after_a_day(self._history(profile_id))),
            newest=fits.newest(profile_id),
            kept=fits.newest(profile_id, kept=True),
            running=profile_id in self._running,
        )

    def wait(self) -> None:
        """Until all that was started is stored."""
        for thread in self._threads:
            thread.join()

    def close(self) -> None:
        """End what is running; it starts again when the learner comes back."""
        for process in list(self._running.values()):
            process.kill()
        self.wait()

    def _start(self, profile_id: str) -> bool:
        with self._lock:
            if profile_id in self._running:
                return False
            self._running[profile_id] = start_worker()
        thread = Thread(target=self._fit, args=(profile_id,), daemon=True)
        self._threads.append(thread)
        thread.start()
        return True

    def _fit(self, profile_id: str) -> None:
        process = self._running[profile_id]
        try:
            asked = question(self._history(profile_id), self._reviews.scheduling(profile_id).parameters)
            answer, problem = process.communicate(asked, timeout=LIMIT_SECONDS)
            if process.returncode == 0:
                self._reviews.store.fits.append(profile_id, fit_of(json.loads(answer), self._clock()))
            elif process.returncode > 0:  # a signal below zero is this app being closed
                log.warning("Fitting the card scheduler failed: %s", problem.strip().splitlines()[-1:])
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            log.warning("Fitting the card scheduler took over %s s and was ended.", LIMIT_SECONDS)
        finally:
            del self._running[profile_id]

    def _history(self, profile_id: str) -> list[CardReview]:
        return self._reviews.store.cards.history(profile_id)


def start_worker() -> subprocess.Popen[str]:
    """The process that loads torch; it waits for its question."""
    return subprocess.Popen(
        [sys.executable, "-m", "flashcards.scheduling.fit_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
        start_new_session=True,
    )


def question(reviews: Sequence[CardReview], parameters: Sequence[float]) -> str:
    """What the worker is asked."""
    entries = [(review.card_id, review.rating, review.reviewed_at.isoformat()) for review in reviews]
    return json.dumps({"reviews": entries, "parameters": list(parameters)})


def fit_of(answer: dict[str, Any], now: datetime) -> ParameterFit:
    """The worker's answer as it is stored: kept only if it predicts the held-out reviews better."""
    before, after = Measures(**answer["before"]), Measures(**answer["after"])
    return ParameterFit(
        fitted_at=now,
        reviews=answer["reviews"],
        held_out=answer["held_out"],
        parameters=tuple(answer["parameters"]),
        before=before.to_json(),
        after=after.to_json(),
        kept=better(after, before),
    )
