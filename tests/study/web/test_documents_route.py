"""Documents that texts cite open in the app, and nothing else of the repository does."""

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from study.ports.places import Place
from study.text.markup import link_citations
from study.web import page_files
from study.web.documents import register

ROOT = Path(__file__).parents[3]
CONTENT = [
    path
    for folder in ("study/lessons", "flashcards/decks", "quizzes", "lora_lab")
    for path in sorted((ROOT / folder).rglob("*.yaml"))
]

PLACES = (Place("Today", "/"), Place("Learn", "/learn", (("Path, map", "/learn"), ("Figures", "/figures"))))


@pytest.fixture(scope="module")
def browser() -> TestClient:
    site = FastAPI()
    register(site, places=PLACES)
    page_files.register(site)
    return TestClient(site)


def test_a_document_is_a_page_with_one_heading_its_tables_and_numbered_sections(browser: TestClient) -> None:
    html = browser.get("/docs/traps.md").text
    assert html.count("<h1>") == 1
    assert '<h2 id="6">6. Merging into 4-bit weights changes the model</h2>' in html
    assert '<h2 id="nf4">NF4 (<code>nf4</code>)</h2>' in browser.get("/docs/lesson-sources.md").text
    assert "&lt;!--" not in browser.get("/docs/guide/four-bit.md").text
    assert 'role="region" aria-label="Table"><table>' in browser.get("/docs/performance.md").text


def test_a_document_has_the_menu_and_stands_under_learn(browser: TestClient) -> None:
    html = browser.get("/docs/guide/which-rank.md").text
    assert '<a href="/">Today</a>' in html
    assert '<a href="/learn" aria-current="true">Path, map</a>' in html
    assert '<a href="/figures">Figures</a>' in html
    assert "data-open-search" in html
    [script] = re.findall(r'<script src="([^"]+)"></script>', html)
    assert "data-open-search" in browser.get(script).text


@pytest.mark.parametrize("path", ["nowhere.md", "../README.md", "%2e%2e/README.md", "lab.png", "guide"])
def test_nothing_but_texts_of_the_docs_folder_is_served(browser: TestClient, path: str) -> None:
    assert browser.get(f"/docs/{path}").status_code == 404


def test_a_source_links_to_its_document_by_its_title_and_stays_text_otherwise() -> None:
    assert (
        link_citations("a < b; docs/traps.md 6.")
        == 'a &lt; b; <a href="/docs/traps.md#6">“Thirteen ways to get wrong numbers”, 6</a>.'
    )
    assert (
        link_citations("docs/guide/which-rank.md") == '<a href="/docs/guide/which-rank.md">“Which rank?”</a>'
    )
    assert ">the numbers of “Which rank?”</a>" in link_citations("docs/guide/which-rank.json")
    assert link_citations("docs/nowhere.md") == '<a href="/docs/nowhere.md">docs/nowhere.md</a>'
    assert link_citations("arXiv:2106.09685 table 2") == "arXiv:2106.09685 table 2"


@pytest.mark.parametrize("path", CONTENT, ids=lambda path: path.stem)
def test_every_document_that_content_cites_opens(browser: TestClient, path: Path) -> None:
    for address in set(re.findall(r'href="(.+?)"', link_citations(path.read_text("utf-8")))):
        answer = browser.get(address.partition("#")[0])
        assert answer.status_code == 200, address
        section = address.partition("#")[2]
        assert not section or f'id="{section}"' in answer.text, address


def test_documents_open_where_the_app_is_reached_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "app").symlink_to(ROOT, target_is_directory=True)
    found = spec_from_file_location("linked_documents", tmp_path / "app" / "study" / "web" / "documents.py")
    assert found is not None
    assert found.loader is not None
    linked = module_from_spec(found)
    found.loader.exec_module(linked)
    assert linked.serve_document("traps.md", PLACES).status_code == 200
