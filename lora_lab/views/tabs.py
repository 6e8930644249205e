"""The head of every lab page: its title, the three tabs, and the ways back to a concept or to a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from markupsafe import Markup

import lora_lab.quantities  # noqa: F401 - what the numbers in a lesson are checked against
from lora_lab.settings.urls import COMPARE, LAB_PAGES, ORIGIN, WATCH, XRAY
from lora_lab.views.lesson_link import build_lab_link
from study.content.concepts import build_concept_address, load_concepts
from study.lessons.lesson import Lessons
from study.text.templates import render

LONGEST_WATCH = 300
"""An address may be written by anyone, so what it says to watch is cut."""


@dataclass(frozen=True, kw_only=True)
class CameFrom:
    name: str
    address: str
    watch: str
    """What to look at, in the lesson's words or the address's; empty without any."""


RESULT_VIEWS = frozenset({COMPARE, XRAY})


@cache
def _load_lessons() -> Lessons:
    return Lessons(concepts=load_concepts(), check_preset=build_lab_link)


def find_origin(query: Mapping[str, str]) -> CameFrom | None:
    """Return the concept that the address names; None when it names none that exists."""
    lessons, concept_id = _load_lessons(), query.get(ORIGIN, "")
    if concept_id not in lessons.concepts.by_id:
        return None
    lesson = lessons.find(concept_id)
    told = lesson.try_it.watch if lesson else ""
    return CameFrom(
        name=lessons.concepts.name(concept_id),
        address=build_concept_address(concept_id),
        watch=query.get(WATCH, "")[:LONGEST_WATCH] or told,
    )


def render_tabs(
    path: str, title: str, query: Mapping[str, str], *, back: tuple[str, str] | None = None, aside: str = ""
) -> Markup:
    """Render the head of the page at `path`; `back` is the name and the address of the run it is a view of,
    `aside` what the lab says of the device, renewed by the page's polls.

    Views of a result are named only while they are open: a result leads to them.
    """
    name, views = next((name, views) for name, views in LAB_PAGES if any(path == at for _, at in views))
    shown = [(view, at) for view, at in views if at not in RESULT_VIEWS or at == path]
    return render(
        "lora_lab/shared/tabs.html",
        title=title,
        tabs=[(each, pages[0][1], each == name) for each, pages in LAB_PAGES],
        views=shown,
        path=path,
        origin=find_origin(query),
        back=render_back(back),
        aside=aside,
    )


def render_back(back: tuple[str, str] | None) -> Markup:
    """Render the link to the run that a view belongs to; pages send it again when another run is chosen."""
    return render("lora_lab/shared/back.html", back=back)
