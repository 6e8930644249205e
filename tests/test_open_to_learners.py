"""What learners of a server reach: two routes of Gradio, and islands whose acts are theirs or are named."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from study.web.frame import collect_acts
from study.web.security.middleware import COOKIE
from tests.test_roles import LISTS, client
from tests.whole_app import WholeApp, routes_of, server_for_learners

GRADIO_OPENS = {"run/{api_name}", "component_server"}
"""The routes of Gradio's API that pages use."""

OWN_ISLANDS = {"today", "learn", "concept", "start", "figures", "reference", "practise", "review", "settings",
               "progress", "inout", "tasks", "memory", "claims", "papers", "cards", "browse", "quiz",
               "explain"}  # fmt: skip
"""Islands whose acts are about one's own profile, or compute something, but for those below."""

FOR_OTHERS: dict[str, list[tuple[dict[str, Any], str]]] = {
    "settings": [({"act": "switch", "profile": "x"}, "doesn't know")],
    "today": [({"act": "switch", "profile": "x"}, "doesn't know")],
    "inout": [
        ({"act": "restore", "backup": "x"}, "at the machine"),
        ({"act": "set-aside"}, "belongs to the owner"),
    ],
    "start": [({"act": "stop", "query": "?step=6&run=x"}, "share this run")],
    "browse": [
        ({"act": "save-card", "query": "?write=new", "fields": {"front": ["a"], "back": ["b"]}}, "can write"),
        ({"act": "delete", "note": "rank-doubles"}, "only its owner can delete"),
        ({"act": "put-back", "import": 1}, "only its owner can change"),
    ],
    "quiz": [
        (
            {
                "act": "save-question",
                "query": "?write=new",
                "fields": {"stem": ["Which?"], "right": ["b"], "wrong-1": ["c"], "concept": ["lora-rank"]},
            },
            "only its owner can write",
        ),
    ],
}
"""By island: presses that would change or show what belongs to others, and what a learner reads instead."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeApp]:
    home = tmp_path_factory.mktemp("server")
    with server_for_learners(home) as opened:
        yield opened


@pytest.fixture
def asking(served: WholeApp) -> dict[str, TestClient]:
    return {"stranger": client(served), "learner": client(served, **{COOKIE: "browser-of-lea"})}


def routes_of_gradio(served: WholeApp) -> set[tuple[str, str]]:
    """The methods and paths of Gradio's API, without the slash that each of them may end with."""
    found = routes_of(served.site)
    return {(method, path.rstrip("/")) for method, path in found if path.startswith("/gradio_api/")}


def test_of_gradios_own_routes_learners_reach_those_that_pages_use(
    served: WholeApp, asking: dict[str, TestClient]
) -> None:
    routes = routes_of_gradio(served)
    assert {path.removeprefix("/gradio_api/") for _, path in routes} > GRADIO_OPENS
    assert len(routes) > 25
    for method, path in routes:
        address = re.sub(r"\{\w+(:\w+)?\}", "x", path.replace("{api_name}", "predict"))
        for role, browser in asking.items():
            for end in ("", "/"):
                status = browser.request(method, address + end, json={}).status_code
                is_open = path.removeprefix("/gradio_api/") in GRADIO_OPENS
                assert (status == 403) != is_open, (role, method, path, status)
                assert status < 500, (role, method, path, status)


def test_every_island_is_a_learners_own_or_names_what_learners_may(served: WholeApp) -> None:
    islands = set(collect_acts(served.site.routes[-1].app.get_blocks()))  # type: ignore[attr-defined]
    unnamed = islands - OWN_ISLANDS - set(LISTS)
    assert not unnamed, (
        f"Say what learners may do on {unnamed}: in OWN_ISLANDS here, or in LISTS of test_roles.py."
    )
    assert islands == OWN_ISLANDS | set(LISTS)
    assert not OWN_ISLANDS & set(LISTS)


@pytest.mark.parametrize("island", FOR_OTHERS)
def test_on_ones_own_islands_nothing_of_others_can_be_changed(
    asking: dict[str, TestClient], island: str
) -> None:
    for event, said in FOR_OTHERS[island]:
        answer = asking["learner"].post(f"/act/{island}", json={"query": "", **event})
        assert said in answer.json().get("error", str(answer.json())), answer.json()
        assert "error" in asking["stranger"].post(f"/act/{island}", json={"query": "", **event}).json()
