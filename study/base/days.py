"""Study days: they begin at four in the morning unless chosen otherwise; a late evening counts as one day."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo

DAY_BEGINS = timedelta(hours=4)  # as Anki's default: few people study at four


def study_day(moment: datetime, *, zone: tzinfo | None = None, begins: timedelta = DAY_BEGINS) -> date:
    """The day a moment belongs to, in the machine's time zone unless another is given."""
    return (moment.astimezone(zone) - begins).date()


def day_start(moment: datetime, *, zone: tzinfo | None = None, begins: timedelta = DAY_BEGINS) -> datetime:
    """When the study day of a moment began."""
    local = moment.astimezone(zone)
    day = study_day(moment, zone=zone, begins=begins)
    return (datetime.combine(day, time(), tzinfo=local.tzinfo) + begins).astimezone(moment.tzinfo)


def day_end(moment: datetime, *, zone: tzinfo | None = None, begins: timedelta = DAY_BEGINS) -> datetime:
    """When the study day of a moment ends and the next begins."""
    # 30 hours on is within the next study day even where the clocks change, and so is its start well defined.
    later = day_start(moment, zone=zone, begins=begins) + timedelta(hours=30)
    return day_start(later, zone=zone, begins=begins)


@dataclass(frozen=True, kw_only=True)
class StudyDays:
    """How one learner counts days: their time zone (the machine's if None), and when a day begins."""

    zone: tzinfo | None = None
    begins: timedelta = DAY_BEGINS

    def day(self, moment: datetime) -> date:
        """The day a moment belongs to."""
        return study_day(moment, zone=self.zone, begins=self.begins)

    def start(self, moment: datetime) -> datetime:
        """When that day began."""
        return day_start(moment, zone=self.zone, begins=self.begins)

    def end(self, moment: datetime) -> datetime:
        """When that day ends."""
        return day_end(moment, zone=self.zone, begins=self.begins)

    def between(self, earlier: datetime, later: datetime) -> int:
        """How many days lie between two moments; 0 within one day."""
        return (self.day(later) - self.day(earlier)).days


MACHINE_DAYS = StudyDays()
