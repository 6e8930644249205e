"""Client of the grader: one worker process, started on demand and called over pipes (JSON lines)."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from quizzes.grader.grading import Grading, Scores, grade_answer, grade_answers
from quizzes.grader.minilm import find_minilm_folder
from quizzes.grader.prompts import Prompt
from quizzes.grader.weights import read_weights
from study.base.errors import LearnerError
from study.base.json_lines import JsonLinesProcess
from study.base.model_files import Progress, Report, ignore_progress, is_ready

THREADS = 2


class GraderClient:
    """A thread-safe client that grades one answer at a time. The app's own process never loads torch."""

    def __init__(self, models_dir: Path) -> None:
        self._models_dir = models_dir
        self._lock = threading.Lock()
        self._worker: JsonLinesProcess | None = None

    def grade(
        self,
        prompt: Prompt,
        answer: str,
        *,
        report: Report = ignore_progress,
        find_words: bool = False,
        added_at: int | None = None,
    ) -> Grading:
        """Return the verdict on each concept of an answer. Raises LearnerError when no model is available."""
        with self._lock:
            self._start(report)
            limits = read_weights().choose_limits(prompt)
            return grade_answer(prompt, answer, self._score, limits, find_words=find_words, added_at=added_at)

    def grade_all(self, prompt: Prompt, answers: Sequence[str]) -> list[Grading]:
        """Return the verdicts on several answers, without the words that carry them.

        Raises LearnerError when no model is available.
        """
        with self._lock:
            self._start(ignore_progress)
            return grade_answers(prompt, answers, self._score, read_weights().choose_limits(prompt))

    @property
    def has_files(self) -> bool:
        """Whether the model is on this machine; otherwise grading starts with a download."""
        return is_ready(find_minilm_folder(self._models_dir))

    def prepare(self, report: Report = ignore_progress) -> None:
        with self._lock:
            self._start(report)

    def close(self) -> None:
        """Kill the worker, even while it downloads its model."""
        worker = self._worker
        if worker is not None:
            worker.kill()
        with self._lock:
            self._end()

    def _start(self, report: Report) -> None:
        """Start a worker and wait until it is ready; the caller holds the lock."""
        if self._worker is not None and self._worker.is_alive:
            return
        self._end()
        self._worker = JsonLinesProcess(
            "quizzes.grader.worker",
            "--models-dir",
            str(self._models_dir),
            "--threads",
            str(THREADS),
            # As for the lab's worker: two OpenMP runtimes that spin starve each other (docs/traps.md 13).
            environment={"OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"},
        )
        while not (said := self._read()).get("ready"):
            if "what" in said:
                self._end()
                raise LearnerError(said["what"], do_next=said["do_next"])
            report(Progress(step=said["doing"], done_bytes=said["done"], total_bytes=said["total"]))

    def _score(self, concepts: Sequence[str], texts: Sequence[str]) -> list[list[Scores]]:
        if not texts:
            return []
        assert self._worker is not None
        self._worker.send({"concepts": concepts, "texts": texts})
        return [[Scores(*row) for row in rows] for rows in self._read()["scores"]]

    def _read(self) -> dict[str, Any]:
        assert self._worker is not None
        said = next(self._worker.read(), None)
        if said is None:
            self._end()
            raise LearnerError(
                "The grader's process ended.",
                do_next="Try again; if it ends again, tick the concepts yourself.",
            )
        return cast(dict[str, Any], said)

    def _end(self) -> None:
        """Kill the worker; the caller holds the lock."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None
