"""Teams and the leaderboard, where the teacher has chosen them; shown with results, not during a vote."""

from dataclasses import dataclass

from classroom.live.live_room import LiveRoom
from classroom.reports.points import TeamScore, count_points, lead, score_teams, team_of
from classroom.views.results import is_shown


@dataclass(frozen=True, kw_only=True)
class Standings:
    """What the screen shows; both are empty where they are off."""

    teams: tuple[TeamScore, ...]
    leaders: tuple[tuple[str, int], ...]
    """Names with their points, the most first."""


def standings(live: LiveRoom) -> Standings | None:
    """None while nothing is to be shown."""
    options = live.room.options
    teams, with_names = options.get("teams", 0), options.get("leaderboard", False)
    if not (teams or with_names) or not (is_shown(live) or live.state.ended):
        return None
    present = {student.id: student for student in live.present}
    answers = [answer for student in present for answer in live.answers_by(student)]
    points = count_points(live.plan, live.events, live.state, answers)
    by_team = {student.id: team_of(student.number, teams) for student in present.values()}
    leaders = [(present[student].name, count) for student, count in lead(points) if present[student].name]
    return Standings(
        teams=tuple(score_teams(points, by_team, teams)),
        leaders=tuple(leaders) if with_names and not live.state.names_hidden else (),
    )
