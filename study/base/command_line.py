"""A command line: its parser, and how it ends when it is interrupted or nobody reads what it prints."""

import argparse
import os
import sys
from collections.abc import Callable

from study.base.errors import StorageError, classify_refusal

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it."""

READER_IS_GONE = 141
"""The exit status when nobody reads on what is printed, such as `head` after its lines."""


def build_module_parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser whose help shows the docstring of a module, line by line as it is written.

    The name of the module is given because it is `__main__` where the module is run.
    """
    return argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


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
