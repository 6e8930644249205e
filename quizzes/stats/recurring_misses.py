"""What a learner's latest misses have in common, over questions, cards, explanations and tasks."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from quizzes.bank.bank import Bank
from quizzes.bank.misconceptions import Misconception, load_misconceptions, load_signs, map_misconceptions
from study.store import Store
from study.store.logs.cards import FORGOTTEN, CardReview
from study.store.logs.explains import ExplainAttempt
from study.store.logs.quizzes import QuizAnswer
from study.store.logs.tasks import TaskAttempt

LATEST = 20
"""Misses looked at; older ones may be overcome."""

RECURS = 2
SHOWN = 3

MissKind = Literal["question", "card", "explanation", "task"]


@dataclass(frozen=True, kw_only=True)
class Miss:
    """One miss whose mistake is known."""

    at: datetime
    kind: MissKind
    ids: frozenset[str]
    """Of the misconceptions that it shows."""


@dataclass(frozen=True, kw_only=True)
class Recurring:
    """A misconception, and how many of the latest misses it explains."""

    misconception: Misconception
    count: int
    kinds: tuple[tuple[MissKind, int], ...]
    """How many of them are of each kind."""

    @property
    def where(self) -> str:
        """The kinds in words: `2 questions and 1 card`."""
        parts = [f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in self.kinds]
        return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


@dataclass(frozen=True, kw_only=True)
class Misses:
    """The latest misses whose mistake is known, and what recurs among them, most frequent first."""

    total: int
    recurring: tuple[Recurring, ...]


def find_recurring_misses(
    store: Store, profile_id: str, bank: Bank, task_misses: Sequence[tuple[TaskAttempt, str]]
) -> Misses:
    """Find what recurs among a learner's latest misses of every kind."""
    return find_recurring(
        [
            *list_question_misses(store.quizzes.history(profile_id), bank),
            *list_card_misses(store.cards.history(profile_id)),
            *list_explanation_misses(store.explains.attempts(profile_id)),
            *(Miss(at=attempt.at, kind="task", ids=frozenset({each})) for attempt, each in task_misses),
        ]
    )


def find_recurring(misses: Iterable[Miss]) -> Misses:
    """Find what recurs among the latest of these misses.

    Forgotten cards alone name no misconception: they show what was forgotten, not what was believed.
    """
    latest = sorted(misses, key=lambda miss: miss.at)[-LATEST:]
    counted = Counter(each for miss in reversed(latest) for each in sorted(miss.ids))
    named = {each.id: each for each in load_misconceptions()}
    recurring = [
        Recurring(
            misconception=named[each],
            count=count,
            kinds=tuple(Counter(miss.kind for miss in latest if each in miss.ids).most_common()),
        )
        for each, count in counted.most_common()
        if count >= RECURS and each in named and any(each in m.ids and m.kind != "card" for m in latest)
    ]
    return Misses(total=len(latest), recurring=tuple(recurring[:SHOWN]))


def list_question_misses(answers: Iterable[QuizAnswer], bank: Bank) -> Iterator[Miss]:
    """Yield the wrong answers whose mistake is known; `answers` are first attempts."""
    for answer in answers:
        ids = frozenset() if answer.correct else frozenset(each.id for each in _list_behind(answer, bank))
        if ids:
            yield Miss(at=answer.answered_at, kind="question", ids=ids)


def list_card_misses(reviews: Iterable[CardReview]) -> Iterator[Miss]:
    """Yield the forgotten cards that state the opposite of a misconception; a new card can't be forgotten."""
    signs = load_signs().of_card
    for review in reviews:
        found = signs.get(review.card_id)
        if found and review.rating == FORGOTTEN and not review.new:
            yield Miss(at=review.reviewed_at, kind="card", ids=frozenset({found.id}))


def list_explanation_misses(attempts: Iterable[ExplainAttempt]) -> Iterator[Miss]:
    """Yield the explanations that contradict an idea, with the misconceptions that this shows."""
    signs = load_signs().of_idea
    for attempt in attempts:
        contradicted = (
            signs.get((attempt.prompt_id, idea))
            for idea, verdict in (attempt.verdicts or {}).items()
            if verdict == "contradicted"
        )
        ids = frozenset(each.id for each in contradicted if each)
        if ids:
            yield Miss(at=attempt.submitted_at, kind="explanation", ids=ids)


def _list_behind(answer: QuizAnswer, bank: Bank) -> Iterator[Misconception]:
    question = bank.by_id.get(answer.question_id)
    if question is None:
        return
    for part in question.task.grade(answer.given).parts:
        if part.state == "wrong" and part.misconception and (found := map_misconceptions().get(part.id)):
            yield found
