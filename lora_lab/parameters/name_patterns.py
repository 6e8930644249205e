"""Module names that a learner's regular expressions match, found in a process that a time limit ends.

`re` has no time limit and lets no other thread run: `(.*)*x` on one name would stop every page for hours. The
expression has to mean what it means in PEFT, which uses `re`, so it can't be given to another engine: RE2 has
no lookahead, and `regex` reads `{e<=1}` and `[[:alpha:]]` differently and compiles without a limit.

`python -m lora_lab.parameters.name_patterns` is that process. It takes `{"patterns", "within", "names"}` per
line and answers `{"first": [[name, index, number], ...]}` or `{"wrong": pattern, "why": ...}`; the number is
what a group named `idx` caught.
"""

import atexit
import json
import re
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from lora_lab.parameters.adapter_config import PeftRefusal
from study.base.errors import LearnerError
from study.base.json_lines import RequestProcess, open_answers
from study.base.short_queue import ShortQueue
from study.io.process_limits import limit_memory

CPU_SECONDS = 0.5
"""Processor time for all patterns of one question; `.*\\.q_proj` on 3,000 names takes a few milliseconds."""

CLOCK_SECONDS = 60.0 if hasattr(signal, "setitimer") else 3.0
"""By the clock, the start of the process included, on a busy machine; on Windows, which has no timer of
processor time, the only limit."""

Matcher = Callable[[str], re.Match[str] | None]

WHOLE = "{}"
"""The pattern is for a whole name."""

PLAIN = re.compile(r"[\w.]*")
MOST_PLAIN = 50
"""So many patterns that only spell a name are matched here: a process for them would only take time."""


def find_first_matches(
    names: Iterable[str], patterns: Iterable[str], *, within: str = WHOLE
) -> dict[str, int]:
    """Find the first of the patterns that matches, for each name that any matches.

    `within` is the pattern in which each stands as `{}`. Raises PeftRefusal on a string that is not a
    regular expression; MatchingRefused on one that takes longer than CPU_SECONDS, and while too many others
    are matched.
    """
    return {name: at for name, at, _ in _find_first(names, patterns, within)}


def find_numbers(names: Iterable[str], patterns: Iterable[str], *, within: str) -> dict[str, int]:
    """Find the number that the first matching pattern catches in each name, as a group named `idx`.

    Raises as `find_first_matches` does.
    """
    return {name: int(number) for name, _, number in _find_first(names, patterns, within)}


def _find_first(names: Iterable[str], patterns: Iterable[str], within: str) -> list[tuple[str, int, str]]:
    patterns, names = tuple(patterns), tuple(names)
    if not patterns:
        return []
    answer = _answer(patterns, within, names)
    if answer is None:
        raise MatchingRefused(
            "This expression takes too long to be matched with the model's modules.",
            do_next="Name the modules instead, such as q_proj, v_proj.",
        )
    if "wrong" in answer:
        raise PeftRefusal(
            f"{answer['wrong']!r} isn't a regular expression ({answer['why']}).",
            do_next="Correct it, or list module names.",
        )
    found: list[tuple[str, int, str]] = answer["first"]
    return found


@lru_cache(maxsize=64)  # one press may ask the same many times, and each time may take a second
def _answer(patterns: tuple[str, ...], within: str, names: tuple[str, ...]) -> Mapping[str, Any] | None:
    is_plain = len(patterns) <= MOST_PLAIN and all(map(PLAIN.fullmatch, patterns))
    if is_plain:
        return _match(patterns, within, names)
    with _queue.turn(MatchingRefused):
        answer: Mapping[str, Any] | None = _matcher.ask(
            {"patterns": patterns, "within": within, "names": names}, seconds=CLOCK_SECONDS
        )
    return answer


class MatchingRefused(LearnerError):
    """The error when it is not known what an expression matches."""


_queue = ShortQueue("Other regular expressions", wait_seconds=5)
_matcher = RequestProcess(__name__)
atexit.register(_matcher.close)


def _match(patterns: Iterable[str], within: str, names: Iterable[str]) -> dict[str, Any]:
    compiled = []
    for pattern in patterns:
        whole = within.replace("{}", pattern)
        try:
            found = re.compile(whole)
        except (re.error, RecursionError, OverflowError) as error:
            return {"wrong": whole, "why": str(error)}
        compiled.append(found.fullmatch if within == WHOLE else found.match)
    return {"first": [first for name in names if (first := _find_first_of(name, compiled))]}


def _find_first_of(name: str, compiled: Iterable[Matcher]) -> tuple[str, int, str | None] | None:
    for at, match in enumerate(compiled):
        if found := match(name):
            return name, at, found.groupdict().get("idx")
    return None


def main() -> None:
    """Answer questions until standard input closes; one that takes too long ends the process."""
    answers = open_answers()
    limit_memory()
    for line in sys.stdin:
        _limit_cpu_time(CPU_SECONDS)
        answer = json.dumps(_match(**json.loads(line)))
        _limit_cpu_time(0)
        answers.write(answer.encode() + b"\n")
        answers.flush()


def _limit_cpu_time(seconds: float) -> None:
    """Let the system end this process, which Python could not do while `re` matches; 0 takes that back."""
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_PROF, seconds)


if __name__ == "__main__":
    main()
