"""Gradio's HTML component is sent without Handlebars, which no template of the app needs."""

import gradio as gr
import pytest

from study.base.settings import Settings
from study.web.gradio_script import cut_handlebars
from study.web.page_files import GRADIO_FILES, HTML_COMPONENT
from tests.whole_app import whole_app


@pytest.fixture(scope="module")
def script() -> str:
    [file] = [file for file in GRADIO_FILES.glob("HTML-*.js") if HTML_COMPONENT.fullmatch(file.name)]
    return file.read_text("utf-8")


def test_the_library_is_cut_out_of_the_script_of_this_gradio(script: str) -> None:
    cut = cut_handlebars(script)
    assert "You must pass a string or Handlebars AST" in script
    assert "Handlebars" not in cut
    assert len(cut) < 0.1 * len(script)
    assert cut.count(".default.compile(e)(t)") == 1
    assert cut.startswith(script[: script.index("var ")])
    assert cut.endswith(script[script.index("=new Map,") :])


@pytest.mark.parametrize("wanted", ["=new Map,", ".default.compile(e)(t)"])
def test_a_script_of_another_form_is_sent_whole(script: str, wanted: str) -> None:
    other = script.replace(wanted, "other")
    assert cut_handlebars(other) == other


def test_no_template_of_the_app_is_in_the_language_of_the_library(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[gr.HTML] = []
    build = gr.HTML.__init__

    def note(self: gr.HTML, *given: object, **named: object) -> None:
        build(self, *given, **named)
        made.append(self)

    monkeypatch.setattr(gr.HTML, "__init__", note)
    with whole_app(settings):
        pass
    assert len(made) > 20
    for component in made:
        assert "{{" not in f"{component.html_template} {component.css_template}"


def test_the_cut_script_is_what_the_app_sends(settings: Settings, script: str) -> None:
    [name] = [file.name for file in GRADIO_FILES.glob("HTML-*.js") if HTML_COMPONENT.fullmatch(file.name)]
    with whole_app(settings) as whole:
        assert whole.client().get(f"/assets/{name}").text == cut_handlebars(script)
