"""Our look and scripts: in the head of every page, fetched once, and named anew when they change."""

import re
from pathlib import Path

import brotli  # type: ignore[import-untyped]
from starlette.testclient import TestClient

from study.base.settings import ROOT, Settings
from study.web import page_files
from study.web.page_files import KEEP
from tests.whole_app import whole_app

PAGE = {"accept": "text/html"}


def fetch(client: TestClient, address: str) -> str:
    """The text of a file, which must be the same compressed and plain."""
    with client.stream("GET", address, headers={"accept-encoding": "br"}) as answer:
        assert answer.headers["cache-control"] == KEEP
        assert answer.headers["content-encoding"] == "br"
        sent = brotli.decompress(b"".join(answer.iter_raw())).decode()
    assert client.get(address, headers={"accept-encoding": "identity"}).text == sent
    return str(sent)


def without_comments(path: str) -> str:
    """A file as it is sent, read line by line."""
    text = Path(path).read_text("utf-8")
    if path.endswith(".js"):
        return "".join(line for line in text.splitlines(True) if not line.lstrip().startswith("//"))
    code, *parts = text.split("/*")
    return code + "".join(part.partition("*/")[2].lstrip() for part in parts)


def test_every_page_has_the_look_before_anything_is_drawn(settings: Settings) -> None:
    with whole_app(settings) as app, app.client() as client:
        heads = {client.get(path, headers=PAGE).text.partition("</head>")[0] for path in app.loads}
        named = {tuple(re.findall(r'(?:href|src)="(/look/[^"]+)"', head)) for head in heads}
        [(sheet, script, island)] = named
        style = fetch(client, sheet)
        for package in ("study/static/page.css", "lora_lab/static/lab.css", "flashcards/static/cards.css"):
            assert without_comments(package) in style
        assert "function applyLook" in fetch(client, script)
        assert without_comments("study/static/island.js") in fetch(client, island)
        assert client.get("/look/site-000000000000.css").status_code == 404


def test_the_configuration_of_a_page_carries_no_script_of_an_island(settings: Settings) -> None:
    with whole_app(settings) as app, app.client() as client:
        page = client.get("/cards", headers=PAGE).text
    assert "askLive" not in page
    assert len(page) < 50_000


def test_a_changed_file_has_another_address(tmp_path: Path) -> None:
    sheet = tmp_path / "own.css"
    heads = []
    for colour in ("red", "blue", "red"):
        sheet.write_text(f".own {{ color: {colour}; }}", "utf-8")
        heads.append(page_files.build_head([sheet]))
    assert heads[0] == heads[2] != heads[1]


def test_a_server_may_show_the_projector_view_to_all(settings: Settings) -> None:
    assert page_files.build_head([], projector=True) != page_files.build_head([])
    sheets = [path for path in ROOT.glob("*/static/*.css") if "data-view" in path.read_text("utf-8")]
    assert sheets == [], "it says what the server shows; what a browser has chosen is the class `projector`"
