"""The results of one activity as the templates show them: bars, guesses, transitions, teams and leaders."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from classroom.activities.activity import derive_key, list_chosen
from classroom.activities.comparison import mark_measured
from classroom.activities.distribution import Bins, is_close, spread_guesses
from classroom.activities.peer_instruction import Transition, compare_rounds
from classroom.live.live_room import LiveRoom
from classroom.reports.points import TeamScore, assign_team, count_points, lead, score_teams
from classroom.reports.report import find_true_value, list_choices
from study.ports.classes import ClassOption, ClassQuestion

LETTERS = "ABCDEFGH"
OPEN_KINDS = ("numeric", "short-text", "cloze", "matching", "ordering")
"""Kinds whose answers are counted as a whole: right, or one of the frequent wrong ones."""

TYPED_KINDS = ("numeric", "short-text", "cloze")
MOST_WRONG = 5
"""Wrong answers that are listed; the others are counted together."""

FEWEST_ALIKE = 2
"""So many must have typed the same before the class sees it: one student's joke is for the teacher alone."""

OTHERS = "others"


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One option, or one answer, with its votes."""

    id: str
    letter: str
    html: Markup
    votes: int
    percent: float
    correct: bool
    misconception: str
    feedback: Markup


@dataclass(frozen=True, kw_only=True)
class Guesses:
    """Guesses of a number; positions are percentages of the histogram's width."""

    bins: Bins
    unit: str
    count: int
    value: float | None
    value_at: float | None
    so_far: float | None
    """What the run has come to, until it has ended."""

    so_far_at: float | None
    """At the edge where it is beyond the guesses."""

    close: int
    columns: tuple[tuple[float, float, int], ...]
    """(left edge, right edge, guesses) of each interval."""

    @property
    def highest(self) -> int:
        """The largest number of guesses in one interval; at least 1."""
        return max((count for _, _, count in self.columns), default=1) or 1


def count_bars(live: LiveRoom, asked: ClassQuestion, round_number: int, *, singles: bool) -> list[Bar]:
    """Votes of a round by option; answers to an open question by what they say, the same in each round.

    `singles`: list what one student alone has typed.
    """
    given = [answer.value for answer in live.answers(round_number).values()]
    if asked.kind in OPEN_KINDS:
        options = _select_frequent(live, asked, _list_rounds(live, asked, round_number), singles=singles)
        listed = {option.id for option in options}
        chosen = [key if (key := derive_key(value)) in listed else OTHERS for value in given]
        letters: Sequence[str] = [""] * len(options)
    else:
        options = asked.options
        chosen = [option for value in given for option in list_chosen(value)]
        letters = LETTERS
    counts = Counter(chosen)
    return [
        Bar(
            id=option.id,
            letter=option.letter or letter,
            html=option.html,
            votes=counts[option.id],
            percent=100 * counts[option.id] / len(given) if given else 0.0,
            correct=option.correct,
            misconception=option.misconception,
            feedback=option.feedback,
        )
        for letter, option in zip(letters, options, strict=False)
    ]


def _list_rounds(live: LiveRoom, asked: ClassQuestion, round_number: int) -> Sequence[int]:
    """List the rounds whose answers stand beside each other."""
    return (1, 2) if live.activity and asked is live.activity.asked else (round_number,)


def _select_frequent(
    live: LiveRoom, asked: ClassQuestion, rounds: Sequence[int], *, singles: bool
) -> tuple[ClassOption, ...]:
    """Select the right answer to an open question, and the wrong ones that most gave, as options."""
    given = [(student, a.value) for number in rounds for student, a in live.answers(number).items()]
    said = {derive_key(value): str(value["said"]) for _, value in given}
    # A student who gives the same answer in both rounds counts once.
    pairs = dict.fromkeys((student, derive_key(value)) for student, value in given)
    wrong = Counter(key for _, key in pairs if key != asked.right)
    fewest = FEWEST_ALIKE if asked.kind in TYPED_KINDS and not singles else 1
    listed = [key for key, count in wrong.most_common(MOST_WRONG) if count >= fewest]
    right = ClassOption(id=asked.right, html=asked.answer, correct=True, feedback=asked.because)
    others = [ClassOption(id=OTHERS, html=escape("Other answers"))] if len(listed) < len(wrong) else []
    return (right, *(ClassOption(id=key, html=escape(said[key])) for key in listed), *others)


def count_moves(live: LiveRoom, asked: ClassQuestion) -> Transition | None:
    """How votes moved between the two rounds of a question; None when nobody voted twice."""
    found = compare_rounds(list_choices(live.answers(1)), list_choices(live.answers(2)), asked.right)
    return found if found.both else None


def list_chosen_mistakes(rounds: Sequence[list[Bar]], asked: ClassQuestion) -> list[Bar]:
    """The wrong options that were chosen in either round, the one with most votes in a round first.

    After a good discussion nobody chooses them, and the class still learns why they were chosen.
    """
    by_id = {bar.id: bar for listed in rounds for bar in listed if not bar.correct}
    most = {option: max(bar.votes for each in rounds for bar in each if bar.id == option) for option in by_id}
    ranked = sorted(most, key=lambda option: -most[option])
    return [by_id[option] for option in ranked if most[option] and option != asked.right]


