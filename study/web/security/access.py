"""Authentication and access control on a server that others can reach: what its owner may do, what learners.

The owner sits at the machine, or has opened the link with the owner's key that is shown at the start.
Everyone else is a learner: they study, explain and look at experiments, within a share of the server's time.
"""

import base64
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from study.base.errors import LearnerError
from study.base.owner_log import note
from study.store.storage_errors import translate_storage_errors
from study.web.security.middleware import COOKIE as LEARNER_COOKIE
from study.web.security.middleware import is_browser_id, read_scope
from study.web.security.rates import Rates, Turns

Role = Literal["owner", "learner"]
COOKIE = "owner"
COOKIE_SECONDS = 365 * 24 * 3600
OWNER_PATH = "/owner"
KEY_FILE = "server.key"
SECRET_BYTES = 32
PHRASE_GROUPS = 5  # of four letters, 100 bits together

TOO_MANY = "Too many requests from this browser. Wait a moment, then reload the page."
TOO_MUCH_AT_ONCE = (
    "This browser asks for too much at once. Wait until some of it has been answered, then press again."
)

_COMPUTED = re.compile(
    r"/(act/|io/(?!upload$)|lab/|projects/|figure/|search$|progress/plots/|docs/|class/[0-9]{6}/cards"
    r"|gradio_api/(component_server|run/|api/|call/|queue/join))"
)
"""What is computed for the one who asks, in one of the server's few threads. Uploads take as long as the
network does, and files of pages are many and cheap."""

_UNUSED_OF_GRADIO = re.compile(r"/gradio_api/(?!(run/predict|component_server)/?$)")
"""What no page here uses: uploads, files, streams, deep links that are written to the disk, an editor."""


def build_owners_only_error() -> LearnerError:
    """Build the error of what learners may not do; a new one, because each raise adds to its traceback."""
    return LearnerError(
        "This belongs to the owner of this server.",
        do_next="Ask them to do it, or install the app on your own machine, where everything is yours.",
    )


class ServerKeys:
    """The owner's key and the learners' recovery phrases, derived from one random file of the data folder."""

    def __init__(self, home: Path) -> None:
        self._secret = _read_secret(home / KEY_FILE)

    @property
    def owner(self) -> str:
        """The key in the owner's link."""
        return self._derive("owner")[:32]

    def is_owner(self, key: str) -> bool:
        return hmac.compare_digest(key.encode(), self.owner.encode())

    def build_phrase(self, profile_id: str) -> str:
        """Build the phrase that gives a profile back: `k7fq-2m9x-...`."""
        letters = self._derive(f"profile {profile_id}")[: 4 * PHRASE_GROUPS]
        return "-".join(letters[start : start + 4] for start in range(0, len(letters), 4))

    def find_profile(self, phrase: str, profile_ids: Iterable[str]) -> str | None:
        """Return the profile whose phrase was typed, in whatever case and spacing."""
        typed = "".join(phrase.lower().replace("-", " ").split()).encode()
        bare = ((one, self.build_phrase(one).replace("-", "").encode()) for one in profile_ids)
        matches = [one for one, right in bare if hmac.compare_digest(right, typed)]
        return matches[0] if matches else None

    def _derive(self, purpose: str) -> str:
        digest = hmac.new(self._secret, purpose.encode(), hashlib.sha256).digest()
        return base64.b32encode(digest).decode().lower().rstrip("=")


def find_role(request: Any) -> Role:
    """Return the role of a Starlette or Gradio request; on one's own machine everyone is the owner."""
    role: Role = read_scope(request).get("role", "owner")
    return role


def may_use_lab(request: Any) -> bool:
    """Return whether a request may start, stop and delete in the Lab."""
    return find_role(request) == "owner" or bool(read_scope(request).get("open_lab"))


