"""Study days: they begin at 4 a.m. by default, so a late evening counts as one day."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo

DAY_BEGINS = timedelta(hours=4)  # as Anki's default: few people study at four


@dataclass(frozen=True, kw_only=True)
class StudyDays:
    """One learner's day boundaries: the time zone (the machine's if None), and the time when a day begins."""

    zone: tzinfo | None = None
    begins: timedelta = DAY_BEGINS

    def day(self, moment: datetime) -> date:
        return (moment.astimezone(self.zone) - self.begins).date()

    def start(self, moment: datetime) -> datetime:
        """Return when the study day of a moment began, in the moment's own time zone."""
        midnight = datetime.combine(self.day(moment), time(), tzinfo=self.zone)
        # A time without a zone is the machine's, at its offset of then: the clocks may have changed since.
        return datetime.fromtimestamp((midnight + self.begins).timestamp(), moment.tzinfo)

    def end(self, moment: datetime) -> datetime:
        """Return when the study day of a moment ends and the next one begins."""
        # 30 hours later is in the next study day even across a clock change, so its start is well defined.
        return self.start(self.start(moment) + timedelta(hours=30))

    def count_between(self, earlier: datetime, later: datetime) -> int:
        """Count the study days from one moment to another; 0 within one day."""
        return (self.day(later) - self.day(earlier)).days


def format_day(day: date) -> str:
    """Format a day as every page does: `4 March 2026`."""
    return f"{day.day} {day:%B %Y}"


def format_moment(moment: datetime) -> str:
    """Format a moment in its own time zone as every page does: `4 March 2026, 10:00`."""
    return f"{format_day(moment)}, {moment:%H:%M}"


def format_short_date(day: date) -> str:
    """Format a day as `4 Mar`; strftime's `%-d` is not known on Windows."""
    return f"{day.day} {day:%b}"


MACHINE_DAYS = StudyDays()