def show_value(live: LiveRoom) -> float | None:
    """The value that was guessed at, once the class may see it."""
    return find_value(live) if live.state.phase in ("reveal", "run") else None


def list_close_guesses(live: LiveRoom) -> list[str]:
    """The students whose guess was close to the value, the closest first; none until the value is shown."""
    value = show_value(live)
    if value is None:
        return []
    given = {student: float(answer.value["number"]) for student, answer in live.answers(1).items()}
    close = [student for student, guess in given.items() if is_close(guess, value)]
    return sorted(close, key=lambda student: (abs(given[student] - value), student))


def spread_numbers(live: LiveRoom, asked: ClassQuestion, rounds: Sequence[int]) -> Guesses | None:
    """The numbers of the latest round of a question that asks for one."""
    if asked.value is None:
        return None
    answered = next((given for number in reversed(rounds) if (given := live.answers(number))), {})
    return _spread([float(answer.value["value"]) for answer in answered.values()], asked.value, asked.unit)


def _spread(
    given: Sequence[float], value: float | None, unit: str, *, so_far: float | None = None
) -> Guesses:
    spread = spread_guesses(given, value=value)

    def place(number: float | None) -> float | None:
        if number is None or not spread.edges:
            return None
        share = (number - spread.edges[0]) / (spread.edges[-1] - spread.edges[0])
        return 100 * min(1.0, max(0.0, share))

    return Guesses(
        bins=spread,
        unit=unit,
        count=len(given),
        value=value,
        value_at=place(value),
        so_far=so_far,
        so_far_at=place(so_far),
        close=0 if value is None else sum(is_close(guess, value) for guess in given),
        columns=tuple(zip(spread.edges, spread.edges[1:], spread.counts, strict=False)),
    )


def find_value(live: LiveRoom) -> float | None:
    """What was guessed: known beforehand, or measured by the run; None until it is."""
    return find_true_value(live.state, live.activity, live.state.position) if live.activity else None


def is_shown(live: LiveRoom) -> bool:
    """Whether the class may see results now."""
    return live.state.phase in ("reveal", "twin-reveal", "distribution", "run")


def find_asked_question(live: LiveRoom) -> ClassQuestion | None:
    """The question that the current phase is about: a twin, or the one before it."""
    if live.activity is None:
        return None
    asked = live.activity.twin if live.state.phase in ("twin", "twin-reveal") else live.activity.asked
    if asked is None or live.activity.compared is None:
        return asked
    return mark_measured(asked, live.activity.compared, live.state.grids.get(live.state.position))


def build_results(live: LiveRoom, *, singles: bool) -> Mapping[str, Any]:
    """The results that the current phase may show, by the names that the templates use."""
    activity, state = live.activity, live.state
    if activity is None:
        return {}
    if activity.guessed is not None:
        value = show_value(live)
        so_far = live.run.so_far if state.phase == "run" and value is None and live.run else None
        given = [float(answer.value["number"]) for answer in live.answers(1).values()]
        return {"guesses": _spread(given, value, activity.guessed.unit, so_far=so_far)}
    asked = find_asked_question(live)
    if asked is None:
        return {}
    twin = asked is activity.twin
    rounds = [(3, "")] if twin else [(1, "First vote"), (2, "Second vote")]
    shown = [
        (label, count_bars(live, asked, number, singles=singles))
        for number, label in rounds
        if live.answers(number)
    ]
    latest = shown[-1][1] if shown else count_bars(live, asked, rounds[0][0], singles=singles)
    return {
        "asked": asked,
        "rounds": shown,
        "latest": latest,
        "numbers": spread_numbers(live, asked, [number for number, _ in rounds]),
        "moved": None if twin else count_moves(live, asked),
        "slips": list_chosen_mistakes([listed for _, listed in shown], asked),
    }


@dataclass(frozen=True, kw_only=True)
class Standings:
    """Teams and the leaderboard on the screen; each is empty unless the teacher has chosen it."""

    teams: tuple[TeamScore, ...]
    leaders: tuple[tuple[str, int], ...]
    """Names with their points, the most first."""


def rank_students(live: LiveRoom) -> Standings | None:
    """Rank teams and students for the screen, with results and not during a vote; None if not now."""
    options = live.room.options
    teams, with_names = options.get("teams", 0), options.get("leaderboard", False)
    if not (teams or with_names) or not (is_shown(live) or live.state.ended):
        return None
    present = {student.id: student for student in live.present}
    answers = [answer for student in present for answer in live.list_answers_by(student)]
    points = count_points(live.plan, live.events, live.state, answers)
    by_team = {student.id: assign_team(student.number, teams) for student in present.values()}
    leaders = [(present[student].name, count) for student, count in lead(points) if present[student].name]
    return Standings(
        teams=tuple(score_teams(points, by_team, teams)),
        leaders=tuple(leaders) if with_names and not live.state.names_hidden else (),
    )
