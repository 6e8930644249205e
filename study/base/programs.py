"""A command line as a program: how it ends when it is interrupted, or when nobody reads what it prints."""

import os
import sys
from collections.abc import Callable

from study.base.errors import StorageError, classify_refusal

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it."""

READER_IS_GONE = 141
"""The exit status when nobody reads on what is printed, such as `head` after its lines."""


def run_program(main: Callable[[], int]) -> int:
    """Run a command line and return its exit status.

    Ctrl-C, a reader that is gone, and a disk that takes nothing end it without a trace.
    """
    try:
        try:
            return main()
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        kind = classify_refusal(error)
        if kind is None and not isinstance(error, BrokenPipeError):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it again as it ends
        if kind is None:
            return READER_IS_GONE
        print(StorageError(kind), file=sys.stderr)  # noqa: T201 - a command line prints
        return 1
