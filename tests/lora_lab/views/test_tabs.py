"""The head of the lab's pages: three tabs, the views of the open one, and ways back."""

import re

import pytest

from lora_lab.settings.urls import LAB_PAGES, with_origin
from lora_lab.views.tabs import find_origin, render_tabs
from tests.visits import words

PATHS = [path for _, views in LAB_PAGES for _, path in views]


@pytest.mark.parametrize("path", PATHS)
def test_every_page_is_in_one_of_three_tabs_and_marks_where_it_is(path: str) -> None:
    html = render_tabs(path, "Title", {})
    assert re.findall(r'class="tabs">(.*?)</span>', html, re.S)[0].count("<a ") == 3
    assert f'href="{path}" aria-current="page"' in html
    assert html.count('aria-current="page"') == html.count('aria-current="true"') == 1


def test_views_of_a_result_are_named_only_while_they_are_open() -> None:
    assert "X-ray" not in words(render_tabs("/lab", "Lab", {}))
    assert "X-ray" in words(render_tabs("/xray", "X-ray", {}))


@pytest.mark.parametrize("path", PATHS)
def test_every_page_of_the_lab_offers_itself_for_a_projector_in_a_new_tab(path: str) -> None:
    link = f'href="{path}?view=projector" target="_blank" rel="noopener" data-projector'
    assert link in render_tabs(path, "Title", {})


def test_a_concept_says_what_to_watch_and_leads_back() -> None:
    found = find_origin({"from": "lora-rank"})
    assert found is not None
    assert found.address == "/concept?id=lora-rank"
    assert "Note the held-out loss and the peak." in found.watch
    assert "You came from Rank" in words(render_tabs("/memory", "Will it fit?", {"from": "lora-rank"}))


def test_what_an_address_says_to_watch_is_shown_as_text() -> None:
    html = render_tabs("/lab", "Lab", {"from": "lora-rank", "watch": "the <b>memory</b>" + "x" * 400})
    assert "the &lt;b&gt;memory&lt;/b&gt;" in html
    assert "x" * 301 not in html


@pytest.mark.parametrize("written", ["", "7", "no-such-concept", "<script>"])
def test_an_address_without_a_known_concept_shows_no_way_back(written: str) -> None:
    assert "You came from" not in render_tabs("/lab", "Lab", {"from": written})


def test_the_way_back_is_kept_in_other_addresses() -> None:
    assert with_origin("/lab", {"from": "nf4"}) == "/lab?from=nf4"
    assert with_origin("/lab?rank=2", {"from": "nf4", "watch": "it"}) == "/lab?rank=2&from=nf4&watch=it"
    assert with_origin("/lab", {"watch": "it"}) == "/lab"
