"""What a form sends when a person gives a certain answer, whatever the question's kind."""

from typing import Any

from quizzes.bank import Question
from quizzes.kinds.grade import Response
from quizzes.session import offered


def fields_for(question: Question, response: Response, *, seed: int) -> dict[str, list[str]]:
    """The form fields of a response, with letters for ids as this quiz shows them."""
    letters = {choice.id: letter for letter, choice in offered(question, seed=seed)}
    fields: dict[str, list[str]] = {}
    for name, value in response.items():
        fields.update(_field(name, value, letters))
    return fields


def right_fields(question: Question, *, seed: int) -> dict[str, list[str]]:
    """The form fields of the right answer."""
    return fields_for(question, question.task.answer, seed=seed)


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
