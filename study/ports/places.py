"""The places of the app's menu, each with the pages inside it."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """One entry of the menu."""

    title: str
    path: str
    pages: tuple[tuple[str, str], ...] = ()
    """Titles and paths of the pages inside, for the row below the menu; the place's own page may be one."""

    shortcuts: bool = False
    """Whether a wide screen's menu lists the pages inside beside the place itself."""

    def is_page(self, path: str) -> bool:
        """Return whether this is the page itself and the row below doesn't name it again."""
        return path == self.path and all(path != page for _, page in self.pages)

    def holds(self, path: str) -> bool:
        return path == self.path or any(path == page for _, page in self.pages)


def find_place(places: Sequence[Place], *paths: str) -> Place | None:
    """Return the place that holds the first of these paths that any place holds."""
    return next((place for path in paths for place in places if place.holds(path)), None)
