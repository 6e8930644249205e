"""The verbs of quizzes on the store: start, where am I, answer. Page and command line both call these."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from quizzes.bank import Bank, Question
from quizzes.session import SEEDS, USUAL_LENGTH, Position, draw, missed, position
from study.errors import LearnerError
from study.store import Store
from study.store.quizzes import QuizAnswer, QuizRecord

MAX_DURATION = timedelta(minutes=10)
LOOK_BACK = 100  # quizzes; an address older than that starts its quiz anew


@dataclass(frozen=True, kw_only=True)
class QuizChoice:
    """What a quiz is drawn from. Equal choices draw equal quizzes from one bank."""

    topic: str = ""
    level: str = ""
    concept: str = ""
    length: int = USUAL_LENGTH
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.length <= 50:
            raise LearnerError(
                f"A quiz can't have {self.length} questions.",
                do_next="Choose 1 to 50; 10 takes five minutes.",
            )

    def to_json(self) -> dict[str, Any]:
        """All but the seed, as it is stored with the quiz."""
        return {"topic": self.topic, "level": self.level, "concept": self.concept, "length": self.length}


@dataclass(frozen=True, kw_only=True)
class Sittings:
    """Quizzes of one app: its bank and its store."""

    store: Store
    bank: Bank

    def start(self, profile_id: str, choice: QuizChoice, *, now: datetime) -> QuizRecord:
        """Draw the questions and record the session."""
        pool = self.bank.matching(topic=choice.topic, level=choice.level, concept=choice.concept)
        if not pool:
            raise LearnerError(
                "No question matches this choice.", do_next="Choose another topic or any level."
            )
        drawn = draw(pool, seed=choice.seed, length=choice.length)
        ids = tuple(question.id for question in drawn)
        return self.store.quizzes.start(
            profile_id, seed=choice.seed, question_ids=ids, choice=choice.to_json(), started_at=now
        )

    def newest(self, profile_id: str, choice: QuizChoice) -> QuizRecord | None:
        """The last quiz that was drawn by this choice and seed."""
        same = (
            record
            for record in self.store.quizzes.latest(profile_id, limit=LOOK_BACK)
            if record.seed == choice.seed and record.choice == choice.to_json()
        )
        return next(same, None)

    def unfinished(self, profile_id: str) -> tuple[QuizChoice, Position] | None:
        """The last quiz of this profile, if it was begun and not ended."""
        for record in self.store.quizzes.latest(profile_id, limit=1):
            where = self.position(record)
            if record.choice and where.question is not None and where.answered:
                return QuizChoice(**record.choice, seed=record.seed), where
        return None

    def record(self, profile_id: str, session_id: str) -> QuizRecord:
        """A quiz of this profile."""
        record = self.store.quizzes.session(profile_id, session_id)
        if record is None:
            raise LearnerError("That quiz is not in this profile.", do_next="Start a new one.")
        return record

    def position(self, record: QuizRecord) -> Position:
        """Where the learner stands in it."""
        return position(self.bank, record, self.store.quizzes.answers(record.id))

    def answer(
        self, record: QuizRecord, question_id: str, option_id: str, *, shown_at: datetime, now: datetime
    ) -> QuizAnswer:
        """Append an answer."""
        question = self.bank.by_id.get(question_id)
        options = {option.id: option for option in question.options} if question else {}
        if question_id not in record.question_ids or option_id not in options:
            raise LearnerError(
                "That answer does not belong to this question.", do_next="Choose one of its options."
            )
        taken = min(max(now - shown_at, timedelta()), MAX_DURATION)
        answer = QuizAnswer(
            question_id=question_id,
            option=option_id,
            correct=options[option_id].correct,
            answered_at=now,
            duration_ms=int(taken / timedelta(milliseconds=1)),
        )
        self.store.quizzes.append(record.id, answer)
        return answer

    def missed(self, profile_id: str) -> list[Question]:
        """What this learner last got wrong, oldest first."""
        return missed(self.bank, self.store.quizzes.history(profile_id))


def new_seed(dice: Random) -> int:
    """A seed for a quiz that nobody asked to repeat."""
    return dice.randrange(SEEDS)
