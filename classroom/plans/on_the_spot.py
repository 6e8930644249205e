"""An activity that the teacher types during a class, read from a form."""

from collections.abc import Mapping

from classroom.activities.activity import Activity, Asked, Guessed, VoteOption
from classroom.activities.number import read_number
from classroom.activities.wall import Wanted
from study.base.errors import LearnerError
from study.text.markup import formula_problems, to_html

KINDS: Mapping[str, str] = {
    "question": "Question with one right option",
    "poll": "Poll",
    "number": "Number to guess",
    "text": "Short text",
}
FEWEST_OPTIONS, MOST_OPTIONS = 2, 6
LONGEST_ASK, LONGEST_OPTION = 600, 200
RIGHT_MARK = "*"
"""Begins the line of the right option."""

TITLE = "Asked on the spot"


def read_activity(form: Mapping[str, str]) -> Activity:
    """Read what was typed: `kind`, `ask`, and `options` by line, or `value` and `unit`.

    Raises LearnerError that says what is missing.
    """
    kind, ask = form.get("kind", ""), form.get("ask", "").strip()
    if kind not in KINDS:
        raise LearnerError("There is no such kind of activity.", do_next="Choose one that is listed.")
    if not ask or len(ask) > LONGEST_ASK:
        raise LearnerError(f"The question needs 1 to {LONGEST_ASK} characters.", do_next="Type it, then ask.")
    _check_formulas(ask)
    html = to_html(ask)
    match kind:
        case "question" | "poll":
            asked = Asked(id=kind, html=html, text=ask, options=_options(form, marked=kind == "question"))
            return Activity(kind=kind, title=TITLE, asked=asked)
        case "number":
            return Activity(kind=kind, title=TITLE, guessed=_guessed(form, ask))
    return Activity(kind="text", title=TITLE, wanted=Wanted(id="", html=html, text=ask))


def _options(form: Mapping[str, str], *, marked: bool) -> tuple[VoteOption, ...]:
    """One option a line; with `marked` exactly one begins with RIGHT_MARK."""
    lines = [line.strip() for line in form.get("options", "").splitlines() if line.strip()]
    if not FEWEST_OPTIONS <= len(lines) <= MOST_OPTIONS or max(map(len, lines)) > LONGEST_OPTION:
        raise LearnerError(
            f"{FEWEST_OPTIONS} to {MOST_OPTIONS} options are needed, each up to {LONGEST_OPTION} characters.",
            do_next="Write one option a line.",
        )
    right = [line.startswith(RIGHT_MARK) for line in lines]
    if marked and sum(right) != 1:
        raise LearnerError(
            f"{sum(right)} options are marked as right.", do_next=f"Begin the right one with {RIGHT_MARK}"
        )
    texts = [line.removeprefix(RIGHT_MARK).strip() if marked else line for line in lines]
    for text in texts:
        _check_formulas(text)
    return tuple(
        VoteOption(id=str(number), html=to_html(text), text=text, correct=marked and correct)
        for number, (text, correct) in enumerate(zip(texts, right, strict=True), start=1)
    )


def _guessed(form: Mapping[str, str], ask: str) -> Guessed:
    return Guessed(
        html=to_html(ask),
        text=ask,
        unit=form.get("unit", "").strip()[:20],
        value=read_number(form.get("value")),
    )


def _check_formulas(text: str) -> None:
    for problem in formula_problems(text):
        raise LearnerError(f"In “{text[:40]}” {problem}.", do_next="Correct the formula, then ask.")
