"""What one learner of a server does is read, changed and taken back by nobody else who studies there."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.datastructures import QueryParams
from starlette.testclient import TestClient

from study.web.security.middleware import COOKIE
from tests.browser import events_in
from tests.test_roles import client
from tests.visits import build_event
from tests.waiting import wait_for
from tests.whole_app import WholeApp, server_for_learners

MARK = "what only Ana knows"
PROMPT = "?prompt=explain-lora"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeApp]:
    home = tmp_path_factory.mktemp("server")
    with server_for_learners(home) as opened:
        yield opened


@dataclass(frozen=True)
class Learner:
    """A browser of a server for learners; a stranger's sends no cookie."""

    served: WholeApp
    browser: TestClient

    def opens(self, path: str, **query: str) -> str:
        """Return what a page shows."""
        cookies, parameters = dict(self.browser.cookies), QueryParams(query)
        asked = SimpleNamespace(cookies=cookies, query_params=parameters, scope={"role": "learner"})
        return str(self.served.loads[path](asked))

    def press(self, island: str, event: dict[str, Any]) -> dict[str, Any]:
        reply: dict[str, Any] = self.browser.post(f"/act/{island}", json={"query": "", **event}).json()
        return reply

    def get(self, address: str) -> Any:
        return self.browser.get(address)

    def kept(self) -> dict[str, Any]:
        """Return all that the app keeps of the learner."""
        backup: dict[str, Any] = self.get("/io/backup/json").json()
        return {name: backup[name] for name in ("profile", "tables", "files")}


def work(ana: Learner) -> dict[str, list[str]]:
    """Do something of each kind; return the HTML that Ana's browser shows, by island."""
    for island, event in (
        ("settings", {"act": "rename", "fields": {"name": [MARK]}}),
        ("explain", {"act": "submit", "prompt": "explain-lora",
                     "query": PROMPT, "fields": {"answer": [MARK]}}),
        ("explain", {"act": "own-save", "fields": {
            "id": [""], "text": [f"{MARK}?"], "hint": [MARK], "concept": [f"{MARK} {n}" for n in range(4)]}}),
        ("projects", {"act": "hypothesis", "project": "does-rank-matter", "fields": {"text": [MARK]}}),
    ):  # fmt: skip
        assert "error" not in ana.press(island, event), island
    started = ana.press("quiz", {"act": "start", "fields": {"n": ["3"]}})
    own = re.search(rf'prompt=([\w-]+)">{MARK}', listed := ana.opens("/explain"))
    assert own
    shown = {
        "settings": [ana.opens("/settings")],
        "explain": [
            listed,
            ana.opens("/explain", own=own[1]),
            ana.opens("/explain", prompt="explain-lora", attempt="1"),
        ],
        "projects": [ana.opens("/projects", id="does-rank-matter")],
        "quiz": [started["html"]],
        "inout": [_import_backup(ana)],
        "cards": [ana.opens("/cards")],
        "today": [ana.opens("/")],
    }
    flipped = ana.press("cards", build_event(shown["cards"][0], "flip"))
    rated = ana.press("cards", build_event(flipped["html"], "rate"))
    shown["cards"] += [flipped["html"], rated["html"]]
    return shown


def _import_backup(ana: Learner) -> str:
    """Import a backup of one rating, so that there is something to undo."""
    backup = ana.get("/io/backup/json").json()
    backup["tables"] = {"drafts": [{"key": "explain-rank", "text": MARK, "saved_at": backup["made_at"]}]}
    ana.browser.post("/io/upload?name=b.json", content=json.dumps(backup))
    preview = _wait_for(ana, ana.press("inout", {"act": "uploaded"}), 'data-act="apply"')
    return _wait_for(ana, ana.press("inout", build_event(preview, "apply")), 'data-act="undo"')


def _wait_for(ana: Learner, reply: dict[str, Any], wanted: str) -> str:
    """Poll until a process has read the file."""

    def is_read(polled: dict[str, Any]) -> bool:
        assert "error" not in polled, polled
        return wanted in str(polled.get("html", ""))

    if not is_read(reply):
        reply = wait_for(lambda: ana.press("inout", {"act": "poll"}), is_read, seconds=60)
    return str(reply["html"])


def test_no_press_of_one_learners_pages_reads_or_changes_anything_of_hers_elsewhere(
    served: WholeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every button and form that Ana sees, with the ids in them, is sent by Mallory, by a stranger too."""
    monkeypatch.setattr(events_in, "DESTROYS", set())
    cookies: tuple[dict[str, str], ...] = ({COOKIE: "browser-of-ana"}, {COOKIE: "browser-of-mallory"}, {})
    ana, mallory, stranger = (Learner(served, client(served, **each)) for each in cookies)
    shown = work(ana)
    before, tried = ana.kept(), set()
    assert MARK in str(before)
    assert str(before).count(MARK) > 5
    for island, pages in shown.items():
        for event in (event for html in pages for event in events_in.events_in_html(html, "x")):
            event.pop("shownProfile", None)
            for other in (mallory, stranger):
                reply = other.press(island, {**event, "query": PROMPT if island == "explain" else ""})
                assert MARK not in str(reply), (island, event)
            tried.add((island, event["act"]))
    assert {("inout", "undo"), ("quiz", "answer"), ("cards", "undo"), ("explain", "own-withdraw")} <= tried
    assert len(tried) > 20
    for other in (mallory, stranger):
        assert MARK not in other.opens("/explain", prompt="explain-lora", attempt="1")
        assert MARK not in other.opens("/projects", id="does-rank-matter")
        for path in served.loads:
            assert MARK not in other.opens(path), path
    for address in ("/io/backup/json", "/projects/does-rank-matter/report.html", f"/search?q={MARK}"):
        answer = mallory.get(address)
        assert MARK not in answer.text.replace(f"“{MARK}”", ""), address
    assert ana.kept() == before
