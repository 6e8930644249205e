"""The grader's worker process: loads the model once, then scores pairs until standard input closes.

    python -m quizzes.grader.worker --models-dir M [--threads 2]

It first answers `{"ready": true}`, or `{"what": ..., "do_next": ...}` when no model is available, and exits;
before that, `{"doing": ...}` lines report the download. After that, one line in, one line out:

    {"concepts": [four texts], "texts": [...]}
    {"scores": per text and concept [missing, partial, covered, contradicted]}
"""

import argparse
import json
import sys
from pathlib import Path
from typing import IO, Any

import torch

from quizzes.grader.minilm import fetch_minilm
from quizzes.grader.weights import WEIGHTS
from quizzes.grader.worker.reader import Reader, load_reader
from study.base.errors import LearnerError
from study.base.json_lines import open_answers
from study.base.model_files import Progress


def main() -> int:
    """Run the worker; return 0 when the app closes standard input, 1 when the model is unavailable."""
    parser = argparse.ArgumentParser(prog="python -m quizzes.grader.worker")
    parser.add_argument("--models-dir", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    out = open_answers()

    def report(progress: Progress) -> None:
        _send(out, {"doing": progress.step, "done": progress.done_bytes, "total": progress.total_bytes})

    try:
        reader = load_reader(fetch_minilm(options.models_dir, report), WEIGHTS)
    except LearnerError as error:
        _send(out, {"what": error.what, "do_next": error.do_next})
        return 1
    reader.warm_up()
    _send(out, {"ready": True})
    _serve(reader, out)
    return 0


def _serve(reader: Reader, out: IO[bytes]) -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        _send(out, {"scores": reader.score(asked["concepts"], asked["texts"])})


def _send(out: IO[bytes], values: dict[str, Any]) -> None:
    out.write(json.dumps(values).encode() + b"\n")
    out.flush()


if __name__ == "__main__":
    sys.exit(main())