class RoleGate:
    """ASGI middleware: finds out who asks, serves the owner's link, and limits how often others may ask."""

    def __init__(self, app: ASGIApp, *, keys: ServerKeys, open_lab: bool = False) -> None:
        self._app = app
        self._keys = keys
        self._open_lab = open_lab
        # A first page with all that it loads makes about 60 requests; studying makes one in a few seconds.
        self._by_browser = Rates(burst=300, per_second=10)
        # All learners of a school may have one address.
        self._by_address = Rates(burst=6_000, per_second=150)
        # Two, so that one tab's long export leaves a place for presses and polls. A third would take a thread
        # from somebody else, so it waits. Opening a page asks for three things and an open tab polls one; a
        # browser sends six at once, a hundred through a proxy with HTTP/2: ten tabs that open together fit.
        self._turns = Turns(at_once=2, waiting=30)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it with one sentence."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = self._answer(scope)
        if answer is None and scope["role"] == "learner" and _COMPUTED.match(scope["path"]):
            answer = self._serve_in_turn
        await (answer or self._app)(scope, receive, send)

    async def _serve_in_turn(self, scope: Scope, receive: Receive, send: Send) -> None:
        browser = _identify_browser(scope)
        if self._turns.are_taken(browser):
            note("limit", "A browser asked for too much at once.")
            await PlainTextResponse(TOO_MUCH_AT_ONCE, 429, headers={"Retry-After": "2"})(scope, receive, send)
            return
        async with self._turns.take(browser) as leave:

            async def send_answer(message: Message) -> None:
                leave()  # it is computed; how fast it arrives is up to the network
                await send(message)

            await self._app(scope, receive, send_answer)

    def _answer(self, scope: Scope) -> ASGIApp | None:
        connection = HTTPConnection(scope)
        address = _read_address(scope)
        owner = scope.get("here", False) or self._keys.is_owner(connection.cookies.get(COOKIE, ""))
        scope["role"] = "owner" if owner else "learner"
        scope["open_lab"] = self._open_lab
        allowed = owner or (
            self._by_address.allows(address) and self._by_browser.allows(_identify_browser(scope))
        )
        if not allowed:
            note("limit", "A browser or an address asked too often and was told to wait.")
            return PlainTextResponse(TOO_MANY, 429, headers={"Retry-After": "2"})
        if scope["path"] == OWNER_PATH:
            return self._answer_owners_link(connection, owner=owner)
        if not owner and _UNUSED_OF_GRADIO.match(scope["path"]):
            note("refused", "A learner asked for a route of the owner.")
            return PlainTextResponse(str(build_owners_only_error()), 403)
        return None

    def _answer_owners_link(self, connection: HTTPConnection, *, owner: bool) -> ASGIApp:
        key = connection.query_params.get("key", "")
        if not owner and not self._keys.is_owner(key):
            note("refused", "The owner's address was opened with a wrong key.")
            return PlainTextResponse("That is not the key of this server's owner.", 403)
        answer = RedirectResponse("/", 303)
        if self._keys.is_owner(key):
            encrypted = connection.url.scheme == "https"  # here, or at a proxy that uvicorn believes
            answer.set_cookie(
                COOKIE, key, max_age=COOKIE_SECONDS, httponly=True, samesite="lax", secure=encrypted
            )
        return answer


def _identify_browser(scope: Scope) -> str:
    """Identify a request's browser by what it is known by: what is kept of a stranger stays short."""
    cookie = HTTPConnection(scope).cookies.get(LEARNER_COOKIE, "")
    return cookie if is_browser_id(cookie) else _read_address(scope)


def _read_address(scope: Scope) -> str:
    return scope["client"][0] if scope.get("client") else ""


def _read_secret(path: Path) -> bytes:
    """Return the random bytes of the file, which the first start that others can reach makes.

    Raises LearnerError when it holds anything else: a guess would make someone else the owner.
    """
    with translate_storage_errors():
        if not path.exists():
            _write_secret(path)
        written = path.read_text("ascii", errors="replace")
    try:
        secret = bytes.fromhex(written)
    except ValueError:
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise LearnerError(
            f"{path} is damaged: it does not hold {SECRET_BYTES} bytes.",
            do_next="Delete it, then start the app again. It makes a new key: the owner's address and all "
            "recovery phrases change.",
        )
    return secret


def _write_secret(path: Path) -> None:
    """Write a new secret whole or not at all. Of two first starts at once, both use the first one's."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(beside, path)  # unlike a rename, it replaces nothing
        except FileExistsError:
            pass
        except OSError:  # a disk without hard links
            beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
