"""Pages are built without the apps and configurations that Gradio throws away, and come out the same."""

import json
from contextlib import nullcontext
from typing import Any

import gradio as gr
import gradio.blocks
import pytest
from fastapi import FastAPI
from gradio.context import Context as GradioContext

from study.ports.context import Context
from study.web import mounting
from tests.study.web.islands import add_empty_page

PATHS = ("/", "/cards", "/quiz")


def build(context: Context) -> gr.Blocks:
    GradioContext.id = 0
    blocks = gr.Blocks(analytics_enabled=False)
    for path in PATHS:
        add_empty_page(blocks, context, lambda event, request: {}, "island", path=path)
    return blocks


def config_of(blocks: gr.Blocks) -> str:
    site = mounting.mount(FastAPI(), blocks, head="")
    assert site.routes
    config: Any = blocks.get_config_file()
    return json.dumps({name: value for name, value in config.items() if name != "app_id"}, default=str)


def test_one_app_is_made_however_many_pages_there_are(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    create_app = gradio.blocks.App.create_app

    def counted(*arguments: Any, **named: Any) -> Any:
        made.append(1)
        return create_app(*arguments, **named)

    monkeypatch.setattr(gradio.blocks.App, "create_app", counted)
    with mounting.building_pages():
        blocks = build(context)
    assert made == []
    mounting.mount(FastAPI(), blocks, head="")
    assert len(made) == 1
    assert blocks.app is not None


def test_the_pages_are_those_that_gradio_would_have_made(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mounting.building_pages():
        blocks = build(context)
    quick = config_of(blocks)
    monkeypatch.setattr(mounting, "building_pages", nullcontext)
    assert config_of(build(context)) == quick


def test_another_gradio_is_left_alone(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(gradio.blocks.App, "create_app")
    with mounting.building_pages():
        assert "create_app" not in vars(gradio.blocks.App)
    monkeypatch.undo()
    assert callable(gradio.blocks.App.create_app)


def test_sessions_share_what_gradio_computes_for_each(context: Context) -> None:
    site = mounting.mount(FastAPI(), build(context), head="")
    holder = site.routes[-1].app.state_holder  # type: ignore[attr-defined]
    one, other = holder["one"], holder["other"]
    assert one.config_values is other.config_values
    assert one.state_data is not other.state_data
    assert one.blocks_config is not other.blocks_config
    assert holder.capacity == mounting.SESSIONS_KEPT


def test_no_event_waits_in_gradios_queue_which_looks_for_one_rarely(context: Context) -> None:
    blocks = build(context)
    mounting.mount(FastAPI(), blocks, head="")
    assert [event.name for event in blocks.fns.values() if event.queue and event.fn is not None] == []
    assert blocks._queue.sleep_when_free == mounting.QUEUE_PAUSE_SECONDS
    assert blocks._queue.progress_update_sleep_when_free == mounting.QUEUE_PAUSE_SECONDS
