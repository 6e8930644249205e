"""The little markup of content texts; all else in them is plain.

`$...$` becomes MathML, `$$...$$` the same on a line of its own, backticks become code, three of them a block.
The names of a matrix's sides, d_in and d_out, become formulas without dollar signs, so that they look the
same in every text.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from pathlib import Path

from markupsafe import Markup

from study.base.html import break_lines, format_html, join_html
from study.text.formulas import FormulaError, to_mathml

# Kept as one pattern so that a dollar sign inside code, or a backtick inside a formula, is left alone.
MARK = re.compile(
    r"\n?```(?:\w*\n)?(?P<block>.+?)\n?```\n?|`(?P<code>[^`\n]+)`"
    r"|\$\$(?P<display>[^$]+)\$\$|\$(?P<math>[^$\n]+)\$",
    re.DOTALL,
)

SIDE = re.compile(r"(?<![\w.])d_(in|out)(?:·d_(in|out))?(?![\w=])")
"""A side of a matrix as a sentence names it, or the product of both; not a longer name or an argument."""


DOCUMENTS = Path(__file__).parents[2] / "docs"
DOCUMENT = re.compile(r"docs/[\w/-]+\.(?:md|json|tsv)(?: (?P<section>\d+)(?![\w.]*\d))?")
"""A document of this repository, and the number of its section."""


def split_matches(pattern: re.Pattern[str], text: str) -> Iterator[str | re.Match[str]]:
    """Yield the matches and the text before, between and after them, in order."""
    end = 0
    for found in pattern.finditer(text):
        yield text[end : found.start()]
        yield found
        end = found.end()
    yield text[end:]


@lru_cache(maxsize=4096)  # the same few hundred texts are shown over and over
def to_html(text: str) -> Markup:
    """HTML of a content text; nothing in it but formulas, code and line breaks is ever taken as markup."""
    return join_html(
        _render_words(piece) if isinstance(piece, str) else _render_mark(piece)
        for piece in split_matches(MARK, text)
    )


def find_formula_problems(text: str) -> Iterator[str]:
    """What is wrong with each formula that can't be shown, and where it begins."""
    for mark in MARK.finditer(text):
        latex = mark["display"] or mark["math"]
        if latex:
            try:
                to_mathml(latex)
            except FormulaError as error:
                shown = mark[0].strip() if len(mark[0]) <= 60 else f"{mark[0].strip()[:59]}…"
                yield f"the formula {shown} at character {mark.start() + 1} can't be shown: {error}"


def find_formula_problems_in(value: object) -> Iterator[str]:
    """The same for every text inside a dataclass, mapping or sequence."""
    if isinstance(value, str):
        yield from find_formula_problems(value)
    elif is_dataclass(value):
        yield from find_formula_problems_in([getattr(value, field.name) for field in fields(value)])
    elif isinstance(value, Mapping):
        yield from find_formula_problems_in(list(value.values()))
    elif isinstance(value, list | tuple):
        for inside in value:
            yield from find_formula_problems_in(inside)


def link_citations(text: str) -> Markup:
    """A source as it is written, with links to the documents that the app holds (study/web/documents.py)."""
    return join_html(
        piece if isinstance(piece, str) else _link_document(piece) for piece in split_matches(DOCUMENT, text)
    )


@lru_cache(maxsize=4096)
def to_plain(text: str) -> str:
    """The same text for a screen reader's live region: without marks."""
    return MARK.sub(lambda mark: mark["block"] or mark["code"] or mark["display"] or mark["math"], text)


def lower_first(text: str) -> str:
    """Return words that began a sentence as they stand within one: `NF4` and other abbreviations stay."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def _link_document(found: re.Match[str]) -> Markup:
    path = found[0].split(" ")[0]
    section = f"#{found['section']}" if found["section"] else ""
    named = f"{_read_title(path)}, {found['section']}" if found["section"] else _read_title(path)
    return format_html('<a href="/{}{}">{}</a>', path, section, named)


@lru_cache(maxsize=64)
def _read_title(path: str) -> str:
    """A document's own heading, because a path says nothing to a reader; of a table, what its document is."""
    file = DOCUMENTS.parent / path
    text = file.with_suffix(".md")
    heading = re.search(r"^# (.+)$", text.read_text("utf-8"), re.MULTILINE) if text.is_file() else None
    if heading is None:
        return path
    return f"“{heading[1]}”" if file == text else f"the numbers of “{heading[1]}”"


def _render_words(text: str) -> Markup:
    return join_html(
        break_lines(piece)
        if isinstance(piece, str)
        else to_mathml(r" \cdot ".join(f"d_{{{side}}}" for side in piece.groups() if side))
        for piece in split_matches(SIDE, text)
    )


def _render_mark(mark: re.Match[str]) -> Markup:
    if mark["block"]:
        return format_html("<pre><code>{}</code></pre>", mark["block"])
    if mark["code"]:
        return format_html("<code>{}</code>", mark["code"])
    return _render_formula(mark[0], mark["display"] or mark["math"], display=bool(mark["display"]))


def _render_formula(source: str, latex: str, *, display: bool) -> Markup:
    try:
        return to_mathml(latex, display=display)
    except FormulaError:  # it is stored already: its source is better than a page that does not open
        return format_html(
            '<code class="formula-source" title="This formula can\'t be shown">{}</code>', source
        )
