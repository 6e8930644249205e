"""The kinds of question, one class per kind; each reads its YAML and an answer from a form, and grades it."""

from collections.abc import Callable
from typing import Literal, get_args

from quizzes.kinds.arranging import Matching, Ordering, read_matching, read_ordering
from quizzes.kinds.charts import ReadChart, read_chart
from quizzes.kinds.choices import Multiple, Single, TrueFalse, read_multiple, read_single, read_true_false
from quizzes.kinds.lines import FindTheError, read_find_the_error
from quizzes.kinds.numeric import Numeric, read_numeric
from quizzes.kinds.words import Cloze, ShortText, read_cloze, read_short_text
from study.base.checks import Check
from study.content.yaml_reader import Fields

QuestionKind = Literal[
    "single",
    "multiple",
    "true-false",
    "numeric",
    "short-text",
    "matching",
    "ordering",
    "cloze",
    "find-the-error",
    "read-the-chart",
]
KINDS: tuple[QuestionKind, ...] = get_args(QuestionKind)

Task = (
    Single
    | Multiple
    | TrueFalse
    | Numeric
    | ShortText
    | Matching
    | Ordering
    | Cloze
    | FindTheError
    | ReadChart
)


def read_task(
    fields: Fields, kind: QuestionKind, *, stem: str, checks: tuple[Check, ...]
) -> tuple[str, Task]:
    """Read the task of a question's kind, and the stem as shown (a cloze's stem holds its answers)."""
    match kind:
        case "cloze":
            return read_cloze(fields, stem)
        case "numeric":
            return stem, read_numeric(fields, checks)
        case "read-the-chart":
            asked = read_single(fields) if fields.has("options") else read_numeric(fields, checks)
            return stem, ReadChart(chart=read_chart(fields), asked=asked)
    readers: dict[str, Callable[[Fields], Task]] = {
        "single": read_single,
        "multiple": read_multiple,
        "true-false": read_true_false,
        "short-text": read_short_text,
        "matching": read_matching,
        "ordering": read_ordering,
        "find-the-error": read_find_the_error,
    }
    return stem, readers[kind](fields)
