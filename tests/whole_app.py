"""The whole app in one process, and every page of it opened by the function that a browser's visit calls."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI
from starlette.datastructures import QueryParams
from starlette.testclient import TestClient

import app
from study.base.settings import Settings
from study.web.security.middleware import COOKIE
from tests.data_folder import settings_in

CONCEPTS = ("lora-rank", "nf4")


@dataclass(frozen=True)
class WholeApp:
    """The app, and its pages' load functions by path."""

    site: FastAPI
    loads: Mapping[str, Any]

    def open(self, path: str, browser: str = "browser-of-ana", **query: str) -> str:
        """The HTML of one page. Whatever a page raises, except a LearnerError, reaches the test."""
        request = SimpleNamespace(
            cookies={COOKIE: browser}, query_params=QueryParams(query), scope={"here": True}
        )
        return str(self.loads[path](request)[-1])

    def open_all(
        self, browser: str = "browser-of-ana", *, queries: Mapping[str, list[dict[str, str]]] | None = None
    ) -> dict[str, str]:
        """The HTML of every page; `queries` names addresses of a page besides the bare one."""
        asked = {"/concept": [{"id": concept} for concept in CONCEPTS]} | dict(queries or {})
        return {
            f"{path}?{urlencode(query)}": self.open(path, browser, **query)
            for path in self.loads
            for query in ({}, *asked.get(path, ()))
        }

    def client(self, browser: str = "browser-of-ana") -> TestClient:
        """A browser for routes."""
        return TestClient(
            self.site, cookies={COOKIE: browser}, base_url="http://localhost", client=("127.0.0.1", 50_000)
        )


@contextmanager
def whole_app(settings: Settings, **options: Any) -> Iterator[WholeApp]:
    """The app without workers, built with these options; closed at the end."""
    site = app.build_app(settings, worker=False, **options)
    functions = site.routes[-1].app.get_blocks().fns.values()
    loads = {f"/{made.page}": made.fn for made in functions if made.name == "load_page"}
    try:
        yield WholeApp(site, loads)
    finally:
        site.state.close()


@contextmanager
def server_for_learners(home: Path, **options: Any) -> Iterator[WholeApp]:
    """The app as `--host 0.0.0.0` serves it from a data folder."""
    settings = settings_in(home)
    with whole_app(settings, hosts=("0.0.0.0",), **options) as served:
        yield served


def routes_of(app: Any, under: str = "") -> set[tuple[str, str]]:
    """Every method and path of an app, of the apps mounted in it, and of the routers included in those."""
    found: set[tuple[str, str]] = set()
    for route in app.routes:
        path = under + getattr(route, "path", "")
        inner = getattr(route, "original_router", None) or getattr(route, "app", None)
        if hasattr(inner, "routes") and not getattr(route, "methods", None):
            found |= routes_of(inner, under + getattr(route, "path", ""))
        for method in getattr(route, "methods", None) or ():
            found.add((method, path))
    return found
