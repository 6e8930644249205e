"""The lab's pages as its row of links shows them: what a person does there, and the address."""

from markupsafe import Markup

from study.templates import render

LAB = "/lab"
PAPERS = "/papers"
SECTIONS = (("Train", LAB), ("Published numbers", PAPERS))
MEMORY = "/memory"
SECTIONS = (("Train", LAB), ("Memory", MEMORY))
"""Titles and addresses, in order."""


def sections(path: str) -> Markup:
    """The row of links, for the page at `path`."""
    return Markup(render("lora_lab/sections.html", sections=SECTIONS, path=path))
