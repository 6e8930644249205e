"""Pages of one island, for tests of the frame."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import gradio as gr
from markupsafe import Markup

from study.base.html import NO_HTML
from study.ports.context import Context
from study.web.frame import Act, IslandPlace, add_island_page


@dataclass(frozen=True)
class EmptyPage:
    place: IslandPlace
    act: Act | None

    def load(self, request: Any) -> Markup:
        return NO_HTML


def add_empty_page(
    app: gr.Blocks,
    context: Context,
    act: Act,
    elem_id: str,
    *,
    path: str,
    learners_may: Collection[str] | None = None,
) -> None:
    """A page of that island, which answers its events with `act`."""
    place = IslandPlace(elem_id=elem_id, title=path, path=path, learners_may=learners_may)
    add_island_page(app, context, EmptyPage(place, act))
