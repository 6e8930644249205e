"""What every page is given: the store, the concept map, the clock, the settings and the menu."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from random import Random

from study.base.days import StudyDays
from study.base.settings import Settings
from study.content.concepts import ConceptMap
from study.store import Store
from study.store.preferences_and_drafts import Preferences
from study.store.profiles import Profile


@dataclass(frozen=True, kw_only=True)
class Context:
    """The app's parts that all pages share. Clock and dice are here so that tests can hold them still."""

    settings: Settings
    store: Store
    concepts: ConceptMap
    clock: Callable[[], datetime]
    dice: Random
    menu: tuple[tuple[str, str], ...]
    """Titles and paths of the pages in the menu, in order."""

    def has_page(self, path: str) -> bool:
        """Whether the menu leads there; a page that is not there is not promised."""
        return any(path == entry for _, entry in self.menu)


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One request for a page or one press on it: who, when, and what the address says."""

    browser_id: str
    profile: Profile
    preferences: Preferences
    query: Mapping[str, str]
    now: datetime

    @property
    def days(self) -> StudyDays:
        """How this learner counts days."""
        return self.preferences.days


def visit(context: Context, *, browser_id: str, query: Mapping[str, str]) -> Visit:
    """Recognize the learner behind a browser's id; a first visit makes a guest profile."""
    now = context.clock()
    profile = context.store.profiles.of_browser(browser_id, now=now)
    return Visit(
        browser_id=browser_id,
        profile=profile,
        preferences=context.store.notes.preferences(profile.id),
        query=query,
        now=now,
    )
