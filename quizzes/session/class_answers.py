"""Answers in a live class to questions that take more than one option, read and graded by their kinds.

A task travels with its class as JSON, so that a process without the bank reads answers, and a question that
changes later changes no result.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from random import Random
from typing import Any

from pydantic import TypeAdapter

from quizzes.kinds import Task
from quizzes.kinds.arranging import Matching, Ordering
from quizzes.kinds.choices import Multiple, TrueFalse
from quizzes.kinds.grade import Form, Grade, GradedPart, Offered, Response
from quizzes.kinds.numeric import Numeric
from quizzes.kinds.words import Cloze, ShortText, match_text, normalize
from study.base.typed_numbers import format_number, parse_in_unit, read_number
from study.ports.classes import RIGHT_KEY, ClassResponse

FormTask = Multiple | TrueFalse | Numeric | ShortText | Matching | Ordering | Cloze
"""The tasks that aren't answered by one option."""

KINDS: Mapping[str, type[FormTask]] = {
    kind.kind: kind for kind in (Multiple, TrueFalse, Numeric, ShortText, Matching, Ordering, Cloze)
}
TRUTH_WORDS = {True: "true", False: "false"}
EMPTY = "–"


def derive_salt(question_id: str) -> str:
    """Letters are the same on all phones and in both rounds."""
    return f"class/{question_id}"


def store_task(question_id: str, task: FormTask) -> dict[str, Any]:
    stored = _build_adapter(task.kind).dump_python(task, mode="json")
    return {"kind": task.kind, "salt": derive_salt(question_id), "task": stored}


def load_task(stored: Mapping[str, Any]) -> tuple[FormTask, Offered]:
    """Return a stored task, and its choices with their letters."""
    task: FormTask = _build_adapter(stored["kind"]).validate_python(stored["task"])
    return task, task.offer(stored["salt"])


@cache
def _build_adapter(kind: str) -> TypeAdapter[Any]:
    return TypeAdapter(KINDS[kind])


class QuizClassKinds:
    """What the kinds of question offer a live class (`study.ports.classes.ClassKinds`)."""

    def read(self, task: Mapping[str, Any], form: Form) -> ClassResponse:
        """Read and grade the fields of a form. Raises LearnerError when too little is filled in."""
        kind, offered = load_task(task)
        given = kind.read(form, offered)
        grade = kind.grade(given)
        return ClassResponse(
            given=given,
            fraction=grade.fraction,
            key=RIGHT_KEY if grade.correct else f"wrong/{_derive_key(kind, given)}",
            said=say_by_letters(kind, given, offered),
            words=describe_answer(kind, given),
            why="" if grade.correct else _explain(grade),
            chosen=_list_chosen(given),
            value=parse_in_unit(given["text"], kind.unit) if isinstance(kind, Numeric) else None,
        )

    def fill_in_example(self, task: Mapping[str, Any], *, right: bool, rng: Random) -> dict[str, list[str]]:
        """Fill in the form as a student might."""
        kind, offered = load_task(task)
        return _fill_in(kind.answer if right else _answer_wrongly(kind, rng), offered)


def describe_answer(task: Task, given: Response) -> str:
    match task:
        case Multiple():
            return "; ".join(option.text for option in task.options if option.id in given["options"])
        case TrueFalse():
            reason = next(option.text for option in task.options if option.id == given["option"])
            return f"{TRUTH_WORDS[given['verdict']].capitalize()}: {reason}"
        case Numeric():
            text = str(given["text"])
            return text if read_number(text).unit else f"{text} {task.unit}".strip()
        case Matching():
            choices = {choice.id: choice.text for choice in task.choices}
            pairs = given["pairs"]
            return "; ".join(f"{pair.left}: {choices.get(pairs.get(pair.id), EMPTY)}" for pair in task.pairs)
        case Ordering():
            items = {item.id: item.text for item in task.items}
            return "; ".join(f"{number}. {items[item]}" for number, item in enumerate(given["order"], 1))
        case Cloze():
            return " / ".join(text or EMPTY for text in given["blanks"])
    return str(given["text"])


def list_reasons(parts: Iterable[GradedPart], states: Sequence[str]) -> str:
    """Return the feedback to the parts in some states, one in each line."""
    return "\n".join(_format_reason(part) for part in parts if part.state in states and part.feedback)


