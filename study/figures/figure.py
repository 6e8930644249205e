"""A live figure: its controls, and its view at one setting. Pages, cards and questions use it.

    figure = FIGURES["lora-to-scale"]
    figure.fragment({"rank": "16"})      the whole figure, inside a page
    figure.answer({"rank": "17"})        the part that changes: `GET /figure/lora-to-scale?rank=17`
    build_figure_lookup(FIGURES)(["lora-rank"])   a line below an answer that unfolds to a concept's figure

The browser's side is `static/figures.js`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from markupsafe import Markup

from study.base.errors import LearnerError
from study.base.html import NO_HTML
from study.figures.controls import ChoiceControl, Control, list_controls, parse_settings
from study.text.templates import render

S = TypeVar("S")
Row = tuple[str, ...]
MOST_OPTIONS = 6
"""Of a list that stays unfolded beside a text."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The origin of numbers: a formula, a measurement with its conditions, or a paper."""

    kind: Literal["computed", "measured", "published"]
    text: str
    """What it is about and on which device; or the source."""

    formula: str = ""
    """Shown on one click."""

    conditions: str = ""
    """Settings and versions of a measurement, shown on the same click."""


def build_computed_origin(text: str, formula: str = "") -> Origin:
    """Return the origin of numbers that are computed when they are shown."""
    return Origin(kind="computed", text=text, formula=formula)


@dataclass(frozen=True, kw_only=True)
class FigureTable:
    """The numbers behind a picture."""

    columns: Row
    rows: tuple[Row, ...]


@dataclass(frozen=True, kw_only=True)
class Companion:
    """A second picture beside the one that the settings change."""

    title: str
    picture: Markup
    alt: str
    """A description of the picture with all that it says."""


@dataclass(frozen=True, kw_only=True)
class FigureView:
    """A figure at one setting."""

    finding: str
    """One or two sentences with the key numbers; a screen reader announces them too."""

    numbers: tuple[tuple[str, str], ...]
    picture: Markup
    alt: str
    """A description of the picture with its numbers."""

    origins: tuple[Origin, ...]
    table: FigureTable | None = None
    companion: Companion | None = None


@dataclass(frozen=True, kw_only=True)
class Figure(Generic[S]):
    id: str
    title: str
    minutes: int
    concepts: tuple[str, ...]
    settings: type[S]
    show: Callable[[S], FigureView]
    further: tuple[str, str] | None = None
    """A link to continue alone: words and address."""

    def render_fragment(self, query: Mapping[str, str], *, beside: Iterable[str] | None = None) -> Markup:
        """Render controls, picture and numbers; name a setting outside its limits and show the default.

        `beside` holds the settings that a text beside it speaks of: they stay unfolded, below the picture.
        """
        try:
            settings, problem = parse_settings(self.settings, query), ""
        except LearnerError as error:
            settings, problem = self.settings(), str(error)
        controls = [
            (name, control, getattr(settings, name)) for name, control in list_controls(self.settings)
        ]
        used = [name for name, *_ in controls] if beside is None else self._choose_used(set(beside))
        return render(
            "study/figures/figure.html",
            figure=self,
            beside=beside is not None,
            controls=[each for each in controls if each[0] in used],
            folded=[each for each in controls if each[0] not in used],
            problem=problem,
            shown=self.show(settings),
        )

    def answer(self, query: Mapping[str, str]) -> Markup:
        """Render only the part that changes. Raises LearnerError on a setting outside its limits."""
        shown = self.show(parse_settings(self.settings, query))
        return render("study/figures/figure_shown.html", shown=shown)

    def _choose_used(self, named: set[str]) -> list[str]:
        """Return the named settings without long lists, else all of them, else the figure's first slider."""
        controls = list_controls(self.settings)
        used = [name for name, _ in controls if name in named]
        short = [name for name, control in controls if name in named and not _is_long_list(control)]
        sliders = [name for name, control in controls if control.kind == "slider"]
        return short or used or (sliders or [name for name, _ in controls])[:1]


def _is_long_list(control: Control) -> bool:
    """Return whether a control lists models or matrices, which a text names once and leaves alone."""
    return isinstance(control, ChoiceControl) and len(control.listed) > MOST_OPTIONS


Figures = Mapping[str, Figure[Any]]

FigureAbout = Callable[[Iterable[str]], Markup]
"""A function from the concepts of a card or question to the figure that shows one of them."""


def build_figure_lookup(figures: Figures) -> FigureAbout:
    """Return a function that renders a line which loads the first matching concept's figure when unfolded."""

    def render_unfolding(concepts: Iterable[str]) -> Markup:
        for concept in concepts:
            showing = [figure for figure in figures.values() if concept in figure.concepts]
            if showing:  # a figure names its main concept first
                nearest = min(showing, key=lambda figure: figure.concepts.index(concept))
                return render("study/figures/figure_unfolds.html", figure=nearest)
        return NO_HTML

    return render_unfolding


def render_no_figure(concepts: Iterable[str]) -> Markup:
    """Render nothing: the default without figures."""
    return NO_HTML
