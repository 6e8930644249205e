"""The context of every page: the store, the concept map, the clock, the settings and the menu."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from random import Random, SystemRandom

from study.base.days import StudyDays
from study.base.settings import Settings
from study.content.concepts import ConceptMap
from study.ports.places import Place
from study.store import Store
from study.store.logs.preferences import Preferences
from study.store.profiles import Profile


@dataclass(frozen=True, kw_only=True)
class Context:
    """What all pages share. Tests replace the clock and the random generator."""

    settings: Settings
    store: Store
    concepts: ConceptMap
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    rng: Random = field(default_factory=SystemRandom)
    places: tuple[Place, ...] = ()
    """The menu, in order."""

    shared: bool = False
    """Whether other machines can reach the app, so that its profiles belong to their devices."""

    def has_page(self, path: str) -> bool:
        """Return whether the menu has this page, so that no link leads to a missing page."""
        return any(place.holds(path) for place in self.places)


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One page request or event: who, when, and the URL's query."""

    browser_id: str
    profile: Profile
    preferences: Preferences
    query: Mapping[str, str]
    now: datetime
    may_use_lab: bool = False
    """Whether this request may start, stop and read in the Lab what isn't there yet."""

    is_here: bool = False
    """Whether it comes from a browser on the machine that runs the app."""

    is_owner: bool = False
    """Whether this request may change what is everyone's on a server: decks and questions."""

    @property
    def reads_for(self) -> str:
        """The browser for which the Lab may read a model that it doesn't know; empty where it may not."""
        return self.browser_id if self.may_use_lab else ""

    @property
    def days(self) -> StudyDays:
        """This learner's day boundaries."""
        return self.preferences.days

    @property
    def today(self) -> date:
        """The study day of this request."""
        return self.days.day(self.now)

    def format_days_ago(self, moment: datetime) -> str:
        """Format `today`, `yesterday` or `3 days ago`, by this learner's study days."""
        days = self.days.count_between(moment, self.now)
        return "today" if days <= 0 else "yesterday" if days == 1 else f"{days} days ago"


def find_visit(context: Context, *, browser_id: str, query: Mapping[str, str]) -> Visit:
    """Find the learner of a browser's id; a first request creates a guest profile."""
    now = context.clock()
    profile = context.store.profiles.open_for_browser(browser_id, now=now)
    return Visit(
        browser_id=browser_id,
        profile=profile,
        preferences=context.store.preferences.read(profile.id),
        query=query,
        now=now,
    )
