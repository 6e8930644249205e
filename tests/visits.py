"""What a browser sends, for tests that call page handlers as the plain functions they are."""

import re
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import parse_qsl

from study.web import COOKIE


@dataclass
class Request:
    """The two things that pages read of Gradio's request."""

    cookies: dict[str, str] = field(default_factory=dict)
    query_params: str = ""


def opened(browser: str, query: str = "") -> Any:
    """A page being opened."""
    return Request(cookies={COOKIE: browser}, query_params=query)


def press(html: str, act: str, *, nth: int = 0, **changed: Any) -> dict[str, Any]:
    """The event that pressing a button, or sending a form, of this HTML would send."""
    tags = re.findall(rf'<[^>]*data-(?:act|submit)="{act}"[^>]*>', html)
    data = dict(re.findall(r'data-([a-z-]+)="([^"]*)"', tags[nth]))
    return {**{name: unescape(value) for name, value in data.items()}, "act": act, **changed}


def words(html: str) -> str:
    """The text that a person would read."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def query_of(url: str) -> str:
    """The query of an address, as island.js sends it."""
    query = url.partition("?")[2]
    assert dict(parse_qsl(query)) or not query
    return f"?{query}" if query else ""
