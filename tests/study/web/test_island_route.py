"""The route of presses: it answers as Gradio does, and refuses what Gradio's events refuse."""

import asyncio
import gc
import weakref
from collections.abc import Mapping
from typing import Any

import gradio as gr
import pytest
from fastapi import FastAPI
from sqlalchemy.exc import OperationalError
from starlette.requests import Request
from starlette.testclient import TestClient

from study.base.errors import LearnerError
from study.base.owner_log import OwnerLog, read_last
from study.ports.context import Context
from study.web import frame, island_route, mounting, storage_troubles
from study.web.form_event import build_unknown_act_error
from study.web.security.access import RoleGate, ServerKeys
from study.web.security.middleware import (
    BODY_LIMIT_BYTES,
    COOKIE,
    ErrorNotes,
    RequestGuard,
    find_area,
    find_browser,
)
from tests.study.web.islands import add_empty_page

HOST = "http://192.168.1.20:7860"


def answer_event(event: dict[str, Any], request: Any) -> frame.Reply:
    """An island that knows two acts and shows what it sees of the request."""
    match event.get("act"):
        case "greet":
            return {"say": f"{find_browser(dict(request.cookies))} at {request.client.host}"}
        case "save":
            raise OperationalError("insert", {}, Exception("database or disk is full"))
        case "break":
            raise RuntimeError("a bug")
    raise build_unknown_act_error(event)


@pytest.fixture
def site(context: Context) -> FastAPI:
    with mounting.building_pages():
        blocks = gr.Blocks(analytics_enabled=False)
        add_empty_page(blocks, context, answer_event, "cards", path="/cards")
        add_empty_page(blocks, context, answer_event, "lab", path="/lab", learners_may={"look"})
    made = FastAPI()
    storage_troubles.register(made)
    island_route.register(made, frame.collect_acts(blocks))
    made.add_middleware(ErrorNotes)
    made.add_middleware(RoleGate, keys=ServerKeys(context.settings.home))
    made.add_middleware(RequestGuard)
    return made


def press(
    site: FastAPI,
    event: object = None,
    *,
    island: str = "cards",
    browser: str = "browser-of-ana",
    headers: Mapping[str, str] | None = None,
    content: bytes | None = None,
) -> Any:
    client = TestClient(site, base_url=HOST, client=("192.168.1.77", 50_000), raise_server_exceptions=False)
    client.cookies.set(COOKIE, browser)
    address, sent = f"/act/{island}", {"origin": HOST, **(headers or {})}
    if content is not None:
        sent = {"content-type": "application/json", **sent}
        return client.post(address, content=content, headers=sent)
    return client.post(address, json={"act": "greet"} if event is None else event, headers=sent)


def test_a_press_reaches_its_island_with_cookie_and_address(site: FastAPI) -> None:
    answer = press(site)
    assert answer.json() == {"say": "browser-of-ana at 192.168.1.77"}
    assert answer.headers["cache-control"] == "no-store"


def test_a_press_that_is_sent_again_is_done_once(context: Context) -> None:
    """Its answer was lost on the way: a run would be queued twice, a file imported twice."""
    done: list[str] = []

    def act(event: dict[str, Any], request: Any) -> frame.Reply:
        done.append(str(event["act"]))
        if event["act"] == "break" and len(done) == 1:
            raise RuntimeError("a bug")
        return {"say": f"{len(done)}, {sorted(event)}"}

    site = FastAPI()
    island_route.register(site, {"cards": act})
    first = press(site, {"act": "start", "press": "1"}).json()
    assert press(site, {"act": "start", "press": "1"}).json() == first == {"say": "1, ['act']"}
    assert press(site, {"act": "start", "press": "2"}).json()["say"].startswith("2,")
    other = press(site, {"act": "start", "press": "1"}, browser="browser-of-ben")
    assert other.json()["say"].startswith("3,")
    assert done == ["start"] * 3
    done.clear()
    assert press(site, {"act": "break", "press": "3"}).status_code == 500
    assert press(site, {"act": "break", "press": "3"}).json()["say"].startswith("2,")


