"""Rendered text: `Markup`, the one type that a template takes as HTML, and the only module that makes it.

A template escapes every other text. A `Markup` comes from a template (`study/text/templates.py`), from the
functions below, or from `escape` of markupsafe. tests/test_architecture.py holds every module to it.
"""

import re
from collections.abc import Iterable
from typing import LiteralString

from markupsafe import Markup, escape

NO_HTML = Markup("")

_UNBROKEN = re.compile(
    r"""[ ](?:
    (?<=[\d>][ ]) (?= (?: % | [kMGT]?B | [KMG]iB | bits? | ms | µs | s | min | h | d | mo | y | UTC ) (?!\w) )
    | (?<=[\w>][ ]) (?==[ ][\d−])  |  (?<==[ ]) (?=[\d−])
    | (?: (?<=[Ss]ection[ ]) | (?<=[Tt]able[ ]) | (?<=[Ff]igure[ ]) | (?<=locks[ ]of[ ]) ) (?=\d)
    )
    # Shown: in an attribute `>` comes first, and of these elements the text is copied or sent.
    # A paragraph ahead: a look to the end of a long text would take the square of its length.
    (?=[^<>]{0,500} (?: < (?! /(?:code|pre|textarea|option|script|style|title)> ) | \Z ))""",
    re.VERBOSE,
)
"""The spaces where no line should end: `9.77 MB`, `r = 8`, `section 4`, `blocks of 64`."""


def format_html(template: LiteralString, /, *values: object, **named: object) -> Markup:
    """Fill the braces of HTML written in our source; every value that is not `Markup` is escaped."""
    return Markup(template).format(*values, **named)


def join_html(pieces: Iterable[str]) -> Markup:
    """Join pieces; every piece that is not `Markup` is escaped."""
    return NO_HTML.join(pieces)


def break_lines(text: str) -> Markup:
    """Escape a text and keep its line breaks."""
    return escape(text).replace("\n", Markup("<br>"))


def keep_together(html: Markup) -> Markup:
    """Return HTML with no-break spaces in `9.77 MB`, `r = 8` and `section 4`, but not in code and forms."""
    return Markup(_UNBROKEN.sub("\u00a0", str(html)))


def trust_html(written: str) -> Markup:
    """Take the output of a writer that has escaped its values, or a file of this repository, as HTML.

    The modules that may call this are listed in tests/test_architecture.py.
    """
    return Markup(written)
