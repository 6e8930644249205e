"""The lab's pages as its row of links shows them: what a person does there, and the address."""

from markupsafe import Markup

from study.templates import render

LAB = "/lab"
CLAIMS = "/claims"
MODELS = "/models"
PAPERS = "/papers"
SECTIONS = (("Train", LAB), ("Claims", CLAIMS), ("Models", MODELS), ("Published numbers", PAPERS))
"""Titles and addresses, in order."""


def sections(path: str) -> Markup:
    """The row of links, for the page at `path`."""
    return Markup(render("lora_lab/sections.html", sections=SECTIONS, path=path))
