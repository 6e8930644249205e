"""Renderer of Anki's templates: `{{Front}}`, `{{#Why}}...{{/Why}}`, `{{FrontSide}}`, `{{type:Back}}`."""

import re
from collections.abc import Mapping

from study.base.import_limits import HTML_CHARACTERS, check_html

_TAG = re.compile(r"\{\{\s*(?P<sign>[#^/]?)\s*(?P<name>[^{}]+?)\s*\}\}")
_ANSWER = re.compile(r"<hr[^<>]*\bid\s*=\s*[\"']?answer[\"']?[^<>]*>", re.IGNORECASE)


def render_answer_side(template: str, fields: Mapping[str, str]) -> str:
    """Render the HTML of an answer without the question that most templates repeat above it."""
    line = _ANSWER.search(template)
    return fill_template(template[line.end() :] if line else template, {**fields, "FrontSide": ""})


def find_typed_field(template: str) -> str:
    """Return the field whose content is to be typed; empty if the template asks for no typing."""
    asked = re.search(r"\{\{\s*type:(?:nc:|cloze:)*\s*([^{}]+?)\s*\}\}", template)
    return asked[1] if asked else ""


def fill_template(template: str, fields: Mapping[str, str]) -> str:
    """Render the HTML of a side in one pass. Raises LearnerError when it is longer than the limit.

    A section shows if its field is filled, one with `^` if it is empty.
    """
    pieces: list[str] = []
    length = end = 0
    open_sections: list[tuple[str, bool]] = []  # name, and whether its content is shown
    for tag in _TAG.finditer(template):
        shown = not open_sections or open_sections[-1][1]
        piece = template[end : tag.start()] if shown else ""
        end = tag.end()
        if tag["sign"] == "/":
            if open_sections and open_sections[-1][0] == tag["name"]:
                open_sections.pop()
        elif tag["sign"]:
            filled = bool(fields.get(tag["name"], "").strip())
            open_sections.append((tag["name"], shown and filled is (tag["sign"] == "#")))
        elif shown:
            piece += _find_value(tag["name"], fields)
        pieces.append(piece)
        length += len(piece)
        if length > HTML_CHARACTERS:
            break
    html = "".join([*pieces, template[end:]])
    check_html(html)
    return html


def _find_value(name: str, fields: Mapping[str, str]) -> str:
    *filters, field = [part.strip() for part in name.split(":")]
    return "" if "type" in filters or field not in fields else fields[field]
