"""What each kind of study shows on Progress, so that the page need not know the packages behind it."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from markupsafe import Markup

from study.plots.plot import Plot
from study.ports.context import Visit


class Section(Protocol):
    """One part of the Progress page."""

    @property
    def name(self) -> str:
        """Safe in an address and in an `id`."""

    def html(self, visit: Visit) -> Markup:
        """What is shown at once; empty for nothing."""

    def figures(self, visit: Visit) -> Iterable[Plot]:
        """Its charts, drawn when the page is there."""

    def act(self, event: dict[str, Any], visit: Visit) -> Mapping[str, Any] | None:
        """The reply to a press of this section, as `static/island.js` reads it; None if it is not its own."""


def find_figure(sections: Iterable[Section], visit: Visit, name: str) -> Plot | None:
    """A chart of any section, by its name."""
    return next((plot for part in sections for plot in part.figures(visit) if plot.name == name), None)
