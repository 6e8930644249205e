"""Questions answered by choosing from options: one, several, or true or false with a reason."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from quizzes.kinds.grade import (
    MOST_KEYS,
    Form,
    Grade,
    GradedPart,
    Offered,
    Response,
    assign_letters,
    choose_part_state,
    read_chosen,
    read_typed,
)
from study.base.errors import LearnerError
from study.content.yaml_reader import Fields

RIGHT = "right"  # the id of the right option; the id of a wrong one is its misconception
UNSAID = "not said by its author"  # the misconception of a wrong option that names none

_MISCONCEPTION = re.compile(r"(?P<slug>[a-z0-9]+(?:-[a-z0-9]+)*): (?P<name>.+)")
_CHOOSE_ONE = "Choose an answer first."


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option. A wrong one (a distractor) has a named misconception."""

    id: str
    text: str
    feedback: str
    misconception: str

    @property
    def correct(self) -> bool:
        return not self.misconception


@dataclass(frozen=True, kw_only=True)
class _FromOptions:
    """A task answered by choosing from options."""

    options: tuple[Option, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(f"{option.text} {option.feedback}" for option in self.options)

    def offer(self, salt: str) -> Offered:
        return assign_letters(self.options, salt=salt)


@dataclass(frozen=True, kw_only=True)
class Single(_FromOptions):
    """A task with exactly one right option."""

    kind: ClassVar[Literal["single"]] = "single"
    rule: ClassVar[str] = ""

    @property
    def right(self) -> Option:
        return next(option for option in self.options if option.correct)

    @property
    def answer(self) -> Response:
        return {"option": self.right.id}

    def read(self, form: Form, offered: Offered) -> Response:
        """Parse the id of the chosen option. Raises LearnerError when none is chosen."""
        missing = "No answer is chosen yet."
        return {"option": read_chosen(form, "option", offered, missing=missing, do_next=_CHOOSE_ONE)[0]}

    def grade(self, response: Response) -> Grade:
        given = response.get("option")
        fraction = 1.0 if given == self.right.id else 0.0
        return Grade(fraction=fraction, parts=_grade_parts(self.options, {given}))


@dataclass(frozen=True, kw_only=True)
class Multiple(_FromOptions):
    """A task with several right options; a wrong one takes away what a right one gives."""

    kind: ClassVar[Literal["multiple"]] = "multiple"

    @property
    def rule(self) -> str:
        count = sum(option.correct for option in self.options)
        return f"Each right choice counts 1/{count}; each wrong one takes 1/{count} away, down to 0."

    @property
    def answer(self) -> Response:
        return {"options": [option.id for option in self.options if option.correct]}

    def read(self, form: Form, offered: Offered) -> Response:
        """Parse the ids of the chosen options, in the author's order. Raises LearnerError for none."""
        missing = "No answer is chosen yet."
        given = read_chosen(
            form, "option", offered, missing=missing, do_next="Tick all that are right: A, B, C or D."
        )
        return {"options": [option.id for option in self.options if option.id in given]}

    def grade(self, response: Response) -> Grade:
        """Grade by right choices minus wrong ones, divided by the number of right options; at least 0."""
        given = set(response.get("options", ()))
        right = {option.id for option in self.options if option.correct}
        wrong = {option.id for option in self.options if not option.correct}
        score = len(given & right) - len(given & wrong)
        return Grade(fraction=max(0.0, score / len(right)), parts=_grade_parts(self.options, given))


@dataclass(frozen=True, kw_only=True)
class TrueFalse(_FromOptions):
    """A statement: is it true, and why? The options are the reasons; a wrong one leaves half the score."""

    kind: ClassVar[Literal["true-false"]] = "true-false"
    rule: ClassVar[str] = "The verdict counts half; its reason counts the other half if the verdict is right."
    truth: bool
    feedback: str

    @property
    def answer(self) -> Response:
        return {"verdict": self.truth, "option": next(o.id for o in self.options if o.correct)}

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.feedback, *super().texts)

    def read(self, form: Form, offered: Offered) -> Response:
        """Parse the verdict and the reason. Raises LearnerError when one is missing."""
        verdict = read_typed(form, "verdict")
        if verdict not in ("true", "false"):
            raise LearnerError("True or false is not chosen yet.", do_next="Choose one: press T or F.")
        missing = "No reason is chosen yet."
        reason = read_chosen(form, "option", offered, missing=missing, do_next=_CHOOSE_ONE)[0]
        return {"verdict": verdict == "true", "option": reason}

    def grade(self, response: Response) -> Grade:
        agreed = response.get("verdict") is self.truth
        reasons = _grade_parts(self.options, {response.get("option")})
        sound = agreed and any(part.state == "right" for part in reasons)
        said = "True" if self.truth else "False"
        verdict = GradedPart(
            id="verdict",
            text=f"The statement is {said.lower()}",
            state="right" if agreed else "wrong",
            feedback=self.feedback,
            about="Verdict",
        )
        return Grade(fraction=(agreed + sound) / 2, parts=(verdict, *reasons))


