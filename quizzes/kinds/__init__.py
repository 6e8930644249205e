"""The kinds of question: one class a kind, each reads its YAML, an answer from a form, and grades it."""

from typing import Literal, get_args

from quizzes.kinds.choices import Multiple, Single, TrueFalse
from quizzes.kinds.numeric import Numeric

Kind = Literal["single", "multiple", "true-false", "numeric"]
KINDS: tuple[Kind, ...] = get_args(Kind)

Task = Single | Multiple | TrueFalse | Numeric
