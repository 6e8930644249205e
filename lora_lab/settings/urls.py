"""The lab's pages as shown in its row of links: title and address."""

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
    """Render the row of links, for the page at `path`."""
    return Markup(render("lora_lab/sections.html", sections=SECTIONS, path=path))


def compare_address(run_ids: Sequence[str], ask_id: str = "") -> str:
    """Build the address of the Compare page with these runs, and a question asked there."""
    query = ({"runs": ",".join(run_ids)} if run_ids else {}) | ({"ask": ask_id} if ask_id else {})
    return f"{COMPARE}?{urlencode(query, safe=',')}" if query else COMPARE


def xray_address(**query: str) -> str:
    """Build the address of the X-ray page; empty parameters are omitted.

    The parameters are a `run`, `with` a second one, a `layer` and a `matrix`.
    """
    given = {name: value for name, value in query.items() if value}
    return f"{XRAY}?{urlencode(given)}" if given else XRAY
