"""Study days: four in the morning is where one ends and the next begins."""

import time
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.base.days import StudyDays, format_day, format_moment, format_short_date
from study.base.errors import LearnerError
from study.base.settings import ROOT
from study.store.logs.preferences import Preferences

BERLIN = ZoneInfo("Europe/Berlin")
DAYS = StudyDays(zone=BERLIN)
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))


def test_a_late_evening_belongs_to_the_day_before() -> None:
    late = datetime(2026, 3, 5, 2, 30, tzinfo=BERLIN)
    assert DAYS.day(late) == date(2026, 3, 4)
    assert DAYS.day(late + timedelta(hours=2)) == date(2026, 3, 5)


@given(moment=MOMENTS)
def test_a_moment_lies_within_its_day_even_when_clocks_change(moment: datetime) -> None:
    begins, ends = DAYS.start(moment), DAYS.end(moment)
    assert begins <= moment < ends
    assert DAYS.day(begins) == DAYS.day(moment)
    assert DAYS.day(ends) == DAYS.day(moment) + timedelta(days=1)
    assert timedelta(hours=23) <= ends - begins <= timedelta(hours=25)


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone of the machine can't be changed here")
def test_a_day_of_this_machine_begins_as_in_its_time_zone_even_when_clocks_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Europe/Berlin")
        time.tzset()
        for changed in (datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)):
            for begins in range(24):
                here = StudyDays(begins=timedelta(hours=begins))
                named = StudyDays(zone=BERLIN, begins=timedelta(hours=begins))
                for hour in range(-24, 48):
                    moment = changed + timedelta(hours=hour, minutes=30)
                    assert here.start(moment) == named.start(moment), (moment, begins)
    time.tzset()


def test_a_learner_chooses_when_a_day_begins_and_where() -> None:
    tokyo = Preferences(time_zone="Asia/Tokyo", day_begins_hour=0).days
    night = datetime(2026, 3, 4, 15, 30, tzinfo=UTC)  # half past midnight in Tokyo
    assert tokyo.day(night) == date(2026, 3, 5)
    assert Preferences(time_zone="Europe/Berlin").days.day(night) == date(2026, 3, 4)
    assert tokyo.end(night) - tokyo.start(night) == timedelta(days=1)
    assert tokyo.count_between(night, night + timedelta(days=2)) == 2


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"time_zone": "Mars/Base"}, "No time zone is called 'Mars/Base'"),
        ({"day_begins_hour": 24}, "Choose 0 to 23; 4 suits most people"),
        ({"reviews_a_day": -1}, "-1 reviews per day is out of range"),
        ({"card_order": "random"}, "Choose due, weakest, mixed"),
    ],
)
def test_a_setting_that_cannot_be_says_what_can(chosen: dict[str, Any], words: str) -> None:
    with pytest.raises(LearnerError, match=words):
        Preferences(**chosen)


def test_a_short_date_has_no_leading_zero() -> None:
    assert format_short_date(date(2026, 3, 4)) == "4 Mar"


def test_pages_write_days_and_moments_in_one_form() -> None:
    moment = datetime(2026, 3, 4, 9, 5, tzinfo=UTC)
    assert (format_day(moment), format_moment(moment)) == ("4 March 2026", "4 March 2026, 09:05")
    packages = ("study", "flashcards", "quizzes", "lora_lab", "classroom")
    templates = [path for each in packages for path in (ROOT / each / "templates").rglob("*.html")]
    assert len(templates) > 100
    assert [path.name for path in templates if "strftime" in path.read_text("utf-8")] == []
