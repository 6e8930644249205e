"""A browser on the Lab page, and what its form would send."""

import base64
import re
from dataclasses import asdict
from html.parser import HTMLParser
from typing import Any

from lora_lab.pages.train import LabPage
from lora_lab.spec import RunSpec
from study.ports.context import Visit
from study.web.frame import Reply
from tests import visits
from tests.visits import words

LIGHT = RunSpec(model="tiny-random", steps=20)


class Visitor(visits.Visitor[LabPage]):
    """One browser on the page, whose address bar stays as it was opened."""

    def sends(self, act: str, spec: RunSpec | None = None, **values: Any) -> Reply:
        event = {"act": act, "query": self.query, "fields": fields_of(spec or LIGHT)} | values
        return self.page.act(event, self)


def fields_of(spec: RunSpec, **more: str) -> dict[str, list[str]]:
    return {name: [str(value)] for name, value in (asdict(spec) | more).items()}


class Form(HTMLParser):
    """What the form in a page would send."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.values: dict[str, list[str]] = {}
        self._select = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        name, value = given.get("name"), given.get("value") or ""
        if tag == "select":
            self._select = name or ""
        elif tag == "option" and (self._select not in self.values or "selected" in given):
            self.values[self._select] = [value]
        elif (
            tag == "input" and name and (given.get("type") not in ("radio", "checkbox") or "checked" in given)
        ):
            self.values[name] = [value]


def asked(visit: Visit, concepts: tuple[str, ...], *, because: str) -> int:
    """Nobody reviews cards here."""
    return 0


def part(reply: Reply, name: str) -> str:
    return words(reply["parts"][name])


def costs(reply: Reply) -> str:
    """What a changed control says: numbers, notes, and how they are counted."""
    return " ".join(part(reply, name) for name in ("cost", "notes", "counted"))


def all_parts(reply: Reply) -> str:
    return words(" ".join(reply["parts"].values()))


def uploads(ana: Visitor, content: bytes, name: str = "mine.jsonl") -> Reply:
    return ana.sends("upload", name=name, content=base64.b64encode(content).decode())


def stacked(html: str) -> list[tuple[list[str], list[str]]]:
    """The visible column heads of each table that a phone shows in blocks, and the names that it shows there
    before the values of the first row."""
    tables = re.findall(r'<table class="[^"]*stacked[^"]*">(.*?)</table>', html, re.DOTALL)
    heads = [re.findall(r'<th scope="col">([^<]+)</th>', table) for table in tables]
    rows = [table.partition("<tbody>")[2].partition("</tr>")[0] for table in tables]
    return [(head, re.findall(r'data-label="([^"]+)"', row)) for head, row in zip(heads, rows, strict=True)]