def test_a_press_that_is_sent_again_while_it_is_done_waits_for_its_answer() -> None:
    kept, done = island_route.KeptAnswers(limit=1), []

    async def do() -> frame.Reply:
        await asyncio.sleep(0)
        done.append(1)
        return {"say": "done"}

    async def press_again() -> None:
        both = await asyncio.gather(*(kept.find_or_do(("ana", "1"), do) for _ in range(2)))
        assert both == [{"say": "done"}] * 2
        assert done == [1]
        await kept.find_or_do(("ana", "2"), do)
        await kept.find_or_do(("ana", "1"), do)  # the limit has let go of it
        assert done == [1, 1, 1]

    asyncio.run(press_again())


def test_an_unknown_act_is_told_in_words(site: FastAPI) -> None:
    said = press(site, {"act": "fly"}).json()["error"]
    assert said == str(build_unknown_act_error({"act": "fly"}))


def test_an_unknown_island_is_not_found_so_that_the_page_asks_gradio(site: FastAPI) -> None:
    assert press(site, island="planes").status_code == 404


def test_a_press_from_another_site_is_refused(site: FastAPI) -> None:
    assert press(site, headers={"origin": "http://evil.example"}).status_code == 403
    assert press(site, headers={"host": "evil.example"}).status_code == 400


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_what_a_form_of_another_site_could_send_is_no_press(site: FastAPI, kind: str) -> None:
    answer = press(site, content=b'{"act": "greet"}', headers={"content-type": kind})
    assert answer.status_code == 415


@pytest.mark.parametrize("body", [b"", b"[]", b'"greet"', b"{", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_refused(site: FastAPI, body: bytes) -> None:
    gc.collect()
    gc.disable()  # at the deepest bracket, finalizers of earlier tests would have no stack to run on
    try:
        assert press(site, content=body).status_code == 400
    finally:
        gc.enable()


def test_a_body_over_the_limit_is_refused(site: FastAPI) -> None:
    assert press(site, content=b"x" * (BODY_LIMIT_BYTES + 1)).status_code == 413


def test_an_act_of_the_owner_is_refused_to_a_learner(site: FastAPI) -> None:
    assert "belongs to the owner" in press(site, {"act": "greet"}, island="lab").json()["error"]
    assert "the action 'look'" in press(site, {"act": "look"}, island="lab").json()["error"]


def test_a_browser_that_presses_too_often_is_told_to_wait(site: FastAPI) -> None:
    assert press(site, browser="flooding").status_code == 200
    # A slow machine earns tokens meanwhile.
    assert any(press(site, browser="flooding").status_code == 429 for _ in range(5_000))


def test_a_browser_without_a_cookie_is_told_what_to_do(site: FastAPI) -> None:
    assert "Allow cookies" in press(site, browser="").json()["error"]


def test_a_full_disk_is_told_in_words_and_a_bug_is_no_answer(site: FastAPI) -> None:
    assert "The disk is full" in press(site, {"act": "save"}).json()["error"]
    assert press(site, {"act": "break"}).status_code == 500


def test_a_bug_is_noted_for_the_owner_by_route(site: FastAPI, context: Context) -> None:
    log = OwnerLog(context.settings.home)
    press(site, {"act": "break"})
    log.close()
    (entry,) = read_last(context.settings.home)
    assert entry.text.startswith("POST /act/cards: RuntimeError in tests/study/web/test_island_route.py")
    assert "a bug" not in entry.text
    assert find_area("/lab/run-of-ana/files") == "/lab"
    assert find_area("/") == "/"


def test_two_islands_of_one_name_are_refused(context: Context) -> None:
    with mounting.building_pages():
        blocks = gr.Blocks(analytics_enabled=False)
        for path in ("/", "/cards"):
            add_empty_page(blocks, context, answer_event, "twin", path=path)
    with pytest.raises(ValueError, match="twin"):
        frame.collect_acts(blocks)


def test_an_error_that_the_island_raises_is_its_answer(site: FastAPI) -> None:
    assert isinstance(build_unknown_act_error({}), LearnerError)
    assert press(site, {}).json() == {"error": str(build_unknown_act_error({}))}


def test_a_refused_press_is_not_kept(context: Context) -> None:
    with mounting.building_pages():
        blocks = gr.Blocks(analytics_enabled=False)
        add_empty_page(blocks, context, answer_event, "lab", path="/lab", learners_may={"look"})
    request = Request({"type": "http", "role": "learner"})
    assert "owner" in frame.collect_acts(blocks)["lab"]({"act": "start"}, request)["error"]
    kept = weakref.ref(request)
    del request
    gc.collect()
    assert kept() is None
