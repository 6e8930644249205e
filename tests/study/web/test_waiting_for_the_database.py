"""Routes that write wait for another write in a thread of their own: the event loop serves everyone else."""

import asyncio
import threading
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy.exc import OperationalError
from starlette.requests import Request

from study.base.errors import LearnerError
from study.io.pending_upload import PendingUploads
from study.ports.context import Context
from study.store.profiles import Profile, Profiles
from study.web.device_routes import DeviceRoutes, Devices
from study.web.security.access import ServerKeys
from study.web.security.middleware import COOKIE
from study.web.transfer_routes import Transfer


def request_of(browser: str, body: bytes, query: str = "") -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"cookie", f"{COOKIE}={browser}".encode())]
    scope = {"type": "http", "method": "POST", "headers": headers, "query_string": query.encode()}
    return Request(scope, receive)


@pytest.fixture
def writers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The threads that wrote down which profile a browser has."""
    found = []
    of_browser, switch = Profiles.open_for_browser, Profiles.switch

    def note_visit(profiles: Profiles, browser_id: str, *, now: datetime) -> Profile:
        found.append(threading.get_ident())
        return of_browser(profiles, browser_id, now=now)

    def note_switch(profiles: Profiles, browser_id: str, profile_id: str, *, now: datetime) -> None:
        found.append(threading.get_ident())
        switch(profiles, browser_id, profile_id, now=now)

    monkeypatch.setattr(Profiles, "open_for_browser", note_visit)
    monkeypatch.setattr(Profiles, "switch", note_switch)
    return found


@pytest.fixture
def devices(context: Context) -> Devices:
    return Devices(context=context, keys=ServerKeys(context.settings.home))


def token_of(devices: Devices, profile_id: str, now: datetime) -> str:
    link = devices.link(profile_id, "study.example.org", secure=True, now=now)
    return parse_qs(urlsplit(link).query)["token"][0]


def test_an_upload_of_a_new_browser_keeps_nobody_waiting(context: Context, writers: list[int]) -> None:
    files = Transfer(context, {}, PendingUploads(folder=context.settings.imports_dir))
    answer = asyncio.run(files.upload(request_of("new", b"x", "name=a%00.md")))
    assert answer.body == b"{}"
    assert writers
    assert threading.get_ident() not in writers
    [profile] = context.store.profiles.all()
    waiting = files._pending.find(profile.id)
    assert waiting is not None
    assert waiting.name == "a.md"


def test_a_device_that_joins_keeps_nobody_waiting(
    context: Context, devices: Devices, ana: str, now: datetime, writers: list[int]
) -> None:
    token = token_of(devices, ana, now)
    answer = asyncio.run(DeviceRoutes(devices).join(request_of("phone", f"token={token}".encode())))
    assert answer.status_code == 303
    assert writers
    assert threading.get_ident() not in writers


def test_a_link_whose_press_failed_works_at_the_next_one(
    devices: Devices, ana: str, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OperationalError("insert", {}, Exception("database is locked"))

    token = token_of(devices, ana, now)
    with monkeypatch.context() as patched:
        patched.setattr(Profiles, "switch", refuse)
        with pytest.raises(OperationalError):
            devices.join(token, "phone", now=now)
    devices.join(token, "phone", now=now)
    assert devices.context.store.profiles.open_for_browser("phone", now=now).id == ana
    with pytest.raises(LearnerError, match="already been used"):
        devices.join(token, "another phone", now=now)


def test_many_links_of_one_learner_push_out_nobody_elses(devices: Devices, ana: str, now: datetime) -> None:
    ben = devices.context.store.profiles.add("browser-of-ben", "Ben", now=now).id
    bens = token_of(devices, ben, now)
    tokens = [token_of(devices, ana, now) for _ in range(1_100)]
    assert devices.find_profile(bens, now=now).id == ben
    assert devices.find_profile(tokens[-1], now=now).id == ana
    with pytest.raises(LearnerError, match="too old"):
        devices.find_profile(tokens[-2], now=now)
