"""The protocol of a section of the Progress page."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from markupsafe import Markup

from study.plots.plot import Plot
from study.ports.context import Visit


class Section(Protocol):
    """One section of the Progress page."""

    @property
    def name(self) -> str:
        """Its name, safe in a URL and in an `id`."""

    def render_html(self, visit: Visit) -> Markup:
        """Render the part that is shown at once; empty for nothing."""

    @property
    def leading(self) -> Sequence[str]:
        """The names of the charts to show first; the others are folded."""

    def build_charts(self, visit: Visit) -> Iterable[Plot]:
        """Build its charts, which are drawn after the page has loaded; none before they mean something."""

    def act(self, event: dict[str, Any], visit: Visit) -> Mapping[str, Any] | None:
        """Reply to this section's own events, as `static/island.js` expects; None for any other event."""
