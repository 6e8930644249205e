"""What every process that reads files of strangers does: it takes functions by name and answers in JSON."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from study.base.errors import LearnerError


def name_function(function: Callable[..., Any]) -> str:
    """Name a function, `module:function`, under which another process finds a function of a module."""
    return f"{function.__module__}:{function.__qualname__}"


def find_named(name: str) -> Any:
    """Return the function of a name that `name_function` gave."""
    module, _, function = name.partition(":")
    return getattr(import_module(module), function)


def encode_error(error: LearnerError) -> dict[str, list[str]]:
    return {"error": [error.what, error.do_next]}


def build_memory_error(name: str, do_next: str) -> LearnerError:
    """Return the error of a file that needs more memory than there is for it."""
    return LearnerError(f"{name} needs more memory than reading a file may use.", do_next=do_next)


def build_stopped_error(name: str) -> LearnerError:
    """Return the error of a file whose reading its learner has stopped."""
    return LearnerError(
        f"Reading {name} was stopped.", do_next="Nothing was changed. Choose the file again to start over."
    )


def raise_error(answer: dict[str, Any]) -> None:
    """Raise the LearnerError that an answer holds, if it holds one."""
    if "error" in answer:
        what, do_next = answer["error"]
        raise LearnerError(what, do_next=do_next)
