"""What a learner's latest misses have in common, over all questions."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from quizzes.bank.bank import Bank
from quizzes.bank.misconceptions import Misconception, by_slug
from study.store.logs.quizzes import QuizAnswer

LATEST = 20
"""Misses looked at; older ones may be overcome."""

RECURS = 2
SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Recurring:
    """A misconception, and how many of the latest misses it explains."""

    misconception: Misconception
    count: int


@dataclass(frozen=True, kw_only=True)
class Misses:
    """The latest misses whose mistake is known, and what recurs among them, most frequent first."""

    total: int
    recurring: tuple[Recurring, ...]


def latest_misses(answers: Sequence[QuizAnswer], bank: Bank) -> Misses:
    """Find what recurs among the latest misses; `answers` are first attempts, oldest first."""
    found: list[set[str]] = []
    for answer in reversed(answers):
        if len(found) == LATEST:
            break
        if not answer.correct and (ids := {each.id for each in _behind(answer, bank)}):
            found.append(ids)
    counted = Counter(each for ids in found for each in sorted(ids))
    named = {each.id: each for each in by_slug().values()}
    recurring = [
        Recurring(misconception=named[each], count=count)
        for each, count in counted.most_common(SHOWN)
        if count >= RECURS
    ]
    return Misses(total=len(found), recurring=tuple(recurring))


def _behind(answer: QuizAnswer, bank: Bank) -> Iterator[Misconception]:
    question = bank.by_id.get(answer.question_id)
    if question is None:
        return
    for part in question.task.grade(answer.given).parts:
        if part.state == "wrong" and part.misconception and (found := by_slug().get(part.id)):
            yield found
