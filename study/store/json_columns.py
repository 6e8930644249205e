"""What JSON columns hold. A row of a backup is checked against it (rows.py)."""

from typing import Annotated, Any

from pydantic import Field, StrictBool, StrictInt, StrictStr, TypeAdapter
from typing_extensions import TypedDict  # pydantic refuses that of typing below Python 3.12


def holds(kind: Any) -> dict[str, TypeAdapter[Any]]:
    """Say what a JSON column holds, in the form of its `info`."""
    return {"holds": TypeAdapter(kind)}


TEXTS, OBJECT = list[StrictStr], dict[StrictStr, Any]
SPANS = list[tuple[StrictInt, StrictInt]]

LONGEST_QUIZ = 50
"""Questions."""

SLOWEST_PACE = 3600
"""Seconds for a question of an exam."""


class QuizChoiceJson(TypedDict, total=False):
    """What the questions of a quiz were drawn from."""

    mode: StrictStr
    topic: StrictStr
    level: StrictStr
    concept: StrictStr
    question: StrictStr
    length: Annotated[StrictInt, Field(ge=1, le=LONGEST_QUIZ)]
    seconds_each: Annotated[StrictInt, Field(ge=0, le=SLOWEST_PACE)] | None


class ResponseJson(TypedDict, total=False):
    """The answer to a question, of whatever kind."""

    option: StrictStr
    options: list[StrictStr]
    verdict: StrictBool
    text: StrictStr
    blanks: list[StrictStr]
    pairs: dict[StrictStr, StrictStr]
    order: list[StrictStr]
    line: StrictStr
