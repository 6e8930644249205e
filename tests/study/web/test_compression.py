"""Answers leave with brotli where the browser takes it, and as they are where it doesn't."""

import brotli  # type: ignore[import-untyped]
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from study.base.settings import Settings
from study.web.compression import BrotliAnswers
from tests.whole_app import whole_app

TEXT = "<p>rank, alpha, learning rate</p>" * 100


def respond(request: Request) -> Response:
    kind = request.path_params["kind"]
    if kind == "pieces":
        return StreamingResponse(iter([TEXT, TEXT]), media_type="text/html")
    if kind == "picture":
        return Response(TEXT, media_type="image/png")
    if kind == "compressed":
        return HTMLResponse(b"not ours", headers={"content-encoding": "zstd"})
    if kind == "part":
        return HTMLResponse(TEXT, status_code=206)
    return HTMLResponse(TEXT if kind == "page" else "short", headers={"vary": "Origin"})


@pytest.fixture
def client() -> TestClient:
    middleware = [
        Middleware(GZipMiddleware, minimum_size=1000),
        Middleware(BrotliAnswers, minimum_bytes=1000),
    ]
    return TestClient(Starlette(routes=[Route("/{kind}", respond)], middleware=middleware))


def encoding_of(client: TestClient, kind: str, accepted: str) -> str:
    with client.stream("GET", f"/{kind}", headers={"accept-encoding": accepted}) as answer:
        return str(answer.headers.get("content-encoding", ""))


def test_a_page_is_compressed_with_brotli_and_says_so(client: TestClient) -> None:
    with client.stream("GET", "/page", headers={"accept-encoding": "gzip, br"}) as answer:
        sent = b"".join(answer.iter_raw())
    assert brotli.decompress(sent).decode() == TEXT
    assert answer.headers["content-encoding"] == "br"
    assert answer.headers["content-length"] == str(len(sent)) != str(len(TEXT))
    assert answer.headers["vary"] == "Origin, Accept-Encoding"


@pytest.mark.parametrize(
    ("kind", "accepted", "encoding"),
    [
        ("page", "gzip", "gzip"),
        ("page", "identity", ""),
        ("pieces", "gzip, br", "gzip"),
        ("short", "gzip, br", ""),
        ("compressed", "gzip, br", "zstd"),
        ("part", "gzip, br", ""),
    ],
)
def test_what_is_left_to_gzip_or_left_alone(
    client: TestClient, kind: str, accepted: str, encoding: str
) -> None:
    assert encoding_of(client, kind, accepted) == encoding


def test_a_picture_is_not_compressed_with_brotli(client: TestClient) -> None:
    assert encoding_of(client, "picture", "br") == ""


def test_pages_answers_and_the_theme_of_the_app_leave_with_brotli(settings: Settings) -> None:
    with whole_app(settings) as whole, whole.client() as client:
        for address in ("/config", "/theme.css"):
            accepted = {"accept": "text/html", "accept-encoding": "gzip, br"}
            with client.stream("GET", address, headers=accepted) as answer:
                assert (address, answer.headers["content-encoding"]) == (address, "br")


def test_the_theme_is_kept_by_the_browser(settings: Settings) -> None:
    with whole_app(settings) as whole, whole.client() as client:
        page = client.get("/", headers={"accept": "text/html"}).text
        theme = client.get("/theme.css")
    digest = page.partition('"theme_hash":"')[2].partition('"')[0]
    assert len(digest) == 64
    assert theme.headers["cache-control"].endswith("immutable")
    assert "--body-background-fill" in theme.text
