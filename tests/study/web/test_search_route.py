"""What a search of the whole app finds: words with their meanings, labels of settings, names of actions."""

import re
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from lora_lab.spec import BITS, BITS_LABELS, VARIANT_NAMES, Bits
from study.base.settings import Settings
from study.content.glossary import read_glossary
from tests.visits import words
from tests.whole_app import WholeApp, whole_app


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeApp]:
    home = tmp_path_factory.mktemp("home")
    settings = Settings(
        home=home, database_url=f"sqlite:///{home / 'study.sqlite3'}", models_dir=home / "models"
    )
    with whole_app(settings) as whole:
        yield whole


@pytest.fixture(scope="module")
def browser(app: WholeApp) -> TestClient:
    return app.client()


def find(browser: TestClient, asked: str) -> str:
    return browser.get("/search", params={"q": asked}).text


def test_a_word_is_explained_in_the_result_and_leads_to_its_place(app: WholeApp, browser: TestClient) -> None:
    html = find(browser, "peft")
    assert "Parameter-efficient fine-tuning" in words(html)
    assert 'href="/reference#word-peft"' in html
    reference = app.open("/reference")
    places = [f'id="{word.anchor}"' for word in read_glossary()]
    assert [place for place in places if reference.count(place) != 1] == []


def test_another_form_of_a_word_finds_it(browser: TestClient) -> None:
    assert 'href="/reference#word-feed-forward"' in find(browser, "MLP")


@pytest.mark.parametrize("bits", BITS)
def test_the_label_of_a_scheme_leads_to_the_lab_and_says_what_it_means(
    browser: TestClient, bits: Bits
) -> None:
    html = find(browser, bits)
    address = "/lab" if bits == "nf4-dq" else f"/lab?bits={bits}"
    assert f'<a href="{address}">{bits} ' in html
    assert BITS_LABELS[bits] in words(html)


def test_a_relative_of_lora_is_found_with_what_it_changes(browser: TestClient) -> None:
    html = find(browser, VARIANT_NAMES["rslora"])
    assert "rsLoRA scale alpha / √r" in words(html)
    titles = re.findall(r'<a href="/tasks[^>]*>(.*?)</a>', html)
    assert len(titles) == len(set(titles)) == 2


@pytest.mark.parametrize("asked", ["bury", "suspend", "undo", "cram", "flag"])
def test_the_name_of_a_button_finds_what_it_does(browser: TestClient, asked: str) -> None:
    assert "Actions" in words(find(browser, asked))


@pytest.mark.parametrize(
    ("asked", "address"),
    [("will it fit", "/memory"), ("does it fit 24 GB", "/memory"), ("grid", "/grid"), ("heat map", "/grid")],
)
def test_a_page_of_the_lab_is_found_by_its_name_and_by_what_it_answers(
    browser: TestClient, asked: str, address: str
) -> None:
    assert f'href="{address}"' in find(browser, asked)
