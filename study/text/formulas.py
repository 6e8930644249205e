"""Formulas: LaTeX to MathML that can hold mathematics and nothing else.

The converter's own output is not used, because it turns escaped characters back into markup. Its element
tree is written out here instead: elements and attributes from an allow-list, every text escaped.
"""

import re
from functools import lru_cache
from html import unescape
from xml.etree.ElementTree import Element

from latex2mathml.converter import convert_to_element
from markupsafe import Markup, escape

from study.base.html import trust_html

LIMIT_CHARACTERS = 2_000
"""The longest formula in the app's content has 170."""

_ELEMENT_NAMES = """math mrow mi mn mo ms mtext mspace mfrac msqrt mroot msub msup msubsup munder mover
munderover mmultiscripts mprescripts none mtable mtr mtd mlabeledtr mpadded mphantom menclose mstyle"""
_ATTRIBUTE_NAMES = """accent accentunder columnalign columnlines columnspacing depth display displaystyle
fence form height largeop linebreak linethickness lspace mathbackground mathcolor mathvariant maxsize minsize
movablelimits notation rowalign rowlines rowspacing rspace scriptlevel separator stretchy symmetric
voffset width"""
_ELEMENTS = frozenset(_ELEMENT_NAMES.split())
_ATTRIBUTES = frozenset(_ATTRIBUTE_NAMES.split())
_FENCES = frozenset("‖|⌊⌋⌈⌉")
"""Signs that LaTeX stretches after `\\left` alone; a browser also does it by itself, on one side of two."""

# Words, a colour, or a few lengths: nothing that a style sheet or an address could be made of, and no length
# that pushes the rest of the page away.
_VALUE = re.compile(r"#[0-9a-fA-F]{3,8}|[a-z][a-z -]{0,60}|(?:[+-]?\d{0,3}(?:\.\d{1,4})?[a-z%]{0,8} ?){1,8}")
# Definitions let a short formula grow without bound.
_DEFINITION = re.compile(
    r"\\(?:newcommand|renewcommand|providecommand|def|newenvironment|DeclareMathOperator)\b"
)


class FormulaError(ValueError):
    """LaTeX that can't be shown as a formula; the message says why, as a part of a sentence."""


@lru_cache(maxsize=4096)  # the same few hundred formulas are shown over and over
def to_mathml(latex: str, *, display: bool = False) -> Markup:
    """A `<math>` element, safe to put into a page.

    Raises FormulaError where the LaTeX is too long, defines commands, or can't be parsed.
    """
    if len(latex) > LIMIT_CHARACTERS:
        raise FormulaError(f"it has {len(latex):,} characters, and {LIMIT_CHARACTERS:,} are the limit")
    if defined := _DEFINITION.search(latex):
        raise FormulaError(f"{defined[0]} is not available")
    try:
        tree = convert_to_element(latex, display="block" if display else "inline")
    except Exception as error:  # the parser raises IndexError, StopIteration and more besides its own
        raise FormulaError("it is not complete LaTeX; check its braces, \\left and \\right") from error
    try:
        return trust_html(_write_element(tree))
    except RecursionError as error:
        raise FormulaError("it is nested too deeply") from error


def _write_element(element: Element) -> str:
    tag = element.tag if element.tag in _ELEMENTS else "mrow"
    attributes = "".join(
        f' {name}="{escape(value)}"'
        for name, value in element.attrib.items()
        if name in _ATTRIBUTES and _VALUE.fullmatch(value)
    )
    if tag == "mo" and unescape(element.text or "") in _FENCES and "stretchy" not in element.attrib:
        attributes += ' stretchy="false"'
    inside = "".join(_write_element(child) + _write_text(child.tail) for child in element)
    return f"<{tag}{attributes}>{_write_text(element.text)}{inside}</{tag}>"


def _write_text(written: str | None) -> str:
    # The tree holds characters as references such as `&#x003B1;`.
    return str(escape(unescape(written))) if written else ""
