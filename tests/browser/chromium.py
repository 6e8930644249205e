"""The system's Chromium, as tests and scripts start it."""

import shutil

from playwright.sync_api import Browser, Playwright

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

PAGE_IS_THERE = "document.querySelector('#main') && !document.querySelector('[data-waiting]')"
NO_FRAMES = "() => { window.requestAnimationFrame = () => 0; }"
"""A page that draws nothing waits 200 ms where it would wait for a frame."""


class BrowserMissingError(Exception):
    """The engine is not installed; the text says how to install it."""


def launch_chromium(playwright: Playwright) -> Browser:
    """Start Chromium. Raises BrowserMissingError where it is not installed."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        raise BrowserMissingError(
            "Chromium is missing. Install it, for example with: sudo apt-get install chromium"
        )
    return playwright.chromium.launch(executable_path=found, args=FLAGS)
