"""Two apps on one PostgreSQL server and one data folder: either may answer a browser, press by press."""

import re
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from study.base.settings import Settings
from tests.visits import build_event, words
from tests.whole_app import WholeApp, whole_app

pytestmark = pytest.mark.postgres

SECONDS = 60
PAGES = ("/", "/learn", "/cards", "/browse", "/quiz", "/explain", "/review", "/progress", "/io", "/settings")
CONCEPT_LINES = ["One: it is one.", "Two: it is two.", "Three: it is three.", "Four: it is four."]


class TwoApps:
    """One browser whose presses go to one app and the other in turns."""

    def __init__(self, apps: tuple[WholeApp, WholeApp]) -> None:
        self._apps = apps
        self._turns = cycle([app.client() for app in apps])
        self.query = ""

    def act(self, island: str, event: dict[str, Any], *, app: TestClient | None = None) -> dict[str, Any]:
        answer = (app or next(self._turns)).post(f"/act/{island}", json={"query": self.query, **event})
        reply: dict[str, Any] = answer.raise_for_status().json()
        assert "error" not in reply
        address = reply.get("step") or reply.get("url", "")
        if "?" in address:
            self.query = "?" + address.partition("?")[2]
        return reply

    def send_file(self, name: str, content: bytes) -> None:
        next(self._turns).post(f"/io/upload?name={name}", content=content).raise_for_status()

    def wait_for(self, island: str, event: dict[str, Any], text: str) -> str:
        """Press, and ask the same app until it has done the work. A proxy keeps a browser at one app."""
        app = next(self._turns)
        html: str = self.act(island, event, app=app).get("html", "")
        until = time.monotonic() + SECONDS
        while text not in html and time.monotonic() < until:
            time.sleep(0.1)
            html = self.act(island, {"act": "poll"}, app=app).get("html", html)
        assert text in html
        return html

    def open(self, path: str, **query: str) -> str:
        """The HTML of a page, on which both apps say the same."""
        first, second = (app.open(path, **query) for app in self._apps)
        assert words(first) == words(second), path
        return first

    def open_all(self) -> None:
        for path in PAGES:
            self.open(path)


@pytest.fixture
def browser(tmp_path: Path, postgres_database: str) -> Iterator[TwoApps]:
    settings = Settings(home=tmp_path, database_url=postgres_database, models_dir=tmp_path / "models")
    with whole_app(settings) as first, whole_app(settings, study_only=True) as second:
        yield TwoApps((first, second))


def test_cards_are_flipped_rated_and_undone_by_either(browser: TwoApps) -> None:
    html = browser.open("/cards")
    for _ in range(5):
        flipped = browser.act("cards", build_event(html, "flip"))["html"]
        html = browser.act("cards", build_event(flipped, "rate", nth=2))["html"]
    browser.open_all()
    undone = browser.act("cards", build_event(html, "undo"))["html"]
    assert build_event(undone, "flip")["card"] == build_event(browser.open("/cards"), "flip")["card"]
    browser.open_all()


def test_a_quiz_goes_on_in_the_other(browser: TwoApps) -> None:
    answered = 0
    while answered < 3:
        html = browser.act("quiz", {"act": "start"})["html"]
        while 'data-submit="answer"' in html and build_event(html, "answer").get("kind") == "single":
            options = re.findall(r'<input type="radio" name="option" value="([^"]*)"', html)
            fields = {"option": options[:1], "confidence": ["think"]}
            browser.act("quiz", {**build_event(html, "answer"), "fields": fields})
            html = browser.act("quiz", {"act": "next"})["html"]
            answered += 1
    browser.open_all()


def test_settings_and_own_prompts_are_there_in_the_other(browser: TwoApps) -> None:
    browser.act("settings", {"act": "rename", "fields": {"name": ["Ana of two"]}})
    assert "Ana of two" in browser.open("/settings")
    own = {"id": [""], "text": ["What is shared?"], "hint": [""], "concept": CONCEPT_LINES}
    browser.act("explain", {"act": "own-save", "fields": own})
    browser.open_all()


def test_a_file_is_uploaded_to_one_read_by_the_other_and_undone(browser: TwoApps) -> None:
    browser.send_file("mine.csv", b"front,back\nWhat do two apps share?,A database.\n")
    html = browser.wait_for("inout", {"act": "uploaded"}, 'data-act="apply"')
    done = browser.wait_for("inout", build_event(html, "apply"), "mine.csv is imported")
    assert "What do two apps share?" in browser.open("/browse", words="two apps")
    browser.act("inout", build_event(done, "undo"))
    assert "What do two apps share?" not in browser.open("/browse", words="two apps")
    browser.open_all()
