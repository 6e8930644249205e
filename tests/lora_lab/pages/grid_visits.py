"""A browser on the Grid page, and what its answers list."""

import re
from typing import Any
from urllib.parse import parse_qsl

from lora_lab.pages.grid import GridPage
from lora_lab.settings.grid import AXES, Grid
from lora_lab.settings.grid_form import BASE_NAMES
from study.web.frame import Reply
from tests import visits
from tests.lora_lab.pages.lab_visits import Form
from tests.lora_lab.sweep_builders import tiny_grid


class Visitor(visits.Visitor[GridPage]):
    """One browser on the page: what it presses sends the form, too."""

    def sends(self, act: str, grid: Grid | None = None, **values: Any) -> Reply:
        return super().sends(act, **{"fields": fields_of(grid or tiny_grid())} | values)

    @property
    def asked(self) -> dict[str, str]:
        """What the address bar says."""
        return dict(parse_qsl(self.query.removeprefix("?")))


def fields_of(grid: Grid) -> dict[str, list[str]]:
    form = {name: [str(getattr(grid.base, name))] for name in BASE_NAMES if name != "checkpointing"}
    ratio = "" if grid.alpha_per_rank is None else str(grid.alpha_per_rank)
    axes = {axis: [str(value) for value in getattr(grid, axis)] for axis in AXES}
    return form | axes | {"alpha_per_rank": [ratio]}


class TickForm(Form):
    """A form with boxes: several values of one name, and only those that are ticked."""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if given.get("type") != "checkbox":
            super().handle_starttag(tag, attributes)
        elif "checked" in given:
            self.values.setdefault(given["name"] or "", []).append(given["value"] or "")


def ids(html: str, act: str) -> list[str]:
    """The runs that a kind of button is offered for, in order."""
    return re.findall(rf'data-act="{act}"[^>]*data-run="([^"]+)"', html)


def numbers(html: str) -> list[str]:
    """The cells of the table, in order."""
    return re.findall(r'href="/lab\?run=[^"]+">(\d)<', html)
