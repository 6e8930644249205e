"""What axe-core objects to on the page as it stands: rules, each with the elements that break it."""

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page

Violations = list[tuple[str, list[str]]]


def violations(page: Page) -> Violations:
    """At any impact."""
    found = Axe().run(page).response["violations"]
    return [(each["id"], [node["html"][:160] for node in each["nodes"]]) for each in found]
