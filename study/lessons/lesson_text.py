"""Lesson texts as HTML: formulas, code, computed numbers with their call, terms that link to concepts."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from markupsafe import Markup, escape

from study.base.html import NO_HTML, format_html, join_html
from study.content.concepts import ConceptMap, concept_address
from study.text.computed_text import PLACEHOLDER, FigureSetting, figure_setting, fill_numbers, parse_computed
from study.text.markup import DOCUMENT, MARK, link_citations, to_html
from study.text.templates import render


@dataclass(frozen=True)
class Terms:
    """The names of concepts in texts, longest first, so that `QLoRA` doesn't match as `LoRA`."""

    pattern: re.Pattern[str]
    concept_of: dict[str, str]


def terms_of(concepts: ConceptMap) -> Terms:
    """Collect the names of all concepts and their synonyms."""
    concept_of = {
        term.lower(): concept.id
        for concept in concepts.by_id.values()
        for term in (concept.name, *concept.terms)
    }
    longest_first = sorted(concept_of, key=len, reverse=True)
    words = "|".join(re.escape(term) for term in longest_first)
    return Terms(re.compile(rf"(?<![\w-])(?:{words})(?![\w-])", re.IGNORECASE), concept_of)


@dataclass
class LessonText:
    """One page's texts: a term links on its first use, and never on its own concept's page."""

    terms: Terms
    concept: str
    _linked: set[str] = field(default_factory=set)

    def rich(self, text: str) -> Markup:
        """Render prose."""
        return join_html(self._pieces(text))

    def code(self, line: str) -> Markup:
        """Render a line of code or numbers: only computed numbers in it are markup."""
        return join_html(_with_numbers(line, escape))

    def _pieces(self, text: str) -> Iterator[Markup]:
        end = 0
        for mark in MARK.finditer(text):
            yield from _with_numbers(text[end : mark.start()], self._with_links)
            yield to_html(fill_numbers(mark[0]))
            end = mark.end()
        yield from _with_numbers(text[end:], self._with_links)

    def _with_links(self, text: str) -> Markup:
        """Render terms as links to their concepts, and names of this repository's documents as links."""
        made, end = NO_HTML, 0
        for document in DOCUMENT.finditer(text):
            made += self._with_terms(text[end : document.start()]) + link_citations(document[0])
            end = document.end()
        return made + self._with_terms(text[end:])

    def _with_terms(self, text: str) -> Markup:
        made, end = NO_HTML, 0
        for term in self.terms.pattern.finditer(text):
            concept = self.terms.concept_of[term[0].lower()]
            if concept == self.concept or concept in self._linked:
                continue
            self._linked.add(concept)
            link = format_html('<a class="term" href="{}">{}</a>', concept_address(concept), term[0])
            made += to_html(text[end : term.start()]) + link
            end = term.end()
        return made + to_html(text[end:])


def _with_numbers(text: str, words: Callable[[str], Markup]) -> Iterator[Markup]:
    end = 0
    for match in PLACEHOLDER.finditer(text):
        yield words(text[end : match.start()])
        yield _figure_button(setting) if (setting := figure_setting(match)) else _number(match)
        end = match.end()
    yield words(text[end:])


def _number(match: re.Match[str]) -> Markup:
    found = parse_computed(match)
    return render("study/computed.html", shown=found.shown, quantity=found.quantity)


def _figure_button(setting: FigureSetting) -> Markup:
    return format_html(
        '<button type="button" class="link set" data-set="{}">{}</button>', setting.settings, setting.phrase
    )