def read_single(fields: Fields) -> Single:
    options = read_options(fields, "options")
    if not fields.own and not 3 <= len(options) <= 4:
        fields.note(f"needs 3 or 4 options, got {len(options)}")
    if not 2 <= len(options) <= MOST_KEYS:
        fields.note(f"needs 2 to {MOST_KEYS} options, got {len(options)}")
    _note_one_right(fields, options)
    return Single(options=options)


def read_multiple(fields: Fields) -> Multiple:
    """Read a question with several right options, each of which has a written id."""
    options = read_options(fields, "options", several=True)
    right = sum(option.correct for option in options)
    if not 3 <= len(options) <= MOST_KEYS:
        fields.note(f"needs 3 to {MOST_KEYS} options, got {len(options)}")
    if not 1 <= right < len(options):
        fields.note(f"needs right and wrong options, got {right} right ones of {len(options)}")
    return Multiple(options=options)


def read_true_false(fields: Fields) -> TrueFalse:
    reasons = read_options(fields, "reasons")
    if not 2 <= len(reasons) <= 4:
        fields.note(f"needs 2 to 4 reasons, got {len(reasons)}")
    _note_one_right(fields, reasons)
    truth = fields.raw("answer")
    if not isinstance(truth, bool):
        fields.note(f"`answer` must be true or false, got {truth!r}")
    return TrueFalse(truth=truth is True, feedback=fields.text("feedback"), options=reasons)


def read_options(fields: Fields, name: str, *, several: bool = False) -> tuple[Option, ...]:
    """Read a list of options, each unique in the log and on the page."""
    options = tuple(_read_option(entry, several=several) for entry in fields.children(name, kind="option"))
    if len({option.id for option in options}) != len(options):
        fields.note("two options share a misconception or id, so answers could not be told apart")
    if len({option.text for option in options}) != len(options):
        fields.note("two options read the same")
    return options


def read_misconception(fields: Fields, *, what: str) -> tuple[str, str]:
    """Read the slug and the name of the misconception behind a wrong answer."""
    written = fields.text("misconception", default="")
    named = _MISCONCEPTION.fullmatch(written)
    if named is None:
        fields.note(f'{what} needs `misconception: "slug: thinks that ..."`, got {written!r}')
        return "", "unnamed"
    return named["slug"], named["name"]


def _read_option(fields: Fields, *, several: bool) -> Option:
    text, feedback = fields.text("text"), fields.text("feedback")
    if fields.flag("correct"):
        if fields.raw("misconception"):
            fields.note("the right option cannot have a misconception")
        found, named = fields.text("id") if several else RIGHT, ""
    else:
        found, named = read_misconception(fields, what="a wrong option")
    fields.close()
    return Option(id=found, text=text, feedback=feedback, misconception=named)


def _note_one_right(fields: Fields, options: Sequence[Option]) -> None:
    right = sum(option.correct for option in options)
    if right != 1:
        fields.note(f"needs exactly one right option, got {right}")


def _grade_parts(options: Sequence[Option], given: set[str | None]) -> tuple[GradedPart, ...]:
    return tuple(
        GradedPart(
            id=option.id,
            text=option.text,
            state=choose_part_state(correct=option.correct, chosen=option.id in given),
            feedback=option.feedback,
            misconception=option.misconception,
        )
        for option in options
    )
