"""Questions answered by choosing from options: one, several, or true or false with a reason."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from quizzes.kinds.grade import MOST_KEYS, Form, Grade, Offered, Part, Response, chosen, lettered
from study.base.errors import LearnerError
from study.content.yaml_reader import Fields

RIGHT = "right"  # the right option's id; a wrong one is known by its misconception

_MISCONCEPTION = re.compile(r"(?P<slug>[a-z0-9]+(?:-[a-z0-9]+)*): (?P<name>.+)")
_CHOOSE_ONE = "Choose one first, with the key of its letter."


@dataclass(frozen=True, kw_only=True)
class Option:
    """One choice. A wrong one is wrong for a reason, and the reason has a name."""

    id: str
    text: str
    feedback: str
    misconception: str

    @property
    def correct(self) -> bool:
        """Whether it is a right one."""
        return not self.misconception


@dataclass(frozen=True, kw_only=True)
class Single:
    """Exactly one option is right."""

    kind: ClassVar[Literal["single"]] = "single"
    rule: ClassVar[str] = ""
    options: tuple[Option, ...]

    @property
    def right(self) -> Option:
        """The right option."""
        return next(option for option in self.options if option.correct)

    @property
    def answer(self) -> Response:
        """The right response."""
        return {"option": self.right.id}

    @property
    def texts(self) -> tuple[str, ...]:
        """All that a learner can read, for checks."""
        return tuple(f"{option.text} {option.feedback}" for option in self.options)

    def offered(self, salt: str) -> Offered:
        """The options under their letters."""
        return lettered(self.options, salt=salt)

    def read(self, form: Form, offered: Offered) -> Response:
        """The chosen option's id."""
        missing = "No answer is chosen yet."
        return {"option": chosen(form, "option", offered, missing=missing, do_next=_CHOOSE_ONE)[0]}

    def grade(self, response: Response) -> Grade:
        """All or nothing."""
        given = response.get("option")
        fraction = 1.0 if given == self.right.id else 0.0
        return Grade(fraction=fraction, parts=_parts(self.options, {given}))


@dataclass(frozen=True, kw_only=True)
class Multiple:
    """Several options are right; each counts, and a wrong one takes away what a right one gives."""

    kind: ClassVar[Literal["multiple"]] = "multiple"
    options: tuple[Option, ...]

    @property
    def rule(self) -> str:
        """How points are given."""
        count = sum(option.correct for option in self.options)
        return f"Each right choice counts 1/{count}; each wrong one takes 1/{count} away, down to 0."

    @property
    def answer(self) -> Response:
        """The right response."""
        return {"options": [option.id for option in self.options if option.correct]}

    @property
    def texts(self) -> tuple[str, ...]:
        """All that a learner can read, for checks."""
        return tuple(f"{option.text} {option.feedback}" for option in self.options)

    def offered(self, salt: str) -> Offered:
        """The options under their letters."""
        return lettered(self.options, salt=salt)

    def read(self, form: Form, offered: Offered) -> Response:
        """The chosen options' ids, in the author's order."""
        missing = "No answer is chosen yet."
        given = chosen(
            form, "option", offered, missing=missing, do_next="Tick all that are right: A, B, C or D."
        )
        return {"options": [option.id for option in self.options if option.id in given]}

    def grade(self, response: Response) -> Grade:
        """Right choices less wrong ones, out of the right ones there are."""
        given = set(response.get("options", ()))
        right = {option.id for option in self.options if option.correct}
        wrong = {option.id for option in self.options if not option.correct}
        score = len(given & right) - len(given & wrong)
        return Grade(fraction=max(0.0, score / len(right)), parts=_parts(self.options, given))


