"""Lesson texts as HTML: formulas, code, computed numbers with their call, terms with their meaning."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from markupsafe import Markup, escape

from study.base.html import NO_HTML, format_html, join_html
from study.content.concepts import ConceptMap, build_concept_address
from study.content.glossary import read_glossary
from study.text.computed_text import (
    PLACEHOLDER,
    FigureSetting,
    fill_numbers,
    parse_computed,
    parse_figure_setting,
)
from study.text.markup import DOCUMENT, MARK, link_citations, split_matches, to_html, to_plain
from study.text.templates import render

SIGNS = ",.;:!?)"


@dataclass(frozen=True, kw_only=True)
class Term:
    """What a word of a text stands for: a concept of the map or a word of the glossary."""

    id: str
    means: str
    """One line, shown on pointing, focus or tap."""

    address: str
    """Of the page of the concept that explains it; empty for none."""


@dataclass(frozen=True)
class Terms:
    """The terms by their names in texts, longest first, so that `QLoRA` doesn't match as `LoRA`."""

    pattern: re.Pattern[str]
    by_name: dict[str, Term]
    """By `_build_key`: ZeRO and QLoRA keep their capitals, all others are in small letters."""

    def find(self, written: str) -> Term:
        """Return the term that a match of the pattern stands for."""
        return self.by_name.get(_build_key(written)) or self.by_name[written.lower()]


def collect_terms(concepts: ConceptMap) -> Terms:
    """Collect the names of all concepts and the words of the glossary, whose own meanings win."""
    by_name: dict[str, Term] = {}
    for concept in concepts.by_id.values():
        term = Term(id=concept.id, means=to_plain(concept.summary), address=build_concept_address(concept.id))
        by_name |= {_build_key(name): term for name in (concept.name, *concept.terms)}
    for entry in read_glossary():
        address = build_concept_address(entry.concept) if entry.concept else ""
        word = Term(id=entry.term, means=entry.means, address=address)
        by_name |= {_build_key(name): word for name in (entry.term, *entry.also)}
    words = "|".join(_build_pattern(key) for key in sorted(by_name, key=len, reverse=True))
    return Terms(re.compile(rf"(?<![\w-])(?:{words})(?![\w-])"), by_name)


def _build_key(name: str) -> str:
    """Keep capitals among small letters, so that ZeRO is not zero; NF4 and the first letter may be small."""
    mixed = name != name.upper() and name[1:] != name[1:].lower()
    return name[:1].lower() + name[1:] if mixed else name.lower()


def _build_pattern(key: str) -> str:
    free = len(key) if key == key.lower() else 1  # letters that may be capital or small
    return f"(?i:{re.escape(key[:free])}){re.escape(key[free:])}"


@dataclass
class LessonText:
    """One page's texts: a term is marked on its first use, and never on its own concept's page."""

    terms: Terms
    concept: str
    linked: bool = True
    """Whether a concept's name leads to its page; otherwise it only shows its meaning."""

    _marked: set[str] = field(default_factory=set)

    def render_prose(self, text: str) -> Markup:
        """Render prose."""
        return join_html(_bind_signs(self._render_pieces(text)))

    def render_code(self, line: str) -> Markup:
        """Render a line of code or numbers: only computed numbers in it are markup."""
        return join_html(_with_numbers(line, lambda text: [escape(text)]))

    def _render_pieces(self, text: str) -> Iterator[Markup]:
        for piece in split_matches(MARK, text):
            if isinstance(piece, str):
                yield from _with_numbers(piece, self._with_links)
            else:
                yield to_html(fill_numbers(piece[0]))

    def _with_links(self, text: str) -> Iterator[Markup]:
        """Mark terms, and render names of this repository's documents as links."""
        for piece in split_matches(DOCUMENT, text):
            if isinstance(piece, str):
                yield from self._with_terms(piece)
            else:
                yield link_citations(piece[0])

    def _with_terms(self, text: str) -> Iterator[Markup]:
        end = 0
        for found in self.terms.pattern.finditer(text):
            term = self.terms.find(found[0])
            if term.id == self.concept or term.id in self._marked:
                continue
            self._marked.add(term.id)
            linked = self.linked and term.address != build_concept_address(self.concept)
            yield to_html(text[end : found.start()])
            yield _mark_term(term, found[0], linked=linked)
            end = found.end()
        yield to_html(text[end:])


def _bind_signs(pieces: Iterable[Markup]) -> Iterator[Markup]:
    """Keep the comma after a button on its line, where a browser may break one."""
    button = NO_HTML
    for piece in pieces:
        rest = piece
        if button:
            rest = piece.lstrip(SIGNS)
            signs = piece[: len(piece) - len(rest)]
            yield format_html('<span class="unbroken">{}{}</span>', button, signs) if signs else button
        button = rest if rest.startswith("<button") else NO_HTML
        if not button:
            yield rest
    yield button


def _mark_term(term: Term, written: str, *, linked: bool) -> Markup:
    if term.address and linked:
        return format_html(
            '<a class="term" href="{}" data-means="{}">{}</a>', term.address, term.means, written
        )
    return format_html('<button type="button" class="term" data-means="{}">{}</button>', term.means, written)


def _with_numbers(text: str, words: Callable[[str], Iterable[Markup]]) -> Iterator[Markup]:
    for piece in split_matches(PLACEHOLDER, text):
        if isinstance(piece, str):
            yield from words(piece)
        else:
            yield (
                _render_figure_button(setting) if (setting := parse_figure_setting(piece)) else _number(piece)
            )


def _number(match: re.Match[str]) -> Markup:
    found = parse_computed(match)
    shown = found.shown.replace(" ", "\u00a0")  # a number and its unit stay on one line
    return render("study/shared/computed.html", shown=shown, quantity=found.quantity)


def _render_figure_button(setting: FigureSetting) -> Markup:
    return format_html(
        '<button type="button" class="link set" data-set="{}">{}</button>', setting.settings, setting.phrase
    )
