"""A command line as a program: how it ends when it is interrupted, or when nobody reads what it prints."""

import os
import sys
from collections.abc import Callable

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it."""

READER_IS_GONE = 141
"""The exit status when nobody reads on what is printed, such as `head` after its lines."""


def run_program(main: Callable[[], int]) -> int:
    """Run a command line and return its exit status.

    Ctrl-C, and a reader that is gone, end it without a trace.
    """
    try:
        try:
            return main()
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it again as it ends
        return READER_IS_GONE
