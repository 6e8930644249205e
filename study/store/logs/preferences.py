"""What a learner chose; a new choice overwrites the one before."""

from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import select

from study.base.days import StudyDays
from study.base.errors import LearnerError
from study.store import schema as t
from study.store.database import StoreLog, cache_reads, put_row

RETENTION_LOW, RETENTION_HIGH = 0.7, 0.97  # beyond it FSRS plans reviews by the day, or forgets for months

CardOrder = Literal["due", "weakest", "mixed"]
CARD_ORDERS: tuple[CardOrder, ...] = get_args(CardOrder)

# Field, what it is called in an error, lowest, highest, and a word of advice.
_RANGES = (
    ("new_cards_a_day", "new cards per day", 0, 200, "10 is a good pace"),
    ("reviews_a_day", "reviews per day", 0, 9999, "200 is rarely reached"),
    ("learn_ahead_minutes", "minutes ahead", 0, 120, "20 is a good start"),
    ("session_minutes", "minutes per session", 0, 240, "0 means no limit"),
    ("day_begins_hour", "o'clock as the start of a day", 0, 23, "4 suits most people"),
)


@dataclass(frozen=True, kw_only=True)
class Preferences:
    """What a learner chose in the settings."""

    shortcuts: bool = True
    new_cards_a_day: int = 10
    reviews_a_day: int = 200
    learn_ahead_minutes: int = 20  # as Anki: rather show a learning card early than end the session
    card_order: CardOrder = "due"
    session_minutes: int = 0
    day_begins_hour: int = 4
    time_zone: str = ""
    tour_seen: bool = False
    first_run: str = ""
    """The id of the run at the end of the introduction."""

    asked_who: bool = False
    """Whether "Who are you?" is over: answered, put off, or out of place since a run was started here."""

    desired_retention: float = 0.9
    """The share of due cards to aim to recall."""

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_kind(field.name, getattr(self, field.name), type(field.default))
        for name, words, low, high, advice in _RANGES:
            chosen = getattr(self, name)
            if not low <= chosen <= high:
                raise LearnerError(
                    f"{chosen} {words} is out of range.", do_next=f"Choose {low} to {high}; {advice}."
                )
        if self.card_order not in CARD_ORDERS:
            raise LearnerError(
                f"There is no order {self.card_order!r}.", do_next=f"Choose {', '.join(CARD_ORDERS)}."
            )
        if not RETENTION_LOW <= self.desired_retention <= RETENTION_HIGH:
            raise LearnerError(
                f"A desired retention of {self.desired_retention:.0%} is out of range.",
                do_next=f"Choose {RETENTION_LOW:.0%} to {RETENTION_HIGH:.0%}; 90% is the usual aim.",
            )
        _find_zone(self.time_zone)

    @property
    def days(self) -> StudyDays:
        return StudyDays(zone=_find_zone(self.time_zone), begins=timedelta(hours=self.day_begins_hour))


def _check_kind(name: str, chosen: object, kind: type) -> None:
    taken = (int, float) if kind is float else kind
    if not isinstance(chosen, taken) or (isinstance(chosen, bool) and kind is not bool):
        raise LearnerError(f"{name} can't be {chosen!r}.", do_next="Choose it in Settings.")


def check_preference(name: object, value: Any) -> str:
    """Why a preference from elsewhere can't be taken; one that this app does not know is not read either."""
    if name not in {field.name for field in fields(Preferences)}:
        return ""
    try:
        Preferences(**{str(name): value})
    except (LearnerError, TypeError, ValueError, OverflowError, AttributeError):
        return f"{name} can't be {str(value)[:40]!r}"
    return ""


class PreferenceLog(StoreLog):
    """The preferences of each profile, which are overwritten."""

    @cache_reads
    def read(self, profile_id: str) -> Preferences:
        """What the learner chose, with the defaults for the rest."""
        wanted = select(t.preferences).where(t.preferences.c.profile_id == profile_id)
        known = {field.name for field in fields(Preferences)}
        rows = self._read_rows(wanted)
        # A value that an older version accepted must not break every page.
        usable = [row for row in rows if row.name in known and not check_preference(row.name, row.value)]
        return Preferences(**{row.name: row.value for row in usable})

    def change(self, profile_id: str, **chosen: Any) -> Preferences:
        """Change some preferences, after checking them."""
        preferences = replace(self.read(profile_id), **chosen)
        with self._database.write(profile_id) as connection:
            for name, value in chosen.items():
                put_row(connection, t.preferences, {"profile_id": profile_id, "name": name}, {"value": value})
        return preferences


def _find_zone(name: str) -> ZoneInfo | None:
    """A time zone by its IANA name; None, the machine's own, for an empty one."""
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise LearnerError(
            f"No time zone is called {name!r}.",
            do_next="Write it as in Europe/Berlin, or leave it empty for this machine's own.",
        ) from error
