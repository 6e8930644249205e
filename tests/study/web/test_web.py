"""Access control: foreign host names, foreign origins and floods stay outside; a browser gets one id."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from study.web.security.middleware import BODY_LIMIT_BYTES, COOKIE, RequestGuard

PAGE = {"accept": "text/html"}
LARGER = {"/io/upload": BODY_LIMIT_BYTES + 10}


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that answers with the number of bytes it was sent."""
    body = await Request(scope, receive).body()
    await PlainTextResponse(str(len(body)))(scope, receive, send)


def ask(
    method: str = "GET",
    path: str = "/",
    *,
    host: str = "127.0.0.1:7860",
    headers: Mapping[str, str] | None = None,
    content: bytes | AsyncIterator[bytes] = b"",
) -> httpx.Response:
    async def one_request() -> httpx.Response:
        transport = httpx.ASGITransport(RequestGuard(echo, hosts=["study.example.org"], larger=LARGER))
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
            return await client.request(method, path, headers=headers, content=content)

    return asyncio.run(one_request())


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:7860"])
def test_a_foreign_host_name_is_refused(host: str) -> None:
    assert ask(host=host).status_code == 400


@pytest.mark.parametrize("host", ["localhost:7860", "192.168.1.20:7860", "[::1]:7860", "study.example.org"])
def test_names_of_this_app_and_plain_addresses_are_let_in(host: str) -> None:
    assert ask(host=host).status_code == 200


def test_a_post_from_another_site_is_refused() -> None:
    assert ask("POST", headers={"origin": "http://evil.example"}).status_code == 403
    assert ask("POST", headers={"origin": "null"}).status_code == 403
    assert ask("POST", headers={"origin": "http://127.0.0.1:7860"}).status_code == 200


def test_a_body_over_the_limit_is_refused_before_it_is_read() -> None:
    assert ask("POST", content=b"x" * (BODY_LIMIT_BYTES + 1)).status_code == 413


def test_a_path_may_have_a_larger_limit_of_its_own() -> None:
    more = b"x" * (BODY_LIMIT_BYTES + 1)
    assert ask("POST", "/io/upload", content=more).text == str(len(more))
    assert ask("POST", "/io/upload", content=more + b"x" * 10).status_code == 413


def test_a_body_sent_in_pieces_is_cut_off_at_the_limit() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(6):
            yield b"x" * 1_000_000

    with pytest.raises(Exception, match=r".*") as raised:
        ask("POST", content=pieces())
    assert type(raised.value).__name__ == "ClientDisconnect"


def test_a_browser_gets_one_id_with_its_first_page() -> None:
    first = ask(headers=PAGE).headers["set-cookie"]
    assert first.startswith(f"{COOKIE}=")
    for attribute in ("HttpOnly", "SameSite=Lax", "Path=/", "Max-Age="):
        assert attribute in first
    assert "set-cookie" not in ask(headers={**PAGE, "cookie": f"{COOKIE}=known"}).headers


def test_parts_of_a_page_bring_no_id_of_their_own() -> None:
    assert "set-cookie" not in ask(headers={"accept": "*/*"}).headers


def test_every_answer_forbids_content_from_elsewhere() -> None:
    policy = ask().headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