@dataclass(frozen=True, kw_only=True)
class TrueFalse:
    """Is the statement true, and why? A right verdict for a wrong reason is half of it."""

    kind: ClassVar[Literal["true-false"]] = "true-false"
    rule: ClassVar[str] = "The verdict counts half; its reason counts the other half if the verdict is right."
    truth: bool
    feedback: str
    options: tuple[Option, ...]
    """The reasons."""

    @property
    def answer(self) -> Response:
        """The right response."""
        return {"verdict": self.truth, "option": next(o.id for o in self.options if o.correct)}

    @property
    def texts(self) -> tuple[str, ...]:
        """All that a learner can read, for checks."""
        return (self.feedback, *(f"{option.text} {option.feedback}" for option in self.options))

    def offered(self, salt: str) -> Offered:
        """The reasons under their letters."""
        return lettered(self.options, salt=salt)

    def read(self, form: Form, offered: Offered) -> Response:
        """The verdict and the reason."""
        verdict = next(iter(form.get("verdict", ())), "")
        if verdict not in ("true", "false"):
            raise LearnerError("True or false is not chosen yet.", do_next="Choose one: press T or F.")
        missing = "No reason is chosen yet."
        reason = chosen(form, "option", offered, missing=missing, do_next=_CHOOSE_ONE)[0]
        return {"verdict": verdict == "true", "option": reason}

    def grade(self, response: Response) -> Grade:
        """Verdict first, then the reason."""
        agreed = response.get("verdict") is self.truth
        reasons = _parts(self.options, {response.get("option")})
        sound = agreed and any(part.state == "right" for part in reasons)
        said = "True" if self.truth else "False"
        verdict = Part(
            id="verdict",
            text=f"The statement is {said.lower()}",
            state="right" if agreed else "wrong",
            feedback=self.feedback,
            about="Verdict",
        )
        return Grade(fraction=(agreed + sound) / 2, parts=(verdict, *reasons))


def read_single(fields: Fields) -> Single:
    """A question with one right option."""
    options = read_options(fields, "options")
    if not fields.own and not 3 <= len(options) <= 4:
        fields.note(f"needs 3 or 4 options, got {len(options)}")
    if not 2 <= len(options) <= MOST_KEYS:
        fields.note(f"needs 2 to {MOST_KEYS} options, got {len(options)}")
    _note_one_right(fields, options)
    return Single(options=options)


def read_multiple(fields: Fields) -> Multiple:
    """A question with several right options, each of which has a written id."""
    options = read_options(fields, "options", several=True)
    right = sum(option.correct for option in options)
    if not 3 <= len(options) <= MOST_KEYS:
        fields.note(f"needs 3 to {MOST_KEYS} options, got {len(options)}")
    if not 1 <= right < len(options):
        fields.note(f"needs right and wrong options, got {right} right ones of {len(options)}")
    return Multiple(options=options)


def read_true_false(fields: Fields) -> TrueFalse:
    """A statement with its verdict and reasons."""
    reasons = read_options(fields, "reasons")
    if not 2 <= len(reasons) <= 4:
        fields.note(f"needs 2 to 4 reasons, got {len(reasons)}")
    _note_one_right(fields, reasons)
    truth = fields.raw("answer")
    if not isinstance(truth, bool):
        fields.note(f"`answer` must be true or false, got {truth!r}")
    return TrueFalse(truth=truth is True, feedback=fields.text("feedback"), options=reasons)


def read_options(fields: Fields, name: str, *, several: bool = False) -> tuple[Option, ...]:
    """A list of options, each of which can be told apart in the log and on the page."""
    options = tuple(_read_option(entry, several=several) for entry in fields.children(name, kind="option"))
    if len({option.id for option in options}) != len(options):
        fields.note("two options share a misconception or id, so answers could not be told apart")
    if len({option.text for option in options}) != len(options):
        fields.note("two options read the same")
    return options


def read_misconception(fields: Fields, *, what: str) -> tuple[str, str]:
    """Slug and name of the idea that leads to a wrong answer."""
    written = fields.text("misconception", default="")
    named = _MISCONCEPTION.fullmatch(written)
    if named is None:
        fields.note(f'{what} needs `misconception: "slug: short name"`, got {written!r}')
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


def _parts(options: Sequence[Option], given: set[str | None]) -> tuple[Part, ...]:
    def state(option: Option) -> Literal["right", "wrong", "missed", "left"]:
        if option.id in given:
            return "right" if option.correct else "wrong"
        return "missed" if option.correct else "left"

    return tuple(
        Part(
            id=option.id,
            text=option.text,
            state=state(option),
            feedback=option.feedback,
            misconception=option.misconception,
        )
        for option in options
    )
