"""Rendered text: `Markup`, the one type that a template takes as HTML, and the only module that makes it.

A template escapes every other text. A `Markup` comes from a template (`study/text/templates.py`), from the
functions below, or from `escape` of markupsafe. tests/test_architecture.py holds every module to it.
"""

from collections.abc import Iterable
from typing import LiteralString

from markupsafe import Markup, escape

NO_HTML = Markup("")


def format_html(template: LiteralString, /, *values: object, **named: object) -> Markup:
    """Fill the braces of HTML written in our source; every value that is not `Markup` is escaped."""
    return Markup(template).format(*values, **named)


def join_html(pieces: Iterable[str]) -> Markup:
    """Join pieces; every piece that is not `Markup` is escaped."""
    return NO_HTML.join(pieces)


def break_lines(text: str) -> Markup:
    """Escape a text and keep its line breaks."""
    return escape(text).replace("\n", Markup("<br>"))


def trust_html(written: str) -> Markup:
    """Take the output of a writer that has escaped its values, or a file of this repository, as HTML.

    The modules that may call this are listed in tests/test_architecture.py.
    """
    return Markup(written)
