"""What stands between the network and the pages: who may ask, how much, and which browser it is."""

import ipaddress
import secrets
import socket
from collections.abc import Iterable, Mapping
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, cookie_parser
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from study.base.addresses import is_loopback
from study.base.errors import LearnerError
from study.base.owner_log import note, note_error
from study.text.templates import LOOK_SCRIPT
from study.web.security.content_policy import HEADER, build_content_policy, hash_script

COOKIE = "learner"
COOKIE_SECONDS = 5 * 365 * 24 * 3600
EVENTS_PATH = "act"
BODY_LIMIT_BYTES = 4_000_000  # a data set of prompt and answer pairs fits, a video does not

CONTENT_POLICY = build_content_policy(hash_script(LOOK_SCRIPT.read_text("utf-8")))
"""Of every answer that has none of its own: the one script that applies the chosen look, and no other."""

PROXY_HEADERS = ("cf-connecting-ip", "forwarded", "true-client-ip", "via", "x-client-ip", "x-real-ip")
"""With all that begin with `x-forwarded`: what proxies add. A browser sends none of them."""

FILES_OF_PAGES = ("text/css", "text/javascript", "application/javascript", "font/")
"""Types of answers that are not pages: the page's rules hold for them, so the policy would only add bytes."""


def find_browser(cookies: Mapping[str, str]) -> str:
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


def read_scope(request: Any) -> Mapping[str, Any]:
    """Read the ASGI scope of a Starlette or Gradio request; empty where a test has none."""
    inner = getattr(request, "request", request)  # Gradio wraps Starlette's
    return getattr(inner, "scope", None) or {}


def is_here(request: Any) -> bool:
    """Return whether a request comes from a browser on the machine that runs the app.

    `RequestGuard` has found that out; without it nobody is here.
    """
    return bool(read_scope(request).get("here"))


class RequestGuard:
    """ASGI middleware in front of all pages.

    - A request for a foreign host name is refused: that is how a web site elsewhere would reach a server on
      this machine (DNS rebinding). Addresses written as numbers can't be rebound and are let in.
    - The scope gets `by_proxy`, whether a proxy passed the request on: it says so, or the browser asked for
      one of `public_names`. And `here`, whether it comes from a browser on this machine: from a loopback
      address, which a proxy here has too, and by a local name.
    - A request that changes something must come from one of our own pages: its `Origin` is our host. That
      prevents cross-site request forgery (CSRF).
    - No other site may read an answer, and every answer says what a browser may load for it.
    - A body over the limit is refused; `larger` names paths with a limit of their own.
    - A browser gets a random id as a cookie with its first page. `Lax` rather than `Strict`: with `Strict` a
      link from a chat or a course page would arrive without it, and a learner would become a stranger.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Iterable[str] = (),
        public_names: Iterable[str] = (),
        larger: Mapping[str, int] | None = None,
    ) -> None:
        self._app = app
        self._larger = larger or {}
        self._own_names = list_own_names()
        self._public_names = {name.lower() for name in public_names}
        self._hosts = {"localhost", *self._own_names, *self._public_names, *(host.lower() for host in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit_bytes = self._larger.get(scope["path"], BODY_LIMIT_BYTES)
        name = _read_host_name(headers)
        refusal = self._find_refusal(scope, headers, name, limit_bytes)
        if refusal is not None:
            note("refused", f"{bytes(refusal.body).decode()} ({refusal.status_code})")
            await refusal(scope, receive, _with_headers(send, None))
            return
        client = scope["client"][0] if scope.get("client") else ""
        says_so = any(each in PROXY_HEADERS or each.startswith("x-forwarded") for each in headers)
        scope["by_proxy"] = says_so or name in self._public_names
        is_local = name in self._own_names or is_loopback(name)
        scope["here"] = is_local and is_loopback(client) and not scope["by_proxy"]
        cookie = _make_cookie(scope, headers)
        await self._app(scope, _limit_body(receive, limit_bytes), _with_headers(send, cookie))

    def _find_refusal(
        self, scope: Scope, headers: Headers, name: str, limit_bytes: int
    ) -> PlainTextResponse | None:
        if "\0" in scope["path"]:  # no file has such a name, and the operating system raises ValueError
            return PlainTextResponse("There is nothing at that address.", status_code=404)
        host, method = headers.get("host", ""), scope["method"]
        if name not in self._hosts and not _is_address(name):
            return PlainTextResponse("This app does not answer to that host name.", status_code=400)
        origin = headers.get("origin")
        if method not in ("GET", "HEAD", "OPTIONS") and origin and _parse_netloc(origin) != host:
            return PlainTextResponse("This request comes from another site.", status_code=403)
        if "content-length" in headers and "transfer-encoding" in headers:
            # A proxy may have believed the other one.
            said = "A request must not have both Content-Length and Transfer-Encoding."
            return PlainTextResponse(said, status_code=400, headers={"Connection": "close"})
        length = headers.get("content-length") or "0"
        if not length.isascii() or not length.isdigit():
            return PlainTextResponse("Content-Length must be a number.", status_code=400)
        if int(length[:20]) > limit_bytes:
            return PlainTextResponse("That is too large.", status_code=413)
        return None


def list_own_names() -> set[str]:
    """Return the names by which this machine is known in its network."""
    name = socket.gethostname().lower().removesuffix(".local")
    return {name, f"{name}.local"}


def _parse_netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _read_host_name(headers: Headers) -> str:
    """Read the name that the browser asked for, without its port."""
    try:
        return (urlsplit(f"//{headers.get('host', '')}").hostname or "").lower()
    except ValueError:  # such as an address in brackets that never close
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _make_cookie(scope: Scope, headers: Headers) -> str | None:
    """Make a cookie for a browser without one; given with a page, as its parts are all fetched at once."""
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
            for name in [each for each in headers if each.startswith("access-control-")]:
                del headers[name]  # Gradio lets every other site read its answers, with the reader's cookies
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


class ErrorNotes:
    """ASGI middleware that passes every request on, and notes every error of the server in the owner's log by
    its route.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            raise  # the browser has gone: not an error of the server
        except Exception as error:
            if scope["type"] == "http":
                note_error(f"{scope['method']} {find_area(scope['path'])}", error)
            raise


def find_area(path: str) -> str:
    """Return the part of a path that names no run, class or learner: `/act/cards` of events, else `/lab`."""
    first, *rest = path.strip("/").split("/")
    return "/".join(("", first, *(rest[:1] if first == EVENTS_PATH else ())))
