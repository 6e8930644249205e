"""The little markup of content texts: `$...$` becomes MathML, backticks become code, all else is plain."""

import re
from functools import lru_cache

from latex2mathml.converter import convert
from markupsafe import Markup, escape

# Kept as one pattern so that a dollar sign inside code, or a backtick inside a formula, is left alone.
MARK = re.compile(r"`(?P<code>[^`\n]+)`|\$(?P<math>[^$\n]+)\$")


@lru_cache(maxsize=4096)  # the same few hundred texts are shown over and over
def to_html(text: str) -> Markup:
    """HTML of a content text; nothing in it but formulas, code and line breaks is ever taken as markup."""
    pieces: list[str] = []
    end = 0
    for mark in MARK.finditer(text):
        pieces.append(str(escape(text[end : mark.start()])))
        pieces.append(_code(mark["code"]) if mark["code"] else _formula(mark["math"]))
        end = mark.end()
    pieces.append(str(escape(text[end:])))
    return Markup("".join(pieces).replace("\n", "<br>"))


def to_plain(text: str) -> str:
    """The same text for a screen reader's live region: without marks."""
    return MARK.sub(lambda mark: mark["code"] or mark["math"], text)


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _formula(latex: str) -> str:
    # latex2mathml escapes the text it puts into elements.
    return str(convert(latex))
