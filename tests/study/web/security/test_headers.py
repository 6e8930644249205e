"""What every answer tells a browser: what it may load for it, and that no other site may read or frame it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from study.web.security.middleware import BODY_LIMIT_BYTES, COOKIE
from tests.whole_app import server_for_learners

HOST = "192.168.1.20:7860"
ELSEWHERE = "http://evil.example"
PAGES = ("/", "/cards", "/settings", "/lab", "/nowhere", "/docs/security.md", "/search?q=lora", "/class/join")
FILES = ("/io/backup/json", "/io/cards/csv", "/figure/lora-to-scale", "/progress/plots/none.svg", "/config",
         "/gradio_api/info", "/theme.css", "/look/none.css", "/lab/runs/x/run.json", "/a%00b")  # fmt: skip
HEADERS = {
    "x-content-type-options": "nosniff",  # an export is not taken for a page
    "referrer-policy": "same-origin",  # no address of ours reaches another site
}
POLICY = ("default-src 'self'", "object-src 'none'", "base-uri 'self'", "frame-ancestors 'self'",
          "form-action 'self'", "script-src-attr 'none'")  # fmt: skip


@pytest.fixture(scope="module")
def learner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A browser elsewhere on the network of a server for learners."""
    home: Path = tmp_path_factory.mktemp("headers")
    with server_for_learners(home) as served:
        yield TestClient(
            served.site,
            cookies={COOKIE: "browser-of-lea"},
            base_url=f"http://{HOST}",
            client=("192.168.1.77", 50_000),
            headers={"accept": "text/html"},
            follow_redirects=False,
        )


def answers(learner: TestClient, origin: str) -> Iterator[tuple[str, Any]]:
    """Answers of every kind: pages, files, presses, and refusals of each guard."""
    given = {"origin": origin}
    for address in (*PAGES, *FILES):
        yield address, learner.get(address, headers=given)
    yield "the owner's", learner.get("/class", headers=given)
    yield "a wrong key", learner.get("/owner?key=wrong", headers=given)
    yield "another host", learner.get("/", headers={**given, "host": "evil.example"})
    yield (
        "preflight",
        learner.options("/act/cards", headers={**given, "access-control-request-method": "POST"}),
    )
    yield (
        "preflight of Gradio",
        learner.options(
            "/gradio_api/component_server", headers={**given, "access-control-request-method": "POST"}
        ),
    )
    yield "a press", learner.post("/act/cards", json={"act": "none", "query": ""}, headers=given)
    yield "too large", learner.post("/act/cards", content=b"x" * (BODY_LIMIT_BYTES + 1), headers=given)


@pytest.mark.parametrize("origin", [f"http://{HOST}", ELSEWHERE, "null", "http://localhost:3000"])
def test_every_answer_has_the_headers_that_guard_a_browser(learner: TestClient, origin: str) -> None:
    statuses = set()
    for name, answer in answers(learner, origin):
        statuses.add(answer.status_code)
        found = answer.headers
        assert {header: found.get(header) for header in HEADERS} == HEADERS, name
        if "css" not in found.get("content-type", ""):
            missing = [rule for rule in POLICY if rule not in found.get("content-security-policy", "")]
            assert missing == [], name
        assert "server" not in found, name
    assert statuses >= {200, 400, 403, 404, 413} - ({413} if origin != f"http://{HOST}" else set())


@pytest.mark.parametrize("origin", [ELSEWHERE, "null", "http://localhost:3000"])
def test_no_other_site_is_let_read_an_answer(learner: TestClient, origin: str) -> None:
    shared = {
        name: header
        for name, answer in answers(learner, origin)
        for header in answer.headers
        if header.startswith("access-control-")
    }
    assert shared == {}
