"""What a browser sends, for tests that call page handlers as the plain functions they are."""

import re
from dataclasses import dataclass, field
from html import unescape
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import QueryParams

from study.web.frame import Reply
from study.web.security.middleware import COOKIE


@dataclass(frozen=True)
class Client:
    """Where a request comes from."""

    host: str = "127.0.0.1"


@dataclass
class Request:
    """What pages read of Gradio's request."""

    cookies: dict[str, str] = field(default_factory=dict)
    query_params: str = ""
    client: Client = Client()
    headers: dict[str, str] = field(default_factory=dict)
    scope: dict[str, Any] = field(default_factory=dict)


def opened(browser: str, query: str = "", *, client: str = "127.0.0.1") -> Any:
    """A page being opened."""
    scope = {"here": client == "127.0.0.1"}  # which the guard in front of the pages finds out
    return Request(cookies={COOKIE: browser}, query_params=query, client=Client(client), scope=scope)


def build_event(html: str, act: str, *, nth: int = 0, **changed: Any) -> dict[str, Any]:
    """The event that pressing a button, or sending a form, of this HTML would send."""
    tags = re.findall(rf'<[^>]*data-(?:act|submit)="{act}"[^>]*>', html)
    data = dict(re.findall(r'data-([a-z-]+)="([^"]*)"', tags[nth]))
    return {**{name: unescape(value) for name, value in data.items()}, "act": act, **changed}


def words(html: str) -> str:
    """The text that a person would read."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def primary(html: str) -> list[str]:
    """The texts of the primary buttons."""
    return [
        words(text) for text in re.findall(r"<(?:a|button)[^>]*\bprimary\b[^>]*>(.*?)</(?:a|button)>", html)
    ]


def query_of(url: str) -> str:
    """The query of an address, as island.js sends it."""
    query = url.partition("?")[2]
    assert dict(parse_qsl(query)) or not query
    return f"?{query}" if query else ""


class AddressedPage(Protocol):
    """A page whose state is in its address."""

    def load(self, request: Any) -> str:
        """Its HTML."""

    def act(self, event: dict[str, Any], request: Any) -> Reply:
        """What a press does."""


P = TypeVar("P", bound=AddressedPage)


@dataclass
class Visitor(Generic[P]):
    """One browser on a page: it opens addresses, presses what is there, and follows the address bar."""

    page: P
    cookies: dict[str, str] = field(default_factory=lambda: {COOKIE: "browser-of-ana"})
    query_params: QueryParams = field(default_factory=QueryParams)
    query: str = ""

    def opens(self, address: str) -> str:
        self.query_params = QueryParams(urlsplit(address).query)
        self.query = f"?{self.query_params}"
        return self.page.load(self)

    def sends(self, act: str, **values: Any) -> Reply:
        reply = self.page.act({"act": act, "query": self.query} | values, self)
        if "url" in reply:
            self.query = f"?{urlsplit(reply['url']).query}"
        return reply
