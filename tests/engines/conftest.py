"""A window of each engine, and one app for all of them."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import sync_playwright

from tests.browser.chromium import BrowserMissingError
from tests.browser.conftest import starter
from tests.engines.drivers import Chromium, Engine, Firefox, WebKit


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an app with a training worker and an empty data folder."""
    with starter(tmp_path_factory) as start:
        yield start()


@pytest.fixture(params=["chromium", "firefox", "webkit"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A fresh window without cookies: a newcomer."""
    try:
        if request.param == "chromium":
            with sync_playwright() as playwright:
                window: Engine = Chromium(playwright)
                yield window
                window.close()
            return
        window = Firefox() if request.param == "firefox" else WebKit()
    except BrowserMissingError as missing:
        pytest.fail(str(missing))
    yield window
    window.close()
