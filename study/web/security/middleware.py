"""What stands between the network and the pages: who may ask, how much, and which browser it is."""

import ipaddress
import secrets
import socket
from collections.abc import Collection, Iterable, Mapping
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from study.base.errors import LearnerError
from study.base.owner_log import note
from study.text.templates import LOOK_SCRIPT
from study.web.security.content_policy import HEADER, content_policy, hash_of

COOKIE = "learner"
COOKIE_SECONDS = 5 * 365 * 24 * 3600
BODY_LIMIT_BYTES = 4_000_000  # a data set of prompt and answer pairs fits, a video does not

CONTENT_POLICY = content_policy(hash_of(LOOK_SCRIPT.read_text("utf-8")))
"""Of every answer that has none of its own: the one script that applies the chosen look, and no other."""

PROXY_HEADERS = ("cf-connecting-ip", "forwarded", "true-client-ip", "via", "x-client-ip", "x-real-ip")
"""With all that begin with `x-forwarded`: what proxies add. A browser sends none of them."""

FILES_OF_PAGES = ("text/css", "text/javascript", "application/javascript", "font/")
"""Types of answers that are not pages: the page's rules hold for them, so the policy would only add bytes."""


def browser_of(cookies: Mapping[str, str]) -> str:
    """The id of the browser that asks."""
    browser_id = cookies.get(COOKIE, "")
    if not is_browser_id(browser_id):
        raise LearnerError(
            "Your browser did not send its cookie, so what you did can't be found.",
            do_next="Allow cookies for this address, then reload the page.",
        )
    return browser_id


def is_browser_id(cookie: str) -> bool:
    """Return whether a cookie can be a browser's id: it has 22 characters, and a database column for 64."""
    return 0 < len(cookie) <= 64


def is_by_proxy(headers: Headers, public_names: Collection[str] = ()) -> bool:
    """Return whether a proxy passed a request on: it says so, or its browser asked for a public name."""
    named = any(name in PROXY_HEADERS or name.startswith("x-forwarded") for name in headers)
    return named or _host_name(headers) in public_names


def is_this_machine(client: str, headers: Headers, public_names: Collection[str] = ()) -> bool:
    """Return whether a request comes from the machine that runs the app.

    `client` is the address it comes from. That alone says little: a proxy on this machine has a local address
    too, and many pass on no header of their own. So the browser must have asked for this machine by one of
    its local names, which nobody elsewhere can have typed.
    """
    host = _host_name(headers)
    local = host in ("localhost", *own_names()) or _is_loopback(host)
    return local and _is_loopback(client) and not is_by_proxy(headers, public_names)


def is_here(request: Any) -> bool:
    """Return whether a Starlette or Gradio request comes from a browser on the machine that runs the app.

    `RequestGuard` has found that out; without it nobody is here.
    """
    inner = getattr(request, "request", request)  # Gradio wraps Starlette's
    return bool(inner.scope.get("here"))


class RequestGuard:
    """ASGI middleware in front of all pages.

    - A request for a foreign host name is refused: that is how a web site elsewhere would reach a server on
      this machine (DNS rebinding). Addresses written as numbers can't be rebound and are let in.
    - The scope gets `by_proxy` and `here`: whether a proxy passed the request on, and whether it comes from a
      browser on this machine.
    - A request that changes something must come from one of our own pages (its `Origin` is our host).
    - A body over the limit is refused; `larger` names paths with a limit of their own.
    - A browser gets a random id as a cookie with its first page. `Lax` rather than `Strict`: with `Strict` a
      link from a chat or a course page would arrive without it, and a learner would become a stranger.
    """

    def __init__(
        self, app: ASGIApp, *, hosts: Iterable[str] = (), larger: Mapping[str, int] | None = None
    ) -> None:
        self._app = app
        self._larger = larger or {}
        given = {host.lower() for host in hosts}
        self._public_names = {host for host in given if host != "localhost" and not _is_address(host)}
        self._hosts = {"localhost", *own_names(), *given}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit_bytes = self._larger.get(scope["path"], BODY_LIMIT_BYTES)
        refusal = self._refusal(scope, headers, limit_bytes)
        if refusal is not None:
            note("refused", f"{bytes(refusal.body).decode()} ({refusal.status_code})")
            await refusal(scope, receive, send)
            return
        client = scope["client"][0] if scope.get("client") else ""
        scope["by_proxy"] = is_by_proxy(headers, self._public_names)
        scope["here"] = is_this_machine(client, headers, self._public_names)
        cookie = _new_cookie(scope, headers)
        await self._app(scope, _limit_body(receive, limit_bytes), _with_headers(send, cookie))

    def _refusal(self, scope: Scope, headers: Headers, limit_bytes: int) -> PlainTextResponse | None:
        if "\0" in scope["path"]:  # no file has such a name, and the operating system raises ValueError
            return PlainTextResponse("There is nothing at that address.", status_code=404)
        host, method = headers.get("host", ""), scope["method"]
        name = _host_name(headers)
        if name not in self._hosts and not _is_address(name):
            return PlainTextResponse("This app does not answer to that host name.", status_code=400)
        origin = headers.get("origin")
        if method not in ("GET", "HEAD", "OPTIONS") and origin and _netloc(origin) != host:
            return PlainTextResponse("This request comes from another site.", status_code=403)
        length = headers.get("content-length") or "0"
        if not length.isascii() or not length.isdigit():
            return PlainTextResponse("Content-Length must be a number.", status_code=400)
        if int(length[:20]) > limit_bytes:
            return PlainTextResponse("That is too large.", status_code=413)
        return None


def own_names() -> set[str]:
    """Return the names by which this machine is known in its network."""
    name = socket.gethostname().lower().removesuffix(".local")
    return {name, f"{name}.local"}


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _host_name(headers: Headers) -> str:
    """Return the name that the browser asked for, without its port."""
    try:
        return (urlsplit(f"//{headers.get('host', '')}").hostname or "").lower()
    except ValueError:  # such as an address in brackets that never close
        return ""


def _is_loopback(address: str) -> bool:
    try:
        read = ipaddress.ip_address(address)
    except ValueError:
        return False
    return (getattr(read, "ipv4_mapped", None) or read).is_loopback


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _new_cookie(scope: Scope, headers: Headers) -> str | None:
    """A cookie for a browser without one; given with a page, as its parts are all fetched at once."""
    is_page = scope["method"] == "GET" and "text/html" in headers.get("accept", "")
    if not is_page or cookie_parser(headers.get("cookie", "")).get(COOKIE):
        return None
    made: SimpleCookie = SimpleCookie()
    made[COOKIE] = secrets.token_urlsafe(16)
    attributes: dict[str, Any] = {"path": "/", "httponly": True, "samesite": "Lax", "max-age": COOKIE_SECONDS}
    made[COOKIE].update(attributes)
    return made.output(header="").strip()


def _with_headers(send: Send, cookie: str | None) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if not headers.get("content-type", "").startswith(FILES_OF_PAGES):
                headers.setdefault(HEADER, CONTENT_POLICY)
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "same-origin"
            if cookie:
                headers.append("Set-Cookie", cookie)
        await send(message)

    return send_with_headers


def _limit_body(receive: Receive, limit_bytes: int) -> Receive:
    """A body sent in pieces without a length is cut off at the limit, as if the sender had gone."""
    received = 0

    async def receive_limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        return {"type": "http.disconnect"} if received > limit_bytes else message

    return receive_limited
