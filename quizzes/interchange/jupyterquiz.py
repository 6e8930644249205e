"""Export of questions for notebooks, as jupyterquiz reads them (JSON)."""

import json
from collections.abc import Iterable
from typing import Any

from quizzes.interchange.entry import QuestionEntry, WrittenFile
from quizzes.interchange.forms import Answer, Form, build_form

PRECISION = 3  # significant digits, as jupyterquiz counts since 2.8


def write_jupyterquiz(entries: Iterable[QuestionEntry]) -> WrittenFile:
    """Write all questions that jupyterquiz has a form for: choices, numbers and words."""
    made = [(entry, _write_question(entry)) for entry in entries]
    text = json.dumps([question for _, question in made if question], ensure_ascii=False, indent=1)
    return WrittenFile(text=text + "\n", left_out=tuple(entry for entry, question in made if not question))


def _write_question(entry: QuestionEntry) -> dict[str, Any] | None:
    form = build_form(entry)
    if form is None:
        return None
    match form.kind:
        case "choice" | "truth":
            several = "many_choice" if form.several else "multiple_choice"
            choices = [_write_answer(answer) for answer in _list_both(form)]
            return {"question": form.stem, "type": several, "answers": choices}
        case "number":
            numbers = {"question": form.stem, "type": "numeric", "answers": _write_numbers(form)}
            return {**numbers, "precision": PRECISION}
        case "words":
            words = [{**_write_answer(answer), "match_case": False} for answer in form.answers]
            return {"question": form.stem, "type": "string", "answers": words}
    return None


def _list_both(form: Form) -> tuple[Answer, ...]:
    if form.kind == "choice":
        return form.answers
    true, told = form.answers[0].right, form.answers[0].feedback
    return Answer(text="True", right=true, feedback=told), Answer(text="False", right=not true, feedback=told)


def _write_answer(answer: Answer) -> dict[str, Any]:
    return {"answer": answer.text, "correct": answer.right, "feedback": _write_feedback(answer)}


def _write_numbers(form: Form) -> list[dict[str, Any]]:
    value = float(form.answers[0].text)
    told = _write_feedback(form.answers[0])
    default = {"type": "default", "feedback": "Not quite. Try again."}
    if not form.tolerance:
        return [{"type": "value", "value": value, "correct": True, "feedback": told}, default]
    # A range excludes its end, so the end is slightly larger.
    ends = [value - form.tolerance, value + form.tolerance * (1 + 1e-9)]
    return [{"type": "range", "range": ends, "correct": True, "feedback": told}, default]


def _write_feedback(answer: Answer) -> str:
    return answer.feedback or ("Right." if answer.right else "Not this one.")
