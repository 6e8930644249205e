"""Gradio's scripts and style sheets: compressed well, kept by browsers, and no other file of the machine."""

import re

import brotli  # type: ignore[import-untyped]

from study.base.settings import Settings
from study.web.gradio_script import cut_unused
from study.web.page_files import GRADIO_FILES, KEEP, UNUSED_SCRIPT
from study.web.security.content_policy import HEADER
from tests.whole_app import whole_app

BROWSER = {"accept-encoding": "gzip, deflate, br"}


def test_a_browser_loads_the_files_of_gradio_once_and_compressed(settings: Settings) -> None:
    with whole_app(settings) as app, app.client() as client:
        page = client.get("/", headers={"accept": "text/html"}).text
        names = re.findall(r'"\./assets/(index-[^"]+)"', page)
        assert {name.rpartition(".")[2] for name in names} == {"js", "css"}
        for name in names:
            whole = cut_unused((GRADIO_FILES / name).read_text("utf-8")).encode()
            with client.stream("GET", f"/assets/{name}", headers=BROWSER) as answer:
                assert answer.headers["content-encoding"] == "br"
                assert answer.headers["cache-control"] == KEEP
                assert HEADER not in answer.headers
                sent = b"".join(answer.iter_raw())
            assert brotli.decompress(sent) == whole
            assert len(sent) < len(brotli.compress(whole, quality=4))
            plain = client.get(f"/assets/{name}", headers={"accept-encoding": "identity"})
            assert plain.content == whole
        assert client.get(UNUSED_SCRIPT).content == b""
        assert client.get("/assets/none.js").status_code == 404
        assert client.get("/assets/..%2Findex.html").status_code in (403, 404)
