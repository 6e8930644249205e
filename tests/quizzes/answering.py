"""What a form sends when a person gives a certain answer, whatever the question's kind."""

from typing import Any

from quizzes.kinds.arranging import Matching, Ordering
from quizzes.kinds.charts import ReadChart
from quizzes.kinds.choices import Multiple, Single, TrueFalse
from quizzes.kinds.grade import Response
from quizzes.kinds.lines import FindTheError
from quizzes.kinds.numeric import Numeric
from quizzes.kinds.question import Question
from quizzes.kinds.words import Cloze, ShortText
from quizzes.session.session import offer_choices


def fields_for(question: Question, response: Response, *, seed: int) -> dict[str, list[str]]:
    """The form fields of a response, with letters for ids as this quiz shows them."""
    letters = {choice.id: letter for letter, choice in offer_choices(question, seed=seed)}
    fields: dict[str, list[str]] = {}
    for name, value in response.items():
        fields.update(_field(name, value, letters))
    return fields


def right_fields(question: Question, *, seed: int) -> dict[str, list[str]]:
    """The form fields of the right answer."""
    return fields_for(question, question.task.answer, seed=seed)


def wrong_fields(question: Question, *, seed: int) -> dict[str, list[str]]:
    """The form fields of an answer in which nothing is right."""
    return fields_for(question, wrong_response(question), seed=seed)


def wrong_response(question: Question) -> Response:
    """A complete answer that scores nothing."""
    task = question.task.asked if isinstance(question.task, ReadChart) else question.task
    wrong = [option.id for option in getattr(task, "options", ()) if not option.correct]
    match task:
        case Single():
            return {"option": wrong[0]}
        case Multiple():
            return {"options": wrong[:1]}
        case TrueFalse():
            return {"verdict": not task.truth, "option": wrong[0]}
        case Numeric():
            return {"text": "-1"}
        case ShortText():
            return {"text": "something else"}
        case Cloze():
            return {"blanks": ["zzz" for _ in task.blanks]}
        case Matching():
            turned = [*task.pairs[1:], task.pairs[0]]
            return {"pairs": {pair.id: other.choice for pair, other in zip(task.pairs, turned, strict=True)}}
        case Ordering():
            items = [item.id for item in task.items]
            return {"order": [*items[1:], items[0]]}
        case FindTheError():
            return {"line": next(line.id for line in task.lines if not line.error)}
    raise TypeError(task)


def _field(name: str, value: Any, letters: dict[str, str]) -> dict[str, list[str]]:
    match name:
        case "option" | "line":
            return {"option": [letters[value]]}
        case "options":
            return {"option": [letters[each] for each in value]}
        case "verdict":
            return {"verdict": ["true" if value else "false"]}
        case "text":
            return {"number": [value], "text": [value]}
        case "blanks":
            return {f"blank-{number}": [text] for number, text in enumerate(value, start=1)}
        case "pairs":
            return {f"pair-{pair}": [letters[choice]] for pair, choice in value.items()}
        case "order":
            return {f"place-{number}": [letters[item]] for number, item in enumerate(value, start=1)}
    raise ValueError(f"no field is known for {name}")
