"""What axe-core objects to on the page as it stands: rules, each with the elements that break it."""

from typing import Any

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page

Violations = list[tuple[str, list[str]]]


def violations(page: Page) -> Violations:
    """At any impact."""
    return [_told(found) for found in _found(page)]


def serious_violations(page: Page) -> Violations:
    """Serious and critical ones."""
    return [_told(found) for found in _found(page) if found["impact"] in ("serious", "critical")]


def _found(page: Page) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return found


def _told(found: dict[str, Any]) -> tuple[str, list[str]]:
    return found["id"], [node["html"][:160] for node in found["nodes"]]
