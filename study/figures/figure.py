"""A live figure: what can be moved, and what is shown for a setting. Used by pages, cards and questions.

    figure = FIGURES["lora-to-scale"]
    figure.fragment({"rank": "16"})       the whole figure, to stand in a page
    figure.answer({"rank": "17"})         what changes with it: `GET /figure/lora-to-scale?rank=17`
    about(FIGURES)(["lora-rank"])         a line below an answer that unfolds to the figure of a concept

The browser's side is `static/figures.js`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from markupsafe import Markup

from study.base.errors import LearnerError
from study.figures.controls import controls_of, settings_from
from study.text.templates import render

S = TypeVar("S")
Row = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where numbers come from: a formula, a measurement with its conditions, or a paper."""

    kind: Literal["computed", "measured", "published"]
    text: str
    """Device, versions and steps; or the source."""

    formula: str = ""
    """One click away."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """The numbers behind a picture."""

    columns: Row
    rows: tuple[Row, ...]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A figure at one setting."""

    finding: str
    """One or two sentences with the numbers that matter; also what a screen reader announces."""

    numbers: tuple[tuple[str, str], ...]
    picture: Markup
    alt: str
    """What the picture shows, with its numbers."""

    origins: tuple[Origin, ...]
    table: Table | None = None


@dataclass(frozen=True, kw_only=True)
class Figure(Generic[S]):
    """One live figure."""

    id: str
    title: str
    minutes: int
    concepts: tuple[str, ...]
    settings: type[S]
    show: Callable[[S], Shown]
    further: tuple[str, str] | None = None
    """Where to go on with this by oneself: words and address."""

    def fragment(self, query: Mapping[str, str]) -> Markup:
        """Controls, picture and numbers. A setting outside its limits is named, and the default shown."""
        try:
            settings, problem = settings_from(self.settings, query), ""
        except LearnerError as error:
            settings, problem = self.settings(), str(error)
        return Markup(
            render(
                "study/figure.html",
                figure=self,
                controls=[(name, control, getattr(settings, name)) for name, control in self._controls()],
                problem=problem,
                shown=self.show(settings),
            )
        )

    def answer(self, query: Mapping[str, str]) -> Markup:
        """Only what changes with the setting. Raises LearnerError on one outside its limits."""
        shown = self.show(settings_from(self.settings, query))
        return Markup(render("study/figure_shown.html", shown=shown))

    def _controls(self) -> list[tuple[str, Any]]:
        return list(controls_of(self.settings))


Figures = Mapping[str, Figure[Any]]

FigureAbout = Callable[[Iterable[str]], Markup]
"""From the concepts of a card or a question to the figure that shows one of them."""


def about(figures: Figures) -> FigureAbout:
    """The figure of the first of the concepts that has one, fetched when it is unfolded."""

    def unfolding(concepts: Iterable[str]) -> Markup:
        for concept in concepts:
            showing = [figure for figure in figures.values() if concept in figure.concepts]
            if showing:  # a figure names first what it is mostly about
                nearest = min(showing, key=lambda figure: figure.concepts.index(concept))
                return Markup(render("study/figure_unfolds.html", figure=nearest))
        return Markup("")

    return unfolding


def no_figure(concepts: Iterable[str]) -> Markup:
    """Where there are no figures."""
    return Markup("")
