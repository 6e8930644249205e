"""A quiz as pure functions: what a seed draws, and where a learner stands by the answers in the log."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from quizzes.bank import Bank, Option, Question
from study.store.quizzes import QuizAnswer, QuizRecord

T = TypeVar("T")

LETTERS = "ABCD"
USUAL_LENGTH = 10
SEEDS = 10_000  # short enough to read out in a classroom


@dataclass(frozen=True, kw_only=True)
class ConceptScore:
    """How a concept went in one quiz."""

    concept: str
    right: int
    asked: int


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a learner stands in a quiz. `question` is None when all are answered."""

    number: int
    total: int
    question: Question | None
    answered: Mapping[str, QuizAnswer]

    @property
    def right(self) -> int:
        """Right answers so far."""
        return sum(answer.correct for answer in self.answered.values())


def draw(questions: Sequence[Question], *, seed: int, length: int) -> tuple[Question, ...]:
    """The questions of a quiz: the same seed and bank always draw the same ones in the same order."""
    return tuple(_shuffled(questions, seed=seed, salt="questions")[:length])


def options_in_order(question: Question, *, seed: int) -> list[tuple[str, Option]]:
    """The options under their letters, in the order this quiz shows them."""
    return list(zip(LETTERS, _shuffled(question.options, seed=seed, salt=question.id), strict=False))


def position(bank: Bank, record: QuizRecord, answers: Iterable[QuizAnswer]) -> Position:
    """The first question without an answer; a question that has left the bank meanwhile is passed over."""
    asked = [bank.by_id[question_id] for question_id in record.question_ids if question_id in bank.by_id]
    answered = {answer.question_id: answer for answer in answers if answer.question_id in bank.by_id}
    waiting = [question for question in asked if question.id not in answered]
    return Position(
        number=len(asked) - len(waiting) + (1 if waiting else 0),
        total=len(asked),
        question=waiting[0] if waiting else None,
        answered=answered,
    )


def by_concept(bank: Bank, answers: Iterable[QuizAnswer]) -> list[ConceptScore]:
    """The score of each concept that was asked about, weakest first."""
    results: dict[str, list[bool]] = {}
    for answer in answers:
        for concept in bank.concepts_of.get(answer.question_id, ()):
            results.setdefault(concept, []).append(answer.correct)
    scores = [ConceptScore(concept=concept, right=sum(r), asked=len(r)) for concept, r in results.items()]
    return sorted(scores, key=_share)


def missed(bank: Bank, answers: Iterable[QuizAnswer]) -> list[Question]:
    """The questions whose newest answer was wrong, oldest miss first."""
    newest: dict[str, bool] = {}
    for answer in answers:
        newest.pop(answer.question_id, None)
        newest[answer.question_id] = answer.correct
    return [
        bank.by_id[question] for question, correct in newest.items() if not correct and question in bank.by_id
    ]


def _shuffled(items: Sequence[T], *, seed: int, salt: str) -> list[T]:
    shuffled = list(items)
    Random(f"{seed}/{salt}").shuffle(shuffled)  # a text seeds alike in every process, unlike hash()
    return shuffled


def _share(score: ConceptScore) -> tuple[float, str]:
    return score.right / score.asked, score.concept
