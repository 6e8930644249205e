"""What can be pressed on a page, read from its HTML, with a text in every field that takes one."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

DESTROYS = {"delete", "erase", "restore", "cancel", "undo", "switch", "new", "clear", "stop"}
"""Presses that take away what the next ones would show."""


def events_in_html(html: str, text: str) -> Iterator[dict[str, Any]]:
    """The events that the page's buttons and forms would send."""
    reader = _Reader(text)
    reader.feed(html)
    seen = set()
    for event in reader.events:
        if event["act"] not in DESTROYS and repr(event) not in seen:
            seen.add(repr(event))
            yield event


@dataclass
class _Reader(HTMLParser):
    """Collects events; a form's fields are those inside it."""

    text: str
    events: list[dict[str, Any]] = field(default_factory=list)
    form: dict[str, Any] | None = None
    select: str = ""

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        data = {_camel(name): value for name, value in given.items() if name.startswith("data-")}
        if tag == "form" and ("submit" in data or "live" in data):
            act = data.get("submit") or data["live"]
            self.form = {**data, "act": act, "fields": {}}
            self.events.append(self.form)
        elif "act" in data:
            self.events.append(data)
        if self.form is None or not given.get("name"):
            if tag == "option" and self.form is not None and self.select:
                self.form["fields"].setdefault(self.select, [given.get("value", "")])
            return
        fields, name, kind = self.form["fields"], given["name"], given.get("type", "text")
        if tag == "select":
            self.select = name
        elif tag == "textarea" or kind in ("text", "search"):
            fields.setdefault(name, []).append(self.text[: int(given.get("maxlength") or 4000)])
        elif kind in ("radio", "checkbox"):
            fields.setdefault(name, [given.get("value", "on")])
        elif kind != "file":
            fields.setdefault(name, [given.get("value", "")])

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.form = None
        if tag == "select":
            self.select = ""


def _camel(name: str) -> str:
    first, *rest = name.removeprefix("data-").split("-")
    return first + "".join(word.capitalize() for word in rest)
