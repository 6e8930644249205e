"""Devices of a learner: another one is added by a link that works once, and a lost one is shut out."""

import hashlib
import io
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from urllib.parse import parse_qsl, urlencode

import segno
from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from markupsafe import Markup
from starlette.requests import Request

from study.base.errors import LearnerError
from study.base.html import trust_html
from study.base.owner_log import note
from study.base.settings import APP_NAME
from study.ports.context import Context
from study.store.profiles import Profile
from study.text.templates import render
from study.web.security.access import ServerKeys
from study.web.security.middleware import find_browser

PATH = "/devices/join"
LINK_MINUTES = 10
LINKS_AT_MOST = 1_000
LONGEST_FORM_BYTES = 4_096


def link_expired() -> LearnerError:
    """Return the error of a link that leads to no profile."""
    return LearnerError(
        "This link is too old, or has already been used.",
        do_next="Make a new one on the first device, under Settings.",
    )


def draw_qr_code(link: str) -> Markup:
    """A link as an SVG image; screen readers get the link as text beside it."""
    made = io.BytesIO()
    segno.make(link, error="m").save(
        made, kind="svg", xmldecl=False, svgns=False, border=3, scale=4, omitsize=True, title="QR code"
    )
    return trust_html(made.getvalue().decode())


@dataclass(frozen=True, kw_only=True)
class Devices:
    """Links to a profile, recovery by a phrase, and the browsers that use a profile."""

    context: Context
    keys: ServerKeys
    _links: "OrderedDict[str, tuple[str, datetime]]" = field(default_factory=OrderedDict)

    def link(self, profile_id: str, host: str, secure: bool, *, now: datetime) -> str:
        """Make the address that lets one more browser use a profile."""
        token = secrets.token_urlsafe(18)
        for earlier, (of_profile, _) in list(self._links.items()):
            if of_profile == profile_id:  # one each, so that nobody's links push out those of others
                self._links.pop(earlier, None)
        self._links[token] = (profile_id, now + timedelta(minutes=LINK_MINUTES))
        while len(self._links) > LINKS_AT_MOST:
            self._links.popitem(last=False)
        return f"{'https' if secure else 'http'}://{host}{PATH}?{urlencode({'token': token})}"

    def find_profile(self, token: str, *, now: datetime) -> Profile:
        """Return the profile that a link leads to. Raises LearnerError when it leads to none."""
        profile_id, until = self._links.get(token, ("", now))
        found = self.context.store.profiles.find(profile_id) if now < until else None
        if found is None:
            note("refused", "A device opened a link to a profile that has expired or was used.")
            raise link_expired()
        return found

    def join(self, token: str, browser_id: str, *, now: datetime) -> None:
        """Use the profile of a link in this browser; the link works once."""
        profile = self.find_profile(token, now=now)
        used = self._links.pop(token, None)
        if used is None:  # by another device, a moment ago
            raise link_expired()
        try:
            self.context.store.profiles.switch(browser_id, profile.id, now=now)
        except BaseException:
            self._links[token] = used  # nothing was changed: the next request may work
            raise

    def recover(self, phrase: str, browser_id: str, *, now: datetime) -> None:
        """Use the profile of a phrase in this browser. Raises LearnerError for a wrong one."""
        profiles = self.context.store.profiles
        found = self.keys.find_profile(phrase, [one.id for one in profiles.all()])
        if found is None:
            note("refused", "A device sent a recovery phrase that no profile has.")
            raise LearnerError(
                "No profile has this phrase.",
                do_next="Compare it with what you wrote down, letter by letter.",
            )
        profiles.switch(browser_id, found, now=now)

    def list_devices(self, profile_id: str, browser_id: str) -> list[tuple[str, datetime, bool]]:
        """List the browsers of a profile, newest first: a name, since when, and whether it is this one."""
        return [
            (name_browser(one), at, one == browser_id)
            for one, at in self.context.store.profiles.read_browsers(profile_id)
        ]

    def remove(self, profile_id: str, name: str) -> None:
        """Shut a browser out of a profile."""
        for browser_id, _ in self.context.store.profiles.read_browsers(profile_id):
            if name_browser(browser_id) == name:
                self.context.store.profiles.forget_browser(browser_id)
                return
        raise LearnerError("That device has already been removed.", do_next="Reload the page.")


def name_browser(browser_id: str) -> str:
    """Name what is shown of a browser's id, which is a secret."""
    return hashlib.sha256(browser_id.encode()).hexdigest()[:8]


def register(site: FastAPI, devices: Devices) -> None:
    routes = DeviceRoutes(devices)
    site.get(PATH)(routes.ask)
    site.post(PATH, response_model=None)(routes.join)


class DeviceRoutes:
    """The page behind the link. Only its button uses the link, because chats open links to preview them."""

    def __init__(self, devices: Devices) -> None:
        self._devices = devices

    def ask(self, token: str = "") -> Response:
        try:
            profile = self._devices.find_profile(token, now=self._devices.context.clock())
        except LearnerError as error:
            return _render_page({"error": error}, HTTPStatus.GONE)
        return _render_page({"profile": profile, "token": token, "path": PATH})

    async def join(self, request: Request) -> Response:
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > LONGEST_FORM_BYTES:
                return _render_page({"error": link_expired()}, HTTPStatus.GONE)
        token = dict(parse_qsl(body.decode("utf-8", "replace"))).get("token", "")
        try:
            browser = find_browser(request.cookies)
            now = self._devices.context.clock()
            await run_in_threadpool(self._devices.join, token, browser, now=now)  # it may wait for a write
        except LearnerError as error:
            return _render_page({"error": error}, HTTPStatus.GONE)
        return RedirectResponse("/", HTTPStatus.SEE_OTHER)


def _render_page(values: Mapping[str, object], status: HTTPStatus = HTTPStatus.OK) -> Response:
    shown = {"error": None, "profile": None, "token": "", "path": PATH, **values}
    return HTMLResponse(render("study/settings/join.html", app_name=APP_NAME, **shown), status)
