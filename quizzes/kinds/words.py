"""Questions answered in a word or two: a short text, or blanks in a sentence, graded with tolerance."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

from quizzes.kinds.choices import read_misconception
from quizzes.kinds.grade import (
    Form,
    Grade,
    GradedPart,
    Offered,
    PartState,
    Response,
    build_right_part,
    read_typed,
)
from study.base.errors import LearnerError
from study.base.typed_numbers import is_same, read_number
from study.content.declared import read_declared
from study.content.yaml_reader import Fields

SPELLING = (
    "Capital letters, spaces, hyphens and accents do not matter. In a word of five letters or more one slip "
    "of the keyboard is forgiven, but not in its first letter or in a digit."
)
FORGIVING_FROM = 5  # letters; `nf4` and `fp4`, or `lora` and `qlora`, are not spellings of each other

_ARTICLE = re.compile(r"^(the|a|an) ")
BLANK = re.compile(r"\{\{((?:(?!\{\{|\}\}).)+)\}\}")
"""A blank of a stem with its answers, `{{64|sixty-four}}`; a split by it has the answers at odd places."""


@dataclass(frozen=True, kw_only=True)
class TextMistake:
    """A recognized wrong answer (a distractor), with all its spellings."""

    id: str
    texts: tuple[str, ...]
    misconception: str
    feedback: str


@dataclass(frozen=True, kw_only=True)
class ShortText:
    kind: ClassVar[Literal["short-text"]] = "short-text"
    rule: ClassVar[str] = SPELLING
    accept: tuple[str, ...]
    """All accepted answers; the first is shown as the answer."""

    feedback: str
    mistakes: tuple[TextMistake, ...] = ()

    @property
    def answer(self) -> Response:
        return {"text": self.accept[0]}

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.accept[0], self.feedback, *(mistake.feedback for mistake in self.mistakes))

    def offer(self, _salt: str) -> Offered:
        return ()

    def read(self, form: Form, _offered: Offered) -> Response:
        """Parse the typed text. Raises LearnerError when it is empty."""
        text = read_typed(form, "text")
        if not text:
            raise LearnerError("Nothing is typed yet.", do_next="Write a word or two first.")
        return {"text": text}

    def grade(self, response: Response) -> Grade:
        given = str(response.get("text", ""))
        mistake = next((m for m in self.mistakes if _matches_any(given, m.texts, exactly=True)), None)
        if mistake is None and _matches_any(given, self.accept):
            return Grade(fraction=1.0, parts=(build_right_part(self.accept[0], "right", self.feedback),))
        wrong = GradedPart(
            id=mistake.id if mistake else "other",
            text=given,
            state="wrong",
            feedback=mistake.feedback if mistake else "",
            misconception=mistake.misconception if mistake else "",
        )
        missed = build_right_part(self.accept[0], "missed", self.feedback)
        return Grade(fraction=0.0, parts=(wrong, missed) if given else (missed,))


@dataclass(frozen=True, kw_only=True)
class Blank:
    """A gap in a sentence."""

    accept: tuple[str, ...]
    feedback: str


@dataclass(frozen=True, kw_only=True)
class Cloze:
    """A text with blanks, all of the same weight."""

    kind: ClassVar[Literal["cloze"]] = "cloze"
    segments: tuple[str, ...]
    """The text around the blanks: one more than there are blanks."""

    blanks: tuple[Blank, ...]

    @property
    def rule(self) -> str:
        each = f"Each blank counts 1/{len(self.blanks)}. " if len(self.blanks) > 1 else ""
        return each + SPELLING

    @property
    def answer(self) -> Response:
        return {"blanks": [blank.accept[0] for blank in self.blanks]}

    @property
    def texts(self) -> tuple[str, ...]:
        return (*self.segments, *(f"{blank.accept[0]} {blank.feedback}" for blank in self.blanks))

    def offer(self, _salt: str) -> Offered:
        return ()

    def read(self, form: Form, _offered: Offered) -> Response:
        """Parse the text of each blank. Raises LearnerError when all are empty; some may be."""
        given = [read_typed(form, f"blank-{number}") for number in range(1, len(self.blanks) + 1)]
        if not any(given):
            raise LearnerError("No blank is filled in yet.", do_next="Fill in those you know.")
        return {"blanks": given}

    def grade(self, response: Response) -> Grade:
        """Grade by the share of blanks that are right."""
        given = [*response.get("blanks", ()), *("" for _ in self.blanks)]
        parts = [
            part
            for number, (blank, text) in enumerate(zip(self.blanks, given, strict=False), start=1)
            for part in _blank_parts(blank, str(text), number)
        ]
        right = sum(part.state == "right" for part in parts)
        return Grade(fraction=right / len(self.blanks), parts=tuple(parts))


def match_text(given: str, accepted: str) -> bool:
    """Return whether two texts are the same by the rule that learners read (`SPELLING`)."""
    same = _are_same_number(given, accepted)
    if same is not None:
        return same
    mine, right = normalize(given), normalize(accepted)
    if mine.replace(" ", "") == right.replace(" ", ""):
        return bool(right)
    words = list(zip(mine.split(), right.split(), strict=False))
    return len(mine.split()) == len(right.split()) and all(_same_word(a, b) for a, b in words)


def read_short_text(fields: Fields) -> ShortText:
    entries = fields.children("mistakes", kind="mistake", needed=False)
    task = ShortText(
        accept=fields.texts("accept") or ("",),
        feedback=fields.text("feedback"),
        mistakes=tuple(_read_mistake(entry) for entry in entries),
    )
    for mistake in task.mistakes:
        if any(_matches_any(text, task.accept, exactly=True) for text in mistake.texts):
            fields.note(f"the mistake {mistake.id!r} is a right answer")
    return task


def read_cloze(fields: Fields, stem: str) -> tuple[str, Cloze]:
    """Read the blanks of a stem such as `Stores {{64|sixty-four}} weights`, and the stem without answers."""
    accepted = [tuple(part.strip() for part in inside.split("|")) for inside in BLANK.findall(stem)]
    feedback = fields.texts("feedback")
    if not accepted:
        fields.note("a cloze needs a blank such as {{answer}} in its stem")
    if len(feedback) != len(accepted):
        fields.note(f"needs one feedback per blank, got {len(feedback)} for {len(accepted)}")
    blanks = tuple(
        Blank(accept=variants, feedback=why) for variants, why in zip(accepted, feedback, strict=False)
    )
    # re.split returns the groups as well: every second piece is the text around the blanks.
    return BLANK.sub("…", stem), Cloze(segments=tuple(BLANK.split(stem)[::2]), blanks=blanks)


def _read_mistake(fields: Fields) -> TextMistake:
    found, named = read_misconception(fields, what="a mistake")
    return read_declared(fields, TextMistake, id=found, misconception=named)


def _blank_parts(blank: Blank, given: str, number: int) -> Sequence[GradedPart]:
    state: PartState = "right" if given and _matches_any(given, blank.accept) else "missed"
    part = partial(GradedPart, about=f"Blank {number}")
    right = part(id=f"blank-{number}", text=blank.accept[0], state=state, feedback=blank.feedback)
    if state == "right" or not given:
        return [right]
    return [part(id=f"given-{number}", text=given, state="wrong"), right]


def _matches_any(given: str, accepted: Sequence[str], *, exactly: bool = False) -> bool:
    same = _same_exactly if exactly else match_text
    return any(same(given, text) for text in accepted)


def _same_exactly(given: str, text: str) -> bool:
    """Return whether two texts are the same number or have the same letters: 1 is not −1."""
    same = _are_same_number(given, text)
    return normalize(given) == normalize(text) if same is None else same


def _are_same_number(given: str, text: str) -> bool | None:
    """Return whether two numbers are the same; None where at least one of the texts isn't a number."""
    try:
        return is_same(read_number(given), read_number(text))
    except LearnerError:
        return None


def normalize(text: str) -> str:
    """Return small letters without accents; a point stays only inside a number."""
    bare = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(c for c in bare if not unicodedata.combining(c))
    bare = re.sub(r"(?<!\d)\.|\.(?!\d)|[^\w.%/+]|_", " ", bare)
    return _ARTICLE.sub("", " ".join(bare.split()))


def _same_word(given: str, right: str) -> bool:
    if given == right:
        return True
    digits = [[c for c in word if c.isdigit()] for word in (given, right)]
    forgiving = len(right) >= FORGIVING_FROM and given[:1] == right[:1] and digits[0] == digits[1]
    return forgiving and _one_slip_apart(given, right)


def _one_slip_apart(one: str, other: str) -> bool:
    """Return whether one letter was inserted, deleted or changed, or two neighbours swapped."""
    while one and other and one[0] == other[0]:
        one, other = one[1:], other[1:]
    while one and other and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    return max(len(one), len(other)) <= 1 or (len(one) == 2 and one == other[::-1])
