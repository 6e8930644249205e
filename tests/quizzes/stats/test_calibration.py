"""Confidence beside results: Brier score by hand, shares by tap, and charts that say which way it is off."""

from datetime import UTC, datetime, timedelta

import pytest

from quizzes.stats.calibration import (
    STANDS_FOR,
    RatedAnswer,
    compute_brier,
    plot_calibration,
    share_by_confidence,
)
from study.base.days import StudyDays
from study.plots.render import render_plot
from study.store.logs.quizzes import Confidence

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
UTC_DAYS = StudyDays(zone=UTC)


def said(confidence: Confidence, *results: bool, days_ago: int = 0) -> list[RatedAnswer]:
    at = NOW - timedelta(days=days_ago)
    return [RatedAnswer(confidence=confidence, correct=correct, at=at) for correct in results]


def test_the_brier_score_is_the_mean_squared_distance() -> None:
    both = said("sure", True, False)
    assert compute_brier(both) == pytest.approx(((0.9 - 1) ** 2 + 0.9**2) / 2)
    assert compute_brier(said("guess", True, False)) == pytest.approx(0.25)


def test_each_tap_stands_for_the_middle_of_the_range_in_which_it_pays_best() -> None:
    def marks(chance: float) -> dict[Confidence, float]:
        return {"guess": chance, "think": 4 * chance - 2, "sure": 9 * chance - 6}

    for confidence, chance in STANDS_FOR.items():
        paid = marks(chance)
        assert max(paid, key=paid.__getitem__) == confidence


def test_shares_are_counted_by_tap() -> None:
    answers = [*said("sure", True, True, False, days_ago=9), *said("guess", False)]
    shares = share_by_confidence(answers)
    assert {name: (share.hits, share.trials) for name, share in shares.items()} == {
        "guess": (0, 1),
        "sure": (2, 3),
    }


def test_the_score_over_time_is_that_of_the_weeks_it_shows() -> None:
    long_ago = said("sure", *[False] * 30, days_ago=100)
    lately = [*said("sure", *[True] * 3, days_ago=9), *said("sure", True)]
    *_, plot = plot_calibration([*long_ago, *lately], now=NOW, days=UTC_DAYS)
    assert plot.title.startswith("Your Brier score is 0.01, better than")
    assert "; 4 answers." in plot.subtitle
    assert [(day, count) for day, _, count in plot.rows] == [("2026-02-25", 3), ("2026-03-04", 1)]


@pytest.mark.parametrize(
    ("rights", "finding"), [(20, "more often than"), (2, "less often than"), (18, "about as often as")]
)
def test_the_chart_says_which_way_confidence_is_off(rights: int, finding: str) -> None:
    results = [True] * rights + [False] * (20 - rights)
    answers = [*said("sure", *results, *results), *said("sure", *results, days_ago=9)]
    calibration, score = plot_calibration(answers, now=NOW, days=UTC_DAYS)
    assert finding in calibration.title
    assert "Brier score" in score.title
    for plot in (calibration, score):
        assert render_plot(plot, "svg", on_page=True)


def test_a_chart_comes_with_twenty_taps_and_a_line_with_two_weeks() -> None:
    names = [
        [plot.name for plot in plot_calibration(answers, now=NOW, days=UTC_DAYS)]
        for answers in ([], said("sure", *[True] * 19), said("sure", *[True] * 20))
    ]
    assert names == [[], [], ["calibration"]]
