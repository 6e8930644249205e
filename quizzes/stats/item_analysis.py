"""Item analysis for the authors of questions: facility, discrimination, dead distractors."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from quizzes.bank.bank import Bank
from quizzes.families import match_family
from quizzes.kinds.choices import Single
from study.base.confidence_intervals import Share, correlate
from study.content.yaml_reader import Level
from study.store import Store
from study.store.logs.quizzes import QuizAnswer
from study.text.markup import to_plain

ANSWERS_NEEDED = 10  # with fewer, chance decides
DEAD_BELOW = 0.05  # a distractor chosen by fewer does no work (Tarrant 2009, BMC Med Educ 9:40)
FACILITY_LOW, FACILITY_HIGH = 0.3, 0.9
DISCRIMINATION_LOW = 0.25
LEVEL_FROM: Mapping[Level, float] = {"beginner": 0.7, "intermediate": 0.4, "advanced": 0.0}
"""The facility from which a level fits, easiest first."""


@dataclass(frozen=True, kw_only=True)
class ItemStatistics:
    """The statistics of one question over all first answers of all learners."""

    question_id: str
    facility: Share
    """The share of right answers."""

    discrimination: float | None
    """Correlation between this question and the rest of its quiz; None if either never varies."""

    dead: tuple[str, ...]
    """Distractors that fewer than 5 % chose."""

    level: Level | None = None
    """What the author thinks of its difficulty."""

    @property
    def measured_level(self) -> Level:
        return next(level for level, start in LEVEL_FROM.items() if self.facility.value >= start)

    @property
    def is_level_refuted(self) -> bool:
        """Whether the 95 % interval of the facility lies outside what fits the author's level."""
        if self.level is None:
            return False
        low, high = self.facility.interval
        easier = [start for start in LEVEL_FROM.values() if start > LEVEL_FROM[self.level]]
        return high < LEVEL_FROM[self.level] or low > min(easier, default=1.0)

    @property
    def advice(self) -> tuple[str, ...]:
        """Advice to the author, in words; empty when nothing stands out."""
        found = []
        if self.facility.value > FACILITY_HIGH:
            found.append("easy: nearly everyone gets it right")
        if self.facility.value < FACILITY_LOW:
            found.append("hard, or its key is wrong")
        if self.is_level_refuted:
            found.append(f"marked {self.level}, measured {self.measured_level}")
        if self.discrimination is not None and self.discrimination < DISCRIMINATION_LOW:
            found.append("says little about who knows the rest")
        if self.dead:
            found.append(f"dead options: {', '.join(self.dead)}")
        return tuple(found)


def compute_item_statistics(
    sessions: Iterable[Sequence[QuizAnswer]],
    options: Mapping[str, Sequence[str]],
    levels: Mapping[str, Level],
) -> list[ItemStatistics]:
    """Return each question with enough answers, hardest first.

    `options` has the ids of a question's wrong options, `levels` its author's level.
    """
    answers: dict[str, list[tuple[QuizAnswer, float | None]]] = {}
    for session in sessions:
        for answer in session:
            answers.setdefault(answer.question_id, []).append((answer, _compute_rest_score(answer, session)))
    found = [
        _compute_statistics(question, given, options.get(question, ()), levels.get(question))
        for question, given in answers.items()
        if len(given) >= ANSWERS_NEEDED
    ]
    return sorted(found, key=lambda item: item.facility.value)


def _compute_statistics(
    question: str,
    given: Sequence[tuple[QuizAnswer, float | None]],
    wrong: Sequence[str],
    level: Level | None,
) -> ItemStatistics:
    chosen = Counter(answer.option for answer, _ in given)
    return ItemStatistics(
        question_id=question,
        facility=Share(hits=sum(answer.correct for answer, _ in given), trials=len(given)),
        discrimination=correlate(
            [(answer.correct, rest) for answer, rest in given if rest is not None], at_least=ANSWERS_NEEDED
        ),
        dead=tuple(option for option in wrong if chosen[option] < DEAD_BELOW * len(given)),
        level=level,
    )


def _compute_rest_score(answer: QuizAnswer, session: Sequence[QuizAnswer]) -> float | None:
    """Compute the share right of the other questions of the same quiz."""
    others = [other.correct for other in session if other.question_id != answer.question_id]
    return sum(others) / len(others) if others else None


def compute_statistics(store: Store, bank: Bank) -> list[ItemStatistics]:
    """Return each question with enough answers of all learners on this machine; a family counts as one."""
    wrong = {
        question.id: [option.id for option in question.task.options if not option.correct]
        for question in bank.questions
        if isinstance(question.task, Single)
    }
    sessions = [
        [_map_to_family(answer, bank) for answer in given]
        for _, given in store.quizzes.read_answered_sessions()
    ]
    levels = {question.id: question.level for question in bank.questions}
    levels |= {family.id: family.level for family in bank.families.values()}
    items = compute_item_statistics(sessions, wrong, levels)
    return [item for item in items if find_title(item.question_id, bank)]


def _map_to_family(answer: QuizAnswer, bank: Bank) -> QuizAnswer:
    """Return an answer to a generated question as one to its family, because each seed has other numbers."""
    family = match_family(answer.question_id, bank.families)
    return replace(answer, question_id=family.id) if family else answer


def find_title(item_id: str, bank: Bank) -> str:
    """Return the title of an item; empty when it has left the bank."""
    if item_id in bank.families:
        return bank.families[item_id].title
    question = bank.by_id.get(item_id)
    return to_plain(question.stem) if question else ""
