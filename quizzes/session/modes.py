"""The quiz modes and the rules of each: feedback, attempts, hints, time."""

from dataclasses import dataclass
from typing import Literal, get_args

from study.content.yaml_reader import Level
from study.learner.study_modes import CHALLENGE_MINUTES

Mode = Literal["practice", "check", "challenge", "exam", "weak", "again"]
MODES: tuple[Mode, ...] = get_args(Mode)

CHECK_LEVELS: dict[Level, int] = {"beginner": 4, "intermediate": 3, "advanced": 3}
CHALLENGE_PROBLEMS = 5

SECOND_ATTEMPT = 2 / 3  # of the points: Moodle's usual penalty is 0.3333333 per try
SECOND_ATTEMPT_RULE = "A right second attempt counts for two thirds. A hint costs nothing."


@dataclass(frozen=True, kw_only=True)
class ModeRules:
    title: str
    about: str
    attempts: int = 1
    hints: bool = False
    feedback_at_once: bool = True
    seconds_each: int = 0
    """The time limit in seconds per question; 0 means no limit."""

    length: int = 0
    """The fixed number of questions; 0 lets the learner choose."""


RULES: dict[Mode, ModeRules] = {
    "practice": ModeRules(
        title="Practice",
        about=f"Feedback after each answer and a second attempt, often with a hint. {SECOND_ATTEMPT_RULE}",
        attempts=2,
        hints=True,
    ),
    "check": ModeRules(
        title="10-question check",
        about=f"{CHECK_LEVELS['beginner']} easy, {CHECK_LEVELS['intermediate']} medium and "
        f"{CHECK_LEVELS['advanced']} hard ones. One attempt, feedback after each.",
        length=sum(CHECK_LEVELS.values()),
    ),
    "challenge": ModeRules(
        title="Timed challenge",
        about=f"{CHALLENGE_PROBLEMS} problems in {CHALLENGE_MINUTES} minutes, 2 attempts each, a hint; "
        "a badge if all come out right.",
        attempts=2,
        hints=True,
        seconds_each=60 * CHALLENGE_MINUTES // CHALLENGE_PROBLEMS,
        length=CHALLENGE_PROBLEMS,
    ),
    "exam": ModeRules(
        title="Exam",
        about="One attempt each against the clock; feedback at the end.",
        feedback_at_once=False,
        seconds_each=60,
    ),
    "weak": ModeRules(
        title="Weak concepts",
        about="Questions about the concepts you missed most lately.",
        attempts=2,
        hints=True,
    ),
    "again": ModeRules(
        title="What you missed",
        about=(
            "Questions that you were sure of and got wrong, 1 and 7 days later; then all others that you got "
            "wrong the last time you answered them."
        ),
    ),
}
REVIEW = ModeRules(title="Daily review", about="")

EXAM_PACES = ((60, "1 minute per question"), (120, "2 minutes per question"), (0, "no limit"))
PROBLEM_KINDS = frozenset({"numeric", "find-the-error", "read-the-chart", "ordering"})
