"""Content-Security-Policy: which scripts a page may run. The second wall behind the escaping of texts.

No inline script and no event attribute runs unless it is one of ours or of Gradio's page: Gradio's own script
elements get a nonce that is new for each answer, ours are files of this site. `unsafe-eval` stays, because
Gradio's HTML component compiles its template and `js_on_load` with `new Function` (docs/security.md). There
is no `unsafe-inline` for scripts.
"""

import base64
import hashlib
import re
import secrets

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "Content-Security-Policy"
GRADIO_PAGE = b"window.gradio_config"
"""In the head of every page that Gradio's template makes, which holds no text of a learner."""

_SCRIPT = re.compile(rb"<script(?=[\s>])")


def build_content_policy(*script_sources: str, may_compile: bool = False) -> str:
    """Build the policy's text. `may_compile` allows `new Function`, which Gradio's pages need."""
    compiling = ("'unsafe-eval'",) if may_compile else ()
    scripts = " ".join(("'self'", *script_sources, *compiling))
    return "; ".join(
        (
            "default-src 'self' data: blob:",
            f"script-src {scripts}",
            "script-src-attr 'none'",
            "style-src 'self' 'unsafe-inline'",
            "worker-src 'self' blob:",
            "frame-ancestors 'self'",
            "base-uri 'self'",
            "form-action 'self'",
            "object-src 'none'",
        )
    )


def hash_script(script: str) -> str:
    """Hash a script: the source expression that allows exactly this inline script."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"'sha256-{digest}'"


class GradioPages:
    """ASGI middleware around the pages of Gradio's template: it adds our head, and a nonce to each script.

    It stands around Gradio's app, inside the compression: answers of our own routes, which hold texts of
    learners, never come here. The page holds no text of a learner or of an import; those come later, through
    the API, and a script among them has no nonce.
    """

    def __init__(self, app: ASGIApp, *, head: str) -> None:
        self._app = app
        self._head = head.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        body = b""

        async def send_page(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                if not MutableHeaders(scope=message).get("content-type", "").startswith("text/html"):
                    await send(message)
                else:
                    start = message
                return
            if start is None or message["type"] != "http.response.body":
                await send(message)
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                await self._send_whole(start, body, send)

        await self._app(scope, receive, send_page)

    async def _send_whole(self, start: Message, body: bytes, send: Send) -> None:
        if GRADIO_PAGE in body.partition(b"</head>")[0]:
            nonce = secrets.token_urlsafe(16)
            body = body.replace(b"</head>", self._head + b"</head>", 1)
            body = _SCRIPT.sub(b'<script nonce="%s"' % nonce.encode(), body)
            headers = MutableHeaders(scope=start)
            headers[HEADER] = build_content_policy(f"'nonce-{nonce}'", may_compile=True)
            headers["content-length"] = str(len(body))
            headers["cache-control"] = "no-store"
        await send(start)
        await send({"type": "http.response.body", "body": body})
