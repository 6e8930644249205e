"""Background fits of each learner's FSRS parameters, started once the log has enough reviews."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Lock, Thread
from typing import Any

from flashcards.review.operations import Reviews
from flashcards.scheduling.metrics import Measures, is_better
from flashcards.scheduling.replay import select_spaced
from study.base.settings import ROOT
from study.store.logs.cards import CardReview
from study.store.logs.fits import ParameterFit

NEEDED = 512  # reviews; FSRS's own optimizer needs as many before it leaves the defaults
GROWTH = 1.25  # the next fit starts when the log has a quarter more reviews
LOOK_EVERY = 16  # ratings between two checks, so that the whole log is rarely counted
LIMIT_SECONDS = 1800

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FitState:
    """The state of a learner's parameter fit, as the page shows it."""

    have: int
    newest: ParameterFit | None
    kept: ParameterFit | None
    running: bool

    @property
    def next_at(self) -> int:
        """The number of reviews that starts the next fit."""
        return round(GROWTH * self.newest.reviews) if self.newest else NEEDED


class Fitting:
    """A scheduler of background fits, one at a time; learners wait in turn, each once.

    A fit loads torch: several at once would leave no memory and no core to those who study. A check whether
    one is due costs one count.

    `clock` dates a fit when it is stored: buttons shown before that keep their intervals.
    """

    def __init__(self, reviews: Reviews, *, clock: Callable[[], datetime]) -> None:
        self._reviews = reviews
        self._clock = clock
        self._looked_at: dict[str, int] = {}  # profile id -> number of ratings at the last check
        self._asked: list[str] = []
        """Profile ids in their order; the first one is being fitted."""
        self._process: subprocess.Popen[str] | None = None
        self._thread: Thread | None = None  # ends when nobody waits
        self._closing = False
        self._lock = Lock()

    def consider(self, profile_id: str) -> bool:
        """Queue a fit if one is due, without waiting for it; return whether one was queued."""
        total = self._reviews.store.cards.count(profile_id)
        if total < NEEDED or total < self._looked_at.get(profile_id, -LOOK_EVERY) + LOOK_EVERY:
            return False
        self._looked_at[profile_id] = total
        state = self.state(profile_id)
        if state.running or state.have < state.next_at:
            return False
        return self._start(profile_id)

    def state(self, profile_id: str) -> FitState:
        fits = self._reviews.store.fits
        return FitState(
            have=sum(1 for _ in select_spaced(self._read_history(profile_id))),
            newest=fits.newest(profile_id),
            kept=fits.newest(profile_id, kept=True),
            running=profile_id in self._asked,
        )

    def wait(self) -> None:
        """Wait until every queued fit is stored."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def close(self) -> None:
        """Kill the running fit and drop the waiting ones; they start again when the learner comes back."""
        with self._lock:
            self._closing = True
            if self._process is not None:
                self._process.kill()
        self.wait()

    def _start(self, profile_id: str) -> bool:
        with self._lock:
            if profile_id in self._asked or self._closing:
                return False
            self._asked.append(profile_id)
            if self._thread is None:
                self._thread = Thread(target=self._serve, name="fits", daemon=True)
                self._thread.start()
        return True

    def _serve(self) -> None:
        while (profile_id := self._wait_for_next()) is not None:
            try:
                self._fit(profile_id)
            except Exception:  # such as a profile deleted meanwhile: the next learner's fit goes on
                log.exception("Fitting the card scheduler failed.")
            finally:
                self._process = None
                self._asked.remove(profile_id)

    def _wait_for_next(self) -> str | None:
        """Wait for who is fitted next; None ends the thread."""
        with self._lock:
            if self._asked and not self._closing:
                return self._asked[0]
            self._asked.clear()
            self._thread = None
            return None

    def _fit(self, profile_id: str) -> None:
        asked = build_request(
            self._read_history(profile_id), self._reviews.read_scheduling(profile_id).parameters
        )
        with self._lock:
            if self._closing:
                return
            process = self._process = start_worker()
        try:
            answer, problem = process.communicate(asked, timeout=LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            log.warning("Fitting the card scheduler took over %s s and was ended.", LIMIT_SECONDS)
            return
        if process.returncode == 0:
            self._reviews.store.fits.append(profile_id, parse_fit(json.loads(answer), self._clock()))
        elif process.returncode > 0:  # below zero is a signal: the app is being closed
            log.warning("Fitting the card scheduler failed: %s", problem.strip().splitlines()[-1:])

    def _read_history(self, profile_id: str) -> list[CardReview]:
        return self._reviews.store.cards.history(profile_id)


def start_worker() -> subprocess.Popen[str]:
    """Start the worker process, which loads torch and waits for its request."""
    return subprocess.Popen(
        [sys.executable, "-m", "flashcards.scheduling.fit_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )


def build_request(reviews: Sequence[CardReview], parameters: Sequence[float]) -> str:
    entries = [(review.card_id, review.rating, review.reviewed_at.isoformat()) for review in reviews]
    return json.dumps({"reviews": entries, "parameters": list(parameters)})


def parse_fit(answer: dict[str, Any], now: datetime) -> ParameterFit:
    """Parse the worker's answer for the store; it is kept only if it predicts held-out reviews better."""
    kept = is_better(Measures(**answer["after"]), Measures(**answer["before"]))
    return ParameterFit(**{**answer, "parameters": tuple(answer["parameters"])}, fitted_at=now, kept=kept)
