"""Find the error: one line of a config, or of a program's output, can't be right."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from quizzes.kinds.grade import (
    LETTERS,
    MOST_KEYS,
    Form,
    Grade,
    GradedPart,
    Offered,
    Response,
    choose_part_state,
    read_chosen,
)
from study.content.declared import read_declared
from study.content.yaml_reader import Fields


@dataclass(frozen=True, kw_only=True)
class CodeLine:
    """One line; the feedback says why it is fine, or what is wrong with it."""

    id: str
    text: str
    feedback: str
    fix: str = ""
    """How the wrong line should read; empty for the others."""

    @property
    def error(self) -> bool:
        return bool(self.fix)


@dataclass(frozen=True, kw_only=True)
class FindTheError:
    """A task to choose the wrong line. Lines keep their order."""

    kind: ClassVar[Literal["find-the-error"]] = "find-the-error"
    rule: ClassVar[str] = ""
    lines: tuple[CodeLine, ...]

    @property
    def wrong(self) -> CodeLine:
        """The line that can't be right."""
        return next(line for line in self.lines if line.error)

    @property
    def answer(self) -> Response:
        return {"line": self.wrong.id}

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(f"{line.text} {line.fix} {line.feedback}" for line in self.lines)

    def offer(self, _salt: str) -> Offered:
        """Return the lines with their letters, from the top."""
        return list(zip(LETTERS, self.lines, strict=False))

    def read(self, form: Form, offered: Offered) -> Response:
        """Parse the id of the chosen line. Raises LearnerError when none is chosen."""
        missing = "No line is chosen yet."
        do_next = "Choose the one that cannot be right: press its letter."
        return {"line": read_chosen(form, "option", offered, missing=missing, do_next=do_next)[0]}

    def grade(self, response: Response) -> Grade:
        given = response.get("line")
        parts = tuple(_grade_part(line, chosen=line.id == given) for line in self.lines)
        return Grade(fraction=1.0 if given == self.wrong.id else 0.0, parts=parts)


def read_find_the_error(fields: Fields) -> FindTheError:
    """Read the lines; one of them has `fix:`, how it should read."""
    lines = tuple(read_declared(entry, CodeLine) for entry in fields.children("lines", kind="line"))
    if not 3 <= len(lines) <= MOST_KEYS:
        fields.note(f"needs 3 to {MOST_KEYS} lines, got {len(lines)}")
    if sum(line.error for line in lines) != 1:
        fields.note("needs exactly one line with a `fix`")
    if len({line.id for line in lines}) != len(lines):
        fields.note("two lines have the same id")
    return FindTheError(lines=lines)


def _grade_part(line: CodeLine, *, chosen: bool) -> GradedPart:
    state = choose_part_state(correct=line.error, chosen=chosen)
    feedback = f"{line.feedback} It should read: `{line.fix}`." if line.fix else line.feedback
    return GradedPart(id=line.id, text=f"`{line.text}`", state=state, feedback=feedback)
