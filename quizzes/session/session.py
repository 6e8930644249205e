"""A quiz as pure functions: the questions that a seed draws, and the position by the answers in the log."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from quizzes.bank.bank import Bank
from quizzes.kinds.grade import Offered
from quizzes.kinds.question import Question
from quizzes.session.modes import CHECK_LEVELS, PROBLEM_KINDS
from study.store.logs.quizzes import QuizAnswer, QuizRecord

USUAL_LENGTH = 10
SEEDS = 10_000  # short enough to read out in a classroom


@dataclass(frozen=True, kw_only=True)
class ConceptScore:
    concept: str
    right: int
    asked: int


@dataclass(frozen=True, kw_only=True)
class Position:
    """A learner's position in a quiz. `question` is None when all are answered, or the time is over."""

    number: int
    total: int
    question: Question | None
    answered: Mapping[str, QuizAnswer]
    """The last attempt at each finished question."""

    points: float
    right_at_once: int = 0
    """The finished questions whose first attempt was right; a learner's progress counts these."""

    tried: QuizAnswer | None = None
    """The first attempt at the open question, if it was not right."""

    @property
    def right(self) -> int:
        return sum(answer.correct for answer in self.answered.values())

    @property
    def begun(self) -> bool:
        return bool(self.answered) or self.tried is not None


def draw_questions(questions: Sequence[Question], *, seed: int, length: int) -> tuple[Question, ...]:
    """Draw the questions of a quiz: the same seed and bank always give the same ones in the same order."""
    shuffled = list(questions)
    Random(f"{seed}/questions").shuffle(shuffled)  # a string seed is the same everywhere, unlike hash()
    return tuple(shuffled[:length])


def draw_check(questions: Sequence[Question], *, seed: int) -> tuple[Question, ...]:
    """Draw a fixed number of questions of each level, easy ones first."""
    return tuple(
        question
        for level, count in CHECK_LEVELS.items()
        for question in draw_questions([q for q in questions if q.level == level], seed=seed, length=count)
    )


def draw_problems(questions: Sequence[Question], *, seed: int, length: int) -> tuple[Question, ...]:
    """Draw questions, those to work out before those to recognize."""
    shuffled = draw_questions(questions, seed=seed, length=len(questions))
    worked_out_first = sorted(shuffled, key=lambda each: each.kind not in PROBLEM_KINDS and not each.steps)
    return tuple(worked_out_first[:length])


def offer_choices(question: Question, *, seed: int) -> Offered:
    """Return the choices with their letters, in the order this quiz shows them."""
    return question.task.offer(f"{seed}/{question.id}")


def find_position(
    bank: Bank, record: QuizRecord, answers: Iterable[QuizAnswer], *, attempts: int = 1, over: bool = False
) -> Position:
    """Compute the position: the first unfinished question; one that has left the bank is skipped."""
    asked = [bank.by_id[question_id] for question_id in record.question_ids if question_id in bank.by_id]
    made: dict[str, list[QuizAnswer]] = {}
    for answer in answers:
        if answer.question_id in bank.by_id:
            made.setdefault(answer.question_id, []).append(answer)
    answered = {
        question_id: tries[-1]
        for question_id, tries in made.items()
        if over or tries[-1].correct or len(tries) >= attempts
    }
    waiting = [question for question in asked if question.id not in answered]
    shown = waiting[0] if waiting and not over else None
    return Position(
        number=len(asked) - len(waiting) + (1 if waiting else 0),
        total=len(asked),
        question=shown,
        answered=answered,
        points=sum(max(each.score for each in tries) for tries in made.values()),
        right_at_once=sum(made[question_id][0].correct for question_id in answered),
        tried=made[shown.id][-1] if shown and shown.id in made else None,
    )


def group_by_concept(bank: Bank, answers: Iterable[QuizAnswer]) -> list[ConceptScore]:
    """Return the score of each concept that was asked about, weakest first."""
    results: dict[str, list[bool]] = {}
    for answer in answers:
        for concept in bank.concepts_of.get(answer.question_id, ()):
            results.setdefault(concept, []).append(answer.correct)
    scores = [ConceptScore(concept=concept, right=sum(r), asked=len(r)) for concept, r in results.items()]
    return sorted(scores, key=lambda score: (score.right / score.asked, score.concept))


def list_missed(bank: Bank, answers: Iterable[QuizAnswer]) -> list[Question]:
    """Return the questions whose newest answer was wrong, oldest miss first."""
    newest: dict[str, bool] = {}
    for answer in answers:
        newest.pop(answer.question_id, None)
        newest[answer.question_id] = answer.correct
    return [
        bank.by_id[question] for question, correct in newest.items() if not correct and question in bank.by_id
    ]
