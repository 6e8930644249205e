"""Gradio's scripts are sent without what no page of the app uses, and whole where they have another form."""

import hashlib
import re

import gradio as gr
import pytest

from study.base.settings import Settings
from study.web.gradio_script import CUTS, NAMES, PLACES, cut_handlebars, cut_unused
from study.web.page_files import GRADIO_FILES
from tests.whole_app import whole_app

SCRIPTS = {file.name: file.read_text("utf-8") for file in GRADIO_FILES.glob("*.js")}
HASHES = {hashlib.sha256(text.encode()).hexdigest(): name for name, text in SCRIPTS.items()}
KNOWN = [name for digest, name in HASHES.items() if digest in CUTS]


@pytest.fixture(scope="module")
def component() -> str:
    """Gradio's script of an HTML component."""
    [text] = [text for text in SCRIPTS.values() if cut_handlebars(text) != text]
    return text


def test_the_library_is_cut_out_of_the_script_of_this_gradio(component: str) -> None:
    cut = cut_unused(component)
    assert "You must pass a string or Handlebars AST" in component
    assert "Handlebars" not in cut
    assert len(cut) < 0.1 * len(component)
    assert cut.count(".default.compile(e)(t)") == 1
    assert cut.startswith(component[: component.index("var ")])
    assert cut.endswith(component[component.index("=new Map,") :])


@pytest.mark.parametrize("wanted", ["=new Map,", ".default.compile(e)(t)"])
def test_a_script_of_another_form_is_sent_whole(component: str, wanted: str) -> None:
    other = component.replace(wanted, "other")
    assert cut_unused(other) == other


def test_every_cut_finds_its_script_in_the_gradio_that_it_was_made_for() -> None:
    """Pages of another Gradio work as well, and weigh more: `benchmarks/pages.py` says how much."""
    assert len(KNOWN) == (len(CUTS) if gr.__version__ == "6.31.0" else 0)


@pytest.mark.parametrize("name", KNOWN)
def test_each_part_that_is_cut_out_stands_in_its_script_once(name: str) -> None:
    script = SCRIPTS[name]
    for cut in CUTS[hashlib.sha256(script.encode()).hexdigest()]:
        assert (script.count(cut.begin), script.count(cut.end)) == (1, 1)
        assert script.index(cut.begin) < script.index(cut.end)
        assert cut.begin not in cut_unused(script) or cut.begin in cut.put


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_script_that_differs_in_one_letter_is_sent_whole(name: str) -> None:
    other = SCRIPTS[name] + " "
    assert cut_unused(other) == other


@pytest.mark.parametrize("name", KNOWN)
def test_a_cut_script_offers_all_that_others_import_from_it(name: str) -> None:
    script, cut = SCRIPTS[name], cut_unused(SCRIPTS[name])
    [exports] = re.findall(r"export\{[^}]*\}", script)
    assert exports in cut


@pytest.mark.parametrize("name", KNOWN)
def test_files_that_a_cut_script_asks_for_have_their_names(name: str) -> None:
    before, after = (
        [re.findall(r'"([^"]*)"', names) for names in NAMES.findall(text)]
        for text in (SCRIPTS[name], cut_unused(SCRIPTS[name]))
    )
    asked = {
        int(at) for places in PLACES.findall(cut_unused(SCRIPTS[name])) for at in places.split(",") if at
    }
    kept = [[file if at in asked else "" for at, file in enumerate(names)] for names in before]
    assert after == kept


def test_the_app_has_no_component_whose_script_is_cut_out(settings: Settings) -> None:
    [core] = [cut_unused(text) for text in SCRIPTS.values() if "html:{base:" in text]
    with whole_app(settings) as whole:
        blocks = whole.site.routes[-1].app.get_blocks().blocks.values()  # type: ignore[attr-defined]
        used = {block.get_block_name() for block in blocks}
    offered = set(re.findall(r"(\w+):\{(?:base|example|component):\(\)=>", core))
    assert used | {"column"} <= offered  # what each page stands in is a column of Gradio's


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


def test_the_cut_scripts_are_what_the_app_sends(settings: Settings) -> None:
    with whole_app(settings) as whole, whole.client() as client:
        for name, script in SCRIPTS.items():
            if name in KNOWN or name.startswith("HTML-"):
                assert client.get(f"/assets/{name}").text == cut_unused(script) != script
