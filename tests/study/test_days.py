"""Study days: four in the morning is where one ends and the next begins."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from study.days import day_end, day_start, study_day

BERLIN = ZoneInfo("Europe/Berlin")
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))


def test_a_late_evening_belongs_to_the_day_before() -> None:
    late = datetime(2026, 3, 5, 2, 30, tzinfo=BERLIN)
    assert study_day(late, zone=BERLIN) == date(2026, 3, 4)
    assert study_day(late + timedelta(hours=2), zone=BERLIN) == date(2026, 3, 5)


@given(moment=MOMENTS)
def test_a_moment_lies_within_its_day_even_when_clocks_change(moment: datetime) -> None:
    begins, ends = day_start(moment, zone=BERLIN), day_end(moment, zone=BERLIN)
    assert begins <= moment < ends
    assert study_day(begins, zone=BERLIN) == study_day(moment, zone=BERLIN)
    assert study_day(ends, zone=BERLIN) == study_day(moment, zone=BERLIN) + timedelta(days=1)
    assert timedelta(hours=23) <= ends - begins <= timedelta(hours=25)
