"""Every file that the app exports is known again by the app's own page, and so are its look-alikes."""

import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from tests.data_folder import settings_in
from tests.visits import words
from tests.whole_app import whole_app

SECONDS = 60


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    home = tmp_path_factory.mktemp("home")
    settings = settings_in(home)
    with whole_app(settings) as whole:
        yield whole.client()


def preview(browser: TestClient, name: str, content: bytes) -> str:
    """What the page says it would do with a file."""
    browser.post(f"/io/upload?name={quote(name)}", content=content).raise_for_status()
    reply = act(browser, "uploaded")
    until = time.monotonic() + SECONDS
    while "preview" not in reply.get("focus", "") and time.monotonic() < until:
        assert not reply.get("error"), reply["error"]
        time.sleep(0.1)
        reply = act(browser, "poll")
    return words(reply["html"])


def act(browser: TestClient, name: str) -> dict[str, Any]:
    answer = browser.post("/act/inout", json={"act": name, "query": ""}).raise_for_status()
    return dict(answer.json())


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("cards/apkg", "cards.apkg"),
        ("cards/csv", "cards.csv"),
        ("cards/md", "cards.zip"),
        ("questions/csv", "lora-study-questions.csv"),
        ("questions/gift", "questions.gift"),
        ("questions/gift", "from-moodle.txt"),
        ("questions/moodle-xml", "questions.xml"),
    ],
)
def test_what_the_app_exports_is_all_the_same_when_it_comes_back(
    browser: TestClient, address: str, name: str
) -> None:
    content = browser.get(f"/io/{address}").raise_for_status().content
    title = address.partition("/")[0].capitalize()
    found = re.search(rf"{title} (\d+) (\d+) (\d+) (\d+)", preview(browser, name, content))
    assert found is not None
    new, changed, same, rejected = map(int, found.groups())
    assert (new, changed, rejected) == (0, 0, 0)
    assert same > 200


DECK_IN_TABS = b"What is $\\|A\\|_{F}$?\tThe Frobenius norm\nWhat is $\\frac{a}{b}$?\tA share\n"


@pytest.mark.parametrize(
    ("name", "content", "title"),
    [
        ("mine.json", b'{"topic": "Cards and decks", "questions": []}', "Questions"),
        ("a.txt", b"Q: What is {r}?\nA: The rank.\n", "Cards"),
        ("b.txt", b"What is $\\frac{a}{b}$?\tA share\n", "Cards"),
        ("c.txt", DECK_IN_TABS, "Cards"),
        ("d.csv", b"system,stem cell\nWhat?,That.\n", "Cards"),
        ("e.csv", b"stem;right;wrong_1\nSmall?;NF4;bf16\n", "Questions"),
        ("f.txt", b"Is the base frozen? {TRUE}\n", "Questions"),
        ("g.yaml", b"deck: A\ncards:\n- {id: one, front: Which questions?, back: 'topic: rank'}\n", "Cards"),
    ],
)
def test_a_file_is_taken_for_what_it_holds(
    browser: TestClient, name: str, content: bytes, title: str
) -> None:
    said = preview(browser, name, content)
    assert [known for known in ("Cards", "Questions") if re.search(rf"{known}( \d+){{4}}", said)] == [title]