def _explain(grade: Grade) -> str:
    """What is wrong; why the right answer is right stands beside it, once for everyone."""
    return list_reasons((part for part in grade.parts if part.id != "right"), ("wrong", "missed"))


def _format_reason(part: GradedPart) -> str:
    return f"{part.about}: {part.feedback}" if part.about else part.feedback


def _list_chosen(given: Response) -> tuple[str, ...]:
    verdict = (f"verdict-{TRUTH_WORDS[given['verdict']]}",) if "verdict" in given else ()
    option = (given["option"],) if "option" in given else ()
    return (*verdict, *option, *given.get("options", ()))


def _derive_key(task: FormTask, given: Response) -> str:
    """Derive a key that is equal for wrong answers that say the same."""
    match task:
        case Numeric():
            return format_number(parse_in_unit(given["text"], task.unit))
        case ShortText():
            return normalize(given["text"])
        case Cloze():
            filled = zip(task.blanks, given["blanks"], strict=True)
            return " / ".join(_find_same(text, blank.accept) or normalize(text) for blank, text in filled)
        case Matching():
            return ",".join(given["pairs"].get(pair.id, "") for pair in task.pairs)
        case Ordering():
            return ",".join(given["order"])
    return ",".join(_list_chosen(given))


def _find_same(text: str, accepted: Sequence[str]) -> str:
    """Find the first accepted text if this is one of them."""
    return accepted[0] if text and any(match_text(text, each) for each in accepted) else ""


def say_by_letters(task: FormTask, given: Response, offered: Offered) -> str:
    """Return an answer in words; an arranged one from top to bottom, by its numbers or letters."""
    letters = {choice.id: letter for letter, choice in offered}
    match task:
        case Matching():
            return ", ".join(letters.get(given["pairs"].get(pair.id), EMPTY) for pair in task.pairs)
        case Ordering():
            return ", ".join(letters[item] for item in given["order"])
    return describe_answer(task, given)


def _fill_in(answer: Response, offered: Offered) -> dict[str, list[str]]:
    """Return the form that reads as an answer."""
    letters = {choice.id: letter for letter, choice in offered}
    form: dict[str, list[str]] = {}
    for name, value in answer.items():
        match name:
            case "options":
                form["option"] = [letters[option] for option in value]
            case "option":
                form["option"] = [letters[value]]
            case "verdict":
                form["verdict"] = [TRUTH_WORDS[value]]
            case "pairs":
                form |= {f"pair-{pair}": [letters[choice]] for pair, choice in value.items()}
            case "order":
                form |= {f"place-{number}": [letters[item]] for number, item in enumerate(value, start=1)}
            case "blanks":
                form |= {f"blank-{number}": [text] for number, text in enumerate(value, start=1)}
            case "text":
                form |= {"number": [value], "text": [value]}
    return form


def _answer_wrongly(task: FormTask, rng: Random) -> Response:
    """A wrong answer as students give it."""
    match task:
        case Multiple():
            right = task.answer["options"]
            wrong = rng.choice([option.id for option in task.options if not option.correct])
            return {"options": [*right[: rng.randrange(len(right) + 1)], wrong]}
        case TrueFalse():
            reason = rng.choice([option.id for option in task.options if not option.correct])
            return {"verdict": rng.random() < 0.5, "option": reason}
        case Numeric():
            guesses = [slip.value for slip in task.slips] or [2 * task.value + 1, task.value / 2 - 1]
            return {"text": format_number(rng.choice(guesses))}
        case ShortText():
            return {"text": rng.choice([m.texts[0] for m in task.mistakes] or ["I don't know"])}
        case Matching():
            pairs = dict(task.answer["pairs"])
            one, other = rng.sample(sorted(pairs), 2)
            return {"pairs": pairs | {one: pairs[other], other: pairs[one]}}
        case Ordering():
            order = list(task.answer["order"])
            at = rng.randrange(len(order) - 1)
            order[at : at + 2] = reversed(order[at : at + 2])
            return {"order": order}
    blanks = list(task.answer["blanks"])
    blanks[rng.randrange(len(blanks))] = "something else"
    return {"blanks": blanks}
