"""A self-paced quiz as the templates show it: one student's questions, and how far everyone is."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from classroom.activities.activity import Activity
from classroom.live.live_room import LiveRoom
from classroom.views.results import Bar, Guesses, count_bars, spread_numbers
from study.ports.classes import ClassQuestion
from study.store.class_records import ClassAnswer


@dataclass(frozen=True, kw_only=True)
class OwnQuestion:
    number: int
    asked: ClassQuestion
    given: ClassAnswer | None


@dataclass(frozen=True, kw_only=True)
class QuizQuestion:
    number: int
    asked: ClassQuestion
    waiting: int
    """Students of the room for whom it is the first one without an answer."""

    answered: int
    right: int
    latest: Sequence[Bar]
    numbers: Guesses | None

    @property
    def percent(self) -> float:
        return 100 * self.right / self.answered if self.answered else 0.0


def list_own_questions(live: LiveRoom, activity: Activity, student_id: str) -> list[OwnQuestion]:
    """The questions of a quiz with what a student has answered."""
    return [
        OwnQuestion(number=number, asked=asked, given=live.find_answer(student_id, number))
        for number, asked in enumerate(activity.questions, start=1)
    ]


def count_questions(live: LiveRoom, activity: Activity, *, singles: bool) -> list[QuizQuestion]:
    """How far the class is with each question; `singles` as in `count_bars`."""
    given = {number: live.answers(number) for number in activity.rounds}
    at = Counter(
        next((number for number, answers in given.items() if student.id not in answers), None)
        for student in live.present
    )
    return [
        QuizQuestion(
            number=number,
            asked=asked,
            waiting=at[number],
            answered=len(given[number]),
            right=sum(bool(activity.is_correct(number, a.value)) for a in given[number].values()),
            latest=count_bars(live, asked, number, singles=singles),
            numbers=spread_numbers(live, asked, [number]),
        )
        for number, asked in enumerate(activity.questions, start=1)
    ]


def list_students_done(live: LiveRoom) -> set[str]:
    """The students who have answered what the class is at: of a quiz, all of it."""
    if not live.state.round:
        return set()
    rounds = live.activity.rounds if live.activity and live.activity.questions else (live.state.round,)
    return set.intersection(*(set(live.answers(number)) for number in rounds))
