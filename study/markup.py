"""The little markup of content texts; all else in them is plain.

`$...$` becomes MathML, `$$...$$` the same on a line of its own, backticks become code, three of them a block.
"""

import re
from functools import lru_cache

from latex2mathml.converter import convert
from markupsafe import Markup, escape

# Kept as one pattern so that a dollar sign inside code, or a backtick inside a formula, is left alone.
MARK = re.compile(
    r"\n?```(?:\w*\n)?(?P<block>.+?)\n?```\n?|`(?P<code>[^`\n]+)`"
    r"|\$\$(?P<display>[^$]+)\$\$|\$(?P<math>[^$\n]+)\$",
    re.DOTALL,
)


DOCUMENT = re.compile(r"docs/[\w/-]+\.(?:md|json|tsv)(?: (?P<section>\d+)(?![\w.]*\d))?")
"""A document of this repository, and the number of its section."""


@lru_cache(maxsize=4096)  # the same few hundred texts are shown over and over
def to_html(text: str) -> Markup:
    """HTML of a content text; nothing in it but formulas, code and line breaks is ever taken as markup."""
    pieces: list[str] = []
    end = 0
    for mark in MARK.finditer(text):
        pieces.append(_lines(text[end : mark.start()]))
        pieces.append(_marked(mark))
        end = mark.end()
    pieces.append(_lines(text[end:]))
    return Markup("".join(pieces))


def cited(text: str) -> Markup:
    """A source as it is written, with links to the documents that the app holds (study/documents.py)."""
    return Markup(DOCUMENT.sub(_document_link, str(escape(text))))


def to_plain(text: str) -> str:
    """The same text for a screen reader's live region: without marks."""
    return MARK.sub(lambda mark: mark["block"] or mark["code"] or mark["display"] or mark["math"], text)


def _document_link(found: re.Match[str]) -> str:
    path = found[0].split(" ")[0]
    section = f"#{found['section']}" if found["section"] else ""
    return f'<a href="/{path}{section}">{found[0]}</a>'


def _lines(text: str) -> str:
    return str(escape(text)).replace("\n", "<br>")


def _marked(mark: re.Match[str]) -> str:
    if mark["block"]:
        return f"<pre><code>{escape(mark['block'])}</code></pre>"
    if mark["code"]:
        return _code(mark["code"])
    return _formula(mark["display"], display="block") if mark["display"] else _formula(mark["math"])


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _formula(latex: str, *, display: str = "inline") -> str:
    # latex2mathml escapes the text it puts into elements.
    return str(convert(latex, display=display))
