"""Points for teams and the leaderboard: one for each right answer and close guess that the class has seen."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from classroom.activities.activity import ROUNDS, Activity
from classroom.activities.room import RoomState
from classroom.reports.report import is_good_guess, is_guess
from classroom.reports.take_home import list_seen_answers
from study.store.class_records import ClassAnswer, ClassEvent

TWIN = ROUNDS["twin"]
SHOWN_AT_MOST = 5
"""Places of the leaderboard: nobody is shown as the last one."""


@dataclass(frozen=True, kw_only=True)
class TeamScore:
    """The mean of a team's members who have answered, so that a larger team gains nothing by its size."""

    team: int
    points: float


def count_points(
    plan: Sequence[Activity], events: Iterable[ClassEvent], room: RoomState, answers: Iterable[ClassAnswer]
) -> dict[str, int]:
    """Points by student, of everyone who has answered. The last vote on a question counts, and its twin."""
    shown = list_seen_answers(events)
    last: dict[tuple[str, int, int], ClassAnswer] = {}
    points: dict[str, int] = {}
    for answer in answers:
        points.setdefault(answer.student_id, 0)
        in_quiz = bool(plan[answer.position].questions)
        key = (answer.student_id, answer.position, answer.round if in_quiz else answer.round == TWIN)
        if key not in last or last[key].round < answer.round:
            last[key] = answer
    for (student, position, _), answer in last.items():
        is_twin = answer.round == TWIN and not plan[position].questions
        phases = ("twin-reveal",) if is_twin else ("reveal", "run")
        if any((position, phase) in shown for phase in phases):
            points[student] += _is_worth_a_point(plan[position], answer, room)
    return points


def score_teams(points: Mapping[str, int], team_of: Mapping[str, int], teams: int) -> list[TeamScore]:
    """Every team, in its order."""
    found = []
    for team in range(1, teams + 1):
        members = [count for student, count in points.items() if team_of.get(student) == team]
        found.append(TeamScore(team=team, points=fmean(members) if members else 0.0))
    return found


def lead(points: Mapping[str, int]) -> list[tuple[str, int]]:
    """The students with the most points, at most SHOWN_AT_MOST, none without a point.

    Where more students tie than there are places left, none of them is named.
    """
    ordered = sorted(points.items(), key=lambda each: (-each[1], each[0]))
    beyond = max((count for _, count in ordered[SHOWN_AT_MOST:]), default=0)
    return [(student, count) for student, count in ordered if count > beyond]


def assign_team(number: int, teams: int) -> int:
    """Assign the team of the student with this number, from 1; 0 without teams. Teams are filled in turn."""
    return (number - 1) % teams + 1 if teams else 0


def _is_worth_a_point(activity: Activity, answer: ClassAnswer, room: RoomState) -> bool:
    correct = activity.is_correct(answer.round, answer.value)
    if correct is not None:
        return correct
    return is_guess(activity, answer) and is_good_guess(room, activity, answer)
