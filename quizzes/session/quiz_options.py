"""The options of a quiz: mode, topic, level, concept, length, seed. Equal options draw equal quizzes."""

from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from quizzes.session.modes import MODES, REVIEW, RULES, Mode, ModeRules
from quizzes.session.session import USUAL_LENGTH
from study.base.errors import LearnerError
from study.store.json_columns import LONGEST_QUIZ
from study.store.logs.quizzes import REVIEW_OF, QuizRecord


@dataclass(frozen=True, kw_only=True)
class QuizChoice:
    """A choice from the Quiz page or from a URL. Raises LearnerError unless `length` is 1 to LONGEST_QUIZ.

    In the modes `weak` and `again`, the questions also depend on what the learner missed.
    """

    mode: Mode = "practice"
    topic: str = ""
    level: str = ""
    concept: str = ""
    question: str = ""
    """The id of the only question, if the quiz asks just this one."""

    length: int = USUAL_LENGTH
    seconds_each: int | None = None
    """The seconds per question of an exam; None is the usual pace."""

    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.length <= LONGEST_QUIZ:
            raise LearnerError(
                f"A quiz can't have {self.length} questions.",
                do_next=f"Choose 1 to {LONGEST_QUIZ}; 10 takes five minutes.",
            )

    @property
    def rules(self) -> ModeRules:
        return RULES[self.mode]

    @property
    def count(self) -> int:
        return self.rules.length or self.length

    def to_json(self) -> dict[str, Any]:
        """Return all but the seed, as the log stores it with the quiz."""
        return {name: value for name, value in vars(self).items() if name != "seed"}


def read_choice(record: QuizRecord) -> QuizChoice | None:
    """Parse the choice that a quiz was drawn from; None for the quiz of a five-minute review."""
    if not record.choice or REVIEW_OF in record.choice:
        return None
    mode: Mode = next((mode for mode in MODES if mode == record.choice.get("mode")), "practice")
    chosen = {
        each.name: record.choice[each.name] for each in fields(QuizChoice) if each.name in record.choice
    }
    return QuizChoice(**{**chosen, "mode": mode, "seed": record.seed})


def find_rules(record: QuizRecord) -> ModeRules:
    choice = read_choice(record)
    return choice.rules if choice else REVIEW


def find_pace(choice: QuizChoice) -> int:
    """Return the seconds per question on its clock; 0 without a clock. Only an exam's can be chosen."""
    chosen = choice.seconds_each if choice.mode == "exam" else None
    return choice.rules.seconds_each if chosen is None else chosen


def ends_at(record: QuizRecord) -> datetime | None:
    """Return when the quiz's time is over; None without a limit. The clock runs while the page is closed."""
    choice = read_choice(record)
    if choice is None:
        return None
    limit = timedelta(seconds=find_pace(choice) * len(record.question_ids))
    return record.started_at + limit if limit else None


def build_address(choice: QuizChoice) -> str:
    """Return the URL of the Quiz page with this quiz."""
    named = {"topic": choice.topic, "level": choice.level, "concept": choice.concept}
    named = {**named, "question": choice.question}
    named = {"mode": "" if choice.mode == "practice" else choice.mode, **named}
    chosen: dict[str, str | int] = {name: value for name, value in named.items() if value}
    if choice.seconds_each is not None:
        chosen["pace"] = choice.seconds_each
    return "/quiz?" + urlencode({**chosen, "n": choice.length, "seed": choice.seed})
