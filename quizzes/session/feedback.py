"""Feedback on an answer: a mark in words for each part of it, and a text for screen readers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from quizzes.kinds import QuestionKind
from quizzes.kinds.choices import UNSAID
from quizzes.kinds.grade import Grade, GradedPart, Offered, PartState
from quizzes.kinds.question import Question
from study.store.logs.quizzes import QuizAnswer
from study.text.markup import to_plain

_MARKS: dict[PartState, str] = {
    "right": "✓ Your answer, right",
    "wrong": "✗ Your answer, not right",
    "missed": "✓ The right answer",
    "left": "",
}
_MARKS_OF_KIND: dict[QuestionKind, dict[PartState, str]] = {
    "multiple": {"right": "✓ Chosen, right", "wrong": "✗ Chosen, not right", "missed": "○ Right, not chosen"},
    "ordering": {"right": "✓ In its place", "missed": "✗ Belongs here"},
    "find-the-error": {
        "right": "✓ Your answer, cannot be right",
        "wrong": "✗ Your answer, this line is fine",
        "missed": "✓ The line that cannot be right",
    },
}


NO_VERBS = {"always", "sometimes", "perhaps", "its", "this", "was"}
"""First words of a teacher's own misconceptions that end like a verb."""

INFINITIVES = {"is": "be", "has": "have", "does": "do", "goes": "go", "ties": "tie"}
"""Where the rule for an ending would give another word."""


@dataclass(frozen=True, kw_only=True)
class FeedbackRow:
    """One part of an answer as the page lists it."""

    letter: str
    part: GradedPart
    mark: str

    @property
    def mix_up(self) -> str:
        """The misconception behind a wrong part, as a sentence that blames nobody; empty without one."""
        if self.part.misconception == UNSAID:
            return ""
        verb, _, rest = self.part.misconception.partition(" ")
        if not verb.endswith("s") or verb in NO_VERBS:
            return f"A common mix-up: {self.part.misconception}." if verb else ""
        return f"It is easy to {_form_infinitive(verb)} {rest}."

    @property
    def look(self) -> str:
        """The CSS class of the row's colours; the mark says the same in words."""
        if self.part.state == "left":
            return ""
        return "wrong" if self.mark.startswith("✗") else "right"


def _form_infinitive(verb: str) -> str:
    """Turn "thinks" into "think": bank and guide write a misconception as "slug: thinks that ..."."""
    regular = re.sub(r"(?<=ss|ch|sh|.x)es$|s$", "", re.sub(r"ies$", "ys", verb))
    return INFINITIVES.get(verb, regular)


def list_rows(question: Question, grade: Grade, offered: Offered) -> list[FeedbackRow]:
    """Return the parts in the order the question showed them; arranged answers keep the author's order."""
    letters = {choice.id: letter for letter, choice in offered}
    order = list(letters)
    parts = list(grade.parts)
    if letters and all(part.id in letters for part in parts if not part.about):
        parts.sort(key=lambda part: order.index(part.id) if part.id in letters and not part.about else -1)
    marks = {**_MARKS, **_MARKS_OF_KIND.get(question.kind, {})}
    return [
        FeedbackRow(letter="" if part.about else letters.get(part.id, ""), part=part, mark=marks[part.state])
        for part in parts
    ]


def format_verdict(answer: QuizAnswer | None, grade: Grade) -> str:
    """Say right, partly right, not right or not answered, and the score where that isn't obvious."""
    if answer is None or not answer.given:
        return "Not answered."
    if grade.correct:
        return "Right." if answer.score == 1 else f"Right. It counts as {answer.score:.2f} of a point."
    if grade.fraction:
        return f"Partly right. It counts as {answer.score:.2f} of a point."
    return "Not right."


def announce_feedback(answer: QuizAnswer, grade: Grade, listed: Sequence[FeedbackRow]) -> str:
    """Format the feedback for a screen reader's live region."""
    if grade.correct:
        own = [row.part.feedback for row in listed if row.part.state == "right" and row.part.feedback]
        return " ".join([format_verdict(answer, grade), *(to_plain(text) for text in own[:1])])
    sentences = [format_verdict(answer, grade)]
    for row in listed:
        if row.part.state == "wrong":
            sentences.append(announce_wrong(row))
        elif row.part.state == "missed":
            what = f"{row.letter} is right: " if row.letter else "The right answer is "
            if row.part.about:
                what = f"{to_plain(row.part.about)}, the right answer: "
            sentences.append(f"{what}{to_plain(row.part.text)}. {to_plain(row.part.feedback)}")
    return " ".join(sentence.strip() for sentence in sentences)


def announce_wrong(row: FeedbackRow) -> str:
    """Say which part of an answer is wrong and why, such as `Blank 2: not rank. It is the product.`"""
    text, why = to_plain(row.part.text), to_plain(row.part.feedback)
    if row.part.about:
        return f"{to_plain(row.part.about)}: not {text}. {why}".strip()
    return f"Not {row.letter or text}: {why}" if why else f"Not {row.letter or text}."
