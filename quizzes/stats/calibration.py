"""Calibration: a learner's confidence compared with their results, and the Brier score."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from statistics import fmean

from study.base.confidence_intervals import Share, compute_share, format_percent
from study.base.days import StudyDays, format_short_date
from study.learner.progress import CHARTS_FROM, WEEKS, group_by_week
from study.plots.plot import Plot
from study.plots.points import Curve, PlotPoint, Points, place_point
from study.store.logs.quizzes import CONFIDENCES, Confidence

NAMES: dict[Confidence, str] = {"guess": "a guess", "think": "I think so", "sure": "sure"}

# Certainty-based marking (Moodle: +1/+2/+3 when right, 0/-2/-6 when wrong) pays best at "guess" below 67 %,
# at the middle step from 67 to 80 %, at "sure" above 80 %. Each tap maps to the middle of its range; the
# lowest range begins at 1/3, a blind guess among three options.
STANDS_FOR: dict[Confidence, float] = {"guess": 0.5, "think": 0.735, "sure": 0.9}
COIN = 0.25  # the Brier score of 50 % on every answer


@dataclass(frozen=True, kw_only=True)
class RatedAnswer:
    """One answer with the confidence tapped before the result was shown."""

    confidence: Confidence
    correct: bool
    at: datetime


def share_by_confidence(said: Sequence[RatedAnswer]) -> dict[Confidence, Share]:
    """Return the share that was right, for each confidence that was ever tapped."""
    shares = {name: compute_share([s.correct for s in said if s.confidence == name]) for name in CONFIDENCES}
    return {name: share for name, share in shares.items() if share is not None}


def compute_brier(said: Sequence[RatedAnswer]) -> float:
    """Return the mean squared distance between confidence and result: 0 is perfect, 1 the worst."""
    return fmean((STANDS_FOR[each.confidence] - each.correct) ** 2 for each in said)


def plot_calibration(said: Sequence[RatedAnswer], *, now: datetime, days: StudyDays) -> Iterator[Plot]:
    """Yield calibration from `CHARTS_FROM` answers on, and the Brier score over time from two weeks on."""
    if len(said) < CHARTS_FROM:
        return
    yield _chart_calibration(said)
    weeks = group_by_week(said, now=now, day_of=days.day)
    if len(weeks) > 1:
        yield _chart_brier_over_time(weeks, days.day(now))


def _chart_calibration(said: Sequence[RatedAnswer]) -> Plot:
    shares = share_by_confidence(said)
    most = max(shares, key=lambda name: shares[name].trials)
    share = shares[most]
    low, high = share.interval
    aim = STANDS_FOR[most]
    judged = "more often than" if low > aim else "less often than" if high < aim else "about as often as"
    told = f"When you tap “{NAMES[most]}”, you are right {format_percent(share.value)} of the time"
    title = f"{told}, {judged} those words promise"
    return Plot(
        name="calibration",
        title=title,
        subtitle=f"Right answers by confidence, {len(said):,} answers; measured. On the line, they agree.",
        header=("confidence", "stands for, %", "right", "answers", "share, %", "95 % from", "95 % to"),
        rows=tuple((NAMES[name], 100 * STANDS_FOR[name], *each.cells) for name, each in shares.items()),
        alt=f"{title}. " + "; ".join(f"{NAMES[name]}: {each}" for name, each in shares.items()) + ".",
        drawing=Points(
            points=tuple(place_point(STANDS_FOR[name], each) for name, each in shares.items()),
            measured="right, with its 95 % interval (Wilson)",
            curves=(Curve(xs=(0.4, 1.0), ys=(0.4, 1.0)),),
            computed="as right as you say",
            x_label="what your confidence stands for",
            y_label="share right",
            x_ticks=tuple((at, f"{NAMES[name]} {format_percent(at)}") for name, at in STANDS_FOR.items()),
        ),
    )


def _chart_brier_over_time(weeks: Mapping[date, Sequence[RatedAnswer]], today: date) -> Plot:
    said = [each for found in weeks.values() for each in found]
    scores = {day: compute_brier(found) for day, found in weeks.items()}
    overall = compute_brier(said)
    side = "better than" if overall < COIN else "no better than"
    title = f"Your Brier score is {overall:.2f}, {side} a coin toss ({COIN})"
    places = {day: (day - today).days / 7 for day in weeks}
    return Plot(
        name="brier",
        title=title,
        subtitle=f"By week over the last {WEEKS}; {len(said):,} answers. Lower is better, 0 is perfect.",
        header=("week to", "Brier score", "answers"),
        rows=tuple((day.isoformat(), score, len(weeks[day])) for day, score in scores.items()),
        alt=f"{title}. "
        + "; ".join(f"week to {format_short_date(day)}: {score:.2f}" for day, score in scores.items())
        + ".",
        drawing=Points(
            points=tuple(PlotPoint(x=places[d], y=s, low=s, high=s) for d, s in scores.items()),
            measured="mean squared distance between what you said and what happened",
            curves=(Curve(xs=(min(places.values(), default=0.0) - 0.4, 0.4), ys=(COIN, COIN)),),
            computed="saying 50 % to everything",
            x_label="week up to",
            y_label="Brier score",
            x_ticks=tuple((place, format_short_date(day)) for day, place in places.items()),
            percent=False,
            joined=True,
        ),
    )
