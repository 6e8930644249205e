"""Background job queue of the grader: answers are graded one at a time in a separate thread."""

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import Protocol

from quizzes.grader.grading import Grading
from quizzes.grader.prompts import Prompt
from study.base.errors import LearnerError
from study.base.model_files import Progress, Report
from study.store.logs.explains import ExplainAttempt

_LOG = logging.getLogger(__name__)


class AnswerGrader(Protocol):
    """The grader that the queue calls; the app's is the client in grader_client.py, with its own process."""

    def grade(
        self, prompt: Prompt, answer: str, *, report: Report, find_words: bool, added_at: int | None
    ) -> Grading:
        """Return the verdict on each concept of an answer, and its words.

        From `added_at` on, the answer is what the learner added when asked. Raises LearnerError when no model
        is available.
        """

    @property
    def has_files(self) -> bool:
        """Whether the model's files are on this machine."""

    def prepare(self, report: Report) -> None:
        """Load the model before it is needed. Raises LearnerError when it is unavailable."""


NO_GRADER = LearnerError("The grader is switched off in this app.", do_next="Judge your text yourself below.")
BROKEN = LearnerError(
    "The grader could not read this answer.",
    do_next="Your text is safe. Judge it yourself below, or let it try again.",
)

Keep = Callable[[Grading], None]


class GradingQueue:
    """A queue of answers to grade, one job per attempt, with progress. Without a grader it runs none.

    Learners take turns: nobody's answer waits for more than one of everybody else's.
    """

    def __init__(self, grader: AnswerGrader | None) -> None:
        self._grader = grader
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="grader")
        self._asked: dict[int, Future[None]] = {}
        self._waiting: dict[str, deque[tuple[Future[None], Callable[[], None]]]] = {}
        """What each learner waits for, the learner whose turn it is first."""
        self._prepared = False
        self.step = ""
        """The grader's current preparation, such as fetching its model; empty while it grades."""

    @property
    def open(self) -> bool:
        """Whether the app has a grader."""
        return self._grader is not None

    def prepare(self) -> None:
        """Load the model while the first answer is written; it is downloaded only when one is submitted."""
        with self._lock:
            if self._grader is not None and not self._prepared:
                self._prepared = True
                self._thread.submit(self._prepare, self._grader)

    def read(
        self, attempt: ExplainAttempt, prompt: Prompt, keep: Keep, *, learner: str, again: bool = False
    ) -> None:
        """Queue a learner's answer for grading unless it is queued already; `keep` stores the result."""
        with self._lock:
            asked = self._asked.get(attempt.id)
            if self._grader is None or (asked is not None and not (again and asked.done())):
                return
            job: Future[None] = Future()
            self._asked[attempt.id] = job
            grade = partial(self._read, self._grader, attempt, prompt, keep)
            self._waiting.setdefault(learner, deque()).append((job, grade))
            self._thread.submit(self._read_next)

    def find_trouble(self, attempt_id: int) -> LearnerError | None:
        """Find why this answer can't be graded; None while it is queued, or when it is graded."""
        if self._grader is None:
            return NO_GRADER
        asked = self._asked.get(attempt_id)
        if asked is None or not asked.done() or asked.exception() is None:
            return None
        error = asked.exception()
        return error if isinstance(error, LearnerError) else BROKEN

    def close(self) -> None:
        """Cancel all queued jobs, without waiting for the one that runs."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            for job, _ in chain.from_iterable(self._waiting.values()):
                job.cancel()
                job.set_running_or_notify_cancel()  # this wakes whoever waits for it
            self._waiting.clear()

    def _prepare(self, grader: AnswerGrader) -> None:
        with contextlib.suppress(LearnerError):  # reported when an answer is graded
            if grader.has_files:
                grader.prepare(self._report)
        self.step = ""

    def _read_next(self) -> None:
        with self._lock:
            learner = next(iter(self._waiting), None)
            if learner is None:  # closed meanwhile
                return
            own = self._waiting.pop(learner)
            job, grade = own.popleft()
            if own:
                self._waiting[learner] = own  # behind the others
        try:
            grade()
        except Exception as error:
            job.set_exception(error)
        else:
            job.set_result(None)

    def _read(self, grader: AnswerGrader, attempt: ExplainAttempt, prompt: Prompt, keep: Keep) -> None:
        said, added_at = attempt.said, len(attempt.text)
        try:
            keep(grader.grade(prompt, said, report=self._report, find_words=True, added_at=added_at))
            with self._lock:
                del self._asked[attempt.id]  # later additions and rewordings are queued again
        except LearnerError:
            raise
        except Exception:
            _LOG.exception("Reading an answer to %s failed", prompt.id)
            raise
        finally:
            self.step = ""

    def _report(self, progress: Progress) -> None:
        share = f": {progress.done_bytes / progress.total_bytes:.0%}" if progress.total_bytes else ""
        self.step = f"{progress.step}{share}"
