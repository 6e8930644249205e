"""Anki's card templates: `{{Front}}`, `{{#Extra}}...{{/Extra}}`, `{{FrontSide}}`, `{{type:Back}}`."""

import re
from collections.abc import Mapping

_SECTION = re.compile(
    r"\{\{(?P<sign>[#^])\s*(?P<name>[^{}]+?)\s*\}\}(?P<inside>.*?)\{\{/\s*(?P=name)\s*\}\}", re.DOTALL
)
_PLACE = re.compile(r"\{\{\s*([^{}#^/][^{}]*?)\s*\}\}")
_ANSWER = re.compile(r"<hr[^>]*\bid\s*=\s*[\"']?answer[\"']?[^>]*>", re.IGNORECASE)


def front_of(template: str, fields: Mapping[str, str]) -> str:
    """The HTML of a question."""
    return _filled(template, fields)


def back_of(template: str, fields: Mapping[str, str]) -> str:
    """The HTML of an answer without the question that most templates repeat above it."""
    line = _ANSWER.search(template)
    return _filled(template[line.end() :] if line else template, {**fields, "FrontSide": ""})


def typed_field(template: str) -> str:
    """The field whose content is to be typed; empty if the template asks for no typing."""
    asked = re.search(r"\{\{\s*type:(?:nc:|cloze:)*\s*([^{}]+?)\s*\}\}", template)
    return asked[1] if asked else ""


def _filled(template: str, fields: Mapping[str, str]) -> str:
    for _ in range(10):  # sections may stand in sections, not without end
        shown = _SECTION.sub(lambda section: _section(section, fields), template)
        if shown == template:
            break
        template = shown
    return _PLACE.sub(lambda place: _value(place[1], fields), template)


def _section(section: re.Match[str], fields: Mapping[str, str]) -> str:
    filled = bool(fields.get(section["name"], "").strip())
    return section["inside"] if filled is (section["sign"] == "#") else ""


def _value(name: str, fields: Mapping[str, str]) -> str:
    *filters, field = [part.strip() for part in name.split(":")]
    return "" if "type" in filters or field not in fields else fields[field]
