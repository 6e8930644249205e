"""The lab's pages as its row of links shows them: what a person does there, and the address."""

from collections.abc import Sequence
from urllib.parse import urlencode

from markupsafe import Markup

from study.text.templates import render

LAB = "/lab"
GRID = "/grid"
COMPARE = "/compare"
XRAY = "/xray"
MEMORY = "/memory"
MICROSCOPE = "/microscope"
CLAIMS = "/claims"
MODELS = "/models"
PAPERS = "/papers"
SECTIONS = (
    ("Train", LAB),
    ("Grid", GRID),
    ("Compare", COMPARE),
    ("X-ray", XRAY),
    ("Memory", MEMORY),
    ("Microscope", MICROSCOPE),
    ("Claims", CLAIMS),
    ("Models", MODELS),
    ("Published numbers", PAPERS),
)
"""Titles and addresses, in order."""


def sections(path: str) -> Markup:
    """The row of links, for the page at `path`."""
    return Markup(render("lora_lab/sections.html", sections=SECTIONS, path=path))


def compare_address(run_ids: Sequence[str], ask_id: str = "") -> str:
    """The Compare page with these runs, and a question that was asked there."""
    query = ({"runs": ",".join(run_ids)} if run_ids else {}) | ({"ask": ask_id} if ask_id else {})
    return f"{COMPARE}?{urlencode(query, safe=',')}" if query else COMPARE


def xray_address(**query: str) -> str:
    """The X-ray page of a `run`, `with` a second one, at a `layer` and `matrix`; without what is empty."""
    given = {name: value for name, value in query.items() if value}
    return f"{XRAY}?{urlencode(given)}" if given else XRAY
