"""Study days: they begin at four in the morning, so that a late evening counts as one day."""

from datetime import date, datetime, time, timedelta, tzinfo

DAY_BEGINS = timedelta(hours=4)  # as Anki's default: few people study at four


def study_day(moment: datetime, *, zone: tzinfo | None = None) -> date:
    """The day a moment belongs to, in the machine's time zone unless another is given."""
    return (moment.astimezone(zone) - DAY_BEGINS).date()


def day_start(moment: datetime, *, zone: tzinfo | None = None) -> datetime:
    """When the study day of a moment began."""
    local = moment.astimezone(zone)
    begins = datetime.combine(study_day(moment, zone=zone), time(), tzinfo=local.tzinfo) + DAY_BEGINS
    return begins.astimezone(moment.tzinfo)


def day_end(moment: datetime, *, zone: tzinfo | None = None) -> datetime:
    """When the study day of a moment ends and the next begins."""
    # 30 hours on is within the next study day even where the clocks change, and so is its start well defined.
    return day_start(day_start(moment, zone=zone) + timedelta(hours=30), zone=zone)
