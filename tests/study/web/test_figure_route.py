"""The route that live figures ask, and their page."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI

from lora_lab.figures import FIGURES
from study.base.errors import LearnerError
from study.pages.figures import FiguresPage
from study.ports.context import Context
from study.web import figure_route
from tests.visits import opened, words


def ask(address: str) -> httpx.Response:
    site = FastAPI()
    figure_route.register(site, FIGURES)

    async def one_request() -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(site), base_url="http://127.0.0.1"
        ) as client:
            return await client.get(address)

    return asyncio.run(one_request())


@pytest.mark.parametrize("figure_id", FIGURES)
def test_every_figure_answers_with_what_changes_and_no_controls(figure_id: str) -> None:
    answer = ask(f"/figure/{figure_id}")
    assert answer.status_code == 200
    assert "fig-picture" in answer.text
    assert "data-setting" not in answer.text


def test_the_answer_follows_the_setting_and_leaves_other_peoples_fields_alone() -> None:
    answer = ask("/figure/lora-to-scale?rank=64&mode=visualize")
    assert "At rank 64, B and A hold 73,728 numbers" in answer.text


def test_a_setting_outside_its_limits_is_answered_with_a_sentence() -> None:
    answer = ask("/figure/lora-to-scale?rank=1000")
    assert answer.status_code == 422
    assert answer.text == "Rank r can't be 1,000 here. Pick 1 to 256."


def test_an_unknown_figure_is_missing() -> None:
    assert ask("/figure/nonsense").status_code == 404


def test_the_page_shows_all_figures_and_where_they_belong(context: Context) -> None:
    page = FiguresPage(context=context, figures=FIGURES)
    html = page.load(opened("b1"))
    assert html.count("data-figure=") == len(FIGURES)
    assert 'href="/concept?id=lora-update"' in html


def test_one_figure_has_an_address_with_its_setting(context: Context) -> None:
    page = FiguresPage(context=context, figures=FIGURES)
    html = page.load(opened("b1", "figure=lora-to-scale&rank=32"))
    assert html.count("data-figure=") == 1
    assert "At rank 32" in words(html)
    with pytest.raises(LearnerError, match="no figure named nonsense"):
        page.load(opened("b1", "figure=nonsense"))


def test_a_figure_is_answered_whole_where_it_unfolds() -> None:
    answer = ask("/figure/lora-to-scale/whole?rank=64")
    assert "At rank 64" in answer.text
    assert "data-setting" in answer.text
    assert ask("/figure/gone/whole").status_code == 404
