"""Gradio's own components have the colours of the page."""

import re

from study.base.settings import ROOT
from study.web.mounting import COLOURS

ITS_OWN = {"block_shadow", "input_placeholder_color", "checkbox_border_color"}
"""What the page has no name for."""


def test_the_theme_has_the_colours_that_the_style_sheet_names() -> None:
    sheet = (ROOT / "study" / "static" / "page.css").read_text("utf-8")
    light, dark = (
        dict(
            re.findall(r"--([\w-]+): (#\w+)", re.findall(rf"^{selector} \{{(.*?)^\}}", sheet, re.M | re.S)[0])
        )
        for selector in (":root", ".dark")
    )
    named = {(colour, dark[name]) for name, colour in light.items()}
    assert {name for name, pair in COLOURS.items() if pair not in named} == ITS_OWN
