"""A JSON-lines server, the worker's side of the job queue (engine/job_queue.py): one order per line.

Standard input has `{"job": "7", ...}` for a job and `{"stop": "7"}` to end it; standard output has lines that
name the job, the last of them `{"job", "end": "done" | "stopped"}` or `{"job", "end": "failed", "what",
"do_next"}`.
"""

import json
import queue
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

from study.base.errors import LearnerError
from study.base.json_lines import open_answers

Say = Callable[..., None]
End = Literal["done", "stopped"]
Do = Callable[[dict[str, Any], Say, Callable[[], bool]], End]
"""Does one order, passes interim results to Say, and polls now and then whether it was stopped."""


class ProgressCallback(Protocol):
    """A callback by which an inspection reports progress."""

    def __call__(
        self, doing: str = "", *, done: int = 0, total: int = 0, found: Mapping[str, Any] | None = None
    ) -> None:
        """Report the current activity, its position on a progress bar, and new results."""


def serve_orders(do: Do, error_text: str, *, do_next: str) -> None:
    """Do orders from standard input until it closes. An unexpected error says `error_text` and `do_next`."""
    orders: queue.Queue[dict[str, Any] | None] = queue.Queue()
    stopped: set[str] = set()
    answers = open_answers()
    threading.Thread(target=_read_orders, args=(orders, stopped), daemon=True).start()
    while (order := orders.get()) is not None:
        number = order["job"]

        def say(number: str = number, **values: Any) -> None:
            answers.write((json.dumps({"job": number, **values}) + "\n").encode())
            answers.flush()

        try:
            say(end=do(order, say, lambda number=number: number in stopped))  # type: ignore[misc]
        except LearnerError as error:
            say(end="failed", what=error.what, do_next=error.do_next)
        except Exception as error:
            # The outermost frame: any exception of a library ends this job, not the process.
            say(end="failed", what=f"{error_text} ({str(error) or type(error).__name__}).", do_next=do_next)


def _read_orders(orders: "queue.Queue[dict[str, Any] | None]", stopped: set[str]) -> None:
    for line in sys.stdin:
        order = json.loads(line)
        if "stop" in order:
            stopped.add(order["stop"])
        else:
            orders.put(order)
    orders.put(None)
